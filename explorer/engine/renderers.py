"""The fast path of each family; the engine asks for pictures through nothing else.

A family without an entry in `RENDERERS` is rendered by its own `synthesize`. Inference only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from explorer.engine.alias_free import AliasFree
from explorer.engine.denoiser import Denoiser
from explorer.engine.synthesis import Synthesis
from explorer.networks import DiffAE, Generator, StyleGAN2, StyleGAN3
from explorer.networks.family import NoiseMode


class Renderer(Protocol):
    """`codes -> pictures`, prepared for one device and number format. Not thread-safe; the engine holds the lock."""

    def __call__(
        self,
        codes: Tensor,  # [N, rows, dim], float32
        /,
        noise_mode: NoiseMode = "const",
        noise_seed: int | None = None,
        pose: Tensor | None = None,  # [N, 3]
        steps: int | None = None,
        noise: Tensor | None = None,  # [N, *noise]
    ) -> Tensor:  # [N, channels, resolution, resolution], float32
        ...


@runtime_checkable
class Lower(Protocol):
    """A renderer whose picture grows from small to large, and can be seen on the way."""

    def lower(
        self,
        codes: Tensor,  # [1, rows, dim], float32
        noise_mode: NoiseMode,
        noise_seed: int | None,
        share: float,
    ) -> Tensor | None:  # [1, channels, side, side], float32
        """The picture so far at the largest side that takes at most this share of the work; None where there is none.

        Thread-safe.
        """
        ...


RENDERERS: dict[str, Callable[..., Renderer]] = {
    StyleGAN2.family: Synthesis,
    StyleGAN3.family: AliasFree,
    DiffAE.family: Denoiser,
}


def renderer(generator: Generator, dtype: torch.dtype) -> Renderer:
    """The family's fast path, or plain `synthesize` in `dtype`."""
    fast = RENDERERS.get(generator.family)
    if fast is not None:
        return fast(generator, dtype)

    def plain(
        codes: Tensor,
        /,
        noise_mode: NoiseMode = "const",
        noise_seed: int | None = None,
        pose: Tensor | None = None,
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        return generator.synthesize(codes, noise_mode, noise_seed, dtype, pose, steps, noise)

    return plain
