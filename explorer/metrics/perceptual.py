"""The perceptual distance in use: LPIPS where its backbone is here, else the shipped CLIP's.

Every figure names the distance that made it: no two of them are comparable.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks.clip import Clip
from explorer.weights import download
from explorer.weights.clip import SHIPPED, load_clip, shipped_clip

LPIPS_SMALLEST = 64  # px; LPIPS' backbones lose their last layers on less
NO_FEATURE = 1e-3  # length below which a feature vector is taken for none: its direction would be noise
Distance = Callable[[Tensor, Tensor], Tensor]  # [N, 3, H, W] in [-1, 1], twice -> [N]


@dataclass(frozen=True)
class Perceptual:
    """A distance between pictures and the name under which its figures may be compared."""

    name: str
    distance: Distance

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1], twice -> [N]
        return self.distance(a, b)


def load_perceptual(device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Perceptual:
    """LPIPS on AlexNet where its weights are in the cache, else the shipped CLIP's. Never downloads.
    Raises MissingFile where that one is not there.

    `dtype` is what the shipped CLIP computes in: 16 bits for training, float32 for every figure that is reported.
    Networks are read on the first call: they import torchvision, which takes seconds that a program's start need not.
    """
    if (backbone := download.cached("alexnet")) is not None:
        return Perceptual("lpips-alex", _on_first_call(lambda: lpips_distance(lpips_alex(backbone).to(device))))
    file = shipped_clip()
    return Perceptual(SHIPPED, _on_first_call(lambda: clip_distance(load_clip(file, device).to(dtype))))


def _on_first_call(load: Callable[[], Distance]) -> Distance:
    loaded = cache(load)
    return lambda a, b: loaded()(a, b)


def clip_distance(clip: Clip) -> Distance:
    """Distance between intermediate features of CLIP's image tower, unit-normalised over channels as LPIPS does it.

    d(a, b) = 1/L sum_l mean_hw |y_l(a) / |y_l(a)| - y_l(b) / |y_l(b)||^2 (equation 1 of arXiv 1801.03924 with all
    channel weights 1, its "baseline" variant): 0 for equal pictures, 4 at most. Differentiable in both pictures.
    """

    def directions(images: Tensor) -> list[Tensor]:
        dtype = next(clip.parameters()).dtype
        pictures = images.to(dtype).contiguous(memory_format=torch.channels_last)
        return [F.normalize(features.float(), dim=1, eps=NO_FEATURE) for features in clip.features(pictures)]

    def distance(a: Tensor, b: Tensor) -> Tensor:  # apart: fixed pictures then cost no backward pass
        pairs = zip(directions(a), directions(b), strict=True)
        return torch.stack([(x - y).square().sum(dim=1).mean(dim=(1, 2)) for x, y in pairs]).mean(dim=0)

    return distance


def lpips_distance(network: torch.nn.Module) -> Distance:
    """LPIPS (arXiv 1801.03924) by `network`; smaller pictures are enlarged to what its backbone needs."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        if a.shape[-1] < LPIPS_SMALLEST:
            a, b = (F.interpolate(x, size=LPIPS_SMALLEST, mode="bilinear", antialias=True) for x in (a, b))
        return network(a, b).flatten()

    return distance


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
