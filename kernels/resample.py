"""FIR filters and the three resamplings that keep an image aligned. Only geometry: the work is `upfirdn2d`'s."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .geometry import Factor, Padding, factors, filter_size, sides
from .ops import upfirdn2d


def setup_filter(
    taps: Tensor | Sequence[float] | Sequence[Sequence[float]] | float | None,
    device: torch.device | str = "cpu",
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1.0,
    separable: bool | None = None,
) -> Tensor:  # [taps] or [taps_y, taps_x], float32 (float64 stays float64)
    """Make the filter that the resamplers take from a list of taps, `[y, x]` for 2-D.

    `normalize` scales the sum to 1 (no change of brightness); `gain` is the gain of the whole 2-D filter.
    One-dimensional taps stay 1-D, applied along both axes, where `separable` says so; None decides by cost: from 8
    taps on. Raises ValueError for empty filters and for a 2-D filter declared separable.
    """
    f = torch.as_tensor(1.0 if taps is None else taps, device=device)
    f = torch.atleast_1d(f if f.dtype == torch.float64 else f.to(torch.float32))
    filter_size(f)
    if f.ndim == 2 and separable:
        raise ValueError("a 2-D filter cannot be declared separable: give its 1-D taps")
    if f.ndim == 1 and not (len(f) >= 8 if separable is None else separable):
        f = torch.outer(f, f)
    if normalize:
        f = f / f.sum()
    if flip_filter:
        f = f.flip(tuple(range(f.ndim)))
    return f * gain ** (f.ndim / 2)


def filter2d(x: Tensor, f: Tensor | None, padding: Padding = 0, flip_filter: bool = False, gain: float = 1.0) -> Tensor:
    """Filter `x` `[N, C, H, W]` without changing its size; `padding` is added to what that needs. See `upfirdn2d`."""
    return upfirdn2d(x, f, padding=_aligned(f, (1, 1), (1, 1), padding), flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, f: Tensor | None, up: Factor = 2, padding: Padding = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Enlarge `x` `[N, C, H, W]` to `[N, C, H * up_y, W * up_x]`, keeping brightness: zeros are inserted, then
    filtered.

    `padding` is added to what that needs. See `upfirdn2d` for the rest.
    """
    ux, uy = factors(up, "up")
    padding = _aligned(f, (ux, uy), (1, 1), padding)
    return upfirdn2d(x, f, up=(ux, uy), padding=padding, flip_filter=flip_filter, gain=gain * ux * uy)


def downsample2d(
    x: Tensor, f: Tensor | None, down: Factor = 2, padding: Padding = 0, flip_filter: bool = False, gain: float = 1.0
) -> Tensor:
    """Low-pass `x` `[N, C, H, W]` and keep every `down`-th sample: `[N, C, H / down_y, W / down_x]`, rounded up for
    odd taps.

    `padding` is added to what that needs. See `upfirdn2d` for the rest.
    """
    down = factors(down, "down")
    padding = _aligned(f, (1, 1), down, padding)
    return upfirdn2d(x, f, down=down, padding=padding, flip_filter=flip_filter, gain=gain)


def _aligned(f: Tensor | None, up: tuple[int, int], down: tuple[int, int], extra: Padding) -> tuple[int, int, int, int]:
    """The padding that centres the filter on the resampled grid, plus `extra`.

    Up-sampling leaves up - 1 zeros after the last sample, so `taps - up` samples are missing, the odd one in front;
    down-sampling needs `taps - down` more than it has.
    """
    x0, x1, y0, y1 = sides(extra)
    before, after = [], []
    for taps, u, d in zip(filter_size(f), up, down, strict=True):
        before.append((taps + u - 1) // 2 if u > 1 else (taps - d + 1) // 2)
        after.append((taps - u) // 2 if u > 1 else (taps - d) // 2)
    return x0 + before[0], x1 + after[0], y0 + before[1], y1 + after[1]
