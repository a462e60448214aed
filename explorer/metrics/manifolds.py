"""How much of a set of samples looks real, and how much of what is real the samples cover, on features of a network.

Source: Kynkaanniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models" (arXiv 1904.06991):
a set's manifold is the union of balls around its features, each as large as to reach the k-th of the others.
"""

from __future__ import annotations

import torch
from torch import Tensor

NEIGHBOURS = 3  # the paper's k
ROWS = 1024  # whose distances are computed at once


def precision_recall(real: Tensor, made: Tensor, k: int = NEIGHBOURS) -> tuple[float, float]:  # [N, F], [M, F]
    """The part of `made` within the manifold of `real`, and the part of `real` within that of `made` (equation 2).

    Both depend on how many there are: compare figures of equal counts. Raises ValueError for sets of k or fewer.
    """
    if min(len(real), len(made)) <= k:
        raise ValueError(f"each set must have more than {k} features, got {len(real)} and {len(made)}")
    return _within(made, real, k), _within(real, made, k)


def nearest(features: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:  # [N, F], [M, F] -> [N], [N] int64
    """Distance to the nearest of `others`, and which one it is."""
    found = [torch.cdist(part, others).min(dim=1) for part in features.split(ROWS)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def apart(features: Tensor, k: int = 1) -> Tensor:  # [N, F] -> [N]
    """Every feature's distance to its k-th nearest neighbour in the same set."""
    # Itself is the nearest, at a distance that rounding may leave above 0.
    return torch.cat([torch.cdist(part, features).kthvalue(k + 1, dim=1).values for part in features.split(ROWS)])


def _within(features: Tensor, manifold: Tensor, k: int) -> float:
    radii = apart(manifold, k)
    inside = [(torch.cdist(part, manifold) <= radii).any(dim=1) for part in features.split(ROWS)]
    return float(torch.cat(inside).double().mean())
