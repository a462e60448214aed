"""Random codes that a number fixes. Knows no generator."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def sample_z(count: int, z_dim: int, seed: int) -> Tensor:  # -> [count, z_dim], standard normal, float32
    """Codes of Z; the first is the one that `Edit.seed` = `seed` stands for.

    By numpy's generator, not torch's: networks are initialised from torch's, often with the same small seeds, and a z
    that equals a row of the mapping network's first weights is no random code. (Seen: with seed 0, codes of a generator
    trained with seed 0 lay twice as far from w_avg as all others.)
    """
    return torch.from_numpy(np.random.RandomState(seed).randn(count, z_dim)).float()
