"""The operations in plain PyTorch: the definition the CUDA kernels are tested against, and the CPU path.

Everything is differentiable to any order by PyTorch itself. Results have the dtype and, where PyTorch allows, the
memory layout of the input. It knows nothing of CUDA. Sources: upfirdn2d as in StyleGAN2 (arXiv 1912.04958), appendix
B, and SciPy's `upfirdn`; bias_act and the epilogue as in StyleGAN2, figure 2; filtered_lrelu as in StyleGAN3 (arXiv
2106.12423), section 3.2 and appendix D.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .geometry import Factor, Padding, adjoint_padding, factors, filter_size, memory_format, output_size, sides

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # arXiv 1706.02515, equation 14


@dataclass(frozen=True)
class Activation:
    """One activation: how it is computed, its defaults, and its number in the CUDA sources."""

    index: int
    function: Callable[[Tensor, float], Tensor]
    slope: Callable[[Tensor, float], Tensor | float]  # the first derivative
    curvature: Callable[[Tensor], Tensor] | None = None  # the second; None where the activation is piecewise linear
    gain: float = 1.0
    alpha: float = 0.0


def _sigmoid_slope(u: Tensor) -> Tensor:
    s = torch.sigmoid(u)
    return s * (1 - s)


def _exponential_branch(u: Tensor, right: float) -> Tensor:
    return torch.where(u > 0, right, torch.exp(u.clamp(max=0)))


# Gains keep the variance of a normal input for the rectifiers (He initialisation, arXiv 1502.01852, section 2.2).
ACTIVATIONS = {
    "linear": Activation(0, lambda u, _: u, lambda u, _: 1.0),
    "relu": Activation(1, lambda u, _: F.relu(u), lambda u, _: (u > 0).to(u.dtype), gain=math.sqrt(2)),
    "lrelu": Activation(
        2, F.leaky_relu, lambda u, alpha: torch.where(u > 0, u.new_ones(()), alpha), gain=math.sqrt(2), alpha=0.2
    ),
    "tanh": Activation(
        3,
        lambda u, _: torch.tanh(u),
        lambda u, _: 1 - torch.tanh(u).square(),
        lambda u: -2 * torch.tanh(u) * (1 - torch.tanh(u).square()),
    ),
    "sigmoid": Activation(
        4,
        lambda u, _: torch.sigmoid(u),
        lambda u, _: _sigmoid_slope(u),
        lambda u: _sigmoid_slope(u) * (1 - 2 * torch.sigmoid(u)),
    ),
    "elu": Activation(
        5, lambda u, _: F.elu(u), lambda u, _: _exponential_branch(u, 1.0), lambda u: _exponential_branch(u, 0.0)
    ),
    "selu": Activation(
        6,
        lambda u, _: F.selu(u),
        lambda u, _: SELU_SCALE * _exponential_branch(u, 1 / SELU_ALPHA) * SELU_ALPHA,
        lambda u: SELU_SCALE * SELU_ALPHA * _exponential_branch(u, 0.0),
    ),
    "softplus": Activation(7, lambda u, _: F.softplus(u), lambda u, _: torch.sigmoid(u), _sigmoid_slope),
    "swish": Activation(
        8,
        lambda u, _: F.silu(u),
        lambda u, _: torch.sigmoid(u) + u * _sigmoid_slope(u),
        lambda u: _sigmoid_slope(u) * (2 + u * (1 - 2 * torch.sigmoid(u))),
        gain=math.sqrt(2),
    ),
}


def upfirdn2d(
    x: Tensor,  # [N, C, H, W]
    f: Tensor | None,  # None, [taps] or [taps_y, taps_x]
    up: Factor = 1,
    down: Factor = 1,
    padding: Padding = 0,
    flip_filter: bool = False,
    gain: float = 1.0,
) -> Tensor:
    """Insert zeros, pad, filter, keep every `down`-th sample. See `kernels.upfirdn2d`."""
    (ux, uy), (dx, dy), (px0, px1, py0, py1) = factors(up, "up"), factors(down, "down"), sides(padding)
    if f is None:
        f = torch.ones(1, 1, device=x.device)
    if f.ndim == 1:
        x = upfirdn2d(x, f[None, :], (ux, 1), (dx, 1), (px0, px1, 0, 0), flip_filter, gain)
        return upfirdn2d(x, f[:, None], (1, uy), (1, dy), (0, 0, py0, py1), flip_filter)
    n, channels, height, width = x.shape
    taps_x, taps_y = filter_size(f)
    out_w = output_size(width, taps_x, ux, dx, px0, px1)
    out_h = output_size(height, taps_y, uy, dy, py0, py1)
    if channels == 0:
        return x.new_zeros(n, 0, out_h, out_w)
    dtype, layout = x.dtype, memory_format(x)
    if dtype == torch.float16 and x.device.type == "cpu":  # PyTorch's half convolutions on the CPU are 100 times slower
        x = x.to(torch.float32)
    # PyTorch's convolutions correlate, so the filter is flipped unless the caller did.
    weight = f.to(torch.promote_types(x.dtype, torch.float32)) * gain
    weight = (weight if flip_filter else weight.flip(0, 1)).to(x.dtype).expand(channels, 1, taps_y, taps_x)
    if ux == uy == 1 and px0 == px1 >= 0 and py0 == py1 >= 0:  # the convolution pads for itself: one pass less
        y = F.conv2d(x, weight, stride=(dy, dx), padding=(py0, px0), groups=channels)
    else:
        grid = _on_grid(x, layout, (uy, ux), (py0, px0), (height * uy + py0 + py1, width * ux + px0 + px1))
        y = F.conv2d(grid, weight, stride=(dy, dx), groups=channels)
    return y.to(dtype).contiguous(memory_format=layout)


def _on_grid(
    x: Tensor, layout: torch.memory_format, up: tuple[int, int], start: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """A zero image of `size` (y, x) with the samples of `x` at `start + i * up`; samples that fall outside are
    dropped.
    """
    grid = torch.empty((*x.shape[:2], *size), dtype=x.dtype, device=x.device, memory_format=layout).zero_()
    source, target = [], []
    for length, u, s, total in zip(x.shape[2:], up, start, size, strict=True):
        first = max(0, -(s // u))  # the first sample at or after 0: ceil(-s / u)
        last = min(length, -((s - total) // u))  # one past the last before `total`
        if last <= first:
            return grid
        source.append(slice(first, last))
        target.append(slice(s + first * u, s + (last - 1) * u + 1, u))
    grid[:, :, target[0], target[1]] = x[:, :, source[0], source[1]]
    return grid


def bias_act(
    x: Tensor,
    b: Tensor | None = None,  # [x.shape[dim]]
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:  # x's shape
    """`clamp(gain * act(x + b))`. See `kernels.bias_act`."""
    spec = ACTIVATIONS[act]
    alpha = spec.alpha if alpha is None else alpha
    gain = spec.gain if gain is None else gain
    b = None if b is None else along(b.to(x.dtype), dim, x.ndim)
    if act == "lrelu" and gain > 0 and alpha >= 0 and b is not None:
        # lrelu(g u) = g lrelu(u): one multiply-add, one rectifier in place, and no pass over memory for the gain.
        y = F.leaky_relu(torch.add(b * gain, x, alpha=gain), alpha, inplace=True)
    else:
        y = spec.function(x if b is None else x + b, alpha)
        y = y if gain == 1 else y * gain
    return y if clamp is None else y.clamp(-clamp, clamp)


def along(b: Tensor, dim: int, ndim: int) -> Tensor:
    """`b` `[C]` as a view that broadcasts along `dim` of a tensor with `ndim` dimensions."""
    return b.reshape([-1 if i == dim % ndim else 1 for i in range(ndim)])


def demod_bias_act(
    x: Tensor,  # [N, C, H, W]
    d: Tensor | None = None,  # [N, C]
    noise: Tensor | None = None,  # [1 or N, 1, H, W]
    noise_strength: Tensor | float | None = None,  # scalar
    b: Tensor | None = None,  # [C]
    alpha: float = 0.2,
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:  # [N, C, H, W]
    """`clamp(gain * lrelu(x * d + noise * noise_strength + b))`. See `kernels.demod_bias_act`."""
    if noise is not None:
        noise = noise if noise_strength is None else noise * noise_strength
        noise = noise.to(x.dtype)
    if d is not None:
        d = d.to(x.dtype)[:, :, None, None]
        x = x * d if noise is None else torch.addcmul(noise, x, d)
    elif noise is not None:
        x = x + noise
    return bias_act(x, b, act="lrelu", alpha=alpha, gain=gain, clamp=clamp)


def filtered_lrelu(
    x: Tensor,  # [N, C, H, W]
    fu: Tensor | None,  # None, [taps] or [taps_y, taps_x]
    fd: Tensor | None,
    b: Tensor | None = None,  # [C]
    up: int = 1,
    down: int = 1,
    padding: Padding = 0,
    gain: float = math.sqrt(2),
    slope: float = 0.2,
    clamp: float | None = None,
    flip_filter: bool = False,
    resample: Callable[..., Tensor] = upfirdn2d,
) -> Tensor:
    """A rectifier between two samplings, `D(clamp(gain * lrelu(U(x + b))))`. See `kernels.filtered_lrelu`."""
    y = x if b is None else x + along(b.to(x.dtype), 1, 4)
    y = resample(y, fu, up, 1, padding, flip_filter, float(up**2))
    y = bias_act(y, None, act="lrelu", alpha=slope, gain=gain, clamp=clamp)
    return resample(y, fd, 1, down, 0, flip_filter)


def filtered_lrelu_grad(
    v: Tensor,  # shaped as x; with `adjoint` as the result for x
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
    resample: Callable[..., Tensor] = upfirdn2d,
) -> Tensor:
    """The derivative of `filtered_lrelu` at x, a linear map D S U with S the slopes, or its adjoint, applied to v.

    Piecewise linear: of S, nothing depends on x but at the kinks, so each of the two is the other's gradient in v.
    """
    y = x if b is None else x + along(b.to(x.dtype), 1, 4)
    y = resample(y, fu, up, 1, padding, flip_filter, float(up**2))
    slopes = lrelu_slopes(y, gain, slope, clamp)
    if not adjoint:
        v = resample(v, fu, up, 1, padding, flip_filter, float(up**2))
        return resample(v * slopes, fd, 1, down, 0, flip_filter)
    v = resample(v, fd, down, 1, _turned(fd, 1, down, 0, y, v), not flip_filter)
    return resample(v * slopes, fu, 1, up, _turned(fu, up, 1, padding, x, y), not flip_filter, float(up**2))


def filtered_lrelu_size(
    size: Sequence[int], fu: Tensor | None, fd: Tensor | None, up: int, down: int, pad: Sequence[int]
) -> tuple[int, int]:  # (height, width)
    """The size of `filtered_lrelu`'s result for a picture of `size`; `pad` is (x0, x1, y0, y1)."""
    (ux, uy), (dx, dy) = filter_size(fu), filter_size(fd)
    height = output_size(size[0], uy, up, 1, pad[2], pad[3])
    width = output_size(size[1], ux, up, 1, pad[0], pad[1])
    return output_size(height, dy, 1, down, 0, 0), output_size(width, dx, 1, down, 0, 0)


def lrelu_slopes(u: Tensor, gain: float, slope: float, clamp: float | None) -> Tensor:  # u's shape
    """The derivative of `clamp(gain * lrelu(u))`: 0 where clamped."""
    slopes = torch.where(u > 0, u.new_tensor(gain), gain * slope)
    return slopes if clamp is None else torch.where((u * slopes).abs() >= clamp, 0.0, slopes)


def _turned(f: Tensor | None, up: int, down: int, padding: Padding, x: Tensor, y: Tensor) -> tuple[int, int, int, int]:
    """The padding of the adjoint of a resampling of x to y's size."""
    taps_x, taps_y = filter_size(f)
    x0, _, y0, _ = sides(padding)
    along_x = adjoint_padding(taps_x, up, down, x0, x.shape[3], y.shape[3])
    return *along_x, *adjoint_padding(taps_y, up, down, y0, x.shape[2], y.shape[2])
