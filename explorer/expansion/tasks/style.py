"""From a style made by code (`explorer.styles`): every picture is to look as if drawn by it.

Where others ask a judge whether a picture is in style, this one knows what it looks like there. Ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.expansion.tasks.task import ExpansionError, Shown, Task
from explorer.expansion.tasks.texture import directions, texture_distance
from explorer.networks.pixels import from_array, to_pixels
from explorer.styles import ALL_STYLES, render
from explorer.training.draws import Draws


@dataclass(frozen=True)
class Arguments:
    """Arguments of the task `style`.

    Attributes:
        style: the style's name.
        lambda_lpips, lambda_l2: weights of the perceptual distance and the squared error to the drawn picture.
        lambda_texture: weight of `texture.texture_distance` to it: strokes, tiles and grain that lie elsewhere in every
            drawing.
    """

    style: str
    lambda_lpips: float = 1.0
    lambda_l2: float = 1.0
    lambda_texture: float = 0.0

    def __post_init__(self) -> None:
        if self.style not in ALL_STYLES:
            raise ExpansionError(f"style must be one of {', '.join(sorted(ALL_STYLES))}, got {self.style!r}")
        if min(self.lambda_lpips, self.lambda_l2, self.lambda_texture) < 0:
            raise ExpansionError("lambda_lpips, lambda_l2 and lambda_texture must be at least 0")


class Style(Task):
    """It has nothing of its own to learn."""

    Arguments = Arguments
    arguments: Arguments
    knows = True
    any_side = True

    def loss(self, shown: Shown) -> Tensor:
        drawn = self.drawn(shown.before, shown.draws)
        loss = self.arguments.lambda_l2 * F.mse_loss(shown.images, drawn)
        if self.arguments.lambda_lpips:
            loss = loss + self.arguments.lambda_lpips * self.studio.perceptual_to(drawn)(shown.images).mean()
        if self.arguments.lambda_texture:
            along = directions(drawn.shape[1], shown.draws.generator).to(drawn.device)
            texture = texture_distance(shown.images, drawn, along).mean()
            loss = loss + self.arguments.lambda_texture * texture
        return loss

    def examples(self, photos: Tensor, draws: Draws) -> tuple[Tensor, bool]:
        return self.drawn(photos, draws), True

    def drawn(self, pictures: Tensor, draws: Draws) -> Tensor:  # [n, 3, R, R] in [-1, 1], same
        """Pictures in the style."""
        seeds = draws.integers(0, 2**31).tolist()
        pixels = to_pixels(pictures.cpu()).permute(0, 2, 3, 1).numpy()
        made = [
            render(self.arguments.style, picture, np.random.default_rng(seed))
            for picture, seed in zip(pixels, seeds, strict=True)
        ]
        return torch.stack([from_array(picture) for picture in made]).to(pictures.device)
