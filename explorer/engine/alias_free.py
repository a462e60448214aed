"""Fast synthesis of StyleGAN3: the same picture as `StyleGAN3.synthesis`, by exact identities, prepared once.

* Weights are brought to size one, and their energies summed, when the generator is loaded. Demodulation needs no
  weights of a sample's own: conv(x, w * s) * d = conv(x * s, w) * d, d = rsqrt(s^2 @ Q + eps), Q[i, o] = sum_k w^2.
* On a CPU in float32, wide layers take a quarter of the multiplications (`kernels.winograd`). In others, of one
  picture, styles and demodulation are multiplied into the weights, where those are smaller than the features.
* On a CPU the samplings around each rectifier are banded matrix products over planes that stay in the cache
  (`kernels.banded`); convolutions compute in the engine's format, all else in float32.
* Everything before the first changed row of ws is taken from the last picture, as long as the pose stays.

Source: StyleGAN3 (arXiv 2106.12423). Knows no edits and no files. Inference only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer import kernels
from explorer.engine.graphs import Graphs
from explorer.kernels import banded, synthesis, winograd
from explorer.networks import StyleGAN3
from explorer.networks.family import NoiseMode
from explorer.networks.stylegan3 import SynthesisLayer

KEPT_BYTES = 256 * 2**20  # features of the last picture that are kept for the next


@dataclass
class Resume:
    """What row `row` of ws and all rows after it start from: the input of its layer."""

    row: int
    x: Tensor


class Layer:
    """One layer, prepared: weight, energy for the demodulation, affine map with all gains, rectifier."""

    def __init__(self, layer: SynthesisLayer, dtype: torch.dtype) -> None:
        shape = self.shape = layer.shape
        self.dtype = dtype
        with torch.no_grad():
            weight, _ = layer.prepared(torch.ones(1, shape.in_channels, device=layer.weight.device))
            fan_in = weight[0].numel()
            # ToRGB's styles are divided by this; all other results are demodulated, and stay near one in 16 bits.
            weight = weight / math.sqrt(fan_in)
            self.energy = weight.square().sum(dim=(2, 3)).t().contiguous()  # [in, out]
            self.weight, self.rounded, self.padding = weight, weight.to(dtype), shape.kernel - 1
            self.wide: winograd.Convolution | None = None
            if winograd.pays(self.rounded, shape.before.size + self.padding):
                self.wide = winograd.Convolution(weight, self.padding)
                self.weight = self.rounded = weight.new_empty(0)  # four times as large there
            self.gain = layer.magnitude_ema.rsqrt()
            self.affine_weight = layer.affine.weight * layer.affine.weight_gain
            self.affine_bias = layer.affine.bias * layer.affine.bias_gain
        self.bias, self.eps = layer.bias.detach(), 1e-8 / fan_in
        self.lrelu = self._rectifier(layer)

    def __call__(self, x: Tensor, w: Tensor) -> Tensor:  # [N, in, size, size], [N, dim] -> [N, out, size', size']
        s, d = self.styles(w)
        if self.wide is not None:
            return self.lrelu(self.wide(x, s, d))
        if len(x) == 1 and self.weight.numel() < x.numel():
            weight = (self.weight * s[0, :, None, None]).mul_(d[0, :, None, None, None])
            return self.lrelu(F.conv2d(x, weight.to(self.dtype), padding=self.padding))
        x = F.conv2d(x * s[:, :, None, None].to(x.dtype), self.rounded, padding=self.padding)
        return self.lrelu(x.mul_(d[:, :, None, None].to(x.dtype)))

    def styles(self, w: Tensor) -> tuple[Tensor, Tensor]:  # [N, dim] -> [N, in], [N, out or 1]
        """What the input and the result of the convolution are multiplied with."""
        s = F.linear(w, self.affine_weight, self.affine_bias)
        if self.shape.colors:
            return s, self.gain.expand(len(s), 1)
        s = s * s.square().mean(dim=1, keepdim=True).rsqrt()
        return s, (s.square() @ self.energy + self.eps).rsqrt() * self.gain

    def _rectifier(self, layer: SynthesisLayer) -> Callable[[Tensor], Tensor]:
        shape, (low, high) = self.shape, self.shape.padding
        filters, gain = (layer.up_filter, layer.down_filter), 1.0 if shape.colors else math.sqrt(2)
        settings = (low, high, low, high), gain, 1.0 if shape.colors else 0.2, layer.conv_clamp
        if layer.weight.device.type == "cpu":
            size = shape.before.size + shape.kernel - 1
            rectify = banded.FilteredLrelu(torch.float32, (size, size), *filters, shape.up, shape.down, *settings)
            return lambda x: rectify(x, self.bias)
        return lambda x: kernels.filtered_lrelu(x, *filters, self.bias, shape.up, shape.down, *settings)


class AliasFree:
    """`codes -> pictures`, prepared for one device and number format. Not thread-safe; the engine holds the lock.

    `graphs` replays CUDA graphs, one a batch size; it means nothing on a CPU.
    """

    def __init__(self, generator: StyleGAN3, dtype: torch.dtype, graphs: bool = True) -> None:
        self.input, self.dtype = generator.synthesis.input, dtype
        self.scale = generator.config.output_scale
        self.layers = [Layer(layer, dtype) for _, layer in generator.synthesis.layers()]
        self._last: tuple[Tensor, Tensor, list[Resume]] | None = None
        device = generator.device
        self._graphs = Graphs() if graphs and device.type == "cuda" else None
        if device.type == "cuda":
            synthesis.start_build(device)

    def __call__(
        self,
        ws: Tensor,  # [N, num_ws, w_dim] float32
        noise_mode: NoiseMode = "const",  # there is no noise
        noise_seed: int | None = None,
        pose: Tensor | None = None,  # [N, 3]
        steps: int | None = None,  # it makes its pictures at once
        noise: Tensor | None = None,
    ) -> Tensor:  # [N, img_channels, H, W] float32
        """Pictures of codes. With one code on a CPU, rows that equal the last call's are not computed again."""
        transform = self.input.moved(pose)
        if self._graphs is not None:
            return self._graphs("", self._features_on, self._with(ws, transform))
        if len(ws) > 1:
            return self._run(ws, transform)
        kept = self._shared(ws, transform)
        image = self._run(ws, transform, kept)
        self._last = (ws.clone(), transform.clone(), kept)
        return image

    def _with(self, ws: Tensor, transform: Tensor) -> Tensor:  # [N, num_ws * w_dim + 9]
        """Codes and transforms as one tensor, which is what a recorded graph is a function of."""
        return torch.cat([ws.flatten(1), transform.expand(len(ws), 3, 3).flatten(1).to(ws)], dim=1)

    def _features_on(self, given: Tensor) -> Tensor:
        rows = len(self.layers) + 1
        return self._run(given[:, :-9].unflatten(1, (rows, -1)), given[:, -9:].unflatten(1, (3, 3)))

    def _shared(self, ws: Tensor, transform: Tensor) -> list[Resume]:
        """The points of the last picture that come before the first changed row."""
        if self._last is None or not torch.equal(self._last[1], transform):
            return []
        changed = (self._last[0] != ws).any(dim=2)[0].nonzero()
        first = int(changed[0]) if len(changed) else ws.shape[1]
        return [point for point in self._last[2] if point.row <= first]

    def _run(self, ws: Tensor, transform: Tensor, kept: list[Resume] | None = None) -> Tensor:
        """Start from the last point of `kept`, and append to it where later calls may start; all rows without it."""
        if kept:
            x, first = kept[-1].x, kept[-1].row
        else:
            x, first = self.input(ws[:, 0], transform).to(self.dtype), 1
        for row, layer in enumerate(self.layers[first - 1 :], first):
            if kept is not None and row % 2 == 1:  # every other layer, so that the last and largest ones find room
                keep(kept, Resume(row, x))
            x = layer(x, ws[:, row])
        return x.to(torch.float32) * self.scale


def keep(kept: list[Resume], point: Resume) -> None:
    """Append a later point while there is room for its features."""
    room = KEPT_BYTES - sum(earlier.x.nbytes for earlier in kept)
    if point.x.nbytes <= room and (not kept or point.row > kept[-1].row):
        kept.append(point)
