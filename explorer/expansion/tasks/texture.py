"""How unlike two pictures' textures are, wherever each has its strokes: a distance between sets of patches.

A squared error asks for the mean of all places that a stroke could have had, which is none. Sources: sliced Wasserstein
distance between patches (Elnekave and Weiss, arXiv 2203.11862, section 3); its use for textures (Heitz et al., arXiv
2006.07229).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 7  # px
DIRECTIONS = 48  # on which patches are projected, anew each time
SCALES = 3  # the whole picture, a half, a quarter


def directions(channels: int, generator: torch.Generator) -> Tensor:  # [DIRECTIONS, channels, PATCH, PATCH]
    """Random directions in the space of patches, of length one."""
    drawn = torch.randn(DIRECTIONS, channels, PATCH, PATCH, generator=generator)
    return F.normalize(drawn.flatten(1), dim=1).view_as(drawn)


def texture_distance(
    a: Tensor,  # [N, C, H, W]
    b: Tensor,  # same
    along: Tensor,  # see `directions`
) -> Tensor:  # [N]
    """Mean absolute difference between the sorted projections of both pictures' patches, over all scales.

    Of the whole picture every second patch is looked at. Differentiable; 0 for equal pictures, and for the same patches
    elsewhere. Pictures smaller than a patch at a scale are not looked at there.
    """
    found = []
    for scale in range(SCALES):
        if min(a.shape[2:]) < PATCH:
            break
        rank = [F.conv2d(x, along, stride=2 if scale == 0 else 1).flatten(2).sort(dim=2).values for x in (a, b)]
        found.append((rank[0] - rank[1]).abs().mean(dim=(1, 2)))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return torch.stack(found).mean(dim=0)
