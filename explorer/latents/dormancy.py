"""Dormancy, measured: how much a picture changes when its code moves along a direction.

Source: Domain Expansion (arXiv 2301.05225, section 3.1 and figure 3). "Dormant" is a measurement, not an assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Synthesize = Callable[[Tensor], Tensor]  # ws [N, rows, dim] -> images [N, 3, H, W]
Distance = Callable[[Tensor, Tensor], Tensor]  # images, images -> [N]


def measure_effects(
    synthesize: Synthesize,
    distance: Distance,
    ws: Tensor,  # [N, rows, dim], the sampled codes
    basis: Tensor,  # [dim, K]
    amount: float | Tensor,  # length in W, one for all or [K]
) -> Iterator[float]:
    """Yield, per column of `basis`, the mean distance between `G(w)` and `G(w + amount * v)` over `ws`,

    as a fraction of the mean distance between two samples: 0 is dormant, 1 as different as two random pictures. A
    generator, so that a caller can show progress and stop between two directions. Needs at least two samples.
    """
    if len(ws) < 2:
        raise ValueError(f"the distance between two samples needs at least two codes, got {len(ws)}")
    images = synthesize(ws)
    between = distance(images, images.roll(1, dims=0)).mean()
    amounts = torch.as_tensor(amount, dtype=ws.dtype).expand(basis.shape[1])
    for column, length in zip(basis.t().to(ws), amounts.to(ws), strict=True):
        moved = synthesize(ws + length * column)
        yield float(distance(images, moved).mean() / between)
