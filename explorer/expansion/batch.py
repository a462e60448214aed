"""What one step of expansion works on: a share of its samples, their noise, and the pictures made of them.

Knows no loss and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.training.draws import Draws


class Noise:
    """The noise images of a step's samples: whoever renders the same rows gets the same noise."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._drawn: dict[tuple[int, int], Tensor] = {}

    def of(self, *parts: Tensor) -> Callable[[int, int], Tensor]:
        """A source for `synthesize`, for the given rows one part after the other."""
        asked: dict[int, int] = {}
        rows = torch.cat(parts)

        def draw(_: int, resolution: int) -> Tensor:
            key = resolution, asked.get(resolution, 0)  # the layers of a resolution ask in their order
            asked[resolution] = key[1] + 1
            if key not in self._drawn:
                self._drawn[key] = self._draws.noise(_, resolution)
            return self._drawn[key][rows]

        return draw


@dataclass(frozen=True)
class Batch:
    """One share of a step's samples, before any picture is made of them.

    Attributes:
        part: `[n]`, their places in the whole batch.
        labels: `[n, classes]`, one-hot; None for a generator without classes.
        members: for every new domain, which of the samples fell to it.
        draws, draws_by_domain: random numbers, of all samples and of each domain's own.
        noise: their noise images.
        base, moved: `[n, rows, dim]`, proj_base(w) and proj_i(w) (equation 3).
        old: the samples that also show a kept domain.
    """

    part: Tensor
    labels: Tensor | None
    members: list[Tensor]
    draws: Draws
    draws_by_domain: list[Draws]
    noise: Noise
    base: Tensor
    moved: Tensor
    old: Tensor


@dataclass(frozen=True)
class Rendered:
    """The pictures of a batch, `[n, 3, R, R]` each.

    Attributes:
        base: of the base subspace; empty where only the domains' pictures are needed.
        truth: what the source makes of the same codes and noise, without gradients.
        moved: of the new domains.
        old, old_truth: of kept domains, and what their teacher makes of them.
    """

    base: Tensor
    truth: Tensor
    moved: Tensor
    old: Tensor
    old_truth: Tensor
