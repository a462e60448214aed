"""StyleGAN-NADA: from words to words, or to a set of pictures, along a direction of CLIP's space.

Source: Gal et al. (arXiv 2108.00946), sections 4.1 (directional loss) and 4.2 (adaptive layer freezing). The picture
"before" is the base-subspace picture of the same code (Domain Expansion, arXiv 2301.05225, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.expansion.tasks.task import ExpansionError, Eye, Shown, Studio, Task
from explorer.networks.pixels import as_rgb
from explorer.recipes.captions import style_of, style_prompts

TEMPLATES = ("{}", "a picture of {}", "an image of {}", "a rendering of {}")
SOURCE_SAMPLES = 16  # whose mean stands for the source, where the target is pictures
EDGE_CELLS = 16  # side of the grid on which `unlikeness` compares edges
LEAST = 1e-3  # length of a direction of CLIP below which two targets are the same to it


@dataclass(frozen=True)
class Arguments:
    """Arguments of the task `nada`: a `target` text, or `images`, a picture or a folder of them.

    Attributes:
        source: what the pictures show now, in words.
        lambda_global: weight of 1 - cos(picture, target), which alone would collapse (section 4.1).
        lambda_content: weight of `unlikeness` to the picture before: CLIP alone accepts a style that shows no cat.
        lambda_smooth: weight of the total variation that a picture has and its picture before has not.
        layers: how many layers learn, chosen anew each step (section 4.2); 0 for all of them.
        mine_steps: of a latent mapper trained at the run's end, see `explorer.expansion.mining`; 0 for none.
    """

    source: str = "photo"
    target: str = ""
    images: str = ""
    lambda_global: float = 0.0
    lambda_content: float = 0.5
    lambda_smooth: float = 0.1
    layers: int = 0
    mine_steps: int = 0

    def __post_init__(self) -> None:
        if bool(self.target.strip()) == bool(self.images):
            raise ExpansionError("the prompt is empty: give a target text, or images, and not both")
        if not self.images and not self.source.strip():
            raise ExpansionError("the source prompt is empty: say what the pictures show now")
        if min(v for v in vars(self).values() if not isinstance(v, str)) < 0:
            raise ExpansionError("the lambdas, layers and mine_steps must be at least 0")


class Nada(Task):
    """The directional loss over all CLIP models, by their weights."""

    Arguments = Arguments
    uses_clip = True
    any_side = True
    arguments: Arguments

    def __init__(self, arguments: Arguments, studio: Studio) -> None:
        super().__init__(arguments, studio)
        self.pictures = studio.photos(arguments.images) if arguments.images else None
        for index, eye in enumerate(studio.eyes):
            width = _width(eye)
            self.register_buffer(f"direction{index}", torch.zeros(width, device=studio.device))
            self.register_buffer(f"target{index}", torch.zeros(width, device=studio.device))

    @torch.no_grad()
    def prepare(self) -> None:
        for index, eye in enumerate(self.studio.eyes):
            if self.pictures is not None:
                ends = [eye(p).mean(dim=0) for p in (self.studio.samples(SOURCE_SAMPLES), self.pictures)]
            else:
                texts = self.arguments.source, self.arguments.target
                ends = list(eye.clip.encode_prompts([prompts(text, eye.clip.config is not None) for text in texts]))
            if (step := ends[1] - ends[0]).norm() < LEAST:
                raise ExpansionError(f"source and target are the same to {eye.clip.name}: say what should change")
            self.get_buffer(f"direction{index}").copy_(F.normalize(step, dim=0))
            self.get_buffer(f"target{index}").copy_(F.normalize(ends[1], dim=0))

    def loss(self, shown: Shown) -> Tensor:
        total = shown.images.new_zeros(())
        for index, eye in enumerate(self.studio.eyes):
            after, before = shown.seen[index], shown.seen_before[index]
            total = total + eye.weight * directional(after, before, self.get_buffer(f"direction{index}"))
            if self.arguments.lambda_global:
                apart = 1 - (after @ self.get_buffer(f"target{index}")).mean()
                total = total + eye.weight * self.arguments.lambda_global * apart
        if self.arguments.lambda_content:
            total = total + self.arguments.lambda_content * unlikeness(shown.images, shown.before).mean()
        if self.arguments.lambda_smooth:
            total = total + self.arguments.lambda_smooth * roughness(shown.images, shown.before)
        return total

    def targets(self) -> list[tuple[Eye, Tensor]]:
        """Every CLIP and its direction `[E]` of the target itself."""
        return [(eye, self.get_buffer(f"target{index}")) for index, eye in enumerate(self.studio.eyes)]

    def frozen(self, ws: Tensor) -> frozenset[str]:
        """All but the `layers` whose rows one step of SGD on the global loss would move most (section 4.2)."""
        if not self.arguments.layers:
            return frozenset()
        generator = self.studio.networks.generator
        with torch.enable_grad():
            codes = ws.detach().clone().requires_grad_()
            images = as_rgb(generator.synthesize(codes, dtype=self.studio.dtype))
            each = [eye.weight * (1 - eye(images) @ target).mean() for eye, target in self.targets()]
            loss = torch.stack(each).sum()
            (gradient,) = torch.autograd.grad(loss, codes)
        moved = gradient.norm(dim=2).mean(dim=0)
        layers = {layer.row: layer for layer in generator.style_layers() if not layer.colors}
        rows = sorted(layers, key=lambda row: -float(moved[row]))[: self.arguments.layers]
        trained = tuple(f"{layers[row].feeds}." for row in rows)
        return frozenset(name for name in generator.learnable() if not name.startswith(trained))


def prompts(text: str, ours: bool) -> list[str]:
    """Phrasings of one text; of a style that `ours`, a CLIP of `train clip`, was taught, all the words it learned."""
    text = " ".join(text.split())
    style = style_of(text) if ours else None
    return [template.format(text) for template in TEMPLATES] if style is None else style_prompts(style)


def directional(after: Tensor, before: Tensor, direction: Tensor) -> Tensor:  # [..., E], [..., E], [E] -> scalar
    """1 - cos(after - before, direction), the mean over pictures (equation 3)."""
    return 1 - F.cosine_similarity(after - before, direction, dim=-1, eps=1e-4).mean()


def variation(images: Tensor) -> Tensor:  # [n, 3, H, W] -> [n]
    """Mean absolute difference of neighbouring pixels, in both directions."""
    across = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    down = (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    return across + down


def roughness(images: Tensor, before: Tensor) -> Tensor:  # [n, 3, H, W], twice -> scalar
    """The total variation that pictures have and the pictures before have not."""
    return F.relu(variation(images) - variation(before)).mean()


def unlikeness(images: Tensor, before: Tensor) -> Tensor:  # [n, 3, H, W], twice -> [n], 0 to 2
    """1 - correlation of where the edges are, coarsely: blind to colours, to light and dark, to texture. Ours."""
    maps = []
    for pictures in (images, before):
        grey = pictures.mean(dim=1, keepdim=True)
        across, down = grey[..., 1:, 1:] - grey[..., 1:, :-1], grey[..., 1:, 1:] - grey[..., :-1, 1:]
        strength = (across.square() + down.square() + 1e-4).sqrt()
        coarse = F.adaptive_avg_pool2d(strength, EDGE_CELLS).flatten(1)
        maps.append(coarse - coarse.mean(dim=1, keepdim=True))
    return 1 - F.cosine_similarity(*maps, dim=1, eps=1e-3)


def _width(eye: Eye) -> int:
    return eye.clip.encode_text(["a"]).shape[1]
