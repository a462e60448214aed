"""From a folder of pictures of a kind, by a discriminator of the domain's own (GAN loss, DiffAugment, lazy R1).

Source: Domain Expansion (arXiv 2301.05225, section 3.2) with an adversarial task; Zhao et al. (arXiv 2006.10738).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explorer.expansion.tasks.nada import unlikeness
from explorer.expansion.tasks.task import ExpansionError, Shown, Studio, Task
from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.networks.pixels import from_pixels
from explorer.training import losses
from explorer.training.augment import KINDS, augment
from explorer.training.data import Pictures
from explorer.training.draws import Draws
from explorer.training.options import doubling

WIDEST = 256  # channels of a discriminator made from nothing


@dataclass(frozen=True)
class Arguments:
    """Arguments of the task `image_folder`.

    Attributes:
        folder: a folder or zip of pictures.
        augment: DiffAugment, comma-separated.
        lambda_content: weight of `nada.unlikeness` to the picture before.
        r1_gamma, r1_every: weight of R1, times 1/2, and steps between two of it.
    """

    folder: str
    augment: str = "color,translation"
    lambda_content: float = 0.5
    r1_gamma: float = 1.0
    r1_every: int = 8

    def __post_init__(self) -> None:
        if unknown := set(self.kinds) - set(KINDS):
            raise ExpansionError(f"augmentations are {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
        if self.r1_gamma < 0 or self.lambda_content < 0 or self.r1_every < 1:
            raise ExpansionError("r1_gamma and lambda_content must be at least 0 and r1_every at least 1")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind for kind in self.augment.split(",") if kind)


class ImageFolder(Task):
    """Its discriminator starts from the source's, where there is one: it knows such pictures already."""

    Arguments = Arguments
    arguments: Arguments
    knows = True

    def __init__(self, arguments: Arguments, studio: Studio) -> None:
        super().__init__(arguments, studio)
        self.folder = Pictures(arguments.folder, studio.resolution)
        self.D = _discriminator(studio)

    def loss(self, shown: Shown) -> Tensor:
        fooled = losses.generator_loss(self.judge(augment(shown.images, self.arguments.kinds, shown.draws)))
        return fooled + self.arguments.lambda_content * unlikeness(shown.images, shown.before).mean()

    def critic_loss(self, shown: Shown) -> Tensor:
        real = self.real(shown.draws)
        kinds = self.arguments.kinds
        real, fake = augment(real, kinds, shown.draws), augment(shown.images, kinds, shown.draws)
        loss = losses.discriminator_loss(self.judge(real), self.judge(fake))
        if self.arguments.r1_gamma and shown.step % self.arguments.r1_every == 0:
            penalty = losses.gradient_penalty(self.judge, real)
            loss = loss + penalty * (self.arguments.r1_gamma / 2 * self.arguments.r1_every)
        return loss

    def examples(self, photos: Tensor, draws: Draws) -> tuple[Tensor, bool]:
        return self.real(draws).to(photos), False

    def real(self, draws: Draws) -> Tensor:  # [n, 3, R, R]
        """Pictures of the folder, half of them flipped."""
        chosen = (draws.uniform() * len(self.folder)).long().tolist()
        real = from_pixels(torch.stack([self.folder[i][0] for i in chosen]).to(self.studio.device))
        return torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real)

    def judge(self, images: Tensor) -> Tensor:  # [n, 3, R, R] -> [n, 1]
        return self.D(images, None, self.studio.dtype)


def _discriminator(studio: Studio) -> Discriminator:
    """Unconditional; its batch statistics are over all samples, of which a domain has another number each step."""
    source = studio.discriminator
    if source is not None and not source.c_dim:
        critic = copy.deepcopy(source).requires_grad_(True)
        critic.b4.config = replace(source.config, mbstd_group_size=None)
        return critic
    side = studio.resolution
    return Discriminator(DiscriminatorConfig(side, doubling(side, WIDEST), mbstd_group_size=None))
