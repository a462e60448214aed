"""Movement of codes: along directions, restricted to rows of W+, and between two codes."""

from __future__ import annotations

import torch
from torch import Tensor


def move(
    ws: Tensor,  # [..., rows, dim]
    direction: Tensor,  # [dim], or [rows, dim] where it differs from row to row
    amount: float,
    layers: tuple[int, int] | None = None,
) -> Tensor:  # [..., rows, dim]
    """Add `amount * direction` to the rows [start, stop) of `layers`, all rows for None; the input stays as it is."""
    start, stop = layers or (0, ws.shape[-2])
    moved = ws.clone()
    moved[..., start:stop, :] += amount * direction.to(ws).expand(ws.shape[-2:])[start:stop]
    return moved


def interpolate(a: Tensor, b: Tensor, t: Tensor) -> Tensor:  # [..., dim], [..., dim], [T] -> [T, ..., dim]
    """Straight line in W from `a` (t = 0) to `b` (t = 1): W is close to linear (StyleGAN, section 4.1)."""
    t = t.to(a).reshape(-1, *[1] * a.ndim)
    return a + t * (b - a)


def interpolate_noise(a: Tensor, b: Tensor, t: float) -> Tensor:  # [...], [...] -> [...]
    """The arc from noise `a` (t = 0) to noise `b` (t = 1): a mean of two would be too weak for noise.

    Spherical interpolation (Shoemake 1985), by the angle between the two as one vector each, as in DDIM (arXiv
    2010.02502, appendix D.5).
    """
    cosine = (a * b).sum() / (a.norm() * b.norm())
    angle = torch.acos(cosine.double().clamp(-1, 1))
    if angle.sin() < 1e-6:
        return a.lerp(b, t)
    here, there = torch.sin((1 - t) * angle) / angle.sin(), torch.sin(t * angle) / angle.sin()
    return here.to(a) * a + there.to(a) * b
