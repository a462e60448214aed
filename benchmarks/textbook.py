"""A textbook StyleGAN2 synthesis network in plain float32 PyTorch: what the engine's speed is measured against.

Per-sample modulated weights in one grouped convolution, transposed convolution then a separate low-pass, every
elementwise step on its own: the formulas of StyleGAN2 (arXiv 1912.04958) as most implementations write them. It shares
no code with the engine or with `explorer.networks`, only the parameters.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks import StyleGAN2


def low_pass(x: Tensor, up: bool) -> Tensor:
    """[1,3,3,1] x [1,3,3,1] with gain 4: of a zero-inserted image (`up`), or of a transposed convolution's output."""
    n, c, h, w = x.shape
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = (taps[:, None] * taps).expand(c, 1, 4, 4)
    if up:
        inserted = x.new_zeros(n, c, h, 2, w, 2)
        inserted[:, :, :, 0, :, 0] = x
        x = F.pad(inserted.reshape(n, c, 2 * h, 2 * w), (2, 1, 2, 1))
    else:
        x = F.pad(x, (1, 1, 1, 1))
    return F.conv2d(x, kernel, groups=c)


def modulated_conv(x: Tensor, weight: Tensor, s: Tensor, up: bool = False, demodulate: bool = True) -> Tensor:
    n, c, h, w = x.shape
    o, _, k, _ = weight.shape
    modulated = weight * s[:, None, :, None, None]
    if demodulate:
        modulated = modulated * (modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if up:
        modulated = modulated.transpose(1, 2).reshape(n * c, o, k, k)
        x = F.conv_transpose2d(x, modulated, stride=2, groups=n)
        return low_pass(x.reshape(n, o, 2 * h + 1, 2 * w + 1), up=False)
    x = F.conv2d(x, modulated.reshape(n * o, c, k, k), padding=k // 2, groups=n)
    return x.reshape(n, o, h, w)


def synthesize(generator: StyleGAN2, ws: Tensor) -> Tensor:  # [N, num_ws, w_dim] -> [N, 3, H, W]
    """The picture with constant noise; skip architecture."""

    def affine(layer, w: Tensor) -> Tensor:
        return F.linear(w, layer.affine.weight / math.sqrt(w.shape[1]), layer.affine.bias)

    x = img = None
    for row, block in generator.synthesis.blocks():
        layers = [block.conv1] if x is None else [block.conv0, block.conv1]
        if x is None:
            x = block.const.expand(len(ws), -1, -1, -1)
        for i, layer in enumerate(layers):
            x = modulated_conv(x, layer.weight, affine(layer, ws[:, row + i]), up=layer.up == 2)
            x = x + layer.noise_const * layer.noise_strength
            x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)
        s = affine(block.torgb, ws[:, row + len(layers)]) / math.sqrt(x.shape[1])
        rgb = modulated_conv(x, block.torgb.weight, s, demodulate=False) + block.torgb.bias[:, None, None]
        img = rgb if img is None else low_pass(img, up=True) + rgb
    assert img is not None
    return img
