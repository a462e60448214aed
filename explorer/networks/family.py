"""What a generator is to the rest of the program, whatever its kind: codes in, pictures out.

Nothing above `explorer.networks` touches a module or a parameter's name of one kind but through `Generator`; a new kind
is a subclass of it, an entry in `FAMILIES` (`explorer.networks`), an importer (`explorer.weights`) and, where it has a
fast path, a renderer (`explorer.engine.renderers`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGE = 512  # px: from here on a CPU takes seconds for a step of what learns or searches
WARM_SIDE = 128  # px that are looked at first then, where a picture is seen on its way
HELD = 24  # tensors of the size of the largest features that one keeps for gradients; measured at 1024 px
NoiseMode = Literal["const", "none", "random"]
# Where random noise comes from: a seed, or a function (batch, resolution) -> [batch, 1, resolution, resolution].
NoiseSeed = int | Callable[[int, int], Tensor] | None


@dataclass(frozen=True)
class Codes:
    """The space that is edited: W of a StyleGAN, in which every row of a code feeds other layers (W+).

    Attributes:
        rows: how many vectors a code has, from coarse to fine; 1 where one vector feeds everything.
        dim: width of a vector.
        z_dim: how many normal numbers one random code is drawn from.
        noise_modes: what `synthesize` may be asked to do with noise; empty for a kind without any.
        pose: whether pictures can be turned and shifted as a whole, by a part of the request that is no code.
        steps: of a kind that makes a picture step by step, how many while a slider moves, once it rests, and unless
            told otherwise; empty for one that makes it at once.
        noise: shape of the noise image that an edit may bring along; empty for a kind that takes none.
    """

    rows: int
    dim: int
    z_dim: int
    noise_modes: tuple[NoiseMode, ...] = ()
    pose: bool = False
    steps: tuple[int, ...] = ()
    noise: tuple[int, ...] = ()

    def repeat(self, w: Tensor) -> Tensor:  # [..., dim] -> [..., rows, dim]
        """One vector for all rows."""
        return w.unsqueeze(-2).expand(*w.shape[:-1], self.rows, self.dim)


@dataclass(frozen=True)
class StyleLayer:
    """One place that looks at a code: its styles are `weight_gain * weight @ code[row] + bias_gain * bias`.

    Attributes:
        name: of the affine map; `learnable()` calls its parameters `NAME.weight` and `NAME.bias`.
        feeds: prefix of the names of all parameters of the layer that takes the styles, the affine map's too.
        row: of the code.
        weight: `[styles, dim]`.
        bias: `[styles]`.
        colors: whether it only turns features into colours.
        in_basis: whether the published bases (SeFa, Domain Expansion) look at it.
        pose: whether its styles turn and shift the picture: a basis keeps what it sees apart.
    """

    name: str
    feeds: str
    row: int
    weight: nn.Parameter
    bias: nn.Parameter
    weight_gain: float
    bias_gain: float
    colors: bool
    in_basis: bool
    pose: bool = False


class Generator(nn.Module, ABC):
    """A generator of any kind. Plain and differentiable; fast paths are held against it.

    Attributes:
        family: the kind's name in `FAMILIES` and in native files.
        Config: its frozen dataclass of plain data, all that fixes a generator's shape.
        codes: the space that is edited.
        resolution: side of its pictures in pixels.
        channels: of its pictures.
        classes: how many labels it knows; 0 for a generator without labels.
    """

    family: ClassVar[str]
    Config: ClassVar[type]
    config: Any
    codes: Codes
    resolution: int
    channels: int
    classes: int

    @property
    @abstractmethod
    def mean(self) -> Tensor:  # [dim]
        """The mean code: where truncation leads to, and the origin of projections."""

    @abstractmethod
    def draw(
        self,
        z: Tensor,  # [N, z_dim], standard normal
        labels: Tensor | None = None,  # [N], int64, or soft [N, classes]; class 0 where absent
        psi: float = 1.0,
        cutoff: int | None = None,
    ) -> Tensor:  # [N, rows, dim]
        """Random codes, truncated: psi 1 is the generator's own spread, 0 the mean; only the first `cutoff` rows."""

    @abstractmethod
    def synthesize(
        self,
        codes: Tensor,  # [N, rows, dim]
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
        dtype: torch.dtype = torch.float32,
        pose: Tensor | None = None,  # [N, 3]: turn in degrees, counterclockwise; shift right and down, in widths
        steps: int | None = None,  # of a kind that makes pictures step by step; the nearest number that exists
        noise: Tensor | None = None,  # [N, *codes.noise], in the place of what noise_mode says
    ) -> Tensor:  # [N, channels, resolution, resolution], float32, about [-1, 1]
        """Pictures of codes, differentiable; `dtype` is what the convolutions compute in, `pose`, `steps` and `noise`
        mean something where `codes` says so.
        """

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides in pixels that a picture has on its way, ascending; the last is `resolution`."""
        return (self.resolution,)

    def coarse(
        self,
        codes: Tensor,
        side: int,
        dtype: torch.dtype = torch.float32,
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
    ) -> Tensor:
        """The pictures `[N, channels, side, side]` as they are at one of `sides`, differentiable; see `synthesize`.

        Raises ValueError for another side.
        """
        if side != self.resolution:
            raise ValueError(f"a picture of this generator is seen at a side of {self.resolution} only, got {side}")
        return self.synthesize(codes, noise_mode, noise_seed, dtype)

    @property
    @abstractmethod
    def features(self) -> int:
        """Numbers in the largest features on the way to one picture: what its memory is estimated from."""

    @abstractmethod
    def style_layers(self) -> tuple[StyleLayer, ...]:
        """Every place that looks at a code, in the order in which the published bases stack them."""

    @abstractmethod
    def learnable(self) -> dict[str, nn.Parameter]:
        """The parameters that make pictures of codes, by name in `state_dict()`: what expansion and tuning change."""

    @abstractmethod
    def describe(self) -> list[str]:
        """What this generator is in plain words, one fact a line."""

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def one_hot(self, labels: Tensor | None, z: Tensor) -> Tensor | None:  # [N] or [N, classes] -> [N, classes]
        """What `draw` is told of classes, as soft labels; None for a generator without any."""
        if not self.classes or (labels is not None and labels.ndim == 2):
            return labels if self.classes else None
        indices = torch.zeros(len(z), dtype=torch.int64) if labels is None else labels
        return F.one_hot(indices, self.classes).to(z)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


class Autoencoder(Generator):
    """A generator with an encoder of its own: a photo's code, and the noise image that makes it, are computed.

    Attributes:
        back: how many steps lead from a photo to its noise image, unless told otherwise.
    """

    back: int

    @abstractmethod
    def codes_of(self, photos: Tensor) -> Tensor:  # [N, channels, R, R] in [-1, 1] -> [N, rows, dim]
        """The codes of photos."""

    @abstractmethod
    def noise_of(
        self,
        photos: Tensor,
        codes: Tensor,
        steps: int,  # or the nearest number that exists
    ) -> Iterator[tuple[int, Tensor]]:  # steps left, [N, *codes.noise]
        """The way back from photos with their codes; at its end is what `synthesize` makes them of."""

    @abstractmethod
    def times(self, numbers: Tensor) -> Tensor:  # [N], standard normal -> [N]
        """The times between picture and noise at which training looks, each as often as it should be."""

    @abstractmethod
    def denoising(
        self,
        pictures: Tensor,  # [N, channels, R, R] in [-1, 1]
        noise: Tensor,  # [N, *codes.noise]
        times: Tensor,  # [N], see `times`
        codes: Tensor,  # [N, rows, dim]
    ) -> tuple[Tensor, Tensor]:  # [N, ...], same
        """What the network predicts of pictures with noise, and what it should have: the mean square between both is
        the loss that it is trained by.
        """

    @abstractmethod
    def noise_images(self, count: int, noise_mode: NoiseMode, noise_seed: NoiseSeed) -> Tensor:  # [count, *codes.noise]
        """The noise images that a mode means. Raises ValueError for a mode that this kind does not have."""


def fingerprint(generator: Generator) -> str:
    """SHA-256 of all weights in float32: the same for the same generator in any file format."""
    digest = hashlib.sha256()
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


class Synthesizer(nn.Module):
    """A generator's `synthesize`, or with a `side` its `coarse`, as a module of its own: for
    `torch.func.functional_call` with other parameters.
    """

    def __init__(self, generator: Generator, side: int | None = None) -> None:
        super().__init__()
        self.generator, self.side = generator, side

    def forward(self, codes: Tensor, *arguments: Any) -> Tensor:
        if self.side is None:
            return self.generator.synthesize(codes, *arguments)
        noise_mode, noise_seed, dtype = arguments[:3]
        return self.generator.coarse(codes, self.side, dtype, noise_mode, noise_seed)
