"""A small classifier of pictures, plain residual (arXiv 1512.03385): the judge of what a generator has learned.

Knows neither how it is trained (`explorer.recipes.judge`) nor what its classes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class JudgeConfig:
    """Names of the classes, the side of the pictures it looks at, and the widths of its stages.

    Raises ValueError for repeated names, fewer than two of them, and sizes that cannot be halved once a stage.
    """

    classes: tuple[str, ...]
    image_size: int = 64
    widths: tuple[int, ...] = (32, 64, 128, 192)

    def __post_init__(self) -> None:
        for name in ("classes", "widths"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.classes) < 2 or len(set(self.classes)) != len(self.classes):
            raise ValueError(f"a judge needs at least two classes with different names, got {self.classes}")
        if not 1 <= len(self.widths) <= 8 or not all(1 <= width <= 4096 for width in self.widths):
            raise ValueError(f"widths must be one to eight numbers from 1 to 4096, got {self.widths}")
        if not 0 < self.image_size <= 1024 or self.image_size % 2 ** len(self.widths):
            raise ValueError(f"image_size must be a multiple of {2 ** len(self.widths)} up to 1024: {self.image_size}")


class Norm(nn.Module):
    """Batch normalisation (arXiv 1502.03167) with running statistics; torch's own also stores a count as an integer."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W]
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, self.training)


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv0, self.norm0 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), Norm(outputs)
        self.conv1, self.norm1 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), Norm(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:  # [N, inputs, H, W] -> [N, outputs, H / stride, W / stride]
        shortcut = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        shortcut = shortcut if self.skip is None else self.skip(shortcut)
        return F.relu(shortcut + self.norm1(self.conv1(F.relu(self.norm0(self.conv0(x))))))


class Judge(nn.Module):
    """Pictures to one logit a class; fresh weights until a state dict is loaded."""

    def __init__(self, config: JudgeConfig) -> None:
        super().__init__()
        self.config = config
        self.stem, self.norm = nn.Conv2d(3, config.widths[0], 3, 2, 1, bias=False), Norm(config.widths[0])
        stages = [Block(a, b, 2) for a, b in pairwise(config.widths)]
        self.blocks = nn.Sequential(Block(config.widths[0], config.widths[0]), *stages)
        self.head = nn.Linear(config.widths[-1], len(config.classes))

    def forward(self, images: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1], any size -> [N, classes]
        size = self.config.image_size
        if images.shape[-2:] != (size, size):
            images = F.interpolate(images, size=(size, size), mode="bicubic", antialias=True, align_corners=False)
        x = self.blocks(F.relu(self.norm(self.stem(images))))
        return self.head(x.mean(dim=(2, 3)).float())
