"""StyleGAN2's discriminator: image -> one logit.

Source: StyleGAN2 (arXiv 1912.04958); conditional by projection (arXiv 1802.05637).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from explorer import kernels
from explorer.networks.layers import Conv2d, FullyConnected
from explorer.networks.stylegan2 import Architecture, MappingNetwork


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that fixes a discriminator's shape. `channels[i]` is the width at resolution `4 * 2**i`.

    `cmap_dim` is the width of the label embedding (0: unconditional); `mbstd_group_size` None takes the whole batch.
    """

    img_resolution: int
    channels: tuple[int, ...]
    c_dim: int = 0
    img_channels: int = 3
    architecture: Architecture = "resnet"
    conv_clamp: float | None = None
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    cmap_dim: int = 0
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    mbstd_group_size: int | None = 4
    mbstd_num_channels: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        object.__setattr__(self, "resample_filter", tuple(self.resample_filter))
        resolution = self.img_resolution
        if resolution < 4 or resolution & (resolution - 1) or len(self.channels) != resolution.bit_length() - 2:
            raise ValueError(f"channels {self.channels} do not fit a resolution of {resolution} px")
        if bool(self.c_dim) != bool(self.cmap_dim):
            raise ValueError(f"c_dim {self.c_dim} and cmap_dim {self.cmap_dim} must both be zero or both positive")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions of the blocks, 4 to img_resolution."""
        return tuple(4 << i for i in range(len(self.channels)))


def minibatch_stddev(x: Tensor, group_size: int | None, num_channels: int) -> Tensor:
    """Append the standard deviation over groups of samples as extra channels (ProGAN, arXiv 1710.10196, section 3).

    x `[N, C, H, W]` -> `[N, C + num_channels, H, W]`. N must be a multiple of min(group_size, N).
    """
    n, c, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    y = x.reshape(group, -1, num_channels, c // num_channels, h, w)
    std = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(2, 3, 4))  # [N / group, num_channels]
    return torch.cat([x, std.reshape(-1, num_channels, 1, 1).repeat(group, 1, h, w)], dim=1)


class DiscriminatorBlock(nn.Module):
    """One resolution above 4 px: two convolutions, the second down-sampling."""

    resample_filter: Tensor

    def __init__(self, config: DiscriminatorConfig, index: int) -> None:
        super().__init__()
        self.architecture = config.architecture
        channels, out_channels = config.channels[index], config.channels[index - 1]
        shared = {"resample_filter": config.resample_filter, "conv_clamp": config.conv_clamp}
        self.has_fromrgb = index == len(config.channels) - 1 or config.architecture == "skip"
        if self.has_fromrgb:
            self.fromrgb = Conv2d(config.img_channels, channels, 1, activation="lrelu", **shared)
        self.conv0 = Conv2d(channels, channels, 3, activation="lrelu", **shared)
        self.conv1 = Conv2d(channels, out_channels, 3, activation="lrelu", down=2, **shared)
        if config.architecture == "resnet":
            self.skip = Conv2d(channels, out_channels, 1, bias=False, down=2, resample_filter=config.resample_filter)
        self.register_buffer("resample_filter", kernels.setup_filter(config.resample_filter), persistent=False)

    def forward(self, x: Tensor | None, img: Tensor) -> tuple[Tensor, Tensor]:
        if self.has_fromrgb:
            features = self.fromrgb(img)
            x = features if x is None else x + features
        if self.architecture == "skip":
            img = kernels.downsample2d(img, self.resample_filter)
        if self.architecture == "resnet":
            half = math.sqrt(0.5)
            assert x is not None
            return self.skip(x, gain=half) + self.conv1(self.conv0(x), gain=half), img
        return self.conv1(self.conv0(x)), img


class DiscriminatorEpilogue(nn.Module):
    """4 px: minibatch standard deviation, convolution, two linear layers, projection on the label's embedding."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.channels[0]
        if config.architecture == "skip" or len(config.channels) == 1:
            self.fromrgb = Conv2d(config.img_channels, channels, 1, activation="lrelu", conv_clamp=config.conv_clamp)
        extra = config.mbstd_num_channels
        self.conv = Conv2d(channels + extra, channels, 3, activation="lrelu", conv_clamp=config.conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, activation="lrelu")
        self.out = FullyConnected(channels, config.cmap_dim or 1)

    def forward(self, x: Tensor | None, img: Tensor, cmap: Tensor | None) -> Tensor:
        if hasattr(self, "fromrgb"):
            features = self.fromrgb(img)
            x = features if x is None else x + features
        assert x is not None
        x = x.to(torch.promote_types(x.dtype, torch.float32)).contiguous()
        if self.config.mbstd_num_channels:
            x = minibatch_stddev(x, self.config.mbstd_group_size, self.config.mbstd_num_channels)
        features = self.out(self.fc(self.conv(x).flatten(1)))
        if cmap is None:
            return features
        return (features * cmap).sum(dim=1, keepdim=True) / math.sqrt(self.config.cmap_dim)


class Discriminator(nn.Module):
    """StyleGAN2's discriminator. Fresh weights until a state dict is loaded."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.c_dim, self.img_resolution, self.img_channels = config.c_dim, config.img_resolution, config.img_channels
        for index in range(len(config.channels) - 1, 0, -1):
            self.add_module(f"b{config.resolutions[index]}", DiscriminatorBlock(config, index))
        if config.c_dim:
            self.mapping = MappingNetwork(
                0, config.c_dim, config.cmap_dim, None, config.mapping_layers, config.mapping_lr_multiplier
            )
        self.b4 = DiscriminatorEpilogue(config)

    def forward(
        self,
        img: Tensor,  # [N, img_channels, H, W], [-1, 1]
        c: Tensor | None = None,  # [N, c_dim]
        dtype: torch.dtype | None = None,
    ) -> Tensor:  # [N, 1] logits, larger = more real
        """Judge images. `dtype` is what the blocks above 4 px compute in (None: as the images); 16 bits run

        channels-last.
        """
        expected = (self.img_channels, self.img_resolution, self.img_resolution)
        if img.ndim != 4 or img.shape[1:] != expected:
            raise ValueError(f"img must be [N, {', '.join(map(str, expected))}], got {list(img.shape)}")
        img = img.to(dtype or img.dtype)
        if img.dtype.itemsize == 2:
            img = img.contiguous(memory_format=torch.channels_last)
        x = None
        for resolution in self.config.resolutions[:0:-1]:
            x, img = getattr(self, f"b{resolution}")(x, img)
        return self.b4(x, img, self.mapping(None, c) if self.c_dim else None)
