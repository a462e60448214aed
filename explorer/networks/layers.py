"""The layers StyleGAN2's networks share: equalised learning rate, resampling and modulated convolutions.

Parameter names and storage follow the published PyTorch checkpoints, so that a state dict of theirs loads as it is.
Source: StyleGAN2 (arXiv 1912.04958), sections 2 and 4; equalised learning rate: ProGAN (arXiv 1710.10196), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer import kernels


def normalize_2nd_moment(x: Tensor) -> Tensor:  # [N, D]
    """Scale every row of `x` to unit mean square (StyleGAN2, the "pixel norm" in front of the mapping network)."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Linear layer with an equalised learning rate: the stored weight is `weight_gain` times smaller at run time.

    `lr_multiplier` scales weight and bias, which slows their learning by that factor (0.01 in the mapping network).
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features)
        self.bias_gain = lr_multiplier

    def forward(self, x: Tensor) -> Tensor:  # [N, in_features] -> [N, out_features]
        weight = self.weight.to(x.dtype) * self.weight_gain
        bias = self.bias.to(x.dtype) * self.bias_gain
        if self.activation == "linear":
            return F.linear(x, weight, bias)
        return kernels.bias_act(x @ weight.t(), bias, act=self.activation)


def conv2d_resample(
    x: Tensor,  # [N, in, H, W]
    weight: Tensor,  # [out, in, k, k], k odd
    resample_filter: Tensor,  # [f, f] or [f]
    up: int = 1,
    down: int = 1,
    bias: Tensor | None = None,  # [out]; not when up-sampling
) -> Tensor:  # [N, out, H * up / down, W * up / down]
    """Convolution with "same" padding, with low-pass filtered up- or down-sampling by 2 built in.

    Up-sampling inserts zeros, *convolves* (a transposed convolution, so the kernel is flipped against the plain layers)
    and low-passes with gain up^2; down-sampling low-passes first (StyleGAN2, appendix B).
    """
    k, taps = weight.shape[-1], resample_filter.shape[-1]
    pad = k // 2
    if up > 1 and k == 1:
        return kernels.upsample2d(F.conv2d(x, weight), resample_filter, up=up)
    if down > 1 and k == 1:
        return F.conv2d(kernels.downsample2d(x, resample_filter, down=down), weight, bias)
    if up > 1:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=up)
        before = pad + (taps + up - 1) // 2 - (k - 1)
        after = pad + (taps - up) // 2 - (k - up)
        return kernels.upfirdn2d(x, resample_filter, padding=(before, after, before, after), gain=float(up**2))
    if down > 1:
        before, after = pad + (taps - down + 1) // 2, pad + (taps - down) // 2
        x = kernels.upfirdn2d(x, resample_filter, padding=(before, after, before, after))
        return F.conv2d(x, weight, bias, stride=down)
    return F.conv2d(x, weight, bias, padding=pad)


def modulate(x: Tensor, styles: Tensor) -> Tensor:  # [N, C, H, W], [N, C] -> [N, C, H, W]
    """Weight modulation (StyleGAN2, equation 1) on the activations: `conv(x, w * s) = conv(x * s, w)`."""
    return x * styles[:, :, None, None].to(x.dtype)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:  # [out, in, k, k], [N, in] -> [N, out]
    """The factor `1 / sqrt(sum_{i,k} (s_i w_oik)^2 + eps)` (StyleGAN2, equation 3); it needs no per-sample weights."""
    energy = weight.square().sum(dim=(2, 3))
    return (styles.square() @ energy.t() + 1e-8).rsqrt()


def upsample_image(x: Tensor, resample_filter: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C, 2H, 2W]
    """Twice the size, low-passed, zeros outside. [1, 3, 3, 1] is bilinear, which is eight times faster on a CPU."""
    if x.device.type == "cpu" and _is_bilinear(tuple(resample_filter.flatten().tolist())):
        return F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]
    return kernels.upsample2d(x, resample_filter)


@cache
def _is_bilinear(taps: tuple[float, ...]) -> bool:
    line = torch.tensor([1.0, 3, 3, 1]) / 8
    return len(taps) == 16 and torch.allclose(torch.tensor(taps), torch.outer(line, line).flatten())


class Conv2d(nn.Module):
    """Plain convolution with equalised learning rate, optional resampling, bias, activation (the discriminator's)."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: Sequence[float] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.weight_gain = 1 / math.sqrt(in_channels * kernel_size**2)
        self.act_gain = math.sqrt(2) if activation == "lrelu" else 1.0
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", kernels.setup_filter(resample_filter), persistent=False)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        gain, clamp = self.act_gain * gain, None if self.conv_clamp is None else self.conv_clamp * gain
        if x.device.type == "cpu" and self.up == 1 and clamp is None and self.activation in ("linear", "lrelu"):
            # g * lrelu(u) = lrelu(g * u): gain and bias go into the convolution, which leaves one pass over memory.
            weight = (self.weight * (self.weight_gain * gain)).to(x.dtype)
            bias = None if self.bias is None else (self.bias * gain).to(x.dtype)
            x = conv2d_resample(x, weight, self.resample_filter, down=self.down, bias=bias)
            return x if self.activation == "linear" else F.leaky_relu_(x, 0.2)
        weight = self.weight.to(x.dtype) * self.weight_gain
        x = conv2d_resample(x, weight, self.resample_filter, up=self.up, down=self.down)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return kernels.bias_act(x, bias, act=self.activation, gain=gain, clamp=clamp)
