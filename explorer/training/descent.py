"""One step of an optimiser along a gradient that all processes share. Knows no losses and no networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def descend(
    optimiser: torch.optim.Optimizer,
    weights: Sequence[nn.Parameter],
    gradient: Sequence[Tensor],
    rate: float,
    accelerator: Accelerator,
    max_norm: float | None = None,
) -> None:
    """Step along the mean `gradient` of all processes, a tensor for each weight, at the learning rate `rate`.

    With `max_norm`, a gradient longer than that, over all weights, is shortened to it.

    A parameter group may have a factor of its own on that rate, its entry "times". Every gradient is brought into its
    weight's own memory layout: convolutions in channels-last return theirs in another, and fused optimisers on a CPU
    pair the numbers of both by their place in memory, without a word.
    """
    if accelerator.num_processes > 1:
        flat = average(accelerator, torch.cat([part.flatten() for part in gradient]))
        gradient = flat.split([weight.numel() for weight in weights])
    for weight, part in zip(weights, gradient, strict=True):
        weight.grad = torch.empty_like(weight).copy_(part.view_as(weight))
    if max_norm is not None:
        nn.utils.clip_grad_norm_(weights, max_norm)
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("times", 1.0)
    optimiser.step()
    optimiser.zero_grad()


def added(gradients: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The sums of two gradients, weight by weight; None counts as nothing."""
    return [b if a is None else a if b is None else a + b for a, b in zip(gradients, others, strict=True)]


def average(accelerator: Accelerator, value: Tensor) -> Tensor:
    """The mean of `value` over all processes."""
    found = accelerator.reduce(value, "mean")
    assert isinstance(found, Tensor)
    return found


@torch.no_grad()
def follow(ema: nn.Module, network: nn.Module, batch: int, seen: int, kimg: float) -> None:
    """Move `ema` towards `network` by one batch; half-life: `kimg` thousand images, at most a twentieth of `seen`."""
    half_life = min(1000 * kimg, max(seen, 1) * 0.05)
    weight = 1 - 0.5 ** (batch / max(half_life, 1e-8))
    for mine, theirs in zip(ema.parameters(), network.parameters(), strict=True):
        mine.lerp_(theirs, weight)
