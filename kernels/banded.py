"""`filtered_lrelu` on a CPU: filters as small matrices that slide along an axis, planes in groups that fit the cache.

Up- and down-sampling by a separable filter is, along each axis, a banded matrix. Its bands repeat: blocks of outputs
are one small matrix times a window of inputs, and the next block is the same matrix one step further. So each axis
takes a handful of matrix products, without zeros inserted and without copies. Filters of two dimensions are convolved.
Inference only: gradients are the schema's. Held against `kernels.reference` in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from . import reference
from .geometry import Padding, adjoint_padding, filter_size, memory_format, output_size, sides

CACHE = 800_000  # numbers of the up-sampled planes that are worked on at once: what a core's own cache holds
BLOCK = 32  # samples of the finer grid that one product makes or reads: shorter wastes less, longer runs faster


@dataclass(frozen=True)
class Band:
    """One axis: out[i * rows + o] = sum_j matrix[o, j] * padded[i * step + j], padded by `before` zeros in front."""

    matrix: Tensor  # [rows, window]
    step: int
    blocks: int
    before: int  # negative: samples dropped
    size: int  # outputs that count; the last block may make more

    @property
    def reads(self) -> int:
        """Samples of the padded input."""
        return (self.blocks - 1) * self.step + self.matrix.shape[1]

    @property
    def makes(self) -> int:
        return self.blocks * self.matrix.shape[0]


@lru_cache(maxsize=512)
def band(
    taps: tuple[float, ...],  # convolved: the last tap meets the first sample
    up: int,
    down: int,
    before: int,
    size: int,  # of the result
    dtype: torch.dtype,
) -> Band:
    """The matrix of up-sampling, `before` zeros, filtering and down-sampling along one axis."""
    unit = up // math.gcd(up, down)  # outputs after which the pattern repeats
    finest = max(up, down)
    blocks = max(1, round(size * finest / up / BLOCK))
    rows = unit * -(-size // (blocks * unit))
    first = -(before // up)  # the input sample in front: ceil(-before / up)
    shift = first * up + before  # how far its place lies behind the start of the padded grid
    window = ((rows - 1) * down + len(taps) - 1 - shift) // up + 1
    matrix = torch.zeros(rows, max(window, 1), dtype=dtype)
    for o in range(rows):
        for k, tap in enumerate(taps):
            place = o * down + len(taps) - 1 - k - shift
            if place >= 0 and place % up == 0:
                matrix[o, place // up] = tap
    return Band(matrix, rows * down // up, blocks, -first, size)


class Resampling:
    """`upfirdn2d` of planes `[g, height, width]` with one `up`, `down` for both axes, prepared."""

    def __init__(
        self,
        size: tuple[int, int],  # height, width
        f: Tensor | None,
        up: int,
        down: int,
        pad: tuple[int, int, int, int],  # x0, x1, y0, y1
        flip: bool,
        gain: float,
        dtype: torch.dtype,
    ) -> None:
        self.settings = size, f, up, down, pad, flip, gain, dtype
        (h, w), (taps_x, taps_y) = size, filter_size(f)
        self.size = (
            output_size(h, taps_y, up, down, pad[2], pad[3]),
            output_size(w, taps_x, up, down, pad[0], pad[1]),
        )
        self.bands: tuple[Band, Band] | None = None
        self.reads = (0, 0)
        self.same = (f is None or f.numel() == 1) and up == down == gain == 1 and not any(pad)
        if not self.same and (f is None or f.ndim == 1):
            taps = (1.0,) if f is None else tuple(f.tolist())
            taps = taps[::-1] if flip else taps
            along_y = band(taps, up, down, pad[2], self.size[0], dtype)
            along_x = band(tuple(tap * gain for tap in taps), up, down, pad[0], self.size[1], dtype)
            self.bands, self.reads = (along_y, along_x), (along_y.reads, along_x.reads)

    def adjoint(self) -> Resampling:
        """From planes of `size` back to planes of the size that this one takes."""
        size, f, up, down, pad, flip, gain, dtype = self.settings
        taps_x, taps_y = filter_size(f)
        along_x = adjoint_padding(taps_x, up, down, pad[0], size[1], self.size[1])
        along_y = adjoint_padding(taps_y, up, down, pad[2], size[0], self.size[0])
        return Resampling(self.size, f, down, up, (*along_x, *along_y), not flip, gain, dtype)

    def __call__(self, planes: Tensor, room: tuple[int, int] = (0, 0)) -> Tensor:
        """The result, in memory of its own of at least the size `room`; what lies beyond `size` is finite."""
        if self.same:
            f = self.settings[1]
            return planes.clone() if f is None else planes * f.to(planes).flatten() ** (3 - f.ndim)
        if self.bands is None:
            _, f, up, down, pad, flip, gain, _ = self.settings
            return reference.upfirdn2d(planes[None], f, up, down, pad, flip, gain)[0]
        (along_y, along_x), (h, w) = self.bands, planes.shape[1:]
        top, left = along_y.before, along_x.before
        return self.run(F.pad(planes, (left, along_x.reads - left - w, top, along_y.reads - top - h)), room)

    def run(self, padded: Tensor, room: tuple[int, int] = (0, 0)) -> Tensor:
        """The same of planes that have their padding already, at least `reads` of them."""
        assert self.bands is not None
        along_y, along_x = self.bands
        height, width = max(room[0], along_y.makes), max(room[1], along_x.makes)
        if padded.shape[1] * width <= height * padded.shape[2]:
            return _slide_down(_slide_along(padded, along_x, width), along_y, height)
        return _slide_along(_slide_down(padded, along_y, height), along_x, width)


def _slide_down(x: Tensor, band: Band, height: int) -> Tensor:  # [g, h, w] -> [g, height, w]
    rows, window = band.matrix.shape
    out, matrix = x.new_empty(len(x), height, x.shape[2]), band.matrix.expand(len(x), rows, window)
    for i in range(band.blocks):
        torch.bmm(matrix, x[:, i * band.step : i * band.step + window], out=out[:, i * rows : (i + 1) * rows])
    out[:, band.makes :] = 0
    return out


def _slide_along(x: Tensor, band: Band, width: int) -> Tensor:  # [g, h, w] -> [g, h, width]
    rows, window = band.matrix.shape
    lines, matrix = x.reshape(-1, x.shape[2]), band.matrix.t()
    out = x.new_empty(len(lines), width)
    for i in range(band.blocks):
        torch.mm(lines[:, i * band.step : i * band.step + window], matrix, out=out[:, i * rows : (i + 1) * rows])
    out[:, band.makes :] = 0
    return out.view(len(x), -1, width)


class FilteredLrelu:
    """`filtered_lrelu` of pictures of one size, prepared."""

    def __init__(
        self,
        dtype: torch.dtype,  # computed in: float32 or float64
        size: tuple[int, int],  # height, width
        fu: Tensor | None,
        fd: Tensor | None,
        up: int,
        down: int,
        padding: Padding,
        gain: float,
        slope: float,
        clamp: float | None,
        flip_filter: bool = False,
    ) -> None:
        self.slope, self.clamp, self.dtype = slope, clamp, dtype
        # lrelu(g u) = g lrelu(u): the rectifier's gain costs nothing in the filter.
        self.rise = Resampling(size, fu, up, 1, sides(padding), flip_filter, gain * up**2, dtype)
        self.fall = Resampling(self.rise.size, fd, 1, down, (0, 0, 0, 0), flip_filter, 1.0, dtype)
        self.group = max(1, CACHE // math.prod(self.rise.size))  # planes that are worked on at once

    def __call__(self, x: Tensor, b: Tensor | None) -> Tensor:
        """The result for x `[N, C, height, width]`, in x's dtype and layout."""

        def made(planes: Tensor, _: Tensor | None) -> Tensor:
            y = self.rise(planes, self.fall.reads)
            y = y if self.slope == 1 else F.leaky_relu_(y, self.slope)
            y = y if self.clamp is None else y.clamp_(-self.clamp, self.clamp)
            joined = self.fall.bands is not None and self.rise.bands is not None
            return self.fall.run(y) if joined else self.fall(_top(y, self.rise.size))

        return self._in_groups(made, x, b, None, self.fall.size)

    def grad(self, v: Tensor, x: Tensor, b: Tensor | None, adjoint: bool) -> Tensor:
        """The derivative at x, or its adjoint, applied to v; see `kernels.reference.filtered_lrelu_grad`."""
        into, out_of = (self.fall.adjoint(), self.rise.adjoint()) if adjoint else (self.rise, self.fall)
        inner = self.rise.size

        def made(planes: Tensor, vectors: Tensor | None) -> Tensor:
            assert vectors is not None
            slopes = reference.lrelu_slopes(_top(self.rise(planes), inner), 1.0, self.slope, self.clamp)
            return out_of(_top(into(vectors), inner) * slopes)

        return self._in_groups(made, x, b, v, out_of.size)

    def _in_groups(
        self,
        made: Callable[[Tensor, Tensor | None], Tensor],
        x: Tensor,
        b: Tensor | None,
        v: Tensor | None,
        size: tuple[int, int],
    ) -> Tensor:
        """`made(planes of x + b, planes of v)`, group by group."""
        n, c, h, w = x.shape
        planes, target = x.reshape(n * c, h, w), x.new_empty(n * c, *size)
        vectors = None if v is None else v.reshape(n * c, *v.shape[2:])
        biases = None if b is None else b.to(self.dtype).repeat(n)[:, None, None]
        for start in range(0, n * c, self.group):
            part = slice(start, start + self.group)
            inner = planes[part].to(self.dtype)
            inner = inner if biases is None else inner + biases[part]
            target[part] = _top(made(inner, None if vectors is None else vectors[part].to(self.dtype)), size)
        return target.view(n, c, *size).contiguous(memory_format=memory_format(x))


def prepared(x: Tensor, *settings: Any) -> FilteredLrelu:
    """`filtered_lrelu` for x, computed in float32 or better; `settings` are FilteredLrelu's after the size."""
    height, width = x.shape[2:]
    return FilteredLrelu(torch.promote_types(x.dtype, torch.float32), (height, width), *settings)


def _top(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """The part that counts."""
    return planes[:, : size[0], : size[1]]
