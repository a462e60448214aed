"""A step of domain expansion on an autoencoder that makes pictures of noise step by step: by its own loss.

To learn through all those steps costs as many passes as there are; the network's own loss costs one. It asks for the
pictures themselves, so the tasks must know what these look like in their domain (`Task.knows`). A photo's noise image
stays with it: what the network learns is the straight way from the noise that makes the photo to the photo redrawn, so
that a photo's domain shows the same face, in few steps (as in rectified flow's reflow, arXiv 2209.03003). Ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.expansion.trainer import Trainer
from explorer.latents import Expansion, project
from explorer.networks import Generator
from explorer.networks.family import Autoencoder
from explorer.networks.pixels import from_pixels
from explorer.training.data import Order, Pictures
from explorer.training.draws import Draws

Scene = tuple[Tensor, Tensor, Tensor]  # pictures, noise, times
WAY = 12  # steps of both ways between noise and picture
PART = 32  # pictures at a time


@dataclass(frozen=True)
class Pool:
    """Pictures with their codes in the base subspace and the noise images that make them.

    Attributes:
        pictures: `[K, 3, R, R]` in [-1, 1]; the first ones photos, half of them where there are any, then samples.
        noise: `[K, *codes.noise]`.
        codes: `[K, rows, dim]`.
    """

    pictures: Tensor
    noise: Tensor
    codes: Tensor


@torch.no_grad()
def gather_pool(
    source: Autoencoder, expansion: Expansion, photos: Pictures | None, count: int, seed: int, dtype: torch.dtype
) -> Pool:
    """As many pictures; the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    chosen = [] if photos is None else Order(len(photos), (count + 1) // 2, seed).at(0).tolist()
    for part in (chosen[i : i + PART] for i in range(0, len(chosen), PART)):
        assert photos is not None
        pictures = from_pixels(torch.stack([photos[index][0] for index in part])).to(source.device)
        with torch.autocast(source.device.type, dtype, enabled=dtype != torch.float32):
            codes = project(source.codes_of(pictures).float(), expansion)
            *_, (_, noise) = source.noise_of(pictures, codes, WAY)
        found.append((pictures, noise.float(), codes))
    for size in (min(PART, count - i) for i in range(len(chosen), count, PART)):
        z = torch.randn(size, source.codes.z_dim, generator=generator).to(source.device)
        noise = torch.randn(size, *source.codes.noise, generator=generator).to(source.device)
        codes = project(source.draw(z), expansion)
        found.append((source.synthesize(codes, dtype=dtype, steps=WAY, noise=noise), noise, codes))
    return Pool(*(torch.cat(parts) for parts in zip(*found, strict=True)))


class DenoisingTrainer(Trainer):
    """`Trainer` with another loss; `lambda_lpips` and `lambda_src` mean nothing to it."""

    source: Autoencoder
    G: Autoencoder

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        config = self.config
        self.pool = gather_pool(self.source, self.expansion, self.pictures, config.pool, config.seed, self.dtype)

    def gradients(self, part: Tensor) -> tuple[Sequence[Any], Sequence[Any], dict[str, Tensor]]:
        config = self.config
        draws = Draws(config.seed, self.step, config.batch, part, self.device)
        domain, chosen = self.domains_of(draws), draws.integers(0, len(self.pool.pictures))
        pictures, ways, codes = (values[chosen] for values in (self.pool.pictures, self.pool.noise, self.pool.codes))
        noise, times = draws.normal(*ways.shape[1:]), self.source.times(draws.normal())
        members = [(domain == i).nonzero().flatten() for i in range(len(self.tasks))]
        targets, origins = pictures.clone(), codes.clone()
        for i, mine in enumerate(members):
            if len(mine):
                targets[mine], theirs = self.task(i).examples(pictures[mine], self.draws_of(i, part[mine.cpu()]))
                if not theirs:
                    ways[mine], origins[mine] = noise[mine], self.codes_of(targets[mine])
        _, moved = self.codes(origins, domain)
        said, wanted = self.denoising(self.G, targets, ways, times, moved)
        errors = (said - wanted).square().mean(dim=(1, 2, 3))
        figures = {self.plan.new[i]: errors[mine].mean() for i, mine in enumerate(members) if len(mine)}
        total = config.lambda_expand * errors.mean() if self.tasks else errors.new_zeros(())
        scene = pictures, noise, times
        if not self.alone:
            figures["replay"] = self.distance(self.source, codes, codes, scene)
            total = total + config.lambda_l2 * figures["replay"]
        if self.teacher is not None and not self.alone:
            every = torch.arange(len(codes), device=self.device)
            kept, taught = self.kept_codes(codes, draws, every)
            figures["kept domains"] = self.distance(self.teacher, kept, taught, scene)
            total = total + config.lambda_l2 * figures["kept domains"]
        return (
            self.derivatives(total, self.weights),
            [None] * len(self.critics),
            {name: value.detach() for name, value in figures.items()},
        )

    def distance(self, teacher: Generator, codes: Tensor, taught: Tensor, scene: Scene) -> Tensor:  # scalar
        """How far the network at `codes` is from what `teacher` says at `taught`, of pictures, noise and times."""
        with torch.no_grad():
            truth, _ = self.denoising(teacher, *scene, taught)
        return F.mse_loss(self.denoising(self.G, *scene, codes)[0], truth)

    def denoising(
        self, network: Generator, pictures: Tensor, noise: Tensor, times: Tensor, codes: Tensor
    ) -> tuple[Tensor, Tensor]:  # [n, 3, R, R], float32, both
        """What a network predicts of noised pictures, and what it should, in the type that training computes in."""
        assert isinstance(network, Autoencoder)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            said, wanted = network.denoising(pictures, noise, times, codes)
        return said.float(), wanted

    @torch.no_grad()
    def codes_of(self, pictures: Tensor) -> Tensor:  # [n, 3, R, R] -> [n, rows, dim]
        """What the encoder says of them."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.source.codes_of(pictures).float()
