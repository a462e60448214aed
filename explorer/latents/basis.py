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

    Where a code also turns and shifts its picture (StyleGAN3's row 0), the first columns span what does so, and no
    other column has any part in it: a domain added along one of those never turns the picture. `normalize_rows` gives
    SeFa's variant; Domain Expansion does not normalise. Computed in float64; the sign of each column is fixed so that
    its largest entry is positive.
    """
    weights = style_weights(generator).to("cpu", torch.float64)
    if normalize_rows:
        weights = weights / weights.norm(dim=1, keepdim=True).clamp_min(1e-12)
    poses = [layer.weight.detach() for layer in generator.style_layers() if layer.pose]
    apart, rest = _split(torch.cat([weights.new_empty(0, weights.shape[1]), *(p.to(weights) for p in poses)]))
    basis = torch.cat([apart, rest @ torch.linalg.svd(weights @ rest, full_matrices=True).Vh.t()], dim=1)
    largest = basis.gather(0, basis.abs().argmax(dim=0, keepdim=True))
    return (basis * largest.sign()).to(torch.float32)


def _split(rows: Tensor) -> tuple[Tensor, Tensor]:  # [n, dim] -> [dim, rank], [dim, dim - rank]
    """Orthonormal columns that span `rows`, from most to least, and columns that span all else."""
    if not len(rows):
        return rows.t(), torch.eye(rows.shape[1], dtype=rows.dtype)
    _, values, columns = torch.linalg.svd(rows, full_matrices=True)
    rank = int((values > 1e-9 * values[0].clamp(min=1e-30)).sum())
    return columns[:rank].t(), columns[rank:].t()


def direction_scales(ws: Tensor, basis: Tensor) -> Tensor:  # [N, dim], [dim, K] -> [K]
    """Standard deviation of codes of W along every column of a basis."""
    return (ws @ basis.to(ws)).std(dim=0)
