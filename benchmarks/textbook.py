"""Textbook synthesis networks in plain float32 PyTorch: what the engine's speed is measured against.

Per-sample modulated weights in one grouped convolution, transposed convolution then a separate low-pass, every
elementwise step on its own: the formulas of StyleGAN2 (arXiv 1912.04958), StyleGAN3 (arXiv 2106.12423) and Diffusion
Autoencoders (arXiv 2111.15640) as most implementations write them. They share no code with the engine or with
`explorer.networks`, only the parameters.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks import DiffAE, StyleGAN2, StyleGAN3


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


def filtered(x: Tensor, f: Tensor | None, up: int = 1, down: int = 1, low: int = 0, high: int = 0) -> Tensor:
    """Zeros inserted, padded or cropped, low-passed with gain up^2, every down-th sample kept."""
    n, c, h, w = x.shape
    if up > 1:
        inserted = x.new_zeros(n, c, h, up, w, up)
        inserted[:, :, :, 0, :, 0] = x
        x = inserted.reshape(n, c, h * up, w * up)
    x = F.pad(x, (low, high, low, high))
    if f is None:
        return x[:, :, ::down, ::down]
    if f.ndim == 2:
        return F.conv2d(x, f.flip(0, 1).expand(c, 1, *f.shape), groups=c)[:, :, ::down, ::down]
    line = f.flip(0) * up
    x = F.conv2d(x, line[None, :].expand(c, 1, 1, len(f)), groups=c)
    return F.conv2d(x, line[:, None].expand(c, 1, len(f), 1), groups=c)[:, :, ::down, ::down]


def synthesize_alias_free(generator: StyleGAN3, ws: Tensor) -> Tensor:  # [N, num_ws, w_dim] -> [N, 3, H, W]
    """The picture of a StyleGAN3; its Fourier features are the network's own."""
    x = generator.synthesis.input(ws[:, 0])
    for row, layer in generator.synthesis.layers():
        colors, k, low, high = layer.shape.colors, layer.weight.shape[2], *layer.shape.padding
        weight, s = layer.weight, F.linear(ws[:, row], layer.affine.weight / math.sqrt(ws.shape[2]), layer.affine.bias)
        if colors:
            s = s / math.sqrt(x.shape[1])
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            s = s * s.square().mean().rsqrt()
        n, c = s.shape
        modulated = weight * s[:, None, :, None, None]
        if not colors:
            modulated = modulated * (modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        modulated = (modulated * layer.magnitude_ema.rsqrt()).flatten(0, 1)
        x = F.conv2d(x.reshape(1, n * c, *x.shape[2:]), modulated, padding=k - 1, groups=n)
        x = x.reshape(n, -1, *x.shape[2:]) + layer.bias[:, None, None]
        x = filtered(x, layer.up_filter, up=layer.shape.up, low=low, high=high)
        x = x if colors else F.leaky_relu(x, 0.2) * math.sqrt(2)
        x = x if layer.conv_clamp is None else x.clamp(-layer.conv_clamp, layer.conv_clamp)
        x = filtered(x, layer.down_filter, down=layer.shape.down)
    return x * generator.config.output_scale


def predict(generator: DiffAE, x: Tensor, t: Tensor, u: Tensor) -> Tensor:  # [N, 3, S, S], [N], [N, z_dim]
    """What the U-Net of a Diffusion Autoencoder predicts."""

    def norm(x: Tensor, layer) -> Tensor:
        return F.group_norm(x, layer.num_groups, layer.weight, layer.bias)

    def linear(x: Tensor, layer) -> Tensor:
        return F.linear(x, layer.weight, layer.bias)

    def conv(x: Tensor, layer) -> Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[2] // 2)

    def resized(x: Tensor, scale: int) -> Tensor:
        return F.interpolate(x, scale_factor=2.0) if scale > 0 else F.avg_pool2d(x, 2) if scale < 0 else x

    def residual(x: Tensor, block) -> Tensor:
        h = conv(resized(F.silu(norm(x, block.in_layers[0])), block.scale), block.in_layers[2])
        x = resized(x, block.scale)
        scale, shift = linear(F.silu(e), block.emb_layers[1])[:, :, None, None].chunk(2, dim=1)
        h = norm(h, block.out_layers[0]) * (1 + scale) + shift
        h = F.silu(h * (1 + linear(u, block.cond_emb_layers[1])[:, :, None, None]))
        skip = block.skip_connection
        return conv(h, block.out_layers[3]) + (conv(x, skip) if hasattr(skip, "weight") else x)

    def attend(x: Tensor, layer) -> Tensor:
        n, c, h, w = x.shape
        qkv = F.conv1d(norm(x, layer.norm).reshape(n, c, h * w), layer.qkv.weight, layer.qkv.bias)
        q, k, v = qkv.reshape(n * layer.heads, 3, c // layer.heads, h * w).unbind(1)
        weight = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(c // layer.heads), dim=-1)
        y = (v @ weight.transpose(1, 2)).reshape(n, c, h * w)
        return x + F.conv1d(y, layer.proj_out.weight, layer.proj_out.bias).reshape(x.shape)

    def through(x: Tensor, stage) -> Tensor:
        for layer in stage:
            x = (
                attend(x, layer)
                if hasattr(layer, "qkv")
                else residual(x, layer)
                if hasattr(layer, "scale")
                else conv(x, layer)
            )
        return x

    width, patch = generator.config.net_ch, generator.config.patch
    angles = t[:, None] * torch.exp(-math.log(10000) * torch.arange(width // 2) / (width // 2))
    first, _, second = generator.time_embed.time_embed
    e = linear(F.silu(linear(torch.cat([angles.cos(), angles.sin()], dim=1), first)), second)
    x, skips = F.pixel_unshuffle(x, patch), []
    for stage in generator.input_blocks:
        skips.append(x := through(x, stage))
    x = through(x, generator.middle_block)
    for stage in generator.output_blocks:
        x = through(torch.cat([x, skips.pop()], dim=1), stage)
    return F.pixel_shuffle(conv(F.silu(norm(x, generator.out[0])), generator.out[2]), patch)
