"""`filtered_lrelu` and its gradient as one pattern, `fall(s(rise_x(x + b)) * rise_v(v))`, and the tiles that a GPU cuts
it into: what both ways to launch the kernel in `csrc/filtered_lrelu.h` are given. Knows tensors' sizes only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .geometry import adjoint_padding, filter_size, output_size

SHARED = 49_152  # bytes of shared memory that every GPU lends a block
TILES = (
    (32, 32),
    (16, 32),
    (8, 32),
    (16, 16),
    (8, 16),
    (8, 8),
    (4, 8),
    (4, 4),
    (2, 2),
    (1, 1),
)  # outputs, down x across


@dataclass(frozen=True)
class Sampling:
    """Up- or down-sampling by `factor` on both axes, with what stands in front of the first sample."""

    f: Tensor  # [taps] for both axes, or [taps_y, taps_x]
    factor: int
    pad_x: int
    pad_y: int
    flip: bool
    gain: float

    def reads(self, width: int, height: int) -> int:
        """Samples, at most, that a region of the finer grid looks at."""
        taps_x, taps_y = filter_size(self.f)
        return ((width + taps_x - 2) // self.factor + 1) * ((height + taps_y - 2) // self.factor + 1)


@dataclass(frozen=True)
class Between:
    """One case of the pattern. `mid` and `out` are (height, width) of the up-sampled plane and of the result."""

    rise_x: Sampling
    rise_v: Sampling | None  # none: forward
    fall: Sampling
    mid: tuple[int, int]
    out: tuple[int, int]

    def tile(self, itemsize: int) -> tuple[int, int] | None:
        """The largest tile (height, width) whose parts fit into shared memory; None where none does."""
        for high, wide in TILES:
            if sum(self.parts(high, wide)) * itemsize <= SHARED:
                return high, wide
        return None

    def parts(self, high: int, wide: int) -> tuple[int, int, int]:
        """Numbers in the up-sampled tile, in the largest input of it, and in the largest half-sampled tile."""
        taps_x, taps_y = filter_size(self.fall.f)
        mid_h, mid_w = (high - 1) * self.fall.factor + taps_y, (wide - 1) * self.fall.factor + taps_x
        rises = [self.rise_x] if self.rise_v is None else [self.rise_x, self.rise_v]
        lines = [((mid_h + filter_size(r.f)[1] - 2) // r.factor + 1) * mid_w for r in rises if r.f.ndim == 1]
        lines += [mid_h * wide] if self.fall.f.ndim == 1 else []
        return mid_h * mid_w, max(r.reads(mid_w, mid_h) for r in rises), max(lines, default=0)

    def arguments(self, itemsize: int) -> list[Any] | None:
        """Filters and numbers of the schema `filtered_lrelu_tiles`, the tile last; None where no tile fits."""
        tile = self.tile(itemsize)
        if tile is None:
            return None
        mid, inputs, _ = self.parts(*tile)
        return [*self.untiled(), *tile, mid, mid + inputs]

    def untiled(self) -> list[Any]:
        """The same without the tile."""
        rise_v = self.rise_v or self.rise_x
        numbers: list[Any] = []
        for s in (self.rise_x, rise_v, self.fall):
            numbers += [s.factor, s.pad_x, s.pad_y, s.flip, s.gain]
        filters = [self.rise_x.f, None if self.rise_v is None else self.rise_v.f, self.fall.f]
        return [*filters, *numbers, *self.mid, *self.out]


def between(
    x: Tensor,
    v: Tensor | None,
    fu: Tensor | None,
    fd: Tensor | None,
    up: int,
    down: int,
    pad: tuple[int, int, int, int],  # x0, x1, y0, y1
    flip: bool,
    adjoint: bool,
) -> Between:
    """The operation on x, its derivative applied to v, or with `adjoint` its gradient. Raises RuntimeError where the
    padded image is below a filter.
    """
    one = torch.ones(1, device=x.device)
    fu, fd = one if fu is None else fu, one if fd is None else fd
    (ux, uy), (dx, dy) = filter_size(fu), filter_size(fd)
    mid = output_size(x.shape[2], uy, up, 1, pad[2], pad[3]), output_size(x.shape[3], ux, up, 1, pad[0], pad[1])
    out = output_size(mid[0], dy, 1, down, 0, 0), output_size(mid[1], dx, 1, down, 0, 0)
    rise = Sampling(fu, up, pad[0], pad[2], flip, float(up**2))
    if not adjoint:
        return Between(rise, None if v is None else rise, Sampling(fd, down, 0, 0, flip, 1.0), mid, out)
    size = x.shape[2], x.shape[3]
    spread = Sampling(
        fd,
        down,
        adjoint_padding(dx, 1, down, 0, mid[1], out[1])[0],
        adjoint_padding(dy, 1, down, 0, mid[0], out[0])[0],
        not flip,
        1.0,
    )
    gather = Sampling(
        fu,
        up,
        adjoint_padding(ux, up, 1, pad[0], size[1], mid[1])[0],
        adjoint_padding(uy, up, 1, pad[2], size[0], mid[0])[0],
        not flip,
        float(up**2),
    )
    return Between(rise, spread, gather, mid, size)
