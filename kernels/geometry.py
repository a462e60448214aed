"""Sizes of FIR resampling: what `up`, `down` and `padding` may look like, and the shapes that follow. Knows no
tensors' values.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

Factor = int | Sequence[int]  # both axes, or (x, y)
Padding = int | Sequence[int]  # all sides, (x, y), or (x0, x1, y0, y1)


def factors(value: Factor, name: str) -> tuple[int, int]:
    """`value` or `(x, y)` -> (x, y), each at least 1. Raises ValueError naming `name`."""
    x, y = (value, value) if isinstance(value, int) else value
    if x < 1 or y < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return x, y


def sides(padding: Padding) -> tuple[int, int, int, int]:
    """`padding`, `(x, y)` or `(x0, x1, y0, y1)` -> (x0, x1, y0, y1). Negative values crop."""
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        x, y = padding
        return x, x, y, y
    if len(padding) != 4:
        raise ValueError(f"padding must be an int, (x, y) or (x0, x1, y0, y1), got {padding}")
    x0, x1, y0, y1 = padding
    return x0, x1, y0, y1


def filter_size(f: Tensor | None) -> tuple[int, int]:
    """Taps (x, y) of a filter: None is one tap, 1-D is separable with the same taps on both axes, 2-D is `[y, x]`."""
    if f is None:
        return 1, 1
    if f.ndim not in (1, 2) or 0 in f.shape:
        raise ValueError(f"a filter must be None, [taps] or [taps_y, taps_x] and not empty, got shape {list(f.shape)}")
    return f.shape[-1], f.shape[0]


def output_size(size: int, taps: int, up: int, down: int, before: int, after: int) -> int:
    """Samples of one axis after up-sampling, padding, a "valid" convolution and keeping every `down`-th sample."""
    padded = size * up + before + after
    torch._check(
        padded >= taps, lambda: f"{size} samples up {up}, padding ({before}, {after}): too few for {taps} taps"
    )
    return (padded - taps) // down + 1


def adjoint_padding(taps: int, up: int, down: int, before: int, size_in: int, size_out: int) -> tuple[int, int]:
    """(before, after) of the adjoint of one axis, which is the same resampling with `up` and `down` exchanged and the
    filter turned round: in front, tap k meets the sample it came from; behind, the size is restored.
    """
    return taps - 1 - before, size_in * up - size_out * down + before - up + 1


def memory_format(x: Tensor) -> torch.memory_format:
    """The layout in which results for `x` `[N, C, H, W]` are returned: channels_last where only that fits, else
    contiguous.
    """
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
