"""Which domain goes where: directions for the new ones, what becomes of those that the source has. Pure functions.

Knows no training. The basis is that of the *source*; an expanded source brings its own and it is never recomputed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from explorer.expansion.config import Config, Domain, ExpansionError
from explorer.latents import Expansion, published_distance


@dataclass(frozen=True)
class Plan:
    """What a run makes of its source.

    Attributes:
        expansion: basis, directions and names at the end: kept domains first, then new ones.
        new: the domains to learn, in the configuration's order.
        kept: those of the source that stay as they are.
        before: the directions of every domain the source came with.
        notes: how kept domains were learned, as far as the source's file tells: its entries of "learned".
    """

    expansion: Expansion
    new: tuple[str, ...]
    kept: tuple[str, ...]
    before: tuple[int, ...]
    notes: tuple[dict[str, Any], ...] = ()


def make_plan(config: Config, basis: Tensor, mean: Tensor, source: Expansion | None, learned: object = None) -> Plan:
    """Directions for the domains of `config`; `learned` is what the source's file notes of its own domains.

    Raises ExpansionError where a direction is occupied or none is left.
    """
    domains = config.domains[:1] if config.plain else config.domains
    had = {} if source is None else dict(zip(source.domains, source.dims, strict=True))
    for name in (*config.replace, *config.remove):
        if name not in had:
            raise ExpansionError(f"{name!r} is no domain of the source; it has: {', '.join(had) or 'none'}")
    names = [domain.name for domain in domains]
    if missing := [name for name in config.replace if name not in names]:
        raise ExpansionError(f"to replace {missing[0]!r}, the configuration needs a [[domain]] of that name")
    kept = {name: dim for name, dim in had.items() if name not in (*config.replace, *config.remove)}
    if taken := [name for name in names if name in kept]:
        raise ExpansionError(
            f"the source already has a domain {taken[0]!r}: choose another name, or replace it with --replace"
        )
    dims = _directions(domains, kept, {name: had[name] for name in config.replace}, len(basis))
    distance = source.distance if source is not None else config.distance or published_distance(len(basis))
    if source is not None and config.distance and not math.isclose(config.distance, distance):
        raise ExpansionError(f"the source's domains lie at a distance of {distance:g}: leave distance out")
    expansion = Expansion(basis, (*kept.values(), *dims), distance, (*kept, *names), mean)
    entries = learned if isinstance(learned, list) else []  # a file from elsewhere may hold anything
    notes = tuple(entry for entry in entries if isinstance(entry, dict) and entry.get("name") in kept)
    return Plan(expansion, tuple(names), tuple(kept), tuple(had.values()), notes)


def _directions(domains: Sequence[Domain], kept: dict[str, int], replaced: dict[str, int], count: int) -> list[int]:
    if len(kept) + len(domains) >= count:
        raise ExpansionError(
            f"{len(kept) + len(domains)} domains are too many: this generator has {count} directions and must keep one"
        )
    asked = {domain.name: domain.dim for domain in domains if domain.dim is not None}
    asked = {name: dim for name, dim in replaced.items() if name not in asked} | asked
    occupied = {dim: name for name, dim in kept.items()}
    for name, dim in asked.items():
        if not 0 <= dim < count:
            raise ExpansionError(f"domain {name!r}: directions are 0 to {count - 1}, got {dim}")
        if dim in occupied:
            raise ExpansionError(f"domain {name!r}: direction {dim} is occupied by {occupied[dim]!r}")
        occupied[dim] = name
    free = (dim for dim in range(count - 1, -1, -1) if dim not in occupied)  # least effective first
    return [asked[domain.name] if domain.name in asked else next(free) for domain in domains]
