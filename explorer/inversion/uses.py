"""What inverted photos are good for: in-betweens, mixed styles, attributes by words or examples, semantic diffusion."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from explorer.inversion.methods import start
from explorer.inversion.networks import Networks
from explorer.inversion.objective import Objective
from explorer.inversion.photos import Box
from explorer.inversion.results import Inversion, measure
from explorer.inversion.search import descend
from explorer.inversion.settings import InversionError, Settings
from explorer.latents import interpolate, sample_z
from explorer.latents.boundaries import Boundary, fit_boundary

SAMPLES = 2000  # codes whose pictures are scored for a boundary
BATCH = 64


def strip(networks: Networks, a: Tensor, b: Tensor, count: int) -> Tensor:  # 2 x [num_ws, w_dim] -> [count, 3, H, W]
    """Pictures on the straight way between two codes, both ends included (arXiv 2004.00049, section 4.3)."""
    if count < 2:
        raise InversionError(f"a strip has at least its two ends, got {count} pictures")
    return _render(networks, interpolate(a, b, torch.linspace(0, 1, count)))


def mix(coarse: Tensor, fine: Tensor, layers: tuple[int, int]) -> Tensor:  # 2 x [..., num_ws, w_dim]
    """`coarse` with the rows [start, stop) of `fine`: style mixing (StyleGAN, arXiv 1812.04948, section 3.1)."""
    begin, stop = layers
    if not 0 <= begin < stop <= coarse.shape[-2]:
        raise InversionError(f"layers must be START < STOP within 0 and {coarse.shape[-2]}, got {begin} and {stop}")
    mixed = coarse.clone()
    mixed[..., begin:stop, :] = fine[..., begin:stop, :]
    return mixed


def text_boundary(networks: Networks, more: str, less: str, samples: int = SAMPLES, seed: int = 0) -> Boundary:
    """The boundary towards pictures that CLIP finds rather `more` than `less`, from samples of the generator.

    A sample's score is the difference of its cosines to the two texts. Raises InversionError without CLIP, ValueError
    for an empty text.
    """
    if networks.clip is None:
        raise InversionError("finding a direction by words needs a CLIP model, and there is none")
    generator, scores = networks.generator, []
    with torch.no_grad():
        high, low = networks.clip.encode_text([more, less])
        z = sample_z(samples, generator.z_dim, seed).to(networks.device)
        c = None
        if generator.c_dim:
            labels = torch.arange(samples) % generator.c_dim
            c = torch.nn.functional.one_hot(labels, generator.c_dim).float().to(networks.device)
        w = generator.mapping(z, c)
        for part in w.split(BATCH):
            directions = networks.fast_clip.encode_image(networks.render(part).to(networks.dtype)).float()
            scores.append(directions @ (high - low))
    return fit_boundary(w[:, 0], torch.cat(scores), seed)


def labelled_boundary(networks: Networks, photos: Tensor, labels: Tensor) -> Boundary:  # [N, 3, R, R], bool [N]
    """The boundary between two sorts of photos, by the encoder's codes of them. Raises InversionError without one."""
    with torch.no_grad():
        w = torch.cat([networks.encode(part.to(networks.device), exact=True)[0] for part in photos.split(BATCH)])
    return fit_boundary(w, labels.bool())


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
    side = target.shape[-1]
    right, bottom = box.left + box.size, box.top + box.size
    if min(box.left, box.top) < 0 or box.size < 1 or max(right, bottom) > side:
        raise InversionError(f"the square must lie inside of the {side} px picture, got {box}")
    mask = torch.zeros(1, 1, side, side, device=networks.device)
    mask[..., box.top : bottom, box.left : right] = 1
    target = target.to(networks.device)
    stitched = target * mask + context.to(networks.device) * (1 - mask)
    settings = replace(settings, lambda_dom=0.0, lambda_clip=0.0, text="")
    states = list(descend(networks, Objective(networks, stitched, settings, mask), start(networks, stitched), settings))
    trace = {name: torch.stack([state.losses[name] for state in states]).cpu() for name in states[0].losses}
    images, figures = measure(networks, stitched, states[-1].ws)
    return Inversion(states[-1].ws, images, trace, figures)


def _render(networks: Networks, ws: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([networks.render(part, exact=True) for part in ws.split(BATCH)])
