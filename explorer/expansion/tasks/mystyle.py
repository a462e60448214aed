"""MyStyle: one individual from a folder of photos, by anchors that the generator must reproduce.

Source: Nitzan et al. (arXiv 2203.17272), section 3; inside Domain Expansion (arXiv 2301.05225, section 4) the anchors
are projected to the base subspace and moved like every other code. Photos are inverted by `explorer.inversion`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.expansion.tasks.task import ExpansionError, Shown, Studio, Task
from explorer.inversion import defaults
from explorer.training.draws import Draws

SPREAD = 0.5  # of the samples at random codes, where these are asked for


@dataclass(frozen=True)
class Arguments:
    """Arguments of the task `mystyle`.

    Attributes:
        folder: photos of one individual, cropped alike.
        invert_steps: of the search for a photo's code.
        lambda_lpips, lambda_l2: weights of the distances to the photo.
        lambda_near: weight of the same distances at random codes, each to the photo whose anchor is nearest in W, so
            that every code shows the individual; half of the samples then go there. 0 shows anchors only, as published.
    """

    folder: str
    invert_steps: int = 200
    lambda_lpips: float = 1.0
    lambda_l2: float = 1.0
    lambda_near: float = 0.0

    def __post_init__(self) -> None:
        if min(self.invert_steps, self.lambda_lpips, self.lambda_l2, self.lambda_near) < 0:
            raise ExpansionError("invert_steps and the lambdas must be at least 0")


class MyStyle(Task):
    """Anchors in W, one a photo."""

    Arguments = Arguments
    any_side = True
    arguments: Arguments
    anchors: Tensor
    chosen: Tensor

    def __init__(self, arguments: Arguments, studio: Studio) -> None:
        super().__init__(arguments, studio)
        self.photos = studio.photos(arguments.folder)
        generator = studio.networks.generator
        empty = torch.zeros(len(self.photos), generator.codes.rows, generator.codes.dim, device=studio.device)
        self.register_buffer("anchors", empty)

    def prepare(self) -> None:
        settings = replace(defaults("in_domain"), steps=self.arguments.invert_steps)
        self.anchors.copy_(self.studio.invert(self.photos, settings))

    def codes(self, ws: Tensor, draws: Draws, step: int) -> Tensor:
        drawn = draws.integers(0, len(self.anchors))
        self.elsewhere = (draws.uniform() < SPREAD) & bool(self.arguments.lambda_near)
        nearest = torch.cdist(ws.flatten(1), self.anchors.flatten(1)).argmin(dim=1)
        self.chosen = torch.where(self.elsewhere, nearest, drawn)
        return torch.where(self.elsewhere[:, None, None], ws, self.anchors[self.chosen])

    def loss(self, shown: Shown) -> Tensor:
        images, settings = shown.images, self.arguments
        photos = F.interpolate(self.photos[self.chosen], images.shape[-2:], mode="area")
        each = settings.lambda_l2 * (images - photos).square().mean(dim=(1, 2, 3))
        if settings.lambda_lpips:
            each = each + settings.lambda_lpips * self.studio.perceptual_to(photos)(images)
        return torch.where(self.elsewhere, settings.lambda_near * each, each).mean()
