"""Augmented versions of pictures for CLIP: crop, turn, flip, light. A small CLIP is fooled by a texture that pleases it

at one place and scale; it must please at all of them. Differentiable in the pictures. Knows no networks.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

CROPS = (0.5, 1.0)  # sides of a crop, as fractions of the picture's
DEGREES = 12.0
JITTER = 0.15  # of brightness and contrast
NUMBERS = 7  # that fix one view


def views(
    images: Tensor,  # [n, 3, H, W]
    numbers: Tensor,  # [n, V, NUMBERS] in [0, 1)
    size: int,
) -> Tensor:  # [1 + V, n, 3, min(H, size), the same]
    """The picture itself and V versions of it; the same numbers give the same versions of another picture."""
    if images.shape[-1] > size:
        images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
    count, others = numbers.shape[:2]
    if others == 0:
        return images[None]
    scale, across, down, turn, flip, light, contrast = numbers.transpose(0, 1).flatten(0, 1).unbind(1)  # [V * n]
    side = CROPS[0] + (CROPS[1] - CROPS[0]) * scale
    angle = math.radians(DEGREES) * (2 * turn - 1)
    mirror = torch.where(flip < 0.5, -1.0, 1.0).to(side)
    shift = ((2 * place - 1) * (1 - side) for place in (across, down))
    rows = [
        torch.stack([side * angle.cos() * mirror, -side * angle.sin(), next(shift)], dim=1),
        torch.stack([side * angle.sin() * mirror, side * angle.cos(), next(shift)], dim=1),
    ]
    repeated = images.repeat(others, 1, 1, 1)
    grid = F.affine_grid(torch.stack(rows, dim=1), list(repeated.shape), align_corners=False)
    seen = F.grid_sample(repeated, grid, padding_mode="reflection", align_corners=False)
    factor = 1 + JITTER * (2 * contrast - 1)
    seen = seen * factor[:, None, None, None] + (JITTER * (2 * light - 1))[:, None, None, None]
    return torch.cat([images[None], seen.unflatten(0, (others, count))])
