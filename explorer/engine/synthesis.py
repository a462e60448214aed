"""Fast synthesis: the same picture as `Generator.synthesis`, by exact identities, with weights prepared once.

* Demodulation without per-sample weights: conv(x, w * s) * d = conv(x * s, w) * d with d = rsqrt(s^2 @ Q + eps) and
  Q[i, o] = sum_k w^2. A slider drag recomputes only the styles and d.
* The gain sqrt(2) of the activation is folded into d, noise and bias; the next layer's style is multiplied in the same
  pass as this layer's d, noise, bias, activation and ToRGB (`kernels.synthesis_epilogue`).
* On a CPU in float32, wide convolutions take a quarter of the multiplications (`kernels.winograd`).
* Up-sampling stays a transposed convolution (9 taps an input pixel) with its low-pass inside that same pass.
* Everything before the first changed row of ws is taken from the last picture.
* The skip architecture's picture so far, at a smaller side, is there for a small share of the work (`Synthesis.lower`).

Source: StyleGAN2 (arXiv 1912.04958), equations 1 to 3. Knows no edits and no files. Inference only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.engine.graphs import Graphs
from explorer.kernels import synthesis as fused
from explorer.kernels import winograd
from explorer.networks import StyleGAN2
from explorer.networks.family import NoiseMode
from explorer.networks.stylegan2 import SynthesisLayer, ToRGB

# Features of the last picture that are kept for the next. At 1024 px half of it would do, but then a drag of two idle
# cores shows a fifth fewer frames.
KEPT_BYTES = 256 * 2**20


@dataclass
class Resume:
    """What row `row` of ws and all rows after it start from: features before the epilogue, and the picture so far."""

    row: int
    raw: Tensor
    demod: Tensor
    img: Tensor | None


class Layer:
    """One modulated convolution, prepared: packed weight, energy for the demodulation, bias, noise."""

    def __init__(self, layer: SynthesisLayer, dtype: torch.dtype) -> None:
        self.source = layer
        self.up = layer.up == 2
        self.clamp = math.inf if layer.conv_clamp is None else layer.conv_clamp
        weight = layer.weight.detach()
        self.work = weight.numel() * (layer.resolution // layer.up) ** 2  # multiplications of a direct convolution
        self.energy = weight.square().sum(dim=(2, 3)).t().contiguous()  # [in, out]
        self.affine_weight = layer.affine.weight.detach() * layer.affine.weight_gain
        self.affine_bias = layer.affine.bias.detach() * layer.affine.bias_gain
        self.bias = layer.bias.detach() * math.sqrt(2)
        # 16-bit floats of CUDA end at 65504: keep products near one and give the factors back in float32.
        self.rescale = dtype == torch.float16
        self.weight_scale = 1.0
        if self.rescale:
            self.weight_scale = float(weight.abs().max() * math.sqrt(weight[0].numel()))
            weight = weight / self.weight_scale
        self.conv = prepared(weight.to(dtype), self.up, layer.resolution)
        self.noise_const = self._noise("const", 1, None)

    def styles(self, w: Tensor) -> tuple[Tensor, Tensor]:  # [N, w_dim] -> [N, in], [N, out]
        """The input's scale and the output's demodulation (sqrt(2) included)."""
        s = F.linear(w, self.affine_weight, self.affine_bias)
        d = (s.square() @ self.energy + 1e-8).rsqrt() * math.sqrt(2)
        if not self.rescale:
            return s, d
        largest = s.abs().amax(dim=1, keepdim=True)
        return s / largest, d * largest * self.weight_scale

    def noise(self, mode: NoiseMode, batch: int, rng: torch.Generator | None) -> Tensor | None:
        return self.noise_const if mode == "const" else self._noise(mode, batch, rng)

    def _noise(self, mode: NoiseMode, batch: int, rng: torch.Generator | None) -> Tensor | None:  # [1 or N, H, W]
        noise = self.source.noise(mode, batch, rng)
        return None if noise is None else (noise.detach().squeeze(1) * math.sqrt(2)).contiguous()


def prepared(weight: Tensor, up: bool, resolution: int) -> Callable[[Tensor], Tensor]:
    """3x3 convolution, or transposed convolution of stride 2, for features of this device."""
    if not up and winograd.pays(weight, resolution):
        return winograd.Convolution(weight)
    return PackedConv(weight, up, resolution)


class PackedConv:
    """3x3 convolution, or transposed convolution of stride 2, with its weight laid out once for this device."""

    def __init__(self, weight: Tensor, up: bool, resolution: int) -> None:
        self.up = up
        self.packed = weight.device.type == "cpu" and onednn_computes_in(weight.dtype)
        laid_out = weight.transpose(0, 1).contiguous() if up else weight.contiguous()
        size = resolution // 2 if up else resolution
        shape = [1, weight.shape[1], size, size]
        if not self.packed:
            self.weight = laid_out.contiguous(memory_format=torch.channels_last)
        elif up:
            pack = torch.ops.mkldnn._reorder_convolution_transpose_weight
            self.weight = pack(laid_out, [0, 0], [0, 0], [2, 2], [1, 1], 1, shape)
        else:
            pack = torch.ops.mkldnn._reorder_convolution_weight
            self.weight = pack(laid_out, [1, 1], [1, 1], [1, 1], 1, shape)

    def __call__(self, x: Tensor) -> Tensor:
        if not self.packed:
            return F.conv_transpose2d(x, self.weight, stride=2) if self.up else F.conv2d(x, self.weight, padding=1)
        ops = torch.ops.mkldnn
        if self.up:
            return ops._convolution_transpose_pointwise(
                x, self.weight, None, [0, 0], [0, 0], [2, 2], [1, 1], 1, "none", [], ""
            )
        return ops._convolution_pointwise(x, self.weight, None, [1, 1], [1, 1], [1, 1], 1, "none", [], "")


def onednn_computes_in(dtype: torch.dtype) -> bool:
    """Whether this CPU's oneDNN has convolutions of such numbers; without AVX512 it refuses to pack bf16 weights."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Colors:
    """One ToRGB, prepared."""

    def __init__(self, layer: ToRGB) -> None:
        self.affine_weight = layer.affine.weight.detach() * (layer.affine.weight_gain * layer.weight_gain)
        self.affine_bias = layer.affine.bias.detach() * (layer.affine.bias_gain * layer.weight_gain)
        self.weight = layer.weight.detach()[:, :, 0, 0]
        self.bias = layer.bias.detach()

    def at(self, w: Tensor, previous: Tensor | None) -> fused.Colors:  # [N, w_dim]
        s = F.linear(w, self.affine_weight, self.affine_bias)
        return fused.Colors(self.weight * s[:, None], self.bias, previous)


class Synthesis:
    """`ws -> images`, prepared for one device and number format. Not thread-safe; the engine holds the lock.

    `graphs` replays CUDA graphs, one a batch size and noise mode; it means nothing on a CPU.
    """

    def __init__(self, generator: StyleGAN2, dtype: torch.dtype, graphs: bool = True) -> None:
        config = generator.config
        self.generator, self.dtype = generator, dtype
        # The residual generator and unusual filters are rare: they take the plain network.
        self.plain = config.architecture == "resnet" or len(config.resample_filter) != 4
        self._last: tuple[Tensor, tuple, list[Resume]] | None = None
        if self.plain:
            return
        blocks = [block for _, block in generator.synthesis.blocks()]
        self.const = blocks[0].const.detach().unsqueeze(0)
        self.layers = [Layer(layer, dtype) for block in blocks for layer in block.layers()]
        # Row of ws that a block's ToRGB takes -> ToRGB; it shares the row with the next block's first convolution.
        self.colors = {row + b.num_conv: Colors(b.torgb) for row, b in generator.synthesis.blocks() if b.has_torgb}
        taps = torch.tensor(config.resample_filter, device=self.const.device)
        self.taps = taps / taps.sum() * 2
        self._graphs = Graphs() if graphs and self.const.is_cuda else None
        fused.start_build(self.const.device)

    def __call__(
        self,
        ws: Tensor,  # [N, num_ws, w_dim] float32
        noise_mode: NoiseMode = "const",
        noise_seed: int | None = None,
        pose: Tensor | None = None,  # StyleGAN2 has none, and makes its pictures at once
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:  # [N, img_channels, H, W] float32
        """Images of codes. With one code on a CPU, rows that equal the last call's are not computed again."""
        if self.plain:
            return self.generator.synthesis(ws, noise_mode, noise_seed)
        if self._graphs is not None and noise_mode != "random":
            noises = self._noises(noise_mode, 1, None)
            return self._graphs(noise_mode, lambda given: self._run(given, noises), ws)
        rng = None if noise_seed is None else torch.Generator().manual_seed(noise_seed)
        noises = self._noises(noise_mode, len(ws), rng)
        if len(ws) > 1 or (noise_mode == "random" and noise_seed is None):
            return self._run(ws, noises)
        noise_key = (noise_mode, noise_seed if noise_mode == "random" else None)
        kept = self._shared(ws, noise_key)
        self._last = None  # the features that no longer count go before new ones are made
        img = self._run(ws, noises, kept)
        self._last = (ws.clone(), noise_key, kept)
        return img

    def lower(
        self,
        ws: Tensor,  # [1, num_ws, w_dim] float32
        noise_mode: NoiseMode,
        noise_seed: int | None,
        share: float,
    ) -> Tensor | None:  # [1, img_channels, side, side] float32
        """The picture so far, at the largest side that takes at most this share of a picture's multiplications.

        None where there is none: on a GPU, of another architecture, for too small a share. Touches nothing that is
        kept, so it may run beside a picture.
        """
        if self.plain or self._graphs is not None:
            return None
        work = [layer.work for layer in self.layers]
        fitting = [row for row in self.colors if sum(work[:row]) <= share * sum(work) and row < len(work)]
        if not fitting:
            return None
        rows = max(fitting)
        rng = None if noise_seed is None else torch.Generator().manual_seed(noise_seed)
        return self._run(ws, self._noises(noise_mode, 1, rng, rows), rows=rows)

    def _noises(
        self, mode: NoiseMode, batch: int, rng: torch.Generator | None, rows: int | None = None
    ) -> list[Tensor | None]:
        return [layer.noise(mode, batch, rng) for layer in self.layers[:rows]]

    def _shared(self, ws: Tensor, noise_key: tuple) -> list[Resume]:
        """The points of the last picture that come before the first changed row."""
        if self._last is None or self._last[1] != noise_key:
            return []
        changed = (self._last[0] != ws).any(dim=2)[0].nonzero()
        first = int(changed[0]) if len(changed) else ws.shape[1]
        return [point for point in self._last[2] if point.row <= first]

    def _run(
        self,
        ws: Tensor,
        noises: list[Tensor | None],
        kept: list[Resume] | None = None,
        rows: int | None = None,
    ) -> Tensor:
        """Start from the last point of `kept`, and append to it where later calls may start; all rows without it.

        Ends after the first `rows` convolutions, of which the last must have a ToRGB.
        """
        layers = self.layers[:rows]
        if kept:
            raw, demod, img, first = kept[-1].raw, kept[-1].demod, kept[-1].img, kept[-1].row
        else:
            s, demod = self.layers[0].styles(ws[:, 0])
            x = (self.const * s[:, :, None, None]).to(self.dtype).contiguous(memory_format=torch.channels_last)
            raw, img, first = self.layers[0].conv(x), None, 1
        for row in range(first, len(layers) + 1):
            if kept is not None and row % 2 == 1:  # a block ends
                keep(kept, Resume(row, raw, demod, img))
            layer, colors = layers[row - 1], self.colors.get(row)
            following = layers[row] if row < len(layers) else None
            scale, next_demod = (None, None) if following is None else following.styles(ws[:, row])
            x, picture = fused.synthesis_epilogue(
                raw,
                demod,
                layer.bias,
                self.taps,
                noise=noises[row - 1],
                scale=scale,
                colors=None if colors is None else colors.at(ws[:, row], img),
                fir=layer.up,
                clamp=layer.clamp,
            )
            img = img if picture is None else picture
            if following is not None:
                assert x is not None
                assert next_demod is not None
                del raw  # three of the largest features at once would be the peak of a picture
                raw, demod = following.conv(x), next_demod
        assert img is not None
        return img


def keep(kept: list[Resume], point: Resume) -> None:
    """Append a later point while there is room for its features."""
    room = KEPT_BYTES - sum(earlier.raw.nbytes for earlier in kept)
    if point.raw.nbytes <= room and (not kept or point.row > kept[-1].row):
        kept.append(point)
