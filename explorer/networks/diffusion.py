"""Deterministic diffusion (DDIM, arXiv 2010.02502) as Diffusion Autoencoders use it: both ways, on strided times.

And rectified flow (arXiv 2209.03003), the same with another scale of time, along nearly straight ways. Pure functions
of a network `eps(x, t)` or `velocity(x, t)`; all coefficients are computed in float64 and used in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import torch
from torch import Tensor

TIMES = 1000
# (x [N, ...], t, an integer time of the whole schedule) -> predicted noise, like x
Eps = Callable[[Tensor, int], Tensor]
# (x [N, ...], t, the noise's part in it, 0 to 1) -> noise minus data, like x
Velocity = Callable[[Tensor, float], Tensor]


Schedule = tuple[float, ...]  # of every time the share A of the data in the energy, falling from 1


@cache
def linear_schedule() -> Schedule:
    """The products of `1 - beta`, beta rising linearly from 1e-4 to 2e-2 (DDPM, arXiv 2006.11239)."""
    return _products(np.linspace(1e-4, 2e-2, TIMES))


@cache
def constant_schedule(beta: float = 0.008) -> Schedule:
    """The same for a constant beta: that of the latent model (arXiv 2111.15640, appendix A)."""
    return _products(np.full(TIMES, beta))


def _products(beta: np.ndarray) -> Schedule:
    return tuple(np.cumprod(1 - beta).tolist())


def strided_times(steps: int) -> range:
    """`steps` times 0, s, 2s, ... below 1000 with the smallest stride s that gives so many.

    Raises ValueError where no stride does (300), and names the nearest numbers that exist.
    """
    if steps in (counts := _counts()):
        return range(0, TIMES, counts[steps])
    raise ValueError(f"{steps} steps do not divide the schedule; {nearest_steps(steps)} do")


def nearest_steps(steps: int) -> int:
    """The number of steps next to `steps` that a stride gives; the larger of two."""
    return min(_counts(), key=lambda count: (abs(count - steps), -count))


@cache
def _counts() -> dict[int, int]:
    """Number of steps -> smallest stride."""
    return {len(range(0, TIMES, stride)): stride for stride in range(TIMES, 0, -1)}


def levels(schedule: Schedule, t: Tensor) -> Tensor:  # [N], int64 -> [N], float32
    """The data's share in the energy at each time."""
    return torch.tensor(schedule, dtype=torch.float32, device=t.device)[t]


def mixed(data: Tensor, noise: Tensor, level: Tensor) -> Tensor:  # [N, ...], [N, ...], [N] -> [N, ...]
    """Data with noise, of which `level` is the data's share in the energy."""
    level = level.view(-1, *[1] * (data.ndim - 1))
    return level.sqrt() * data + (1 - level).sqrt() * noise


def predicted(x: Tensor, eps: Tensor, a: float, clamp: bool) -> tuple[Tensor, Tensor]:
    """The picture x0 that a prediction means at signal level `a`, and the noise that goes with it once clamped."""
    root, ratio = a**-0.5, (1 / a - 1) ** 0.5
    x0 = root * x - ratio * eps
    if clamp:
        x0 = x0.clamp(-1, 1)
    return x0, (root * x - x0) / ratio


def denoise(
    eps: Eps, x: Tensor, schedule: Schedule, steps: int, clamp: bool = True
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """From noise to data, eta 0: yields (steps left, x, predicted x0) after each step; the last x is the result."""
    times = strided_times(steps)
    for left in reversed(range(steps)):
        a, b = schedule[times[left]], schedule[times[left - 1]] if left else 1.0
        x0, noise = predicted(x, eps(x, times[left]), a, clamp)
        x = b**0.5 * x0 + (1 - b) ** 0.5 * noise
        yield left, x, x0


def noise_of(eps: Eps, x: Tensor, schedule: Schedule, steps: int, clamp: bool = True) -> Iterator[tuple[int, Tensor]]:
    """The way back: yields (steps left, x) after each step; the last x is the noise that `denoise` turns into the data.

    "Stochastic encoding" of arXiv 2111.15640, equation 8.
    """
    times = strided_times(steps)
    for index in range(steps):
        a, b = schedule[times[index]], schedule[times[index + 1]] if index + 1 < steps else 0.0
        x0, noise = predicted(x, eps(x, times[index]), a, clamp)
        x = b**0.5 * x0 + (1 - b) ** 0.5 * noise
        yield steps - 1 - index, x


def flow_time(level: Tensor) -> tuple[Tensor, Tensor]:
    """The time of a flow, 0 to 1, at which the data has the share `level` in the energy, and by how much x is larger.

    `x = sqrt(level) x0 + sqrt(1 - level) noise` divided by the second is `(1 - t) x0 + t noise`.
    """
    size = level.sqrt() + (1 - level).sqrt()
    return (1 - level).sqrt() / size, size


def flow(velocity: Velocity, x: Tensor, steps: int, back: bool = False) -> Iterator[tuple[int, Tensor, Tensor]]:
    """From noise to data, or `back`, in equal steps: yields (steps left, x, predicted data) after each.

    Adams and Bashforth's second order: for an equal error half of Euler's evaluations.
    """
    before = None
    for index in range(steps):
        t = index / steps if back else 1 - index / steps
        v = velocity(x, t)
        data = x - t * v
        step = v if before is None else 1.5 * v - 0.5 * before
        x, before = x + step * ((1 if back else -1) / steps), v
        yield steps - 1 - index, x, data
