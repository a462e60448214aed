"""What an inversion hands back: code, picture, losses of every step and figures, the same for every method."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.inversion.methods import search
from explorer.inversion.networks import Networks
from explorer.inversion.search import State
from explorer.inversion.settings import Settings

Figures = dict[str, float | str]


@dataclass(frozen=True)
class Inversion:
    """The result for a batch of photos.

    Attributes:
        ws: float32 `[N, rows, dim]`.
        images: float32 `[N, 3, H, W]`, what the generator makes of them.
        trace: `{loss: [steps + 1, N]}`, every loss at every step and their weighted sum "total".
        figures: one dictionary a photo, see `measure`.
        noise: the noise images that the pictures are made of, where they are the photos' own.
    """

    ws: Tensor
    images: Tensor
    trace: dict[str, Tensor]
    figures: list[Figures]
    noise: Tensor | None = None


def invert(
    networks: Networks,
    photos: Tensor,  # [N, 3, R, R] in [-1, 1]
    settings: Settings,
    watch: Callable[[State], bool] | None = None,
) -> Inversion:
    """Look for the codes of photos; `watch` sees every state and ends the search by returning True.

    Raises InversionError where photos, settings or networks do not fit together.
    """
    return collect(networks, photos, search(networks, photos, settings), watch)


def collect(
    networks: Networks,
    photos: Tensor,  # [N, 3, R, R] in [-1, 1]
    states: Iterable[State],
    watch: Callable[[State], bool] | None = None,
) -> Inversion:
    """Run a search for the codes of `photos` to its end, or until `watch` returns True, and time it."""
    began, trace, state = time.perf_counter(), [], None
    for state in states:
        trace.append(state.losses)
        if watch is not None and watch(state):
            break
    assert state is not None
    seconds = time.perf_counter() - began
    losses = {name: torch.stack([step[name] for step in trace]).cpu() for name in trace[0]}
    images, figures = measure(networks, photos, state.ws, state.noise)
    figures = [figure | {"seconds": seconds} for figure in figures]
    return Inversion(state.ws, images, losses, figures, state.noise)


@torch.no_grad()
def measure(
    networks: Networks,
    photos: Tensor,  # [N, 3, H, W]
    ws: Tensor,  # [N, rows, dim]
    noise: Tensor | None = None,  # [N, 3, H, W], that the photos are made of
) -> tuple[Tensor, list[Figures]]:
    """The pictures of codes in float32, and how near each is to its photo.

    For the figures pictures are clamped to [-1, 1], as they are shown. `mse` and `psnr` are of a range of 2;
    `perceptual` is the distance named by `perceptual_network`; `clip_similarity` a cosine, where there is a CLIP;
    `distance_to_w_avg` the root mean square length of w - mean over the rows.
    """
    photos = photos.to(networks.device)
    images = networks.render(ws, exact=True, noise=noise)
    seen = images.clamp(-1, 1)
    mse = (seen - photos).square().mean(dim=(1, 2, 3))
    columns = {
        "mse": mse,
        "psnr": 10 * (4 / mse.clamp_min(1e-10)).log10(),
        "perceptual": networks.perceptual(seen, photos),
        "distance_to_w_avg": (ws - networks.mean).norm(dim=2).square().mean(dim=1).sqrt(),
    }
    if networks.clip is not None:
        directions = networks.clip.encode_image(torch.cat([seen, photos]))
        columns["clip_similarity"] = (directions[: len(ws)] * directions[len(ws) :]).sum(dim=1)
    table = torch.stack(list(columns.values()), dim=1).tolist()
    assert all(math.isfinite(value) for row in table for value in row)
    name = {"perceptual_network": networks.perceptual.name}
    return images, [dict(zip(columns, row, strict=True)) | name for row in table]
