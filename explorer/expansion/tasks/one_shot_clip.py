"""OneShotCLIP: a whole domain from one picture.

Source: "One-Shot Adaptation of GAN in Just One CLIP" (arXiv 2203.09301). Stage 1 finds the picture's code by
CLIP-guided search (section 3.1); stage 2 fine-tunes with semantic consistency, patch-wise InfoNCE, a patch
discriminator and alignment of the reference (section 3.2). Two differences: the patch discriminator looks at pixels,
since not every source brings a discriminator; and CLIP's direction from the source to the picture helps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.expansion.tasks.nada import SOURCE_SAMPLES, directional
from explorer.expansion.tasks.task import ExpansionError, Shown, Studio, Task
from explorer.inversion import defaults
from explorer.training import losses
from explorer.training.draws import Draws

PATCHES = 16  # crops of a picture
TEMPERATURE = 0.07  # of InfoNCE (arXiv 2007.15651)
ALIGN_EVERY = 4  # steps
WIDTH = 32  # channels of the patch discriminator


@dataclass(frozen=True)
class Arguments:
    """Arguments of the task `one_shot_clip`; weights are the published ones.

    Attributes:
        image: the one picture.
        search_steps: of stage 1.
        patch: side of a crop as a fraction of the picture's; 1/8 is published, for pictures of 1024 px.
        lambda_direction: weight of CLIP's direction towards the picture, ours.
    """

    image: str
    search_steps: int = 300
    patch: float = 0.25
    lambda_consistency: float = 10.0
    lambda_patch: float = 1.0
    lambda_critic: float = 1.0
    lambda_align: float = 10.0
    lambda_direction: float = 1.0
    r1_gamma: float = 1.0

    def __post_init__(self) -> None:
        if min(v for v in vars(self).values() if not isinstance(v, str)) < 0 or not 0 < self.patch <= 1:
            raise ExpansionError("weights and steps must be at least 0, patch above 0 and at most 1")


class OneShotClip(Task):
    """Every fourth step its samples are at the picture's own code and aligned with it; otherwise at random ones."""

    Arguments = Arguments
    uses_clip = True
    arguments: Arguments
    w_ref: Tensor

    def __init__(self, arguments: Arguments, studio: Studio) -> None:
        super().__init__(arguments, studio)
        self.picture = studio.photo(arguments.image)[None]
        generator = studio.networks.generator
        self.register_buffer("w_ref", torch.zeros(1, generator.codes.rows, generator.codes.dim, device=studio.device))
        for index, eye in enumerate(studio.eyes):
            self.register_buffer(f"direction{index}", torch.zeros(eye(self.picture).shape[1], device=studio.device))
        self.critic = patch_discriminator()
        self.side = max(4, round(arguments.patch * studio.resolution))

    def prepare(self) -> None:
        settings = replace(defaults("clip_guided"), steps=self.arguments.search_steps)
        self.w_ref.copy_(self.studio.invert(self.picture, settings))
        with torch.no_grad():
            samples = self.studio.samples(SOURCE_SAMPLES)
            for index, eye in enumerate(self.studio.eyes):
                step = eye(self.picture)[0] - eye(samples).mean(dim=0)
                self.get_buffer(f"direction{index}").copy_(F.normalize(step, dim=0))

    def codes(self, ws: Tensor, draws: Draws, step: int) -> Tensor:
        return self.w_ref.expand_as(ws) if step % ALIGN_EVERY == 0 else ws

    def loss(self, shown: Shown) -> Tensor:
        settings = self.arguments
        fooled = settings.lambda_critic * losses.generator_loss(self.critic(self.crops(shown.images, shown)[0]))
        if shown.step % ALIGN_EVERY == 0:
            apart = F.mse_loss(shown.images, self.picture.expand_as(shown.images))
            near = self.studio.perceptual_to(self.picture.expand_as(shown.images))(shown.images).mean()
            return settings.lambda_align * (apart + near) + fooled
        total = fooled
        for index, eye in enumerate(self.studio.eyes):
            after, before = shown.seen[index], shown.seen_before[index]
            consistent = consistency(after[0], before[0])
            towards = directional(after, before, self.get_buffer(f"direction{index}"))
            terms = settings.lambda_consistency * consistent + settings.lambda_direction * towards
            total = total + eye.weight * terms
            if settings.lambda_patch:
                total = total + eye.weight * settings.lambda_patch * self.patches(shown, index)
        return total

    def patches(self, shown: Shown, index: int) -> Tensor:
        """InfoNCE between crops at the same place before and after; other places of the picture are negatives."""
        eye = self.studio.eyes[index]
        places = shown.draws.uniform(PATCHES, 2)
        after = eye(self.cut(shown.images, places)).unflatten(0, (-1, PATCHES))
        with torch.no_grad():
            before = eye(self.cut(shown.before, places)).unflatten(0, (-1, PATCHES))
        return contrast(after, before)

    def critic_loss(self, shown: Shown) -> Tensor:
        fake, real = self.crops(shown.images, shown)
        loss = losses.discriminator_loss(self.critic(real), self.critic(fake))
        return loss + self.arguments.r1_gamma / 2 * losses.gradient_penalty(self.critic, real)

    def crops(self, images: Tensor, shown: Shown) -> tuple[Tensor, Tensor]:  # 2 x [n * PATCHES, 3, side, side]
        """Random crops of the given pictures, and as many of the one picture."""
        target = self.picture.expand_as(images)
        return self.cut(images, shown.draws.uniform(PATCHES, 2)), self.cut(target, shown.draws.uniform(PATCHES, 2))

    def cut(self, images: Tensor, places: Tensor) -> Tensor:  # [n, 3, R, R], [n, PATCHES, 2] -> [n * PATCHES, 3, s, s]
        """Square crops; places are fractions of what is free."""
        free = images.shape[-1] - self.side + 1
        corner = (places * free).long().flatten(0, 1)  # [n * PATCHES, 2]
        line = torch.arange(self.side, device=images.device)
        down, across = (corner[:, axis, None] + line for axis in (0, 1))
        which = torch.arange(len(images), device=images.device).repeat_interleave(places.shape[1])
        cut = images.movedim(1, 3)[which[:, None, None], down[:, :, None], across[:, None, :]]
        return cut.movedim(3, 1)


def consistency(after: Tensor, before: Tensor) -> Tensor:  # [n, E] of unit length, twice -> scalar
    """Mean squared difference of pairwise similarities (section 3.2, cross-domain consistency); 0 for one picture."""
    return (after @ after.t() - before @ before.t()).square().mean()


def contrast(after: Tensor, before: Tensor) -> Tensor:  # [n, P, E] of unit length, twice -> scalar
    """InfoNCE: the crop at the same place against those at other places of the same picture."""
    logits = after @ before.transpose(1, 2) / TEMPERATURE
    places = torch.arange(logits.shape[1], device=logits.device).expand(len(logits), -1)
    return F.cross_entropy(logits.flatten(0, 1), places.flatten())


def patch_discriminator() -> nn.Module:  # [N, 3, s, s] -> [N, 1, s / 4, s / 4] logits
    """Three convolutions: a logit for every place, each of which sees a few pixels around."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 3, padding=1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(WIDTH, 2 * WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    layers += [nn.Conv2d(2 * WIDTH, 4 * WIDTH, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(4 * WIDTH, 1, 1))
