"""Every slider of a generator: domains, attributes, the user's own, factors of its basis, and what lies dormant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from explorer import latents
from explorer.edit import Caption, Direction, DirectionId, EditError
from explorer.engine.own import OwnDirection
from explorer.networks.family import Autoencoder
from explorer.weights import Checkpoint
from explorer.weights.checkpoint import MAX_ABOUT

FACTORS = 64  # basis columns called factors; the rest, least effective last, are candidates for dormancy
FACTOR_LIMIT = 4.0  # range of a factor's slider in standard deviations of the codes; pictures fall apart beyond
AMOUNT = 0.5  # of an attribute, either way: pictures fall apart beyond (arXiv 2111.15640)
SAMPLES = 4096  # codes for their statistics
FEW = 128  # where each takes many steps of a large network; standard deviations are right to 6 % then


@dataclass(frozen=True)
class Directions:
    """The directions of one checkpoint.

    Attributes:
        basis: `[dim, dim + attributes]`, the columns that they move along, on the generator's device.
        distance: length of strength 1 of a domain; without an expansion, the mean distance of codes from their mean.
        entries: domains first, then attributes, own ones, factors from most to least effect, dormant ones.
        own: those that the user made or brought.
    """

    basis: Tensor
    distance: float
    entries: tuple[Direction, ...]
    own: tuple[OwnDirection, ...] = ()

    @cached_property
    def by_id(self) -> dict[DirectionId, Direction]:
        return {direction.id: direction for direction in self.entries}

    def __iter__(self) -> Iterator[Direction]:
        return iter(self.entries)

    def __getitem__(self, name: DirectionId) -> Direction:
        """The direction of this name or number. Raises `EditError` where the generator has none such."""
        if (direction := self.by_id.get(name)) is not None:
            return direction
        domains = ", ".join(repr(d.id) for d in self if d.group == "domains") or "none"
        raise EditError(
            f"this generator has no direction {name!r}; it has directions by number up to {len(self.basis) - 1}, and"
            f" the domains {domains}"
        )

    def vector(self, direction: Direction) -> Tensor:  # [dim] or [rows, dim]
        """What `direction.unit` of it adds to a code."""
        if direction.group == "own":
            return next(own.vector for own in self.own if own.name == direction.id)
        return self.basis[:, direction.dim]

    def with_own(self, own: Sequence[OwnDirection]) -> Directions:
        """The same with these of the user's own, but for those whose name the generator itself has."""
        rest = [direction for direction in self if direction.group != "own"]
        names = {direction.id for direction in rest}
        fitting = [one for one in {one.name: one for one in own}.values() if one.name not in names]
        rows = [Direction(one.name, one.name, "own", -1, 1.0, one.low, one.high) for one in fitting]
        start = sum(direction.group in ("domains", "attributes") for direction in rest)
        moved = tuple(replace(one, vector=one.vector.to(self.basis)) for one in fitting)
        return replace(self, entries=(*rest[:start], *rows, *rest[start:]), own=moved)

    def effects(self) -> dict[int, float]:
        """What was measured, by column of the basis."""
        return {direction.dim: direction.effect for direction in self if direction.effect is not None}

    def with_effects(self, effects: Sequence[float]) -> Directions:
        """The same directions with the measured effect of every column of the basis."""
        measured = range(len(effects))  # an attribute lies along no single column of the basis
        entries = tuple(replace(d, effect=effects[d.dim]) if d.dim in measured else d for d in self)
        return replace(self, entries=entries)

    def captions(self) -> dict[int, Caption]:
        """What is known in words of the factors, by column of the basis."""
        return {direction.dim: direction.caption for direction in self if direction.caption is not None}

    def with_captions(self, captions: Mapping[int, Caption]) -> Directions:
        """The same directions, each factor with what is known of it in words: whatever else has a name needs none."""
        entries = tuple(replace(d, caption=captions.get(d.dim)) if d.group == "factors" else d for d in self)
        return replace(self, entries=entries)


@torch.inference_mode()
def directions_of(checkpoint: Checkpoint) -> Directions:
    """The directions of a checkpoint, their effects not measured yet."""
    generator, expansion = checkpoint.generator, checkpoint.expansion
    basis = (latents.factorize(generator) if expansion is None else expansion.basis).to(generator.device)
    w = latents.sample_codes(generator, FEW if isinstance(generator, Autoencoder) else SAMPLES)[:, 0]
    scales = latents.direction_scales(w, basis).tolist()
    distance = (w - generator.mean).norm(dim=1).mean().item() if expansion is None else expansion.distance
    names = {} if expansion is None else dict(zip(expansion.dims, expansion.domains, strict=True))
    domains = [
        Direction(name, name, "domains", dim, distance, -0.5, 1.5, about=_about(checkpoint, name))
        for dim, name in names.items()
    ]
    free = [dim for dim in range(generator.codes.dim) if dim not in names]
    factors = [
        Direction(dim, f"Factor {dim}", "factors", dim, scales[dim], -FACTOR_LIMIT, FACTOR_LIMIT)
        for dim in free[:FACTORS]
    ]
    dormant = [Direction(dim, f"Dormant {dim}", "dormant", dim, distance, -1.5, 1.5) for dim in free[FACTORS:]]
    attributes, columns = _attributes(checkpoint)
    return Directions(torch.cat([basis, columns.to(basis)], 1), distance, (*domains, *attributes, *factors, *dormant))


def _about(checkpoint: Checkpoint, domain: str) -> str:
    """What a file says of its domain; files from elsewhere may hold anything."""
    words = checkpoint.learned.get(domain, {}).get("about")
    return words[:MAX_ABOUT] if isinstance(words, str) and words.isprintable() else ""


def _attributes(checkpoint: Checkpoint) -> tuple[list[Direction], Tensor]:  # [dim, attributes]
    """Directions of the attributes, and their columns, of length one."""
    dim = checkpoint.generator.codes.dim
    columns = torch.cat([torch.zeros(dim, 0), *(v[:, None].cpu() for v in checkpoint.attributes.values())], dim=1)
    units = columns.norm(dim=0)
    directions = [
        Direction(name, name, "attributes", dim + number, unit, -AMOUNT, AMOUNT)
        for number, (name, unit) in enumerate(zip(checkpoint.attributes, units.tolist(), strict=True))
    ]
    return directions, columns / units.clamp_min(1e-12)
