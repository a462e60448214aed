"""The ways to find a photo's code, one function a method, all on batches and with the same states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from explorer.inversion.networks import Networks
from explorer.inversion.objective import Objective
from explorer.inversion.search import State, descend
from explorer.inversion.settings import InversionError, Method, Settings
from explorer.networks.family import Autoencoder

Steps = Callable[[Networks, Tensor, Settings], Iterator[State]]


def encoder(networks: Networks, photos: Tensor, settings: Settings) -> Iterator[State]:
    """One pass through the domain-guided encoder (arXiv 2004.00049, section 3.1). Raises InversionError without one."""
    with torch.no_grad():
        w, offsets = networks.encode(photos, exact=True)
        ws = networks.generator.codes.repeat(w)
        ws = ws if settings.space == "w" else ws + offsets
        images = networks.render(ws, exact=True)
    yield State(0, 0, ws.clone(), images, {"pixel": (images - photos).square().mean(dim=(1, 2, 3))})


def in_domain(networks: Networks, photos: Tensor, settings: Settings) -> Iterator[State]:
    """Domain-regularised optimisation (arXiv 2004.00049, section 3.2): start at the encoder's code, stay where

    the encoder finds the picture's code again. Without an encoder it starts at the mean code and has no such term.
    """
    yield from descend(networks, Objective(networks, photos, settings), start(networks, photos), settings)


def clip_guided(networks: Networks, photos: Tensor, settings: Settings) -> Iterator[State]:
    """CLIP-guided search (arXiv 2203.09301, section 3.1) from the mean code: for drawings, paintings, odd photos."""
    w = networks.mean.expand(len(photos), -1)
    yield from descend(networks, Objective(networks, photos, settings), (w, None), settings)


def ddim(networks: Networks, photos: Tensor, settings: Settings) -> Iterator[State]:
    """The code by the generator's own encoder, the noise by its sampler run backwards (arXiv 2111.15640, equation 8).

    Nothing is searched for. Until the end the pictures are those of the codes alone, in few steps; then those of the
    noise images, rounded as an `Edit` keeps them. Raises InversionError for a generator that cannot.
    """
    generator = networks.generator
    if not isinstance(generator, Autoencoder):
        raise InversionError("ddim is for diffusion autoencoders: take encoder, in_domain or clip_guided")

    def state(step: int, images: Tensor, noise: Tensor | None = None) -> State:
        losses = {"pixel": (images.clamp(-1, 1) - photos).square().mean(dim=(1, 2, 3))}
        return State(step, settings.steps, ws.clone(), images, losses, noise)

    with torch.no_grad():
        ws = generator.codes_of(photos)
        first = generator.synthesize(ws, steps=generator.codes.steps[0])
    yield state(0, first)
    x = photos
    for left, now in no_gradients(generator.noise_of(photos, ws, settings.steps)):
        x = now
        if left:
            yield state(max(settings.steps - left, 1), first)
    noise = x.half().to(photos)
    with torch.no_grad():
        images = networks.render(ws, exact=True, noise=noise)
    yield state(settings.steps, images, noise)


def no_gradients(way: Iterator[tuple[int, Tensor]]) -> Iterator[tuple[int, Tensor]]:
    """The same, each step of it without gradients: a generator's own context would reach whoever asks for it."""
    while True:
        with torch.no_grad():
            step = next(way, None)
        if step is None:
            return
        yield step


METHODS: dict[Method, Steps] = {
    "encoder": encoder,
    "in_domain": in_domain,
    "clip_guided": clip_guided,
    "ddim": ddim,
}


def search(networks: Networks, photos: Tensor, settings: Settings) -> Iterator[State]:  # [N, 3, R, R] in [-1, 1]
    """The states of `settings.method`. Raises InversionError where the photos or the networks do not fit."""
    side = networks.generator.resolution
    if photos.ndim != 4 or photos.shape[1:] != (3, side, side) or not len(photos):
        raise InversionError(f"photos must be [N, 3, {side}, {side}] in [-1, 1], got {list(photos.shape)}")
    return METHODS[settings.method](networks, photos.to(networks.device), settings)


def start(networks: Networks, photos: Tensor) -> tuple[Tensor, Tensor | None]:
    """The encoder's code and offsets, or the mean code where there is no encoder."""
    if networks.encoder is None:
        return networks.mean.expand(len(photos), -1), None
    with torch.no_grad():
        return networks.encode(photos, exact=True)


def without_encoder(networks: Networks) -> Networks:
    """Plain optimisation from the mean code (arXiv 1904.03189), which other methods are held against."""
    return replace(networks, encoder=None)
