"""How close is close enough, by number format; and on a GPU machine, the kernels rather than their stand-in."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels import build

# Relative to the largest value: a few roundings of the storage format, sums of up to 100 terms.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 3e-6, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}

if (
    torch.cuda.is_available()
):  # plain PyTorch serves while the kernels are built: that is not what these tests are about
    build.wait(300)


def assert_close(given: Tensor, exact: Tensor, dtype: torch.dtype, steps: int = 1) -> None:
    """`given` has `dtype` and is `exact` (float64), give or take its roundings, in each of so many steps."""
    assert given.dtype == dtype
    assert given.shape == exact.shape
    scale = max(1.0, exact.abs().max().item()) if exact.numel() else 1.0
    error = (given.cpu().double() - exact.cpu()).abs().max().item() if exact.numel() else 0.0
    assert error <= steps * TOLERANCE[dtype] * scale, f"{error} against {scale}"
