"""The layers StyleGAN2's networks share: equalised learning rate, resampling and modulated convolutions.

Parameter names and storage follow the published PyTorch checkpoints, so that a state dict of theirs loads as it is.
Source: StyleGAN2 (arXiv 1912.04958), sections 2 and 4; equalised learning rate: ProGAN (arXiv 1710.10196), section 4.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kernels


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
        return F.conv2d(kernels.downsample2d(x, resample_filter, down=down), weight)
    if up > 1:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=up)
        before = pad + (taps + up - 1) // 2 - (k - 1)
        after = pad + (taps - up) // 2 - (k - up)
        return kernels.upfirdn2d(x, resample_filter, padding=(before, after, before, after), gain=float(up**2))
    if down > 1:
        before, after = pad + (taps - down + 1) // 2, pad + (taps - down) // 2
        x = kernels.upfirdn2d(x, resample_filter, padding=(before, after, before, after))
        return F.conv2d(x, weight, stride=down)
    return F.conv2d(x, weight, padding=pad)


def modulated_conv2d(
    x: Tensor,  # [N, in, H, W]
    weight: Tensor,  # [out, in, k, k]
    styles: Tensor,  # [N, in]
    resample_filter: Tensor,
    up: int = 1,
    demodulate: bool = True,
) -> Tensor:  # [N, out, H * up, W * up]
    """Weight (de)modulation (StyleGAN2, equations 1 to 3), applied to the activations instead of the weights.

    `conv(x, w * s) = conv(x * s, w)` and the demodulation factor `1 / sqrt(sum_{i,k} (s_i w_oik)^2 + eps)` depends on
    the style only, so no per-sample weights are built.
    """
    y = conv2d_resample(x * styles[:, :, None, None].to(x.dtype), weight.to(x.dtype), resample_filter, up=up)
    if not demodulate:
        return y
    energy = weight.square().sum(dim=(2, 3))  # [out, in]
    demod = (styles.square() @ energy.t() + 1e-8).rsqrt()
    return y * demod[:, :, None, None].to(y.dtype)


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
        weight = self.weight.to(x.dtype) * self.weight_gain
        x = conv2d_resample(x, weight, self.resample_filter, up=self.up, down=self.down)
        bias = None if self.bias is None else self.bias.to(x.dtype)
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        return kernels.bias_act(x, bias, act=self.activation, gain=self.act_gain * gain, clamp=clamp)
