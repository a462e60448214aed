"""What a task is: how one domain is learned from texts or pictures.

A task is a module whose parameters, if any, are its own discriminator and whose buffers are what `prepare` found out
(anchors, directions); both are saved and resumed by the trainer. Three methods make it:

    prepare()           once, before the first step of a new run: invert, embed, measure
    loss(shown)         the generator's loss on pictures of this domain, the mean over them
    critic_loss(shown)  the loss of the task's own parameters, where it has some

and `codes`, where a domain is to be shown at other codes than random ones, `examples`, where the task itself can say
what they look like. Knows neither projection nor replay, so
that the same task serves expansion and plain adaptation.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from explorer.inversion import InversionError, Networks, Settings, invert
from explorer.inversion.faces import crop
from explorer.inversion.objective import perceptual_to
from explorer.latents import sample_codes
from explorer.networks import Discriminator
from explorer.networks.clip import Clip
from explorer.networks.pixels import as_rgb, from_array
from explorer.photos import PhotoError, open_photo
from explorer.refused import Refused
from explorer.training.data import ENDINGS
from explorer.training.draws import Draws


class ExpansionError(Refused):
    """An expansion that cannot be; the message is one sentence on what was expected."""


@dataclass(frozen=True)
class Eye:
    """One CLIP model that judges; `fast` is its copy in the type that training computes in."""

    clip: Clip
    weight: float
    dtype: torch.dtype = torch.float32

    @cached_property
    def fast(self) -> Clip:
        return self.clip if self.dtype == torch.float32 else copy.deepcopy(self.clip).to(self.dtype)

    def __call__(self, images: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1] -> [N, E] of unit length, float32
        pictures = images.to(self.dtype).contiguous(memory_format=torch.channels_last)
        return nn.functional.normalize(self.fast.encode_image(pictures).float(), dim=-1)


@dataclass(frozen=True)
class Studio:
    """The frozen networks that tasks may use, and what they compute in.

    `networks.generator` is the source as it was. `discriminator` is a copy of the source's, or None.
    """

    networks: Networks
    eyes: tuple[Eye, ...]
    discriminator: Discriminator | None = None
    dtype: torch.dtype = torch.float32

    @property
    def device(self) -> torch.device:
        return self.networks.device

    @property
    def resolution(self) -> int:
        return self.networks.generator.resolution

    @torch.no_grad()
    def samples(self, count: int) -> Tensor:  # [count, 3, R, R]
        """Pictures of the source, always the same ones."""
        generator = self.networks.generator
        parts = sample_codes(generator, count).split(8)
        return as_rgb(torch.cat([generator.synthesize(codes, dtype=self.dtype) for codes in parts]).clamp(-1, 1))

    def photo(self, path: str | Path) -> Tensor:  # [3, R, R] in [-1, 1]
        """The middle square of a picture file. Raises ExpansionError where it cannot be read."""
        try:
            pixels = crop(open_photo(Path(path)), None, self.resolution)
        except PhotoError as error:
            raise ExpansionError(f"{path} cannot be used as a picture: {error}") from None
        return from_array(pixels).to(self.device)

    def photos(self, path: str | Path) -> Tensor:  # [N, 3, R, R]
        """A picture, or all pictures of a folder by name. Raises ExpansionError where there are none."""
        place = Path(path)
        if not place.exists():
            raise ExpansionError(f"{place} is not there")
        files = sorted(p for p in place.rglob("*") if p.suffix.lower() in ENDINGS) if place.is_dir() else [place]
        if not files:
            raise ExpansionError(f"{place} holds no pictures ({', '.join(ENDINGS)})")
        return torch.stack([self.photo(file) for file in files])

    def perceptual_to(self, pictures: Tensor) -> Callable[[Tensor], Tensor]:  # [N, 3, R, R] -> ([N, 3, R, R] -> [N])
        """Perceptual distance to fixed pictures."""
        return perceptual_to(self.networks, pictures)

    def invert(self, photos: Tensor, settings: Settings) -> Tensor:  # [N, 3, R, R] -> [N, rows, dim]
        """Codes of photos in the source."""
        try:
            return torch.cat([invert(self.networks, part, settings).ws for part in photos.split(16)]).detach()
        except InversionError as error:
            raise ExpansionError(str(error)) from None


@dataclass(frozen=True)
class Shown:
    """What a task sees of a step: the `n` samples that fell to its domain.

    Attributes:
        images: `[n, 3, R, R]` in [-1, 1], as they are shown, in the domain; gradients flow through them.
        before: `[n, 3, R, R]` in [-1, 1], the same codes in the base subspace, without gradients.
        ws: `[n, rows, dim]`, those codes.
        seen, seen_before: for every CLIP `[views, n, E]`, directions of augmented versions of both, the same for both;
            empty for a task that does not ask for them (`uses_clip`).
        draws: random numbers of these samples.
        step: of the run.
    """

    images: Tensor
    before: Tensor
    ws: Tensor
    seen: tuple[Tensor, ...]
    seen_before: tuple[Tensor, ...]
    draws: Draws
    step: int


class Task(nn.Module, ABC):
    """One domain's task; see this module's first lines. `Arguments` is a frozen dataclass of plain data."""

    Arguments: ClassVar[Any]
    uses_clip: ClassVar[bool] = False
    any_side: ClassVar[bool] = False  # whether it can judge pictures that are smaller than the generator's
    knows: ClassVar[bool] = False  # whether it can say what pictures of its domain look like (`examples`)

    def __init__(self, arguments: Any, studio: Studio) -> None:
        super().__init__()
        self.arguments, self.studio = arguments, studio

    def prepare(self) -> None:
        """Find out what the task needs to know; not called when a run is resumed."""

    def codes(self, ws: Tensor, draws: Draws, step: int) -> Tensor:  # [n, rows, dim], same
        """The codes at which the domain is shown this step; the random ones given, unless a task knows better."""
        return ws

    def examples(self, photos: Tensor, draws: Draws) -> tuple[Tensor, bool]:  # [n, 3, R, R] in [-1, 1], same
        """Pictures of the domain, and whether they are those photos as they look there, or others."""
        raise NotImplementedError

    @abstractmethod
    def loss(self, shown: Shown) -> Tensor:  # scalar
        """The generator's loss: the mean over the samples."""

    def critic_loss(self, shown: Shown) -> Tensor | None:  # scalar
        """The loss of the task's own parameters on the same samples, `shown.images` without gradients."""
        return None

    def frozen(self, ws: Tensor) -> frozenset[str]:  # [n, rows, dim]
        """Names of the parameters (`Generator.learnable`) that this domain's loss leaves alone this step."""
        return frozenset()
