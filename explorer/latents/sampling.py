"""Random codes that a number fixes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from explorer.networks import Generator


def sample_z(count: int, z_dim: int, seed: int) -> Tensor:  # -> [count, z_dim], standard normal, float32
    """Codes of Z; the first is the one that `Edit.seed` = `seed` stands for.

    By numpy's generator, not torch's: networks are initialised from torch's, often with the same small seeds, and a z
    that equals a row of the mapping network's first weights is no random code. (Seen: with seed 0, codes of a generator
    trained with seed 0 lay twice as far from the mean as all others.)
    """
    return torch.from_numpy(np.random.RandomState(seed).randn(count, z_dim)).float()


def sample_codes(generator: Generator, count: int, seed: int = 0, psi: float = 1.0) -> Tensor:  # [count, rows, dim]
    """Codes of a generator that `seed` fixes, its classes in turn, on its device."""
    labels = torch.arange(count) % generator.classes if generator.classes else None
    z = sample_z(count, generator.codes.z_dim, seed).to(generator.device)
    return generator.draw(z, labels, psi)
