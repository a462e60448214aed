"""The operations' public functions, their `torch.library` schemas, shapes and gradients.

Every schema has the plain PyTorch reference as its kernel for all devices; `kernels.build` may later add a CUDA kernel,
which then takes precedence. Gradients are registered here once, whatever computes the values, and consist of these same
operations, so that they can be differentiated again (R1 and path length regularisation need that).

On the CPU `bias_act` and `demod_bias_act` skip the schema: PyTorch's own autograd costs less per call there, and
torch.compile can fuse what it can see. Knows nothing of how kernels are built.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import banded, reference, tiles
from .geometry import Factor, Padding, adjoint_padding, factors, filter_size, memory_format, output_size, sides

NAMESPACE = "explorer"
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

# `ref` in bias_act_grad is the output where the derivative can be read off it (piecewise linear activations), else x.
SCHEMAS = (
    "upfirdn2d(Tensor x, Tensor f, int up_x, int up_y, int down_x, int down_y, "
    "SymInt pad_x0, SymInt pad_x1, SymInt pad_y0, SymInt pad_y1, bool flip_filter, float gain) -> Tensor",
    "bias_act(Tensor x, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor",
    "bias_act_grad(Tensor dy, Tensor ref, Tensor? b, int dim, int act, float alpha, float gain, float clamp) -> Tensor",
    "demod_bias_act(Tensor x, Tensor? d, Tensor? noise, Tensor? b, float alpha, float gain, float clamp) -> Tensor",
    "filtered_lrelu(Tensor x, Tensor? fu, Tensor? fd, Tensor? b, int up, int down, "
    "int pad_x0, int pad_x1, int pad_y0, int pad_y1, float gain, float slope, float clamp, bool flip_filter) -> Tensor",
    # The derivative at x, or with `adjoint` the gradient, applied to v.
    "filtered_lrelu_grad(Tensor v, Tensor x, Tensor? fu, Tensor? fd, Tensor? b, int up, int down, "
    "int pad_x0, int pad_x1, int pad_y0, int pad_y1, float gain, float slope, float clamp, bool flip_filter, "
    "bool adjoint) -> Tensor",
    # Both of these on a GPU, as `tiles.Between` says them: fall(s(rise_x(x + b)) * rise_v(v)), tile by tile.
    "filtered_lrelu_tiles(Tensor x, Tensor? v, Tensor? b, Tensor f_x, Tensor? f_v, Tensor f_y, "
    "int up_x, int left_x, int top_x, bool flip_x, float gain_x, "
    "int up_v, int left_v, int top_v, bool flip_v, float gain_v, "
    "int down, int left_y, int top_y, bool flip_y, float gain_y, int mid_h, int mid_w, int out_h, int out_w, "
    "int tile_h, int tile_w, int inputs_at, int lines_at, float gain, float slope, float clamp) -> Tensor",
)
library = torch.library.Library(NAMESPACE, "DEF")
for _schema in SCHEMAS:
    library.define(_schema)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Up-sample by inserting zeros, pad, filter, and keep every `down`-th sample (StyleGAN2, arXiv 1912.04958,
    appendix B).

    `x` is `[N, C, H, W]`, float64, float32, float16 or bfloat16; `f` is None (one tap of 1), `[taps]` (applied along
    both axes) or `[taps_y, taps_x]`, a constant: it receives no gradient. `up`, `down` are ints >= 1 or `(x, y)`;
    `padding` counts zeros around the up-sampled image, int, `(x, y)` or `(x0, x1, y0, y1)`, negative to crop. The
    filter is convolved; `flip_filter` correlates instead. `gain` multiplies the result. Returns `[N, C, (H * up_y +
    y0 + y1 - taps_y) // down_y + 1, ...]` in x's dtype and layout, summed in float32 or better. Raises ValueError for
    other shapes, TypeError for other dtypes, RuntimeError where the padded image is below the filter.
    """
    if x.ndim != 4:
        raise ValueError(f"x must be [N, C, H, W], got shape {list(x.shape)}")
    _check_dtype(x)
    (ux, uy), (dx, dy), (x0, x1, y0, y1) = factors(up, "up"), factors(down, "down"), sides(padding)
    filter_size(f)
    f = x.new_ones(1, 1, dtype=_sum_dtype(x)) if f is None else f.detach()
    op = torch.ops.explorer.upfirdn2d
    if f.ndim == 1:
        x = op(x, f[None, :], ux, 1, dx, 1, x0, x1, 0, 0, flip_filter, gain)
        return op(x, f[:, None], 1, uy, 1, dy, 0, 0, y0, y1, flip_filter, 1.0)
    return op(x, f, ux, uy, dx, dy, x0, x1, y0, y1, flip_filter, float(gain))


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """`clamp(gain * act(x + b))` in one pass over memory on a GPU.

    `x` has any shape; `b` is `[x.shape[dim]]`; `act` is linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or
    swish; `alpha` is the negative slope of lrelu (0.2); `gain` defaults to sqrt(2) for relu, lrelu and swish, else 1;
    `clamp >= 0` limits the magnitude. NaN stays NaN. Returns x's shape, dtype and layout. Differentiable twice in x
    and b. Raises ValueError for an unknown activation or shapes that do not fit, TypeError for other dtypes than
    floats.
    """
    if act not in reference.ACTIVATIONS:
        raise ValueError(f"unknown activation {act!r}: choose from {', '.join(reference.ACTIVATIONS)}")
    _check_dtype(x)
    if b is not None and (not -x.ndim <= dim < x.ndim or b.shape != x.shape[dim : dim + 1 or None]):
        raise ValueError(f"b must be one value per entry of dimension {dim} of {list(x.shape)}, got {list(b.shape)}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"clamp must be at least 0, got {clamp}")
    spec = reference.ACTIVATIONS[act]
    alpha = spec.alpha if alpha is None else alpha
    gain = spec.gain if gain is None else gain
    # The schema's gradient reads the side of the kink off the output, which needs a rising activation.
    if x.device.type == "cpu" or alpha < 0 or gain <= 0:
        return reference.bias_act(x, b, dim, act, alpha, gain, clamp)
    b = None if b is None else b.to(_sum_dtype(x))
    limit = math.inf if clamp is None else float(clamp)
    dim = dim % x.ndim if x.ndim else 0
    return torch.ops.explorer.bias_act(x, b, dim, spec.index, float(alpha), float(gain), limit)


def demod_bias_act(
    x: Tensor,
    d: Tensor | None = None,
    noise: Tensor | None = None,
    noise_strength: Tensor | float | None = None,
    b: Tensor | None = None,
    alpha: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:
    """`clamp(gain * lrelu(x * d + noise * noise_strength + b))`: what follows each convolution of StyleGAN2 (figure
    2c).

    `x` is `[N, C, H, W]`; `d` `[N, C]`, the demodulation factors; `noise` `[1 or N, 1, H, W]`; `noise_strength` a
    scalar; `b` `[C]`; each may be None. `alpha >= 0` is the negative slope, `gain > 0`, `clamp >= 0` limits the
    magnitude. One pass over memory on a GPU. Returns x's shape, dtype and layout. Differentiable twice in every
    tensor. Raises ValueError for shapes or values that do not fit, TypeError for other dtypes than floats.
    """
    _check_dtype(x)
    _check_epilogue(x, d, noise, b)
    if not (alpha >= 0 and gain > 0 and (clamp is None or clamp >= 0)):
        raise ValueError(f"alpha and clamp must be at least 0 and gain above, got {alpha}, {clamp}, {gain}")
    if x.device.type == "cpu":
        return reference.demod_bias_act(x, d, noise, noise_strength, b, alpha, gain, clamp)
    dtype = _sum_dtype(x)
    if noise is not None:  # an image of one channel: its own small product costs nothing
        noise = noise.to(dtype) if noise_strength is None else noise.to(dtype) * noise_strength
    d, b = (None if t is None else t.to(dtype) for t in (d, b))
    limit = math.inf if clamp is None else float(clamp)
    return torch.ops.explorer.demod_bias_act(x, d, noise, b, float(alpha), float(gain), limit)


def filtered_lrelu(
    x: Tensor,
    fu: Tensor | None = None,
    fd: Tensor | None = None,
    b: Tensor | None = None,
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
) -> Tensor:
    """A leaky ReLU that makes no aliases: up-sampled before, low-passed and down-sampled after (StyleGAN3, arXiv
    2106.12423, figure 4b).

        y = upfirdn2d(x + b, fu, up=up, padding=padding, gain=up^2)
        y = clamp(gain * lrelu(y, slope))
        y = upfirdn2d(y, fd, down=down)

    `x` is `[N, C, H, W]`, float64, float32, float16 or bfloat16; `fu`, `fd` are None (one tap of 1), `[taps]` (applied
    along both axes) or `[taps_y, taps_x]`, constants; `b` is `[C]`; `padding` as of `upfirdn2d`, in samples of the
    up-sampled image. `gain > 0`, `slope >= 0`, `clamp >= 0`. Returns x's dtype and layout, summed in float32 or better.
    Differentiable twice in x and b. Raises ValueError for shapes or values that do not fit, TypeError for other dtypes
    than floats, RuntimeError where the padded image is below a filter.
    """
    _check_dtype(x)
    _check_epilogue(x, None, None, b)
    (up, _), (down, _) = factors(up, "up"), factors(down, "down")
    if not (slope >= 0 and gain > 0 and (clamp is None or clamp >= 0)):
        raise ValueError(f"slope and clamp must be at least 0 and gain above, got {slope}, {clamp}, {gain}")
    fu, fd = (None if f is None else f.detach() for f in (fu, fd))
    for f in (fu, fd):
        filter_size(f)
    b = None if b is None else b.to(_sum_dtype(x))
    limit = math.inf if clamp is None else float(clamp)
    settings = up, down, *sides(padding), float(gain), float(slope), limit, flip_filter
    return torch.ops.explorer.filtered_lrelu(x, fu, fd, b, *settings)


def _check_dtype(x: Tensor) -> None:
    if x.dtype not in DTYPES:
        raise TypeError(f"x must be float64, float32, float16 or bfloat16, got {x.dtype}")


def _check_epilogue(x: Tensor, d: Tensor | None, noise: Tensor | None, b: Tensor | None) -> None:
    if x.ndim != 4:
        raise ValueError(f"x must be [N, C, H, W], got shape {list(x.shape)}")
    n, c, h, w = x.shape
    if d is not None and d.shape != (n, c):
        raise ValueError(f"d must be [{n}, {c}], got {list(d.shape)}")
    if b is not None and b.shape != (c,):
        raise ValueError(f"b must be [{c}], got {list(b.shape)}")
    if noise is not None and noise.shape != (n, 1, h, w) and noise.shape != (1, 1, h, w):
        raise ValueError(f"noise must be [1 or {n}, 1, {h}, {w}], got {list(noise.shape)}")


def _sum_dtype(x: Tensor) -> torch.dtype:
    """What the kernels compute in, and hold per-channel constants in: at least float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


# --- Kernels for every device: the reference, until a CUDA kernel is registered ---------------------------------------


DEFAULTS: dict[str, Callable[..., Tensor]] = {}


def _default(name: str) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Register a function as the kernel of schema `name` for all devices; its first argument decides the device.

    The first call on a GPU starts the build. Where kernels are ready the call is handed to them: it was dispatched here
    before they were registered.
    """

    def register(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def kernel(x: Tensor, *args: Any) -> Tensor:
            if x.device.type == "cuda":
                from . import build  # not at the top: importing kernels must not read the environment

                if build.start().ready:
                    return getattr(torch.ops.explorer, name)(x, *args)
            if torch.is_autocast_enabled(x.device.type):  # the reference's convolutions would leave x's dtype
                with torch.autocast(x.device.type, enabled=False):
                    return function(x, *args)
            return function(x, *args)

        library.impl(name, kernel, "CompositeExplicitAutograd")
        DEFAULTS[name] = kernel
        return function

    return register


@_default("upfirdn2d")
def _upfirdn2d(
    x: Tensor,
    f: Tensor,
    ux: int,
    uy: int,
    dx: int,
    dy: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    flip: bool,
    gain: float,
) -> Tensor:
    y = reference.upfirdn2d(x, f, (ux, uy), (dx, dy), (x0, x1, y0, y1), flip, gain)
    return y.clone() if y is x else y


@_default("bias_act")
def _bias_act(x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float) -> Tensor:
    y = reference.bias_act(x, b, dim, _NAMES[act], alpha, gain, None if clamp == math.inf else clamp)
    return _laid_out_as(x, y)


@_default("bias_act_grad")
def _bias_act_grad(
    dy: Tensor, ref: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor:
    return _laid_out_as(ref, _chain(dy, ref, b, dim, act, gain, clamp, _slope(act, alpha)))


@_default("demod_bias_act")
def _demod_bias_act(
    x: Tensor, d: Tensor | None, noise: Tensor | None, b: Tensor | None, alpha: float, gain: float, clamp: float
) -> Tensor:
    y = reference.demod_bias_act(x, d, noise, None, b, alpha, gain, None if clamp == math.inf else clamp)
    return _laid_out_as(x, y)


@_default("filtered_lrelu_tiles")
def _filtered_lrelu_tiles(
    x: Tensor, v: Tensor | None, b: Tensor | None, f_x: Tensor, f_v: Tensor | None, f_y: Tensor, *numbers: Any
) -> Tensor:
    """Step by step, without tiles."""
    rise_x, rise_v, fall = numbers[:5], numbers[5:10], numbers[10:15]
    mid, out, (gain, slope, clamp) = numbers[15:17], numbers[17:19], numbers[-3:]
    limit = None if clamp == math.inf else clamp
    y = _sampled(x if b is None else x + reference.along(b.to(x.dtype), 1, 4), f_x, rise_x, mid)
    if v is None or f_v is None:
        y = reference.bias_act(y, None, act="lrelu", alpha=slope, gain=gain, clamp=limit)
    else:
        y = reference.lrelu_slopes(y, gain, slope, limit) * _sampled(v, f_v, rise_v, mid)
    return _sampled(y, f_y, fall, out, down=True).contiguous(memory_format=memory_format(x))


def _sampled(x: Tensor, f: Tensor, numbers: Sequence[Any], size: Sequence[int], down: bool = False) -> Tensor:
    """`upfirdn2d` to a result of `size` (height, width)."""
    factor, left, top, flip, gain = numbers
    (taps_x, taps_y), (up, step) = filter_size(f), (1, factor) if down else (factor, 1)
    right = (size[1] - 1) * step + taps_x - x.shape[3] * up - left
    bottom = (size[0] - 1) * step + taps_y - x.shape[2] * up - top
    return upfirdn2d(x, f, up, step, (left, right, top, bottom), flip, gain)


# On a GPU all in one pass where a tile fits into shared memory; on a CPU by banded matrices.


def _filtered_lrelu(
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    gain: float,
    slope: float,
    clamp: float,
    flip: bool,
) -> Tensor:
    pad = x0, x1, y0, y1
    if x.device.type == "cpu":
        limit = None if clamp == math.inf else clamp
        with torch.autocast("cpu", enabled=False):
            return banded.prepared(x, fu, fd, up, down, pad, gain, slope, limit, flip)(x, b)
    return _tiled(None, x, fu, fd, b, up, down, pad, gain, slope, clamp, flip, False)


def _filtered_lrelu_grad(
    v: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    gain: float,
    slope: float,
    clamp: float,
    flip: bool,
    adjoint: bool,
) -> Tensor:
    pad = x0, x1, y0, y1
    if x.device.type == "cpu":
        limit = None if clamp == math.inf else clamp
        with torch.autocast("cpu", enabled=False):
            return banded.prepared(x, fu, fd, up, down, pad, gain, slope, limit, flip).grad(v, x, b, adjoint)
    return _tiled(v, x, fu, fd, b, up, down, pad, gain, slope, clamp, flip, adjoint)


def _tiled(
    v: Tensor | None,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    pad: tuple[int, int, int, int],
    gain: float,
    slope: float,
    clamp: float,
    flip: bool,
    adjoint: bool,
) -> Tensor:
    """The operation, or with `v` its derivative or gradient, on a GPU."""
    case = tiles.between(x, v, fu, fd, up, down, pad, flip, adjoint)
    arguments = case.arguments(8 if x.dtype == torch.float64 else 4)
    if arguments is not None:
        return torch.ops.explorer.filtered_lrelu_tiles(x, v, b, *arguments, gain, slope, clamp)
    with torch.autocast(x.device.type, enabled=False):
        return _filtered_lrelu_tiles(x, v, b, *case.untiled(), gain, slope, clamp)


for _name, _kernel in (("filtered_lrelu", _filtered_lrelu), ("filtered_lrelu_grad", _filtered_lrelu_grad)):
    library.impl(_name, _kernel, "CompositeExplicitAutograd")


def _laid_out_as(x: Tensor, y: Tensor) -> Tensor:
    """`y` in the layout the schema promises (that of `empty_like(x)`), and never `x` itself."""
    return y if y is not x and y.stride() == x.stride() else torch.empty_like(x).copy_(y)


_NAMES = {spec.index: name for name, spec in reference.ACTIVATIONS.items()}


def _slope(act: int, alpha: float) -> Callable[[Tensor], Tensor | float]:
    return lambda u: reference.ACTIVATIONS[_NAMES[act]].slope(u, alpha)


def _chain(
    dy: Tensor,
    ref: Tensor,
    b: Tensor | None,
    dim: int,
    act: int,
    gain: float,
    clamp: float,
    derivative: Callable[[Tensor], Tensor | float],
) -> Tensor:
    """`dy * gain * derivative(u)` where the output was not clamped: u = x + b, or, piecewise linear, anything of its
    sign.
    """
    spec = reference.ACTIVATIONS[_NAMES[act]]
    u = ref if b is None else ref + reference.along(b.to(ref.dtype), dim, ref.ndim)
    dx = dy * gain * derivative(u)
    if clamp == math.inf:
        return dx
    y = u if spec.curvature is None else spec.function(u, spec.alpha) * gain
    return torch.where(y.abs() >= clamp, 0.0, dx)


# --- Shapes and layouts ---------------------------------------------------------------------------------------------


@torch.library.register_fake("explorer::upfirdn2d", lib=library)
def _(
    x: Tensor,
    f: Tensor,
    ux: int,
    uy: int,
    dx: int,
    dy: int,
    x0: int,
    x1: int,
    y0: int,
    y1: int,
    flip: bool,
    gain: float,
) -> Tensor:
    n, c, height, width = x.shape
    taps_x, taps_y = filter_size(f)
    size = n, c, output_size(height, taps_y, uy, dy, y0, y1), output_size(width, taps_x, ux, dx, x0, x1)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


@torch.library.register_fake("explorer::filtered_lrelu", lib=library)
def _(x: Tensor, fu: Tensor | None, fd: Tensor | None, b: Tensor | None, up: int, down: int, *settings: Any) -> Tensor:
    size = reference.filtered_lrelu_size(x.shape[2:], fu, fd, up, down, settings[:4])
    return torch.empty(*x.shape[:2], *size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


@torch.library.register_fake("explorer::filtered_lrelu_grad", lib=library)
def _(
    v: Tensor,
    x: Tensor,
    fu: Tensor | None,
    fd: Tensor | None,
    b: Tensor | None,
    up: int,
    down: int,
    *settings: Any,
) -> Tensor:
    if settings[-1]:
        return torch.empty_like(x, memory_format=memory_format(x))
    size = reference.filtered_lrelu_size(x.shape[2:], fu, fd, up, down, settings[:4])
    return torch.empty(*x.shape[:2], *size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


for _name in ("bias_act", "demod_bias_act"):
    torch.library.register_fake(f"explorer::{_name}", lambda x, *args: torch.empty_like(x), lib=library)
torch.library.register_fake("explorer::bias_act_grad", lambda dy, ref, *args: torch.empty_like(ref), lib=library)


# --- Gradients ------------------------------------------------------------------------------------------------------


def _upfirdn2d_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, f, *ctx.settings = inputs
    ctx.save_for_backward(f)
    ctx.size_in, ctx.size_out = x.shape[2:], output.shape[2:]


def _upfirdn2d_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    """The adjoint of upfirdn2d is upfirdn2d with `up` and `down` exchanged and the filter turned round."""
    (f,) = ctx.saved_tensors
    ux, uy, dx, dy_, x0, _, y0, _, flip, gain = ctx.settings
    taps_x, taps_y = filter_size(f)
    (in_h, in_w), (out_h, out_w) = ctx.size_in, ctx.size_out
    px0, px1 = adjoint_padding(taps_x, ux, dx, x0, in_w, out_w)
    py0, py1 = adjoint_padding(taps_y, uy, dy_, y0, in_h, out_h)
    grad = torch.ops.explorer.upfirdn2d(dy, f, dx, dy_, ux, uy, px0, px1, py0, py1, not flip, gain)
    return grad, *[None] * 11


def _bias_act_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, b, *ctx.settings = inputs
    ctx.smooth = reference.ACTIVATIONS[_NAMES[ctx.settings[1]]].curvature is not None
    # The output is alive anyway, as the next layer's input: saving it instead of x frees x.
    ctx.save_for_backward(x if ctx.smooth else output, b)


def _bias_act_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    ref, b = ctx.saved_tensors
    dx = torch.ops.explorer.bias_act_grad(dy, ref, b if ctx.smooth else None, *ctx.settings)
    return dx, _sum_to(b, dx, ctx.settings[0]), *[None] * 5


def _sum_to(b: Tensor | None, dx: Tensor, dim: int) -> Tensor | None:
    """Gradient of a value added along `dim`."""
    if b is None:
        return None
    others = [i for i in range(dx.ndim) if i != dim]
    return dx.sum(others, dtype=b.dtype) if others else dx.to(b.dtype)


def _bias_act_grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    dy, ref, b, *ctx.settings = inputs
    ctx.save_for_backward(dy, ref, b)


def _bias_act_grad_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    """Second order: linear in dy; in x only where the activation bends (never StyleGAN2's own, so plain PyTorch
    does).
    """
    dy, ref, b = ctx.saved_tensors
    dim, act, _, gain, clamp = ctx.settings
    d_dy = torch.ops.explorer.bias_act_grad(ddx, ref, b, *ctx.settings)
    curvature = reference.ACTIVATIONS[_NAMES[act]].curvature
    if curvature is None:
        return d_dy, *[None] * 7
    d_ref = _chain(ddx * dy, ref, b, dim, act, gain, clamp, curvature)
    return d_dy, d_ref, _sum_to(b, d_ref, dim), *[None] * 5


def _demod_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, d, noise, b, *ctx.settings = inputs
    ctx.shapes = tuple(None if t is None else (t.shape, t.dtype) for t in (noise, b))
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, d, output)


def _demod_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, d, y = ctx.saved_tensors
    noise, b = ctx.shapes
    lrelu = reference.ACTIVATIONS["lrelu"].index
    g = torch.ops.explorer.bias_act_grad(dy, y, None, 1, lrelu, *ctx.settings)
    wanted = ctx.needs_input_grad
    dx = g if d is None else g * d[:, :, None, None].to(g.dtype)
    dd = None if d is None or not wanted[1] else (g * x).sum((2, 3), dtype=d.dtype)
    dnoise = g.sum(1, keepdim=True, dtype=noise[1]).sum_to_size(noise[0]) if wanted[2] else None
    db = g.sum((0, 2, 3), dtype=b[1]) if wanted[3] else None
    return dx, dd, dnoise, db, None, None, None


def _filtered_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, fu, fd, b, *ctx.settings = inputs
    ctx.save_for_backward(x, fu, fd, b)


def _filtered_backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, fu, fd, b = ctx.saved_tensors
    dx = torch.ops.explorer.filtered_lrelu_grad(dy, x, fu, fd, b, *ctx.settings, True)
    return dx, None, None, _sum_to(b, dx, 1), *[None] * 10


def _filtered_grad_setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, x, fu, fd, b, *ctx.settings, ctx.adjoint = inputs
    ctx.save_for_backward(x, fu, fd, b)


def _filtered_grad_backward(ctx: Any, ddx: Tensor) -> tuple[Tensor | None, ...]:
    """Second order: linear in v, and x moves no slope but at the kinks."""
    d_v = torch.ops.explorer.filtered_lrelu_grad(ddx, *ctx.saved_tensors, *ctx.settings, not ctx.adjoint)
    return d_v, *[None] * 15


for _name, _backward, _setup in (
    ("upfirdn2d", _upfirdn2d_backward, _upfirdn2d_setup),
    ("bias_act", _bias_act_backward, _bias_act_setup),
    ("bias_act_grad", _bias_act_grad_backward, _bias_act_grad_setup),
    ("demod_bias_act", _demod_backward, _demod_setup),
    ("filtered_lrelu", _filtered_backward, _filtered_setup),
    ("filtered_lrelu_grad", _filtered_grad_backward, _filtered_grad_setup),
):
    torch.library.register_autograd(f"explorer::{_name}", _backward, setup_context=_setup, lib=library)
