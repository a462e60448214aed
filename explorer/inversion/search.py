"""The descent that all searches share: Adam on a photo's code, the best code so far kept photo by photo.

Knows no losses (see `objective`) and no starting points (see the methods). The generator is only looked through: its
weights take part in no gradient. Of a large picture what matters first is seen when it is small, and costs a fraction:
without an encoder a search of a large generator begins there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.inversion.networks import Networks
from explorer.inversion.objective import Objective
from explorer.inversion.settings import Settings, Space
from explorer.networks import Generator
from explorer.networks.family import LARGE

Best = tuple[Tensor, Tensor, Tensor]  # total [N], ws [N, rows, dim], images [N, 3, H, W]
COARSE = ((0.5, 8), (0.8, 4))  # up to which part of the steps a fraction of the side is looked at
COARSEST = 128  # px
OCTAVE = 0.24  # of a whole picture's work, which half of its side saves; measured on published widths, there and back


@dataclass(frozen=True)
class State:
    """Where a search stands after `step` of `steps` steps.

    `ws` `[N, rows, dim]` and `images` `[N, 3, H, W]` are each photo's best so far, that is of the smallest total;
    `losses` `{name: [N]}` are those of this very step, with their weighted sum as "total". `noise` is what the pictures
    are made of, where that is the photos' own; `done` is the part of all work behind. A search that begins coarse shows
    small images at first, and its best begins anew where they grow.
    """

    step: int
    steps: int
    ws: Tensor
    images: Tensor
    losses: dict[str, Tensor]
    noise: Tensor | None = None
    done: float | None = None


def sides_of(generator: Generator, whole: bool, steps: int) -> list[int]:
    """The side that is looked at before every step and after the last; `whole` pictures only are what encoders see."""
    sides, full = generator.sides, generator.resolution
    if full < LARGE or whole:
        return [full] * (steps + 1)
    small = [next(side for side in sides if side >= min(max(full // part, COARSEST), full)) for _, part in COARSE]
    ends = [round(steps * end) for end, _ in COARSE]
    return [next((s for s, end in zip(small, ends, strict=True) if step < end), full) for step in range(steps + 1)]


def costs_of(sides: list[int]) -> list[float]:
    """What every step costs, as a part of one that looks at whole pictures."""
    return [1 - OCTAVE * math.log2(max(sides) / side) for side in sides]


def work_of(sides: list[int]) -> list[float]:
    """The part of all work that lies behind every step's picture."""
    costs = costs_of(sides)
    return [sum(costs[:step]) / sum(costs) for step in range(len(sides))]


def descend(
    networks: Networks,
    objective: Objective,
    start: tuple[Tensor, Tensor | None],  # [N, dim], [N, rows, dim] or None
    settings: Settings,
) -> Iterator[State]:
    """Yield the state before every step and after the last; whoever stops asking has the best so far."""
    parameters = free_numbers(start, settings.space, networks.generator.codes.rows)
    adam = torch.optim.Adam(parameters, lr=settings.lr, foreach=True)
    best: Best | None = None
    sides = sides_of(networks.generator, bool(objective.weights["domain"]), settings.steps)
    full, done = objective, work_of(sides)
    for step, side in enumerate(sides):
        if not step or side != sides[step - 1]:
            objective, best = full.at(side), None  # totals at different sides cannot be compared
        with torch.enable_grad():
            ws = rows(parameters, networks.generator.codes.rows)
            images = networks.coarse(ws, side)
            losses = objective(ws, images, step)
            total = objective.total(losses)
        now = total.detach(), ws.detach(), images.detach()
        best = now if best is None else better(best, now)
        shown = {name: loss.detach() for name, loss in losses.items()} | {"total": total.detach()}
        yield State(step, settings.steps, best[1], best[2], shown, done=done[step])
        if step < settings.steps:
            gradients = torch.autograd.grad(total.sum(), parameters)  # the sum: photos stay independent
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            adam.step()


def free_numbers(start: tuple[Tensor, Tensor | None], space: Space, count: int) -> list[Tensor]:
    """The leaves of a search: `[N, 1, dim]` in W, `[N, rows, dim]` in W+, both for W and offsets."""
    w, offsets = start
    w = w.detach()[:, None]
    apart = torch.zeros(len(w), count, w.shape[2], device=w.device) if offsets is None else offsets.detach()
    leaves = {"w": [w], "w+offsets": [w, apart], "w+": [w + apart]}[space]
    return [leaf.clone().requires_grad_() for leaf in leaves]


def rows(parameters: list[Tensor], count: int) -> Tensor:  # -> [N, rows, dim]
    """The code that the leaves stand for."""
    return torch.stack(torch.broadcast_tensors(*parameters)).sum(dim=0).expand(-1, count, -1)


def better(best: Best, now: Best) -> Best:
    """Each photo's code of the smaller total; a total that is no number never wins."""
    smaller = now[0] < best[0]
    chosen = [smaller, smaller[:, None, None], smaller[:, None, None, None]]
    total, ws, images = (torch.where(where, new, old) for where, new, old in zip(chosen, now, best, strict=True))
    return total, ws, images
