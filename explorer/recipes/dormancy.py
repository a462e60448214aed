"""Keeps a small generator's unused directions of W empty, so that a domain expansion finds some to use.

A direction is dormant where no style weight looks at it. Large generators forget their random initialisation over
millions of pictures; small ones do not, and every step of Adam adds noise in all directions. Two remedies, both applied
after the optimiser's step: decay of the style weights, and a penalty on the smallest singular values of all of them
stacked, whose proximal step is to lower each by a constant (Cai, Candes, Shen, arXiv 0810.3286, equation 2.2, there for
all values): what the pictures need is pushed back by its gradient, what they do not need reaches exactly zero.
Knows no schedule.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.networks import Generator


def style_weights(generator: Generator) -> list[Tensor]:
    """The weights `[styles, dim]` of every style layer: all that a generator sees of its code."""
    return [layer.weight for layer in generator.style_layers()]


@torch.no_grad()
def decay(generator: Generator, factor: float) -> None:
    """Multiply the style weights by `factor`, in place."""
    for weight in style_weights(generator):
        weight.mul_(factor)


@torch.no_grad()
def threshold(generator: Generator, amount: float, count: int) -> Tensor:  # [dim]
    """Lower the `count` smallest singular values of the stacked style weights by `amount`, not below 0, in place.

    Returns all values as they were, ascending, float64. By the eigenvectors of the small Gram matrix, in float64.
    """
    weights = style_weights(generator)
    stacked = torch.cat(weights).to(torch.float64)
    squares, basis = torch.linalg.eigh(stacked.t() @ stacked)
    values = squares.clamp_min(0).sqrt()
    factor = (1 - amount / values.clamp_min(1e-12)).clamp_min(0)
    factor[count:] = 1
    lowered = stacked @ (basis * factor) @ basis.t()
    for weight, part in zip(weights, lowered.split([len(w) for w in weights]), strict=True):
        weight.copy_(part)
    return values


@torch.no_grad()
def kept_projection(generator: Generator, count: int) -> Tensor:  # [dim, dim]
    """The projection of W on the `count` directions that the stacked style weights look at most."""
    stacked = torch.cat(style_weights(generator)).to(torch.float64)
    _, basis = torch.linalg.eigh(stacked.t() @ stacked)
    kept = basis[:, -count:]
    return (kept @ kept.t()).to(stacked.device, torch.float32)


@torch.no_grad()
def keep(generator: Generator, projection: Tensor) -> None:
    """Let the style weights look at nothing outside the subspace of `projection`, in place.

    Unlike `threshold`, which empties whatever is smallest at each step, this never touches what the generator uses.
    """
    for weight in style_weights(generator):
        weight.copy_(weight @ projection)
