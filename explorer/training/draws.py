"""Every random number of a training step, as a function of seed, step and sample: no state to save, none to lose.

All processes draw the numbers of the *whole* batch and keep their share, so that two processes compute what one with
the same batch does. Knows nothing of what the numbers are for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.refused import Refused


def share(batch: int, rank: int, processes: int, group: int) -> Tensor:  # [batch / processes], int64
    """The samples of process `rank`, chosen so that no group of `minibatch_stddev` is torn apart.

    Its groups are the samples with the same position in each of the batch's `group` equal runs, so a process takes a
    piece of every run. Raises ValueError where the batch does not divide.
    """
    if batch % (group * processes):
        raise Refused(
            f"a batch of {batch} cannot be cut into groups of {group} for {processes} processes or parts: take a"
            f" multiple of {group * processes}"
        )
    return torch.arange(batch).reshape(group, processes, -1)[:, rank].flatten()


class Draws:
    """The numbers of one step; the same calls in the same order give the same numbers."""

    def __init__(self, seed: int, step: int, batch: int, share: Tensor, device: torch.device | str = "cpu") -> None:
        self.batch, self.share, self.device = batch, share, device
        # The generator reads 32 bits of its seed: an odd multiplier keeps neighbouring seeds' steps apart.
        self.generator = torch.Generator().manual_seed((seed * 2_654_435_761 + step) % 2**32)

    def normal(self, *shape: int) -> Tensor:  # [share, *shape], float32
        """Standard normal numbers."""
        return self._mine(torch.randn(self.batch, *shape, generator=self.generator))

    def uniform(self, *shape: int) -> Tensor:  # [share, *shape], float32
        """Numbers in [0, 1)."""
        return self._mine(torch.rand(self.batch, *shape, generator=self.generator))

    def integers(self, low: int, high: int, *shape: int) -> Tensor:  # [share, *shape], int64
        """Whole numbers in [low, high)."""
        return self._mine(torch.randint(low, high, (self.batch, *shape), generator=self.generator))

    def noise(self, _: int, resolution: int) -> Tensor:  # [share, 1, resolution, resolution]
        """Noise images, with the signature that `SynthesisNetwork.forward` takes as its source."""
        return self.normal(1, resolution, resolution)

    def _mine(self, numbers: Tensor) -> Tensor:
        return numbers[self.share].to(self.device)
