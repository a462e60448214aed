"""Eight augmentations of a picture, each drawn by itself, for a CLIP distance that single pixels cannot please.

Affine up to 15 degrees, perspective and erasing with probability 0.7, colour jitter of 0.1: section 3.1 and the public
settings of One-Shot Adaptation of GAN in Just One CLIP (arXiv 2203.09301). Differentiable in the pictures. The draws
depend on the seed and the step alone, not on the batch, so a photo's search is the same in any company.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

COPIES = 8
DEGREES = 15.0
LIKELIHOOD = 0.7  # of a perspective, and of an erased rectangle
DISTORTION = 0.25  # how far a perspective moves a corner inwards, as a fraction of the side, at most
JITTER = 0.1  # of brightness, contrast and saturation
ERASED = (0.15, 0.5)  # sides of an erased rectangle, as fractions of the picture's
CORNERS = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])


def augment(images: Tensor, seed: int, step: int) -> Tensor:  # [N, 3, H, W] -> [COPIES * N, 3, H, W], copy by copy
    """`COPIES` different versions of every picture; all pictures get the same ones."""
    rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
    grids, keep = _grids(rng, images.shape[-1]), _kept(rng, images.shape[-1])
    brightness, contrast, saturation = 1 + JITTER * (2 * torch.rand(3, COPIES, 1, 1, 1, 1, generator=rng) - 1)
    # One picture with many channels a copy: where to look is then worked out once a copy, not once a picture.
    stacked = images.reshape(1, -1, *images.shape[2:]).expand(COPIES, -1, -1, -1)
    views = F.grid_sample(stacked, grids.to(images), padding_mode="border", align_corners=False)
    views = views.unflatten(1, images.shape[:2])  # [COPIES, N, 3, H, W]
    # In turn: v = b (x + 1) - 1, c v + (1 - c) mean v, s v + (1 - s) grey v. Grey of grey is grey, so the sum is
    grey = views.mean(dim=2, keepdim=True)
    mean = grey.mean(dim=(3, 4), keepdim=True)
    own, of_grey, of_mean = contrast * saturation, contrast * (1 - saturation), 1 - contrast
    own, of_grey, of_mean = ((brightness * factor).to(images) for factor in (own, of_grey, of_mean))
    constant = of_grey * grey + (of_mean * mean + (brightness - 1).to(images))
    return (torch.addcmul(constant, views, own) * keep[:, None].to(images)).flatten(0, 1)


def _grids(rng: torch.Generator, side: int) -> Tensor:  # [COPIES, side, side, 2]
    """Where each output pixel looks: a rotation and, for some, a perspective, as one homography a copy."""
    angles = math.radians(DEGREES) * (2 * torch.rand(COPIES, generator=rng) - 1)
    turn = torch.stack([angles.cos(), -angles.sin(), angles.sin(), angles.cos()], dim=1).view(COPIES, 2, 2)
    chosen = torch.rand(COPIES, 1, 1, generator=rng) < LIKELIHOOD
    inwards = 2 * DISTORTION * torch.rand(COPIES, 4, 2, generator=rng) * chosen
    corners = CORNERS * (1 - inwards) @ turn
    centres = (2 * torch.arange(side) + 1) / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).view(1, -1, 3)
    seen = points @ homography(CORNERS.expand(COPIES, -1, -1), corners).transpose(1, 2)
    return (seen[..., :2] / seen[..., 2:]).view(COPIES, side, side, 2)


def homography(source: Tensor, target: Tensor) -> Tensor:  # [N, 4, 2], [N, 4, 2] -> [N, 3, 3]
    """The projective map that takes four points to four others; its last entry is 1."""
    x, y = source.unbind(-1)
    u, v = target.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    rows = [
        torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], dim=-1),
        torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], dim=-1),
    ]
    solved = torch.linalg.solve(torch.cat(rows, dim=1), torch.cat([u, v], dim=1))
    return torch.cat([solved, torch.ones_like(solved[:, :1])], dim=1).view(-1, 3, 3)


def _kept(rng: torch.Generator, side: int) -> Tensor:  # [COPIES, 1, side, side]
    """Ones, and zeros in a rectangle of some copies."""
    chosen = torch.rand(COPIES, generator=rng) < LIKELIHOOD
    low, high = ERASED
    sizes = low + (high - low) * torch.rand(COPIES, 2, generator=rng)
    starts = torch.rand(COPIES, 2, generator=rng) * (1 - sizes)
    line = (torch.arange(side) + 0.5) / side
    inside = (line >= starts[..., None]) & (line < (starts + sizes)[..., None])  # [COPIES, 2, side]
    erased = inside[:, 0, :, None] & inside[:, 1, None, :] & chosen[:, None, None]
    return (~erased).float().unsqueeze(1)
