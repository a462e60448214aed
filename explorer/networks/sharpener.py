"""A tiny network that doubles a picture's size, and adds what enlarging alone leaves soft.

A residual network on the small picture, its last channels folded into pixels (Shi et al., arXiv 1609.05158), added to
the bicubic enlargement. It has no biases and sees only what differs from its neighbourhood, hence (Mohan et al., arXiv
1906.05478) commutes with light and contrast: f(a x + b) = a f(x) + b for a > 0. A plain field stays plain. Knows no
generator: what it adds is likely, not true.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 2
NEIGHBOURHOOD = 5  # px, whose mean is taken away


@dataclass(frozen=True)
class SharpenerConfig:
    """Its width in channels and its number of residual blocks. Raises ValueError where they are absurd."""

    width: int = 32
    blocks: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.width <= 1024 or not 1 <= self.blocks <= 64:
            raise ValueError(f"width must lie between 1 and 1024 and blocks between 1 and 64, got {self}")


class Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut; without biases, so that what is zero stays zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [N, width, H, W] -> the same
        return x + self.conv1(F.leaky_relu(self.conv0(x), 0.2))


class Sharpener(nn.Module):
    """RGB pictures of any size to twice that size. Fresh, it is the bicubic enlargement."""

    def __init__(self, config: SharpenerConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(Block(config.width) for _ in range(config.blocks)))
        self.head = nn.Conv2d(config.width, 3 * SCALE**2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.head.weight.zero_()

    def forward(self, images: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1] -> [N, 3, 2 H, 2 W], about [-1, 1]
        """Raises ValueError for pictures of another shape."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"pictures must be [N, 3, H, W], got {list(images.shape)}")
        x = self.blocks(self.stem(detail(images)))
        return enlarged(images) + F.pixel_shuffle(self.head(x), SCALE)


def enlarged(images: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, 2 H, 2 W]
    """Twice the size, bicubic: what there is without the network."""
    return F.interpolate(images, scale_factor=SCALE, mode="bicubic", align_corners=False)


def detail(images: Tensor) -> Tensor:  # [N, C, H, W] -> the same
    """What differs from the mean of its neighbourhood."""
    border = NEIGHBOURHOOD // 2
    around = F.pad(images, (border,) * 4, mode="replicate")
    return images - F.avg_pool2d(around, NEIGHBOURHOOD, stride=1)
