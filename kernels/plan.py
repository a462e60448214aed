"""What one kernel launch needs, worked out in Python: the parameters, the instance of the kernel, and the grid.

The same decisions as in `csrc/binding.cpp`, for the launches that NVRTC's kernels get without any compiler on the
machine; the structures mirror those in `csrc/pointwise.h` and `csrc/upfirdn2d.h`. Knows tensors, but launches
nothing.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .geometry import memory_format, output_size

NARROW_LIMIT = 1 << 31  # from here on indices take 64 bits
TYPES = {
    torch.float64: "double",
    torch.float32: "float",
    torch.float16: "explorer::Half",
    torch.bfloat16: "explorer::BFloat",
}
NARROW, WIDE = "unsigned int", "unsigned long long"


class Divider(ctypes.Structure):
    """See `Divider` in `csrc/common.h`."""

    _fields_ = [("divisor", ctypes.c_uint), ("factor", ctypes.c_uint), ("shift", ctypes.c_uint)]


class PointwiseParams(ctypes.Structure):
    """See `csrc/pointwise.h`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "ref", "y", "d", "noise", "b")),
        *((name, ctypes.c_double) for name in ("alpha", "gain", "clamp")),
        *((name, ctypes.c_ulonglong) for name in ("total", "noise_stride")),
        *((name, Divider) for name in ("middle", "inner")),
        *((name, ctypes.c_int) for name in ("channels_inner", "act")),
    ]


class Upfirdn2dParams(ctypes.Structure):
    """See `csrc/upfirdn2d.h`."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "f", "y")),
        ("gain", ctypes.c_double),
        *((name, ctypes.c_longlong) for name in ("stride_n", "stride_c", "stride_h", "stride_w")),
        ("total", ctypes.c_ulonglong),
        *((name, ctypes.c_int) for name in ("in_h", "in_w", "out_h", "out_w", "taps_x", "taps_y")),
        *((name, ctypes.c_int) for name in ("up_x", "up_y", "down_x", "down_y", "pad_x", "pad_y")),
        *((name, ctypes.c_int) for name in ("flip", "channels_inner")),
        *((name, Divider) for name in ("channels", "rows", "columns")),
    ]


class Sampling(ctypes.Structure):
    """See `csrc/filtered_lrelu.h`."""

    _fields_ = [
        ("f", ctypes.c_void_p),
        ("gain", ctypes.c_double),
        *((name, ctypes.c_int) for name in ("taps_x", "taps_y", "factor", "pad_x", "pad_y", "separable", "flip")),
    ]


class Picture(ctypes.Structure):
    """See `csrc/filtered_lrelu.h`."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_longlong) for name in ("stride_n", "stride_c", "stride_h", "stride_w")),
        *((name, ctypes.c_int) for name in ("height", "width")),
    ]


class FilteredLreluParams(ctypes.Structure):
    """See `csrc/filtered_lrelu.h`."""

    _fields_ = [
        *((name, Picture) for name in ("x", "v", "y")),
        ("b", ctypes.c_void_p),
        *((name, Sampling) for name in ("rise_x", "rise_v", "fall")),
        *((name, ctypes.c_double) for name in ("alpha", "gain", "clamp")),
        ("total", ctypes.c_ulonglong),
        *((name, ctypes.c_int) for name in ("mid_h", "mid_w", "tile_h", "tile_w", "inputs_at", "lines_at")),
        *((name, Divider) for name in ("channels", "rows", "columns")),
    ]


@dataclass(frozen=True)
class Launch:
    """One launch. `tensors` are those whose memory the parameters point into: keep them until the launch is queued."""

    kernel: str  # the kernel's name in namespace explorer
    arguments: tuple[str, ...]  # its template arguments
    params: PointwiseParams | Upfirdn2dParams | FilteredLreluParams
    blocks: int
    threads: int
    tensors: tuple[Tensor | None, ...]

    @property
    def instance(self) -> str:
        """The kernel as a C++ type."""
        return f"explorer::{self.kernel}<{', '.join(self.arguments)}>"


def divider(divisor: int) -> Divider:
    """Constants for dividing numbers below 2^31 by `divisor`, which must lie below 2^31 too (ValueError)."""
    if not 0 < divisor < NARROW_LIMIT:
        raise ValueError(f"an axis of {divisor} entries is too long for the kernels")
    shift = 31 + (divisor - 1).bit_length()
    return Divider(divisor, (1 << shift) // divisor + 1, shift)


def blocks_for(total: int, threads: int, items: int = 1) -> int:
    """Enough blocks for `total` items; the kernels loop where a grid does not cover them all."""
    per_block = threads * items
    return min(-(-total // per_block), (NARROW_LIMIT - 1) // per_block)


def pointwise(
    x: Tensor,  # the input, or the incoming gradient
    ref: Tensor | None,  # gradient only
    y: Tensor,
    d: Tensor | None,
    noise: Tensor | None,
    b: Tensor | None,
    dim: int,
    act: int,
    alpha: float,
    gain: float,
    clamp: float,
) -> Launch:
    """bias_act, its gradient or demod_bias_act. x, ref and y have the same dense layout, contiguous or channels_last;
    d, noise and b are contiguous and of the type sums are made in. Nothing may be empty.
    """
    if dim == 1 and x.ndim == 4 and not x.is_contiguous():
        middle, inner, channels_inner = x.shape[2] * x.shape[3], x.shape[1], True
    else:
        inner = math.prod(x.shape[dim + 1 :])
        middle, channels_inner = (x.shape[dim] if x.ndim else 1), False
        if inner == 1:
            middle, inner, channels_inner = 1, middle, True
    plain = d is None and noise is None and b is None  # nothing depends on the place: one long row
    smooth = act > 2
    slope = alpha if smooth or act == 2 else float(act == 0)
    positions = middle if channels_inner else inner
    width = 16 // x.element_size()
    row = x.numel() if plain else inner
    tensors = x, ref, y, d, noise, b
    if row % width or any(t is not None and t.data_ptr() % 16 for t in tensors):
        width = 1
    params = PointwiseParams(
        *(None if t is None else t.data_ptr() for t in tensors),
        slope,
        gain,
        clamp,
        x.numel(),
        positions if noise is not None and noise.shape[0] > 1 else 0,
        divider(1 if plain else middle),
        divider(1 if plain else inner),
        channels_inner,
        act,
    )
    flags = [str(flag).lower() for flag in (smooth, ref is not None)]
    index = NARROW if x.numel() < NARROW_LIMIT else WIDE
    arguments = (TYPES[x.dtype], *flags, str(width), index)
    return Launch("Pointwise", arguments, params, blocks_for(x.numel(), 256, width), 256, tensors)


def upfirdn2d_output(x: Tensor, f: Tensor, up: tuple[int, int], down: tuple[int, int], pad: tuple[int, ...]) -> Tensor:
    """An uninitialised result in x's layout; `up`, `down` (x, y), `pad` (x0, x1, y0, y1)."""
    height = output_size(x.shape[2], f.shape[0], up[1], down[1], pad[2], pad[3])
    width = output_size(x.shape[3], f.shape[1], up[0], down[0], pad[0], pad[1])
    size = x.shape[0], x.shape[1], height, width
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


def upfirdn2d(
    x: Tensor,
    f: Tensor,  # [taps_y, taps_x], contiguous, of the type sums are made in
    y: Tensor,  # from upfirdn2d_output, not empty
    up: tuple[int, int],
    down: tuple[int, int],
    pad: tuple[int, ...],
    flip: bool,
    gain: float,
) -> Launch:
    """upfirdn2d of x with any strides."""
    n, c, out_h, out_w = y.shape
    channels_inner = memory_format(x) == torch.channels_last
    width = 16 // x.element_size()
    steps = x.stride(0), x.stride(2), x.stride(3)
    vectors = c % width == 0 and x.stride(1) == 1 and not any(step % width for step in steps)
    vectors = vectors and not (x.data_ptr() % 16 or y.data_ptr() % 16)
    square = up[0] == up[1] and down[0] == down[1] and (up[0], down[0]) in ((1, 1), (2, 1), (1, 2))
    known = tuple(f.shape) == (4, 4) and square

    def patches(wide: int, high: int) -> tuple[int, int]:  # the first may start one before the image
        return -(-(out_w + pad[0] % up[0]) // wide), -(-(out_h + pad[2] % up[1]) // high)

    kernel, arguments, split = "UpfirdnGeneral", (), (n * c * out_h * out_w, c, out_h, out_w)
    if known and channels_inner and vectors:
        across, rows = patches(up[0], 4)
        kernel, split = "UpfirdnStrip", (n * c // width * across * rows, c // width, rows, across)
    elif known and not channels_inner:
        across, rows = patches(32 if down[0] == 2 else 64, 64 if up[0] == 2 else 32)
        kernel, split = "UpfirdnTile", (n * c * across * rows, c, rows, across)
    if kernel != "UpfirdnGeneral" and split[0] >= NARROW_LIMIT:
        kernel, split = "UpfirdnGeneral", (n * c * out_h * out_w, c, out_h, out_w)
    if kernel == "UpfirdnGeneral":
        arguments = TYPES[x.dtype], NARROW if split[0] < NARROW_LIMIT else WIDE
    else:
        arguments = TYPES[x.dtype], str(up[0]), str(down[0]), "4"
    threads = 128 if kernel == "UpfirdnStrip" else 256
    blocks = split[0] if kernel == "UpfirdnTile" else blocks_for(split[0], threads)
    params = Upfirdn2dParams(
        x.data_ptr(), f.data_ptr(), y.data_ptr(), gain, *x.stride(), split[0], x.shape[2], x.shape[3], out_h, out_w,
        f.shape[1], f.shape[0], *up, *down, pad[0], pad[2], flip, channels_inner, *map(divider, split[1:]),
    )  # fmt: skip
    return Launch(kernel, arguments, params, blocks, threads, (x, f, y))


def filtered_lrelu(
    x: Tensor,
    v: Tensor | None,
    b: Tensor | None,
    filters: tuple[Tensor, Tensor | None, Tensor],  # of x, v and y, contiguous, of the type sums are made in
    y: Tensor,  # of the result's size, not empty
    *numbers: Any,  # those of the schema `filtered_lrelu_tiles`
) -> Launch:
    """filtered_lrelu, its derivative or its gradient; x and v with any strides. Raises ValueError past 2^31 tiles."""
    f_x, f_v, f_y = filters
    rise_x, fall = _sampling(f_x, *numbers[:5]), _sampling(f_y, *numbers[10:15])
    rise_v = Sampling() if f_v is None else _sampling(f_v, *numbers[5:10])
    mid_h, mid_w, _, _, tile_h, tile_w, inputs_at, lines_at, gain, slope, clamp = numbers[15:]
    n, c, out_h, out_w = y.shape
    rows, columns = -(-out_h // tile_h), -(-out_w // tile_w)
    if (total := n * c * rows * columns) >= NARROW_LIMIT:
        raise ValueError(f"{total:,} tiles are too many for one launch: take smaller batches")
    params = FilteredLreluParams(
        _picture(x), Picture() if v is None else _picture(v), _picture(y), None if b is None else b.data_ptr(),
        rise_x, rise_v, fall, slope, gain, clamp, total,
        mid_h, mid_w, tile_h, tile_w, inputs_at, lines_at, *map(divider, (c, rows, columns)),
    )  # fmt: skip
    known = f_x.ndim == f_y.ndim == 1 and numbers[0] in (2, 4) and len(f_x) == 6 * numbers[0]
    known = known and numbers[10] == 2 and len(f_y) == 12
    arguments = TYPES[x.dtype], *((str(numbers[0]), "2") if known else ("0", "0"))
    return Launch("FilteredLrelu", arguments, params, total, 256, (x, v, b, *filters, y))


def _sampling(f: Tensor, factor: int, left: int, top: int, flip: bool, gain: float) -> Sampling:
    return Sampling(f.data_ptr(), gain, f.shape[-1], f.shape[0], factor, left, top, f.ndim == 1, flip)


def _picture(x: Tensor) -> Picture:
    return Picture(x.data_ptr(), *x.stride(), *x.shape[2:])
