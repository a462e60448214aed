"""A second critic that sees pictures through a frozen ImageNet network: small heads on its features (vision-aided GAN).

Sources: "Ensembling Off-the-shelf Models for GAN Training" (arXiv 2112.09130) for a critic beside the usual one;
"Projected GANs Converge Faster" (arXiv 2111.01007) for heads at several depths of EfficientNet-Lite, each judging every
place. Our own: heads of equalised layers, features of unit length. Knows no loop and no loss.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.networks.layers import Conv2d, normalize_2nd_moment
from explorer.weights.imagenet import MEAN, STD, load_imagenet

STRIDES = (4, 8, 16)  # where features are taken: the last block before the picture is halved again
WIDTH = 96  # channels of a head


class Backbone(nn.Module):
    """Frozen EfficientNet-Lite: pictures to features of three depths.

    Raises ValueError for an unknown name and where the packages are not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, px: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.px, self.dtype = px, dtype
        network = load_imagenet(name)
        self.stem, self.act = network._conv_stem, network._swish
        self.blocks, self.taps = nn.ModuleList(), []
        stride, channels = 2, []
        for block in network._blocks:
            halves = 2 in tuple(block._depthwise_conv.stride)
            if halves and stride in STRIDES:
                self.taps.append(len(self.blocks) - 1)
                channels.append(self.blocks[-1]._project_conv.out_channels)  # type: ignore[union-attr]
            if halves and stride == STRIDES[-1]:
                break
            stride *= 2 if halves else 1
            self.blocks.append(block)
        self.channels = tuple(channels)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 2 - 1)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 2)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:  # [N, 3, H, W] in [-1, 1] -> 3 x [N, C, h, w], unit mean square
        """Features at a quarter, an eighth and a sixteenth of the network's resolution."""
        x = F.interpolate(images.float(), size=self.px, mode="bilinear", antialias=images.shape[-1] > self.px)
        x = ((x - self.mean.float()) / self.std.float()).to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = self.act(self.stem(x))
        found = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self.taps:
                found.append(normalize_2nd_moment(x.float()))
        return found


class VisionCritic(nn.Module):
    """Heads of three layers on the features of a `Backbone`. The heads alone are trained and saved."""

    def __init__(self, name: str, px: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._backbone = [Backbone(name, px, dtype)]  # in a list: not a submodule, so neither trained nor saved
        self.heads = nn.ModuleList(
            nn.Sequential(
                Conv2d(channels, WIDTH, 1, activation="lrelu"),
                Conv2d(WIDTH, WIDTH, 3, activation="lrelu"),
                Conv2d(WIDTH, 1, 3),
            )
            for channels in self._backbone[0].channels
        )

    def to(self, *args: Any, **kwargs: Any) -> VisionCritic:
        """Move heads and backbone."""
        self._backbone[0].to(*args, **kwargs)
        return super().to(*args, **kwargs)

    def forward(self, images: Tensor) -> list[Tensor]:  # -> a head's logits [N, 1, h, w], for every head
        """Judge every place of the pictures at every depth."""
        return [head(features) for head, features in zip(self.heads, self._backbone[0](images), strict=True)]
