"""What inverted photos are good for: in-betweens, mixed styles, attributes by words or examples, semantic diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from explorer.inversion.faces import Box
from explorer.inversion.methods import start
from explorer.inversion.networks import Networks
from explorer.inversion.objective import Objective
from explorer.inversion.results import Inversion, collect
from explorer.inversion.search import State, descend
from explorer.inversion.settings import InversionError, Settings
from explorer.latents import interpolate, sample_codes
from explorer.latents.boundaries import Boundary, fit_boundary, from_array
from explorer.networks import Generator

SAMPLES = 2000  # codes whose pictures are scored for a boundary
BATCH = 64


def strip(networks: Networks, a: Tensor, b: Tensor, count: int) -> Tensor:  # 2 x [rows, dim] -> [count, 3, H, W]
    """Pictures on the straight way between two codes, both ends included (arXiv 2004.00049, section 4.3)."""
    if count < 2:
        raise InversionError(f"a strip has at least its two ends, got {count} pictures")
    return _render(networks, interpolate(a, b, torch.linspace(0, 1, count)))


def mix(coarse: Tensor, fine: Tensor, layers: tuple[int, int]) -> Tensor:  # 2 x [..., rows, dim]
    """`coarse` with the rows [start, stop) of `fine`: style mixing (StyleGAN, arXiv 1812.04948, section 3.1)."""
    begin, stop = layers
    if not 0 <= begin < stop <= coarse.shape[-2]:
        raise InversionError(f"layers must be START < STOP within 0 and {coarse.shape[-2]}, got {begin} and {stop}")
    mixed = coarse.clone()
    mixed[..., begin:stop, :] = fine[..., begin:stop, :]
    return mixed


@dataclass(frozen=True)
class Seen:
    """Codes of W `[samples, dim]` and CLIP's directions of their pictures `[samples, E]`."""

    w: Tensor
    directions: Tensor


@torch.no_grad()
def look(networks: Networks, samples: int = SAMPLES, seed: int = 0) -> Seen:
    """Samples of the generator as CLIP sees them, for any number of text boundaries.

    Raises InversionError without CLIP.
    """
    if networks.clip is None:
        raise InversionError("finding a direction by words needs a CLIP model, and there is none")
    w = sample_codes(networks.generator, samples, seed)
    pictures = (networks.render(part).to(networks.dtype) for part in w.split(BATCH))
    return Seen(w[:, 0], torch.cat([networks.fast_clip.encode_image(part).float() for part in pictures]))


def text_boundary(networks: Networks, seen: Seen, more: str, less: str, seed: int = 0) -> Boundary:
    """The boundary towards pictures that CLIP finds rather `more` than `less`, from what `look` has seen.

    A sample's score is the difference of its cosines to the two texts. Raises ValueError for an empty text,
    BoundaryError where the texts mean the same.
    """
    assert networks.clip is not None
    with torch.no_grad():
        high, low = networks.clip.encode_text([more, less])
    return fit_boundary(seen.w, seen.directions @ (high - low), seed)


def labelled_boundary(networks: Networks, photos: Tensor, labels: Tensor) -> Boundary:  # [N, 3, R, R], bool [N]
    """The boundary between two sorts of photos, by the encoder's codes of them. Raises InversionError without one."""
    with torch.no_grad():
        w = torch.cat([networks.encode(part.to(networks.device), exact=True)[0] for part in photos.split(BATCH)])
    (found,) = _spread(networks.generator, [fit_boundary(w, labels.bool())])
    return found


def imported(generator: Generator, array: np.ndarray) -> list[Boundary]:
    """Boundaries of other programs, see `from_array`."""
    return _spread(generator, from_array(array, generator.codes.dim, generator.codes.rows))


def _spread(generator: Generator, boundaries: list[Boundary]) -> list[Boundary]:
    """The same with the spread of this generator's codes along each normal, whatever codes they were found on."""
    with torch.no_grad():
        w = sample_codes(generator, SAMPLES)[:, 0].cpu()
    return [replace(boundary, spread=float((w @ boundary.normal).std())) for boundary in boundaries]


def diffuse(
    networks: Networks,
    target: Tensor,  # [N, 3, R, R] in [-1, 1]
    context: Tensor,  # [N or 1, 3, R, R]
    box: Box,  # in pixels of R
    settings: Settings,
) -> Inversion:
    """Semantic diffusion (arXiv 2004.00049, section 4.3): the target's face, lit and framed as the context.

    The box of the target is pasted into the context, the result encoded, and the code optimised with the losses masked
    to the box and without the domain regulariser. Raises InversionError for a box that leaves the picture.
    """
    stitched = stitch(target.to(networks.device), context.to(networks.device), box)
    return collect(networks, stitched, diffusing(networks, stitched, box, settings))


def diffusing(networks: Networks, stitched: Tensor, box: Box, settings: Settings) -> Iterator[State]:
    """The states of a semantic diffusion of what `stitch` made."""
    mask = _mask(stitched, box)
    settings = replace(settings, lambda_dom=0.0, lambda_clip=0.0, text="")
    yield from descend(networks, Objective(networks, stitched, settings, mask), start(networks, stitched), settings)


def stitch(target: Tensor, context: Tensor, box: Box) -> Tensor:  # [N, 3, R, R], [N or 1, 3, R, R] -> [N, 3, R, R]
    """The context with the target's box in it. Raises InversionError for a box that leaves the picture."""
    mask = _mask(target, box)
    return target * mask + context * (1 - mask)


def _mask(pictures: Tensor, box: Box) -> Tensor:  # [1, 1, R, R]
    side = pictures.shape[-1]
    right, bottom = box.left + box.size, box.top + box.size
    if min(box.left, box.top) < 0 or box.size < 1 or max(right, bottom) > side:
        raise InversionError(f"the square must lie inside of the {side} px picture, got {box}")
    mask = torch.zeros(1, 1, side, side, device=pictures.device)
    mask[..., box.top : bottom, box.left : right] = 1
    return mask


def middle(side: int) -> Box:
    """The middle half of a picture: where a cropped face is."""
    return Box(side // 4, side // 4, side // 2)


def _render(networks: Networks, ws: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([networks.render(part, exact=True) for part in ws.split(BATCH)])
