"""The perceptual distance in use: LPIPS where its backbone is on disk, else a multi-scale distance that needs no file.

Every figure names the distance that made it: the two are not comparable.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.weights import download

SMALLEST = 8  # px of the coarsest scale of `pyramid`
LPIPS_SMALLEST = 64  # px; LPIPS' backbones lose their last layers on less


@dataclass(frozen=True)
class Perceptual:
    """A distance between pictures and the name under which its figures may be compared."""

    name: str
    distance: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1], twice -> [N]
        return self.distance(a, b)


def pyramid(a: Tensor, b: Tensor) -> Tensor:  # [N, C, H, W], twice -> [N]
    """Mean absolute difference, averaged over the scales H, H/2, ..., 8 px: 0 for equal pictures, 2 at most."""
    difference = a - b
    levels = [difference.abs().mean(dim=(1, 2, 3))]
    while difference.shape[-1] > SMALLEST:
        difference = F.avg_pool2d(difference, 2)
        levels.append(difference.abs().mean(dim=(1, 2, 3)))
    return torch.stack(levels).mean(dim=0)


def load_perceptual(device: torch.device | str = "cpu") -> Perceptual:
    """LPIPS (arXiv 1801.03924) on AlexNet where its weights are in the cache, else `pyramid`. Never downloads."""
    backbone = download.cached("alexnet")
    if backbone is None:
        return Perceptual("pyramid", pyramid)
    network = lpips_alex(backbone).to(device)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        if a.shape[-1] < LPIPS_SMALLEST:
            a, b = (F.interpolate(x, size=LPIPS_SMALLEST, mode="bilinear", antialias=True) for x in (a, b))
        return network(a, b).flatten()

    return Perceptual("lpips-alex", distance)


def lpips_alex(backbone: Path) -> torch.nn.Module:
    """LPIPS with its own linear weights (they come with the package) on torchvision's AlexNet weights from a file."""
    import lpips  # imports torchvision, which is slow; only needed here

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision by an old parameter name
        network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    features = {}
    for name, tensor in torch.load(backbone, weights_only=True).items():
        if match := re.fullmatch(r"features\.(\d+)\.(weight|bias)", name):
            features[match.group(1), match.group(2)] = tensor
    for name, parameter in network.net.named_parameters():
        index, kind = name.split(".")[-2:]
        parameter.data.copy_(features[index, kind])
    return network.eval().requires_grad_(False)
