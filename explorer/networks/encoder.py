"""The domain-guided encoder: a picture to a code of W, and to what each row of W+ adds to it.

Source: In-Domain GAN Inversion (arXiv 2004.00049), section 3.1, a residual network; the offsets beside one code of W
are those of e4e (arXiv 2102.02766), since a domain-expanded generator is edited in W. Knows no generator and no loss.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from explorer.networks.layers import Conv2d, FullyConnected


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that fixes an encoder's shape. `channels[i]` is the width at resolution `4 * 2**i`.

    Raises ValueError where the widths do not fit the resolution.
    """

    img_resolution: int
    channels: tuple[int, ...]
    w_dim: int = 512
    num_ws: int = 10
    img_channels: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        resolution = self.img_resolution
        if resolution < 4 or resolution & (resolution - 1) or len(self.channels) != resolution.bit_length() - 2:
            raise ValueError(f"channels {self.channels} do not fit a resolution of {resolution} px")

    def looks_like(self, other: EncoderConfig) -> bool:
        """Whether both look at pictures alike: all but the number of rows is the same."""
        return replace(self, num_ws=other.num_ws) == other

    def doubles(self, other: EncoderConfig) -> bool:
        """Whether it looks at pictures twice as large, and behind its first block as `other` does."""
        channels = (*other.channels, other.channels[-1])
        return replace(other, img_resolution=2 * other.img_resolution, channels=channels, num_ws=self.num_ws) == self


class ResidualDown(nn.Module):
    """One resolution above 4 px: two convolutions beside a 1x1 one, each way halving the picture."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv0 = Conv2d(channels, channels, 3, activation="lrelu")
        self.conv1 = Conv2d(channels, out_channels, 3, activation="lrelu", down=2)
        self.skip = Conv2d(channels, out_channels, 1, bias=False, down=2)

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, C', H / 2, W / 2]
        half = math.sqrt(0.5)
        return self.skip(x, gain=half) + self.conv1(self.conv0(x), gain=half)

    @torch.no_grad()
    def pass_on(self) -> None:
        """Become what only halves the picture, where as many channels come out as go in."""
        self.conv1.weight.zero_()
        self.skip.weight.copy_(torch.eye(len(self.skip.weight))[..., None, None] * math.sqrt(2) / self.skip.weight_gain)


class Encoder(nn.Module):
    """Picture -> code of W and offsets of W+. `w_avg` and `scale` (of W) are the generator's, set before training."""

    w_avg: Tensor
    scale: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.channels
        self.from_rgb = Conv2d(config.img_channels, widths[-1], 1, activation="lrelu")
        self.blocks = nn.ModuleList(ResidualDown(widths[i], widths[i - 1]) for i in range(len(widths) - 1, 0, -1))
        self.conv = Conv2d(widths[0], widths[0], 3, activation="lrelu")
        self.fc = FullyConnected(widths[0] * 16, config.w_dim, activation="lrelu")
        self.to_w = FullyConnected(config.w_dim, config.w_dim)
        self.to_offsets = FullyConnected(config.w_dim, config.num_ws * config.w_dim)
        self.register_buffer("w_avg", torch.zeros(config.w_dim))
        self.register_buffer("scale", torch.ones(()))
        with torch.no_grad():
            self.to_offsets.weight.zero_()  # training starts in W

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Side and channels of the pictures that go in, rows and width of the codes that come out."""
        config = self.config
        return config.img_resolution, config.img_channels, config.num_ws, config.w_dim

    @property
    def mean(self) -> Tensor:  # [w_dim]
        """The mean code of the generator that it was trained for."""
        return self.w_avg

    def forward(
        self,
        images: Tensor,  # [N, img_channels, H, W] in [-1, 1]
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:  # [N, w_dim], [N, num_ws, w_dim]
        """Codes of W and the offsets: `w[:, None]` is the code in W, `w[:, None] + offsets` the one in W+.

        `dtype` is what the convolutions compute in (None: float32). Raises ValueError for pictures of another shape.
        """
        side = self.config.img_resolution
        if images.ndim != 4 or images.shape[1:] != (self.config.img_channels, side, side):
            raise ValueError(
                f"pictures must be [N, {self.config.img_channels}, {side}, {side}], got {list(images.shape)}"
            )
        x = images.to(dtype or torch.float32)
        if x.dtype.itemsize == 2:
            x = x.contiguous(memory_format=torch.channels_last)
        x = self.from_rgb(x)
        for block in self.blocks:
            x = block(x)
        x = self.fc(self.conv(x).float().contiguous().flatten(1))
        w = self.w_avg + self.scale * self.to_w(x)
        return w, self.scale * self.to_offsets(x).unflatten(1, (self.config.num_ws, -1))
