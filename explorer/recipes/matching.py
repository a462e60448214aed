"""The Frechet distance as a loss: generated pictures are pulled to where their features would lie among real ones.

Between two normal distributions the cheapest way from the one to the other is linear, and the mean squared length of
its steps is the Frechet distance (Dowson and Landau, 1982). So the squared step of every picture's features, the aim
held fixed, is a loss whose gradient is that of the distance. The features of generated pictures are followed by running
moments, because a batch is far too small to know their covariance. Knows no generator.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from explorer.metrics.frechet import Statistics, eigen, imagenet_features, statistics

HALF_LIFE = 2048  # pictures after which what was seen of the generator counts half
ENOUGH = 4096  # pictures to be seen before the first look
RENEW = 512  # pictures between two looks for the cheapest way
SHRINK = 1e-3  # of the mean variance, added to all: directions hardly seen yet are no reason for giant steps


def transport(start: Statistics, aim: Statistics) -> Tensor:  # [F, F], symmetric
    """The matrix A of the cheapest way `x -> aim.mean + A (x - start.mean)` between two normal distributions.

    A = R (R C R)^(-1/2) R with C the covariance at the start and R the root of the aim's (Givens and Shortt, 1984).
    """
    features = len(start.mean)
    noise = torch.eye(features, dtype=torch.float64, device=start.mean.device) * SHRINK
    begin, end = (c + noise * c.trace() / features for c in (start.covariance, aim.covariance))
    root = _power(end, 0.5)
    return root @ _power(root @ begin @ root, -0.5) @ root


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = eigen(matrix)
    return (vectors * values.clamp_min(values[-1] * 1e-12) ** exponent) @ vectors.t()


class Matching(nn.Module):
    """Frechet distance of generated pictures from real ones, on an ImageNet network's last features.

    Its buffers are all that a resumed run needs: running moments of the generator and the way found last. Raises
    CheckpointError for an unknown network and where its packages are not installed.
    """

    seen: Tensor
    mean: Tensor
    second: Tensor
    matrix: Tensor
    shift: Tensor

    def __init__(
        self, name: str, px: int, real: Iterable[Tensor], device: torch.device, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        self.features = imagenet_features(name, px, device, dtype)
        self.real = statistics(self.features, (batch.to(device) for batch in real))
        self.scale = float(self.real.covariance.trace())
        size = len(self.real.mean)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64))
        self.register_buffer("second", torch.zeros(size, size, dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(size))
        self.register_buffer("shift", torch.zeros(size))
        self.to(device)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # [N, 3, H, W] in [-1, 1] -> scalar, [N, F]
        """The loss as a fraction of the real features' variance, 0 until enough was seen; and features for `follow`."""
        features = self.features.of(images)
        found = features.detach()
        return (features - (found @ self.matrix + self.shift)).square().sum(dim=1).mean() / self.scale, found

    @torch.no_grad()
    def follow(self, mean: Tensor, second: Tensor, count: int) -> None:
        """Take in the mean `[F]` and the mean outer product `[F, F]` of `count` pictures' features; renew the way."""
        before = int(self.seen)
        self.seen += count
        # The exact mean at first, then one that forgets.
        weight = max(count / int(self.seen), 1 - 0.5 ** (count / HALF_LIFE))
        self.mean.lerp_(mean.double(), weight)
        self.second.lerp_(second.double(), weight)
        if int(self.seen) >= ENOUGH and int(self.seen) // RENEW > before // RENEW:
            way = transport(Statistics(self.mean, self.second - self.mean.outer(self.mean)), self.real)
            self.matrix.copy_(way)
            self.shift.copy_(self.real.mean - way @ self.mean)
