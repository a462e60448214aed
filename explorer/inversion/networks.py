"""The frozen networks that an inversion looks at a picture with, gathered once for all photos. Knows no search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from explorer.inversion.settings import InversionError
from explorer.metrics import Perceptual
from explorer.metrics.perceptual import clip_distance, load_perceptual
from explorer.networks import Encoder, Generator
from explorer.networks.clip import Clip, folded
from explorer.networks.family import Autoencoder
from explorer.weights import Checkpoint, CheckpointError
from explorer.weights.clip import load_clip
from explorer.weights.parts import load_encoder, part_of

ELSEWHERE = 0.1  # of W's spread: encoders told of a mean code farther away mean another generator's W


@dataclass(frozen=True)
class Networks:
    """A generator and what helps to invert it; None where there is none. Nothing here is ever changed.

    `dtype` is what the searches compute in; results and figures are float32.
    """

    generator: Generator
    perceptual: Perceptual
    clip: Clip | None = None
    encoder: Encoder | None = None
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return self.generator.device

    @property
    def mean(self) -> Tensor:  # [dim]
        return self.generator.mean

    @cached_property
    def fast_clip(self) -> Clip:
        """CLIP in `dtype`, for searches. Raises InversionError where there is none."""
        if self.clip is None:
            raise InversionError("this needs a CLIP model, and there is none")
        return folded(self.clip, self.dtype)

    @cached_property
    def own_perceptual(self) -> bool:
        """Whether the perceptual distance is that of `clip`, so that features of a photo can be kept."""
        return self.clip is not None and self.perceptual.name == self.clip.name

    def render(self, ws: Tensor, exact: bool = False, noise: Tensor | None = None) -> Tensor:  # -> [N, 3, H, W]
        """Pictures of codes `[N, rows, dim]`, three channels; float32 throughout with `exact`.

        Of the noise that `Edit` has by default, or of noise images.
        """
        dtype = torch.float32 if exact else self.dtype
        return self.generator.synthesize(ws, dtype=dtype, noise=noise).expand(-1, 3, -1, -1)

    def coarse(self, ws: Tensor, side: int) -> Tensor:  # [N, rows, dim] -> [N, 3, side, side]
        """Pictures as they are at a side on their way, one of `generator.sides`."""
        return self.generator.coarse(ws, side, self.dtype).expand(-1, 3, -1, -1)

    def encode(self, images: Tensor, exact: bool = False) -> tuple[Tensor, Tensor]:  # -> [N, dim], [N, rows, dim]
        """The encoder's code in W and its offsets: of one beside the generator, or its own.

        Raises InversionError where there is no encoder.
        """
        if self.encoder is None and isinstance(self.generator, Autoencoder):
            ws = self.generator.codes_of(images)
            return ws[:, 0], torch.zeros_like(ws)
        if self.encoder is None:
            raise InversionError(
                "this generator has no encoder beside it (NAME-encoder.safetensors): train one, or take a method that"
                " needs none, such as clip_guided"
            )
        return self.encoder(images, torch.float32 if exact else self.dtype)


def _belong(encoder: Encoder, generator: Generator) -> bool:
    """Whether they mean the same W: one shape, and a mean code that lies where the encoder was told."""
    codes = generator.codes
    if encoder.shape != (generator.resolution, generator.channels, codes.rows, codes.dim):
        return False
    apart = (encoder.mean - generator.mean).norm() / codes.dim**0.5
    return bool(apart <= ELSEWHERE * encoder.scale)


def gather(checkpoint: Checkpoint, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Networks:
    """The networks of a checkpoint: its encoder where one lies beside it, the shipped CLIP, the perceptual distance.

    Raises CheckpointError for a damaged file, and for an encoder that was made for another generator.
    """
    generator = checkpoint.generator.to(device)
    file = part_of(checkpoint, "encoder")
    encoder = None if file is None else load_encoder(file)[0].to(device)
    if encoder is not None and not _belong(encoder, generator):
        raise CheckpointError(
            f"{file} was made for another generator: train one for this with `train encoder`, or take the file away"
        )
    clip = load_clip(device=device)
    perceptual = load_perceptual(device)
    if perceptual.name == clip.name:
        perceptual = Perceptual(clip.name, clip_distance(clip))  # the same distance on the network already here
    return Networks(generator, perceptual, clip, encoder, dtype)
