"""DiffAugment: random colour, shift and cut-out, the same on real and generated pictures, differentiable.

For small data sets, where the discriminator would learn the pictures by heart. Source: Zhao et al., "Differentiable
Augmentation for Data-Efficient GAN Training" (arXiv 2006.10738), section 3.2; on a part of the pictures only, and how
large a part: ADA (arXiv 2006.06676), section 3.1. Knows no networks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from explorer.training.draws import Draws

KINDS = ("color", "translation", "cutout")


def augment(
    images: Tensor,  # [N, 3, H, W], [-1, 1]
    kinds: tuple[str, ...],
    draws: Draws,
    part: Tensor | None = None,  # scalar, 0 to 1
) -> Tensor:
    """Apply the given `KINDS`, drawn for every picture by itself; with `part`, each kind to that part of them only."""
    for kind in kinds:
        changed = {"color": color, "translation": translation, "cutout": cutout}[kind](images, draws)
        images = changed if part is None else torch.where(draws.uniform(1, 1, 1) < part, changed, images)
    return images


def adapted(part: Tensor, real_sign: Tensor, target: float, step: float) -> Tensor:  # scalars
    """The part to augment after a step, larger by `step` where D is surer of real pictures than `target`, else smaller.

    `real_sign` is the mean sign of D's logits on real pictures, ADA's r_t (equation 1); it looks at every fourth step,
    we at each.
    """
    return (part + torch.sign(real_sign - target) * step).clamp(0, 1)


def color(images: Tensor, draws: Draws) -> Tensor:
    """Brightness by up to 0.5 either way, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    brightness, saturation, contrast = draws.uniform(3, 1, 1, 1).to(images).unbind(1)
    images = images + (brightness - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (saturation * 2)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def translation(images: Tensor, draws: Draws) -> Tensor:
    """Shift by up to an eighth of the side along both axes; zeros come in."""
    size = images.shape[2:]
    reach = [side // 8 for side in size]
    for axis, (side, most) in enumerate(zip(size, reach, strict=True)):
        shift = draws.integers(-most, most + 1, 1)
        source = torch.arange(side, device=images.device) + shift  # [N, side]
        inside = ((source >= 0) & (source < side)).to(images)
        view = (-1, 1, side, 1) if axis == 0 else (-1, 1, 1, side)
        index = source.clamp(0, side - 1).reshape(view).expand_as(images)
        images = images.gather(2 + axis, index) * inside.reshape(view)
    return images


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """Set a square of half the side to zero; its centre lies anywhere."""
    inside = None
    for axis, side in enumerate(images.shape[2:]):
        centre = draws.integers(0, side, 1)
        along = (torch.arange(side, device=images.device) - centre).abs() < side // 4  # [N, side]
        view = along.reshape((-1, 1, side, 1) if axis == 0 else (-1, 1, 1, side))
        inside = view if inside is None else inside & view
    assert inside is not None
    return images * (~inside).to(images)
