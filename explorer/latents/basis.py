"""A basis of the code space sorted by effect, from the style ("affine") weights alone; no data, no training.

Source: Domain Expansion (arXiv 2301.05225, section 3.1), after SeFa (arXiv 2007.06600), which normalises every row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.networks import Generator


def style_weights(generator: Generator) -> Tensor:  # [styles, dim]
    """The weights of all style layers that the published bases look at, stacked, one row a style."""
    return torch.cat([layer.weight.detach() for layer in generator.style_layers() if layer.in_basis])


def factorize(generator: Generator, normalize_rows: bool = False) -> Tensor:  # [dim, dim]
    """Right singular vectors of the stacked style weights, as columns from most to least effect.

    `normalize_rows` gives SeFa's variant; Domain Expansion does not normalise. Computed in float64; the sign of each
    column is fixed so that its largest entry is positive.
    """
    weights = style_weights(generator).to("cpu", torch.float64)
    if normalize_rows:
        weights = weights / weights.norm(dim=1, keepdim=True).clamp_min(1e-12)
    basis = torch.linalg.svd(weights, full_matrices=True).Vh.t()
    largest = basis.gather(0, basis.abs().argmax(dim=0, keepdim=True))
    return (basis * largest.sign()).to(torch.float32)


def direction_scales(ws: Tensor, basis: Tensor) -> Tensor:  # [N, dim], [dim, K] -> [K]
    """Standard deviation of codes of W along every column of a basis."""
    return (ws @ basis.to(ws)).std(dim=0)
