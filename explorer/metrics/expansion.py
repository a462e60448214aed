"""Figures of a domain-expanded generator: pure functions of pictures and of scores, one a figure.

Scores are `[N, C]`: for N pictures how much each looks like class c, in [0, 1], rows summing to 1. Columns come in the
order of the domains; behind them what else may win: the source domain ("photo"), and "nothing" where the judge knows
it. Without those, some domain would win every picture of the source. Knows no networks and no files; `report` makes
pictures and scores, and calls these. Source of the claims: Domain Expansion (arXiv 2301.05225), section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from explorer.refused import Refused

Distance = Callable[[Tensor, Tensor], Tensor]  # [N, 3, H, W] in [-1, 1], twice -> [N]
Scorer = Callable[[Tensor], Tensor]  # [N, 3, H, W] in [-1, 1] -> [N, C], rows sum to 1
Render = Callable[[Mapping[str, float]], Tensor]  # strengths -> the same N codes' pictures, [N, 3, H, W] in [-1, 1]

ROLLS = 4  # partners of each picture in the mean pairwise distance
STRENGTH, TOP = 0.7, 3  # composition: of each of two domains; ranks that count
BARS = {  # what issue and card ask for
    "frechet ratio": 1.05,
    "psnr": 28.0,
    "at 1": 0.8,
    "at 0": 0.1,
    "diversity": 0.7,
    "composition": 0.5,
}


def psnr(a: Tensor, b: Tensor) -> Tensor:  # [N, C, H, W] in [-1, 1], twice -> [N], dB
    """Peak signal-to-noise ratio of each picture, clipped as it is shown: `10 log10(2^2 / MSE)`, 100 at most."""
    error = (a.clamp(-1, 1) - b.clamp(-1, 1)).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(4 / error)).clamp_max(100)  # plain JSON knows no infinity


def arrival(
    base: Tensor,  # [N, C], scores at strength 0 of everything
    alone: Tensor,  # [D, N, C], at strength 1 of one domain after the other
) -> tuple[Tensor, Tensor]:  # [D], [D]
    """For each domain the fraction of samples that it wins: at strength 1, and at strength 0 of everything.

    It wins where no other domain scores higher, nor the source ("photo"), nor "nothing" where the judge knows that.
    """
    domains = torch.arange(len(alone), device=alone.device)
    at_one = (alone.argmax(dim=2) == domains[:, None]).float().mean(dim=1)
    at_zero = (base.argmax(dim=1) == domains[:, None]).float().mean(dim=1)
    return at_one, at_zero


def separation(base: Tensor, alone: Tensor) -> Tensor:  # [N, C], [D, N, C] -> [D, D]
    """Entry (j, i): by how much the mean score of domain i changes when slider j goes from 0 to 1.

    Near 1 on the diagonal where a domain arrives, 0 elsewhere where sliders leave each other's domains alone.
    """
    return (alone.mean(dim=1) - base.mean(dim=0))[:, : len(alone)]


def composition(scores: Tensor, pair: tuple[int, int], top: int = TOP) -> float:  # [N, C] -> [0, 1]
    """The fraction of samples in which both domains of a pair, each at strength 0.7, are among the best three.

    They compete with all other domains, the source and "nothing", as for the arrival.
    """
    best = scores.topk(min(top, scores.shape[1]), dim=1).indices
    both = [(best == index).any(dim=1) for index in pair]
    return (both[0] & both[1]).float().mean().item()


def mean_distance(images: Tensor, distance: Distance, rolls: int = ROLLS) -> float:
    """Mean perceptual distance of pairs: each picture with the `rolls` that follow it. Raises ValueError for fewer."""
    if len(images) <= rolls:
        raise Refused(f"the mean distance of pairs needs more than {rolls} pictures, got {len(images)}")
    return torch.stack([distance(images, images.roll(-k, dims=0)) for k in range(1, rolls + 1)]).mean().item()


def diversity(images: Tensor, source: Tensor, distance: Distance) -> float:  # [N, 3, H, W], [N, 3, H, W]
    """Mean pairwise distance of a domain's pictures, divided by that of the source's pictures of the same codes.

    1 where a domain keeps what makes samples differ, 0 where all its pictures are the same.
    """
    return mean_distance(images, distance) / mean_distance(source, distance)


def compared(
    domain: int,
    images: Mapping[str, Tensor],  # name of a generator -> its pictures of this domain, [N, 3, H, W], same codes
    preserved: Mapping[str, float],  # name of a generator -> dB
    source: Tensor,  # [N, 3, H, W]
    scorer: Scorer,
    distance: Distance,
) -> dict[str, dict[str, float]]:
    """Generators side by side on one domain: `arrival` at strength 1, `diversity`, `perceptual`, and `preserved`.

    `perceptual` is the mean distance of the domain's pictures to the source's of the same codes. `preserved` is the
    PSNR in dB of what is left of the source: of an expanded generator its base subspace against the source's, of an
    adapted one, which has nothing else, the domain's pictures against the source's.
    """
    return {
        name: {
            "arrival": (scorer(x).argmax(dim=1) == domain).float().mean().item(),
            "diversity": diversity(x, source, distance),
            "perceptual": distance(x, source).mean().item(),
            "preserved": preserved[name],
        }
        for name, x in images.items()
    }


def pairs(count: int, most: int) -> list[tuple[int, int]]:
    """All pairs of `count` domains, or `most` of them, drawn with a fixed seed."""
    every = [(i, j) for i in range(count) for j in range(i + 1, count)]
    if len(every) <= most:
        return every
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:most]
    return [every[int(i)] for i in order.sort().values]


def by_name(domains: Sequence[str], values: Tensor) -> dict[str, float]:  # [D] -> {name: value}
    """A figure a domain as plain data."""
    return {name: float(value) for name, value in zip(domains, values, strict=True)}
