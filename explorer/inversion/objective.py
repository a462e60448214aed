"""The losses of candidate pictures against photos; what depends on a photo alone is computed once.

Every loss is a value a photo, and a photo's losses do not depend on the others in the batch. Knows no optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.inversion.augment import COPIES, augment
from explorer.inversion.networks import Networks
from explorer.inversion.settings import Settings
from explorer.metrics.perceptual import NO_FEATURE
from explorer.networks.clip import Clip


class Objective:
    """What a search minimises: a weighted sum of the losses that `settings` gives a weight.

    `mask` `[N or 1, 1, H, W]` restricts pixel and perceptual losses to a region (semantic diffusion).
    """

    def __init__(self, networks: Networks, photos: Tensor, settings: Settings, mask: Tensor | None = None) -> None:
        self.networks, self.settings, self.mask, self.whole = networks, settings, mask, photos
        self.photos = photos if mask is None else photos * mask
        self.weights = {
            "pixel": settings.lambda_pixel,
            "perceptual": settings.lambda_lpips,
            "clip": settings.lambda_clip,
            "text": settings.text_weight if settings.text.strip() else 0.0,
            "domain": settings.lambda_dom if networks.encoder is not None else 0.0,
            "mean": settings.lambda_w,
            "offsets": settings.lambda_offsets if settings.space == "w+offsets" else 0.0,
        }
        with torch.no_grad():
            if self.weights["perceptual"]:
                self._perceptual = perceptual_to(networks, self.photos)
            if self.weights["clip"]:
                self._photo_direction = networks.fast_clip.encode_image(photos.to(networks.dtype)).float()
            if self.weights["text"]:
                networks.fast_clip  # noqa: B018 (its sentence where there is none)
                assert networks.clip is not None
                self._text_direction = networks.clip.encode_text([settings.text])

    def at(self, side: int) -> Objective:
        """The same for pictures of another side: photos and mask are reduced to it."""
        if side == self.whole.shape[-1]:
            return self
        photos, mask = (None if x is None else F.interpolate(x, side, mode="area") for x in (self.whole, self.mask))
        assert photos is not None
        return Objective(self.networks, photos, self.settings, mask)

    def __call__(self, ws: Tensor, images: Tensor, step: int) -> dict[str, Tensor]:  # name -> [N], not weighted
        """Losses of codes `[N, rows, dim]` and their pictures `[N, 3, H, W]`; the step draws the augmentations."""
        seen = images if self.mask is None else images * self.mask
        losses = {}
        if self.weights["pixel"]:
            losses["pixel"] = (seen - self.photos).square().mean(dim=(1, 2, 3))
        if self.weights["perceptual"]:
            losses["perceptual"] = self._perceptual(seen)
        if self.weights["clip"] or self.weights["text"]:
            losses |= self._clip(images, step)
        if self.weights["domain"]:
            losses["domain"] = self._domain(ws, images)
        if self.weights["mean"]:
            losses["mean"] = (ws - self.networks.mean).square().mean(dim=(1, 2))
        if self.weights["offsets"]:
            losses["offsets"] = (ws - ws.mean(dim=1, keepdim=True)).square().mean(dim=(1, 2))
        return losses

    def total(self, losses: dict[str, Tensor]) -> Tensor:  # [N]
        """The weighted sum."""
        return torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum(dim=0)

    def _clip(self, images: Tensor, step: int) -> dict[str, Tensor]:
        """Cosine distance to the photo, and to the text, averaged over the augmentations of the *generated* picture."""
        views = augment(images, self.settings.seed, step)
        seen = self.networks.fast_clip.encode_image(views.to(self.networks.dtype)).float().unflatten(0, (COPIES, -1))
        losses = {}
        if self.weights["clip"]:
            losses["clip"] = 1 - (seen * self._photo_direction).sum(dim=2).mean(dim=0)
        if self.weights["text"]:
            losses["text"] = 1 - (seen * self._text_direction).sum(dim=2).mean(dim=0)
        return losses

    def _domain(self, ws: Tensor, images: Tensor) -> Tensor:
        """mean (ws - E(G(ws)))^2: equation 4 of arXiv 2004.00049, in the space of the search."""
        w, offsets = self.networks.encode(images)
        again = w[:, None] if self.settings.space == "w" else w[:, None] + offsets
        return (ws - again).square().mean(dim=(1, 2))


def perceptual_to(networks: Networks, photos: Tensor) -> Callable[[Tensor], Tensor]:  # [N, 3, H, W] -> [N]
    """The perceptual distance to fixed photos, their features kept where the distance is that of our CLIP."""
    if not networks.own_perceptual:
        return lambda images: networks.perceptual(images, photos)
    clip, dtype = networks.fast_clip, networks.dtype
    kept = embed(clip, photos.to(dtype))
    return lambda images: (embed(clip, images.to(dtype)) - kept).square().sum(dim=1)


def embed(clip: Clip, images: Tensor) -> Tensor:  # [N, 3, H, W] -> [N, D]
    """Vectors whose squared distance is `clip_distance` of the pictures, float32."""
    layers = clip.features(images)
    units = [F.normalize(layer.float(), dim=1, eps=NO_FEATURE) for layer in layers]
    return torch.cat([unit.flatten(1) / math.sqrt(unit[0, 0].numel() * len(units)) for unit in units], dim=1)
