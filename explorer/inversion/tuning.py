"""Pivotal tuning: the generator itself is bent a little, so that one photo's code makes that photo.

Source: Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images" (arXiv 2106.05744), section 3.1. A copy
is tuned; what changed is kept in a small file and put on any time, the shared generator stays as it is.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from explorer.inversion.networks import Networks
from explorer.inversion.objective import Objective
from explorer.inversion.settings import InversionError, Settings
from explorer.networks import Generator
from explorer.networks.family import fingerprint
from explorer.weights.checkpoint import CheckpointError, read_finite
from explorer.weights.container import opened, write

FORMAT = "domain-explorer-delta"
VERSION = "2"  # 1 named its generator by other weights
LR = 3e-4  # of Adam, as published


@dataclass(frozen=True)
class Tuned:
    """The tuned copy after `step` of `steps` steps, its pictures `[N, 3, H, W]` and losses `{name: [N]}` before it."""

    step: int
    steps: int
    generator: Generator
    images: Tensor
    losses: dict[str, Tensor]


def tune(
    networks: Networks,
    photos: Tensor,  # [N, 3, R, R] in [-1, 1]
    ws: Tensor,  # [N, rows, dim], the pivots
    settings: Settings,
) -> Iterator[Tuned]:
    """Yield a tuned copy after each of `settings.tune_steps` steps, the same object throughout; N photos share it.

    Pixel and perceptual loss as `settings` weighs them; what draws codes and what only makes colours stay.
    """
    generator = copy.deepcopy(networks.generator)
    tuned = replace(networks, generator=generator)
    only = replace(settings, lambda_clip=0.0, text="", lambda_dom=0.0, lambda_w=0.0, lambda_offsets=0.0)
    if not only.lambda_pixel and not only.lambda_lpips:
        raise InversionError("tuning needs a weight for pixels or for the perceptual distance, both are 0")
    objective = Objective(networks, photos.to(networks.device), only)
    colors = tuple(f"{layer.feeds}." for layer in generator.style_layers() if layer.colors)
    weights = [value for name, value in generator.learnable().items() if not name.startswith(colors)]
    for weight in weights:
        weight.requires_grad_()
    adam = torch.optim.Adam(weights, lr=LR, foreach=True)
    for step in range(settings.tune_steps + 1):
        with torch.enable_grad():
            images = tuned.render(ws)
            losses = objective(ws, images, step)
            total = objective.total(losses)
        shown = {name: loss.detach() for name, loss in losses.items()} | {"total": total.detach()}
        yield Tuned(step, settings.tune_steps, generator, images.detach(), shown)
        if step < settings.tune_steps:
            for weight, gradient in zip(weights, torch.autograd.grad(total.sum(), weights), strict=True):
                weight.grad = gradient
            adam.step()


def save_delta(tuned: Generator, source: Generator, folder: Path, ws: Tensor) -> Path:
    """Write what `tuned` has changed of `source` to `folder`, as float16, under a name made of the pivot `ws`.

    Raises CheckpointError where the folder cannot be written.
    """
    before = source.state_dict()
    changes = {
        name: (value.detach() - before[name]).to("cpu", torch.float16).contiguous()
        for name, value in tuned.state_dict().items()
        if not torch.equal(value, before[name])
    }
    digest = hashlib.sha256(ws.detach().cpu().numpy().tobytes())
    for change in changes.values():
        digest.update(change.numpy().tobytes())
    metadata = {"format": FORMAT, "version": VERSION, "source": fingerprint(source)}
    return write(folder / f"{digest.hexdigest()[:16]}.safetensors", changes, metadata)


def apply_delta(generator: Generator, file: Path) -> Generator:
    """A new generator with the changes of a file; the given one stays as it is.

    Raises CheckpointError for a damaged file and for one that was made for another generator.
    """
    try:
        with opened(file) as (entries, metadata):
            if metadata.get("format") != FORMAT:
                raise CheckpointError("it holds no tuned weights of this program")
            if metadata.get("version") != VERSION:
                raise CheckpointError("another version of this program has made it: fit the photo again")
            if metadata.get("source") != fingerprint(generator):
                raise CheckpointError("it was made for another generator: open that one first")
            state = generator.state_dict()
            for name, entry in entries.items():
                if name not in state or entry.shape != tuple(state[name].shape):
                    raise CheckpointError(f"its tensor {name[:100]} does not fit the generator: it is damaged")
            changes = {name: read_finite(name, entry) for name, entry in entries.items()}
    except CheckpointError as error:
        raise CheckpointError(f"{file.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{file.name} cannot be read ({error.strerror or error})") from None
    tuned = copy.deepcopy(generator).requires_grad_(False)
    weights = tuned.state_dict()
    for name, change in changes.items():
        weights[name] += change.to(weights[name])
    return tuned
