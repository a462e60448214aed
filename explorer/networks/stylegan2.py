"""StyleGAN2's generator: mapping network (z, c) -> ws and synthesis network ws -> image.

Source: StyleGAN2 (arXiv 1912.04958). Plain and differentiable; the engine holds its fast paths against this module.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from explorer import kernels
from explorer.networks.family import Codes, Generator, NoiseMode, NoiseSeed, StyleLayer
from explorer.networks.layers import (
    Conv2d,
    FullyConnected,
    conv2d_resample,
    demodulation,
    modulate,
    normalize_2nd_moment,
    upsample_image,
)

Architecture = Literal["skip", "orig", "resnet"]
# Where a layer draws random noise from: a generator of PyTorch's, or a function (batch, side) -> [batch, 1, H, W].
NoiseSource = torch.Generator | Callable[[int, int], Tensor] | None


def channels_from_base(img_resolution: int, channel_base: int, channel_max: int) -> tuple[int, ...]:
    """Channels of the blocks 4, 8, ..., img_resolution by the published rule `min(channel_base / resolution, max)`."""
    return tuple(min(channel_base >> i, channel_max) for i in range(2, img_resolution.bit_length()))


@dataclass(frozen=True)
class StyleGAN2Config:
    """Everything that fixes a generator's shape; plain data, stored in native checkpoints as JSON.

    `channels[i]` is the width of the block at resolution `4 * 2**i`. With `label_concat` a label's vector is as wide as
    z and both are normalised as one, as in StyleGAN2 of 2019. Raises ValueError where the parts do not fit.
    """

    img_resolution: int
    channels: tuple[int, ...]
    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_channels: int = 3
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    architecture: Architecture = "skip"
    conv_clamp: float | None = None
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    use_noise: bool = True
    label_concat: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "resample_filter", tuple(self.resample_filter))
        resolution = self.img_resolution
        if resolution < 4 or resolution & (resolution - 1):
            raise ValueError(f"img_resolution must be a power of two of at least 4, got {resolution}")
        if len(self.channels) != resolution.bit_length() - 2:
            raise ValueError(f"{resolution} px needs {resolution.bit_length() - 2} channel counts, got {self.channels}")
        sizes = {"w_dim": self.w_dim, "img_channels": self.img_channels, "mapping_layers": self.mapping_layers}
        for name, size in sizes.items() | {(f"channels[{i}]", c) for i, c in enumerate(self.channels)}:
            if size < 1:
                raise ValueError(f"{name} must be positive, got {size}")
        if self.z_dim < 0 or self.c_dim < 0 or self.z_dim + self.c_dim < 1:
            raise ValueError(f"z_dim + c_dim must be positive, got z_dim {self.z_dim} and c_dim {self.c_dim}")
        if self.label_concat and not (self.z_dim and self.c_dim):
            raise ValueError("label_concat needs z and classes")
        if self.architecture not in ("skip", "orig", "resnet"):
            raise ValueError(f"architecture must be skip, orig or resnet, got {self.architecture!r}")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the blocks, 4 to img_resolution."""
        return tuple(4 << i for i in range(len(self.channels)))

    @property
    def num_ws(self) -> int:
        """Rows of `ws`: one a convolution, and one for the last ToRGB."""
        return 2 * len(self.channels)


class MappingNetwork(nn.Module):
    """z and class label -> w, truncated towards the running mean `w_avg` (StyleGAN, arXiv 1812.04948, section 2).

    `w_dim` wide throughout. With `num_ws` the result is repeated for every row, without it is `[N, w_dim]` (the
    discriminator's label embedding, which has no `w_avg` either). With `label_concat` the label's vector has no bias,
    and one norm is taken of z and it together.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int,
        lr_multiplier: float,
        label_concat: bool = False,
        label_dim: int | None = None,  # width of an embedded label where that is not w_dim; its own `labels` makes it
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = z_dim, c_dim, num_ws, num_layers
        self.label_concat = label_concat
        embed_dim = 0 if not c_dim else z_dim if label_concat else label_dim or w_dim
        if label_concat:
            self.embed = nn.Linear(c_dim, embed_dim, bias=False)
        elif c_dim and label_dim is None:
            self.embed = FullyConnected(c_dim, embed_dim)
        widths = [z_dim + embed_dim] + [w_dim] * num_layers
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            self.add_module(f"fc{i}", FullyConnected(n_in, n_out, activation="lrelu", lr_multiplier=lr_multiplier))
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor | None,  # [N, z_dim]
        c: Tensor | None = None,  # [N, c_dim], one-hot or soft labels
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:  # [N, num_ws, w_dim], or [N, w_dim] without num_ws
        parts = []
        if self.z_dim:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise ValueError(f"z must be [N, {self.z_dim}], got {None if z is None else list(z.shape)}")
            parts.append(z)
        if self.c_dim:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                got = None if c is None else list(c.shape)
                raise ValueError(f"this generator is conditional: c must be [N, {self.c_dim}], got {got}")
            parts.append(self.labels(c))
        if self.label_concat:
            x = normalize_2nd_moment(torch.cat(parts, dim=1))
        else:
            x = torch.cat([normalize_2nd_moment(part) for part in parts], dim=1)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if self.num_ws is None:
            return x
        ws = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi == 1:
            return ws
        cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
        return torch.cat([self.center(c).lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], dim=1)

    def labels(self, c: Tensor) -> Tensor:  # [N, c_dim] -> [N, w_dim]
        return self.embed(c.to(self.embed.weight.dtype))

    def center(self, c: Tensor | None) -> Tensor:  # of truncation, broadcasts with [N, num_ws, w_dim]
        return self.w_avg


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU (StyleGAN2, figure 2c)."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, config: StyleGAN2Config, in_channels: int, out_channels: int, resolution: int, up: int) -> None:
        super().__init__()
        self.resolution, self.up = resolution, up
        self.conv_clamp, self.use_noise = config.conv_clamp, config.use_noise
        # What surrounds the convolution; a trainer may put compiled functions of the same meaning here.
        self.modulate: Callable[..., Tensor] = modulate
        self.epilogue: Callable[..., Tensor] = kernels.demod_bias_act
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.register_buffer("resample_filter", kernels.setup_filter(config.resample_filter), persistent=False)
        if config.use_noise:
            self.register_buffer("noise_const", torch.randn(resolution, resolution))
            self.noise_strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode, rng: NoiseSource, gain: float) -> Tensor:
        styles = self.affine(w)
        x = conv2d_resample(self.modulate(x, styles), self.weight.to(x.dtype), self.resample_filter, up=self.up)
        noise = self.noise(noise_mode, len(x), rng)
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain
        demod = demodulation(self.weight, styles)
        return self.epilogue(x, demod, noise, b=self.bias, gain=math.sqrt(2) * gain, clamp=clamp)

    def noise(self, mode: NoiseMode, batch: int, rng: NoiseSource) -> Tensor | None:
        """The noise image `[1 or batch, 1, H, W]`, scaled by its learned strength, or None for mode "none".

        Mode "random" draws on the CPU from `rng`, so that a seed gives the same noise on every device.
        """
        if not self.use_noise or mode == "none":
            return None
        if mode == "const":
            return self.noise_const[None, None] * self.noise_strength
        return self.draw(batch, rng).to(self.noise_strength.device) * self.noise_strength

    def draw(self, batch: int, rng: NoiseSource) -> Tensor:  # [batch, 1, H, W]
        """Random noise before its strength."""
        if isinstance(rng, Callable):
            return rng(batch, self.resolution)
        return torch.randn(batch, 1, self.resolution, self.resolution, generator=rng)


class ToRGB(nn.Module):
    """1x1 modulated convolution without demodulation: features -> image channels."""

    def __init__(self, config: StyleGAN2Config, in_channels: int) -> None:
        super().__init__()
        self.conv_clamp = config.conv_clamp
        self.affine = FullyConnected(config.w_dim, in_channels, bias_init=1)
        self.weight = nn.Parameter(torch.randn(config.img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(config.img_channels))
        self.weight_gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) * self.weight_gain
        weight = self.weight.flatten(1) * styles[:, None, :]  # [N, img_channels, in]: small, unlike x * styles
        x = (weight.to(x.dtype) @ x.flatten(2)).unflatten(2, x.shape[2:])
        return kernels.bias_act(x, self.bias.to(x.dtype), clamp=self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: the constant at 4 px, up-sampling + plain convolution above, and ToRGB where there is one."""

    resample_filter: Tensor

    def __init__(self, config: StyleGAN2Config, index: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        channels = config.channels[index]
        self.resolution = resolution = config.resolutions[index]
        self.num_conv = 1 if index == 0 else 2
        if index == 0:
            self.const = nn.Parameter(torch.randn(channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(config, config.channels[index - 1], channels, resolution, up=2)
        self.conv1 = SynthesisLayer(config, channels, channels, resolution, up=1)
        self.has_torgb = config.architecture == "skip" or resolution == config.img_resolution
        if self.has_torgb:
            self.torgb = ToRGB(config, channels)
        if config.architecture == "resnet" and index > 0:
            self.skip = Conv2d(
                config.channels[index - 1], channels, 1, bias=False, up=2, resample_filter=config.resample_filter
            )
        self.register_buffer("resample_filter", kernels.setup_filter(config.resample_filter), persistent=False)

    def layers(self) -> list[SynthesisLayer]:
        """Its convolutions, in order."""
        return [self.conv1] if self.num_conv == 1 else [self.conv0, self.conv1]

    def forward(
        self,
        x: Tensor | None,  # [N, C, H / 2, W / 2]; None at 4 px
        img: Tensor | None,  # [N, img_channels, H / 2, W / 2]
        rows: Tensor,  # [N, num_conv + 1, w_dim]; the last row is ToRGB's
        noise_mode: NoiseMode,
        rng: NoiseSource,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        w = rows.unbind(dim=1)
        if x is None:
            layout = torch.channels_last if dtype.itemsize == 2 else torch.contiguous_format
            x = self.const.to(dtype).expand(len(rows), -1, -1, -1).contiguous(memory_format=layout)
            x = self.conv1(x, w[0], noise_mode, rng, 1.0)
        elif self.architecture == "resnet":
            half = math.sqrt(0.5)
            residual = self.skip(x, gain=half)
            x = self.conv0(x, w[0], noise_mode, rng, 1.0)
            x = residual + self.conv1(x, w[1], noise_mode, rng, half)
        else:
            x = self.conv1(self.conv0(x, w[0], noise_mode, rng, 1.0), w[1], noise_mode, rng, 1.0)
        if img is not None:
            img = upsample_image(img, self.resample_filter)
        if self.has_torgb:
            rgb = self.torgb(x, w[-1]).to(torch.float32)
            img = rgb if img is None else img + rgb
        assert x is not None
        return x, img


class SynthesisNetwork(nn.Module):
    """ws -> image. Block k starts at row `2k - 1` (4 px: row 0); ToRGB takes the row after its block's convolutions."""

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        for index, resolution in enumerate(config.resolutions):
            self.add_module(f"b{resolution}", SynthesisBlock(config, index))

    def blocks(self) -> Iterator[tuple[int, SynthesisBlock]]:
        """(first row of ws, block), from 4 px up."""
        for index, resolution in enumerate(self.config.resolutions):
            yield max(2 * index - 1, 0), getattr(self, f"b{resolution}")

    def forward(
        self,
        ws: Tensor,  # [N, num_ws, w_dim]
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
        dtype: torch.dtype = torch.float32,
        side: int | None = None,
    ) -> Tensor:  # [N, img_channels, H, W], float32, about [-1, 1]
        """Synthesise images, or, in the skip architecture, what they are at a smaller `side`.

        Mode "random" draws fresh noise, the same each time where `noise_seed` is given; a function in its place makes
        the noise, (batch, resolution) -> `[batch, 1, resolution, resolution]`. `dtype` is what the convolutions compute
        in; styles and the summed picture stay float32, 16 bits run channels-last.
        """
        expected = (self.config.num_ws, self.config.w_dim)
        if ws.ndim != 3 or ws.shape[1:] != expected:
            raise ValueError(f"ws must be [N, {expected[0]}, {expected[1]}], got {list(ws.shape)}")
        if noise_mode not in ("const", "none", "random"):
            raise ValueError(f"noise_mode must be const, none or random, got {noise_mode!r}")
        rng = torch.Generator().manual_seed(noise_seed) if isinstance(noise_seed, int) else noise_seed
        x = img = None
        for row, block in self.blocks():
            x, img = block(x, img, ws[:, row : row + block.num_conv + 1], noise_mode, rng, dtype)
            if block.resolution == side:
                break
        assert img is not None
        return img


class StyleGAN2(Generator):
    """StyleGAN2's generator: `mapping` then `synthesis`. Fresh weights until a state dict is loaded."""

    family = "stylegan2"
    Config = StyleGAN2Config
    config: StyleGAN2Config

    def __init__(self, config: StyleGAN2Config) -> None:
        super().__init__()
        self.config = config
        self.z_dim, self.c_dim, self.w_dim = config.z_dim, config.c_dim, config.w_dim
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.num_ws = config.num_ws
        self.codes = Codes(config.num_ws, config.w_dim, config.z_dim, ("const", "none", "random"))
        self.resolution, self.channels, self.classes = config.img_resolution, config.img_channels, config.c_dim
        self.mapping = MappingNetwork(
            config.z_dim,
            config.c_dim,
            config.w_dim,
            config.num_ws,
            config.mapping_layers,
            config.mapping_lr_multiplier,
            label_concat=config.label_concat,
        )
        self.synthesis = SynthesisNetwork(config)

    def forward(
        self,
        z: Tensor,  # [N, z_dim]
        c: Tensor | None = None,  # [N, c_dim]
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "const",
    ) -> Tensor:  # [N, img_channels, H, W]
        ws = self.mapping(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self.synthesis(ws, noise_mode=noise_mode)

    @property
    def mean(self) -> Tensor:
        return self.mapping.w_avg

    def draw(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.mapping(z, self.one_hot(labels, z), psi, cutoff)

    def synthesize(
        self,
        codes: Tensor,
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
        dtype: torch.dtype = torch.float32,
        pose: Tensor | None = None,
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        return self.synthesis(codes, noise_mode, noise_seed, dtype)

    @property
    def sides(self) -> tuple[int, ...]:
        return self.config.resolutions if self.config.architecture == "skip" else (self.resolution,)

    def coarse(
        self,
        codes: Tensor,
        side: int,
        dtype: torch.dtype = torch.float32,
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
    ) -> Tensor:
        if side not in self.sides:
            raise ValueError(f"a picture of this generator is seen at sides of {self.sides}, got {side}")
        return self.synthesis(codes, noise_mode, noise_seed, dtype, side)

    @property
    def features(self) -> int:
        return max(c * r**2 for c, r in zip(self.config.channels, self.config.resolutions, strict=True))

    def style_layers(self) -> tuple[StyleLayer, ...]:
        return tuple(layer for row, block in self.synthesis.blocks() for layer in _style_layers(row, block))

    def learnable(self) -> dict[str, nn.Parameter]:
        return {f"synthesis.{name}": parameter for name, parameter in self.synthesis.named_parameters()}

    def describe(self) -> list[str]:
        config = self.config
        labels = f"{config.c_dim} classes" if config.c_dim else "no classes"
        noise = "with noise" if config.use_noise else "without noise"
        clamp = "" if config.conv_clamp is None else f", clamped at {config.conv_clamp:g}"
        return [
            f"generator: StyleGAN2, {config.img_resolution} x {config.img_resolution} px,"
            f" {config.img_channels} channels, {labels}, {self.parameter_count() / 1e6:.2f} million parameters",
            f"  z: {config.z_dim} numbers; w: {config.w_dim} numbers in {config.num_ws} rows"
            f" after {config.mapping_layers} mapping layers",
            f"  synthesis: {config.architecture} architecture, widths {' '.join(map(str, config.channels))},"
            f" {noise}{clamp}",
        ]


def _style_layers(row: int, block: SynthesisBlock) -> Iterator[StyleLayer]:
    """A block's convolutions, then its ToRGB; published bases take the convolutions and the ToRGB of 4 px."""
    names = ["conv0", "conv1"][-block.num_conv :] + ["torgb"] * block.has_torgb
    for offset, name in enumerate(names):
        affine, feeds = getattr(block, name).affine, f"synthesis.b{block.resolution}.{name}"
        colors = name == "torgb"
        yield StyleLayer(
            name=f"{feeds}.affine",
            feeds=feeds,
            row=row + offset,
            weight=affine.weight,
            bias=affine.bias,
            weight_gain=affine.weight_gain,
            bias_gain=affine.bias_gain,
            colors=colors,
            in_basis=not colors or block.num_conv == 1,
        )
