"""Latent-mapper mining: which codes lie wholly in a text's domain, learned once the generator has learned the domain.

Source: StyleGAN-NADA (arXiv 2108.00946, section 4.3) with the mapper of StyleCLIP (arXiv 2103.17249, section 5). The
published term of identity needs a recogniser of faces and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.expansion.tasks.task import Eye
from explorer.networks import Generator
from explorer.networks.mapper import Mapper, MapperConfig
from explorer.networks.pixels import as_rgb
from explorer.training.draws import Draws

LAMBDA_CLIP, LAMBDA_L2, LAMBDA_NORM = 1.0, 0.8, 0.5
LR, BATCH = 0.005, 4


@torch.enable_grad()
def mine(
    generator: Generator,
    placed: Callable[[Tensor], Tensor],  # codes -> codes in the domain, [N, rows, dim]
    targets: Sequence[tuple[Eye, Tensor]],  # CLIP models and their directions [E] of the domain
    steps: int,
    seed: int = 0,
    asked: Callable[[], bool] = lambda: False,
) -> Mapper | None:
    """Train a mapper for a domain; None where `asked` to stop."""
    device, classes = generator.device, generator.classes
    torch.manual_seed(seed)
    mapper = Mapper(MapperConfig(generator.codes.dim, generator.codes.rows)).to(device)
    adam = torch.optim.Adam(mapper.parameters(), LR)
    for step in range(steps):
        if asked():
            return None
        draws = Draws(seed, step, BATCH, torch.arange(BATCH), device)
        labels = draws.integers(0, classes) if classes else None
        with torch.no_grad():
            ws = generator.draw(draws.normal(generator.codes.z_dim), labels)
        moved = mapper(ws)
        loss = mining_loss(ws, moved, as_rgb(generator.synthesize(placed(moved))), targets, generator.mean)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return mapper.eval().requires_grad_(False)


def mining_loss(
    ws: Tensor,  # [N, rows, dim]
    moved: Tensor,  # same
    images: Tensor,  # [N, 3, R, R], of the moved codes in the domain
    targets: Sequence[tuple[Eye, Tensor]],
    mean: Tensor,  # [dim]
) -> Tensor:  # scalar
    """CLIP's distance to the domain, the offset squared, and the change of the codes' distance to the mean squared."""
    clip = torch.stack([eye.weight * (1 - eye(images) @ target).mean() for eye, target in targets]).sum()
    far = [(codes - mean).square().mean(dim=2).sqrt() for codes in (ws, moved)]
    return LAMBDA_CLIP * clip + LAMBDA_L2 * F.mse_loss(moved, ws) + LAMBDA_NORM * F.mse_loss(far[1], far[0])
