"""The base subspace of an expanded generator, projection on it, composition of domains (Domain Expansion, section 3).

Source: Nitzan et al., "Domain Expansion of Image Generators", CVPR 2023 (arXiv 2301.05225), equation 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explorer.edit import DirectionId
from explorer.refused import Refused

Strengths = Mapping[str, float] | Mapping[int, float] | Mapping[DirectionId, float]


def published_distance(dim: int) -> float:
    """How far along its direction a domain lies: 20 in W of 512 dimensions (section 4), else scaled with its root."""
    return 20.0 * math.sqrt(dim / 512)


class DirectionError(Refused, KeyError):
    """A direction that the generator does not have."""

    __str__ = Refused.__str__  # a KeyError would put its sentence in quotes


@dataclass(frozen=True)
class Expansion:
    """What turns a generator into a domain-expanded one; a property of the *source* generator, never recomputed.

    Attributes:
        basis: `[dim, dim]`, orthonormal columns from most to least effect.
        dims: the repurposed columns, one a domain.
        distance: how far along its column a domain lies (strength 1), in units of W.
        domains: names, in the order of `dims`.
        mean: `[dim]`, the origin of the projection.
    """

    basis: Tensor
    dims: tuple[int, ...]
    distance: float
    domains: tuple[str, ...]
    mean: Tensor

    def __post_init__(self) -> None:
        object.__setattr__(self, "dims", tuple(int(d) for d in self.dims))
        object.__setattr__(self, "domains", tuple(self.domains))
        dim = self.mean.shape[0]
        if self.basis.shape != (dim, dim):
            raise ValueError(f"the basis must be [{dim}, {dim}], got {list(self.basis.shape)}")
        if len(self.domains) != len(self.dims):
            raise ValueError(f"{len(self.dims)} repurposed directions need as many domain names, got {self.domains}")
        if len(set(self.domains)) != len(self.domains) or len(set(self.dims)) != len(self.dims):
            raise ValueError(f"domains and directions must be distinct, got {self.domains} on {self.dims}")
        if any(not 0 <= d < dim for d in self.dims):
            raise ValueError(f"repurposed directions must lie in [0, {dim}), got {self.dims}")

    def arranged(self, names: Mapping[str, str]) -> Expansion:
        """These domains alone, in this order, under new names: `{domain: name}`.

        What is left out is a free direction from here on, which a projection leaves alone; the generator still draws
        there what it was taught. Raises DirectionError for what is no domain, ValueError where two get one name.
        """
        return replace(self, dims=tuple(map(self.dim, names)), domains=tuple(names.values()))

    def dim(self, direction: DirectionId) -> int:
        """Column of a domain's name or of a repurposed column's number. Raises DirectionError for anything else."""
        if isinstance(direction, str) and direction in self.domains:
            return self.dims[self.domains.index(direction)]
        if direction in self.dims:
            return int(direction)
        raise DirectionError(
            f"{direction!r} is no domain of this generator; it has {dict(zip(self.domains, self.dims, strict=True))}"
        )


def project(w: Tensor, expansion: Expansion) -> Tensor:  # [..., dim] -> [..., dim]
    """Projection on the base subspace, `V_B V_B^T (w - mean) + mean` (equation 3), each row of W+ by itself.

    Computed as the removal of the repurposed components, `w - V_R V_R^T (w - mean)`: the basis is orthonormal, and the
    base coordinates stay exact because only a few columns take part.
    """
    repurposed = expansion.basis[:, list(expansion.dims)].to(w)
    return w - (w - expansion.mean.to(w)) @ repurposed @ repurposed.t()


def compose(w: Tensor, expansion: Expansion, strengths: Strengths) -> Tensor:
    """`proj_base(w) + sum_i a_i * s * v_i` for `{domain name or column: a_i}`; strength 1 is the published distance.

    Raises KeyError where a direction is no domain of this expansion.
    """
    coefficients = torch.zeros(expansion.basis.shape[1], dtype=w.dtype, device=w.device)
    for direction, strength in strengths.items():
        coefficients[expansion.dim(direction)] += strength
    return project(w, expansion) + expansion.distance * (expansion.basis.to(w) @ coefficients)
