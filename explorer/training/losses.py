"""The losses of StyleGAN2 (arXiv 1912.04958): non-saturating, R1 and path length, each a function of tensors.

Knows no optimiser and no schedule; "lazy" is the caller's matter. Everything is differentiable, R1 and path length by
differentiating twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor


def generator_loss(fake_logits: Tensor) -> Tensor:  # [N, 1] -> scalar
    """-log sigmoid(D(G(z))), the non-saturating loss (Goodfellow et al., arXiv 1406.2661, section 3)."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:  # [N, 1], [N, 1] -> scalar
    """-log sigmoid(D(x)) - log(1 - sigmoid(D(G(z)))) (arXiv 1406.2661, equation 1)."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor],
    real: Tensor,  # [N, C, H, W]
) -> Tensor:  # scalar
    """E |grad_x D(x)|^2 on real pictures: R1 without its factor gamma / 2.

    Source: Mescheder et al. (arXiv 1801.04406), equation 9.
    """
    real = real.detach().requires_grad_()
    logits = discriminator(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(
    images: Tensor,  # [N, C, H, W], computed from ws
    ws: Tensor,  # [N, rows, dim]
    direction: Tensor,  # [N, C, H, W], standard normal
) -> Tensor:  # [N]
    """|J^T y| with y ~ N(0, 1 / (H W)) (StyleGAN2, section 3.2, equation 4), root mean square over the rows of ws.

    The regulariser is `(lengths - a)^2` with `a` their running mean.
    """
    height, width = images.shape[2:]
    scaled = direction / math.sqrt(height * width)
    (gradient,) = torch.autograd.grad((images * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()
