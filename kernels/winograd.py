"""3 x 3 convolutions on a CPU in float32 with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3).

A tile of 6 x 6 inputs gives 4 x 4 outputs: both are small linear maps to and from 36 numbers a channel, between which
the convolution is 36 matrix products over channels. Source: Lavin and Gray (arXiv 1509.09308); the points of
interpolation, 0, +-sqrt(1/2), +-sqrt(2) and infinity, make the smallest errors of those tried (2e-6 of the largest
value; Barabasz et al., arXiv 1803.10986). Wide layers gain most, narrow ones nothing (`pays`). Inference only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

OUT, TILE = 4, 6  # samples a side of a tile's result, and of what it reads
POINTS = (0.0, math.sqrt(0.5), -math.sqrt(0.5), math.sqrt(2), -math.sqrt(2))
TILES = 128  # that are worked on at once: their numbers stay in a core's cache
GROWTH = TILE**2 / 9  # of a weight that is prepared for it
WIDTH = 96  # channels, of input and result, from which on fewer multiplications outweigh the maps
SIDE = 16  # likewise, samples of the result


def is_wide(shape: Sequence[int]) -> bool:
    """Whether a weight of this shape, `[out, in, height, width]`, is one that this can be worth for."""
    return len(shape) == 4 and tuple(shape[2:]) == (3, 3) and min(shape[:2]) >= WIDTH


def pays(weight: Tensor, side: int) -> bool:
    """Whether this is faster than a direct convolution, for results of `side` x `side`."""
    return weight.device.type == "cpu" and weight.dtype == torch.float32 and is_wide(weight.shape) and side >= SIDE


def matrices() -> tuple[Tensor, Tensor, Tensor]:  # [6, 6], [6, 3], [4, 6], float64
    """The maps of one axis, of inputs, weights and results, by Lagrange's interpolation (Toom and Cook).

    `result @ ((weights @ g) * (inputs @ d))` is the correlation of d with g.
    """
    points = torch.tensor(POINTS, dtype=torch.float64)
    inputs, weights, result = (points.new_zeros(shape) for shape in ((TILE, TILE), (TILE, 3), (OUT, TILE)))
    for i, point in enumerate(points):
        others = torch.cat([points[:i], points[i + 1 :]])
        inputs[i, : TILE - 1] = _polynomial(others)
        weights[i] = point ** torch.arange(3) / (point - others).prod()
        result[:, i] = point ** torch.arange(OUT)
    inputs[-1], weights[-1, -1], result[-1, -1] = _polynomial(points), 1, 1  # the point at infinity
    return inputs, weights, result


def _polynomial(roots: Tensor) -> Tensor:  # [n] -> [n + 1], the coefficients of prod (x - root), constant first
    coefficients = torch.ones(1, dtype=torch.float64)
    for root in roots:
        shifted = torch.cat([coefficients.new_zeros(1), coefficients])
        shifted[:-1] -= root * coefficients
        coefficients = shifted
    return coefficients


class Convolution:
    """`conv2d(x * scale, weight) * demod` of stride 1, prepared.

    Args:
        weight: `[out, in, 3, 3]`, float32, on a CPU.
        padding: zeros around the input, 0 or more.
    """

    def __init__(self, weight: Tensor, padding: int = 1) -> None:
        inputs, weights, result = matrices()
        self.padding = padding
        o, i = weight.shape[:2]
        taps = weight.detach().permute(2, 3, 1, 0).reshape(9, i * o)
        self.weight = (torch.kron(weights, weights).to(torch.float32) @ taps).view(-1, i, o)  # [36, in, out]
        self.inputs = torch.kron(inputs, inputs).to(torch.float32)  # [36, 36]
        self.result = torch.kron(result, result).to(torch.float32)  # [16, 36]

    def __call__(
        self,
        x: Tensor,  # [N, in, h, w], float32
        scale: Tensor | None = None,  # [N, in]
        demod: Tensor | None = None,  # [N, out]
    ) -> Tensor:  # [N, out, h + 2 padding - 2, w + 2 padding - 2], channels last
        n, width, pad = len(x), self.weight.shape[2], self.padding
        height, breadth = (side + 2 * pad - 2 for side in x.shape[2:])
        down, along = -(-height // OUT), -(-breadth // OUT)  # tiles
        tiles = (
            self._padded(x, scale, down, along).unfold(1, TILE, OUT).unfold(2, TILE, OUT)
        )  # [N, down, along, in, 6, 6]
        out = x.new_empty(n, down, OUT, along, OUT, width)
        together = max(1, TILES // (down * along))  # pictures, where one has fewer tiles
        rows = max(1, TILES // along)
        for first in range(0, n, together):
            some = slice(first, first + together)
            factor = None if demod is None else demod[some, None, None, None, None]
            for top in range(0, down, rows):
                part, target = tiles[some, top : top + rows], out[some, top : top + rows]
                lines = part.permute(4, 5, 0, 1, 2, 3).reshape(TILE**2, -1)
                products = torch.bmm((self.inputs @ lines).view(TILE**2, -1, x.shape[1]), self.weight)
                made = (self.result @ products.view(TILE**2, -1)).view(OUT, OUT, *part.shape[:3], width)
                made = made.permute(2, 3, 0, 4, 1, 5)
                target.copy_(made) if factor is None else torch.mul(made, factor, out=target)
        return out.view(n, OUT * down, OUT * along, width)[:, :height, :breadth].permute(0, 3, 1, 2)

    def _padded(self, x: Tensor, scale: Tensor | None, down: int, along: int) -> Tensor:  # [N, h', w', in]
        """The input, scaled, with zeros around it up to whole tiles."""
        pad, (n, width, h, w) = self.padding, x.shape
        padded = x.new_zeros(n, OUT * down + 2, OUT * along + 2, width)
        inner, pixels = padded[:, pad : pad + h, pad : pad + w], x.permute(0, 2, 3, 1)
        inner.copy_(pixels) if scale is None else torch.mul(pixels, scale[:, None, None], out=inner)
        return padded
