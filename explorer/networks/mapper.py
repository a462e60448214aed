"""A latent mapper: code in, code a little further on out. Learned for one domain by `explorer.expansion.mining`.

Source: StyleCLIP (arXiv 2103.17249, section 5): one small network each for coarse, medium and fine rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer.networks.layers import FullyConnected, normalize_2nd_moment

LAYERS = 4
ROWS = 4  # of W+ a group has; all others belong to the third
STEP = 0.1  # w + 0.1 M(w)


@dataclass(frozen=True)
class MapperConfig:
    """Sizes of the codes. Raises ValueError for others than positive ones."""

    w_dim: int
    num_ws: int

    def __post_init__(self) -> None:
        if not (0 < self.w_dim <= 4096 and 0 < self.num_ws <= 64):
            raise ValueError(f"codes of {self.num_ws} rows of {self.w_dim} cannot be")


class Mapper(nn.Module):
    """w + 0.1 M(w); before training w itself."""

    def __init__(self, config: MapperConfig) -> None:
        super().__init__()
        self.config = config
        groups = min(3, -(-config.num_ws // ROWS))
        self.groups = nn.ModuleList(
            nn.Sequential(
                *(FullyConnected(config.w_dim, config.w_dim, activation="lrelu") for _ in range(LAYERS - 1)),
                FullyConnected(config.w_dim, config.w_dim),
            )
            for _ in range(groups)
        )
        with torch.no_grad():
            for group in self.groups:
                group.get_submodule(str(LAYERS - 1)).get_parameter("weight").zero_()

    def forward(self, ws: Tensor) -> Tensor:  # [N, num_ws, w_dim], same
        sizes = [ROWS] * (len(self.groups) - 1)
        parts = ws.split([*sizes, ws.shape[1] - sum(sizes)], dim=1)
        moved = [
            group(normalize_2nd_moment(part.flatten(0, 1))).view_as(part)
            for group, part in zip(self.groups, parts, strict=True)
        ]
        return ws + STEP * torch.cat(moved, dim=1)
