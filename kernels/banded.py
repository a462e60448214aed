"""`filtered_lrelu` on a CPU: filters as small matrices that slide along an axis, planes in groups that fit the cache.

Up- and down-sampling by a separable filter is, along each axis, a banded matrix. Its bands repeat: blocks of outputs
are one small matrix times a window of inputs, and the next block is the same matrix one step further. So each axis
takes a handful of matrix products, without zeros inserted and without copies. Filters of two dimensions are convolved.
Inference only: gradients are the schema's. Held against `kernels.reference` in the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

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
        if f is None or f.ndim == 1:
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


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
) -> Tensor:
    """See `kernels.filtered_lrelu`; computed in float32 or float64."""
    return _run(None, x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter, False)


def filtered_lrelu_grad(
    v: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip_filter: bool,
    adjoint: bool,
) -> Tensor:
    """See `kernels.reference.filtered_lrelu_grad`."""
    return _run(v, x, fu, fd, b, up, down, padding, gain, slope, clamp, flip_filter, adjoint)


def _run(
    v: Tensor | None,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    padding: Padding,
    gain: float,
    slope: float,
    clamp: float | None,
    flip: bool,
    adjoint: bool,
) -> Tensor:
    n, c, h, w = x.shape
    dtype = torch.promote_types(x.dtype, torch.float32)
    rise = Resampling((h, w), fu, up, 1, sides(padding), flip, float(up**2), dtype)
    fall = Resampling(rise.size, fd, 1, down, (0, 0, 0, 0), flip, 1.0, dtype)
    into, out_of = (fall.adjoint(), rise.adjoint()) if adjoint else (rise, fall)
    result = x.new_empty(n, c, *out_of.size)
    planes, target = x.reshape(n * c, h, w), result.view(n * c, *out_of.size)
    vectors = None if v is None else v.reshape(n * c, *v.shape[2:])
    biases = None if b is None else b.to(dtype).repeat(n)[:, None, None]
    group = max(1, CACHE // math.prod(rise.size))
    for start in range(0, n * c, group):
        part = slice(start, start + group)
        inner = planes[part].to(dtype)
        inner = inner if biases is None else inner + biases[part]
        if vectors is None:
            y = rise(inner, fall.reads)
            F.leaky_relu_(y if gain == 1 else y.mul_(gain), slope)
            y = y if clamp is None else y.clamp_(-clamp, clamp)
            y = fall(_top(y, rise.size)) if fall.bands is None or rise.bands is None else fall.run(y)
        else:
            slopes = reference.lrelu_slopes(_top(rise(inner), rise.size), gain, slope, clamp)
            y = out_of(_top(into(vectors[part].to(dtype)), rise.size) * slopes)
        target[part] = _top(y, out_of.size)
    return result.contiguous(memory_format=memory_format(x))


def _top(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """The part that counts."""
    return planes[:, : size[0], : size[1]]
