"""Fast pictures of Diffusion Autoencoders: the same as `DiffAE.synthesize`, with all prepared that steps share.

* What the time says to every block is computed once for each time, what the code says once for each picture. Both are
  scales and shifts behind a normalisation: they are multiplied into its affine map, which costs nothing more.
* Weights are laid out once, in the engine's number format; biases, and the sum at the end of a block, are a part of its
  convolutions, of which wide ones take a quarter of the multiplications on a CPU in float32 (`kernels.winograd`).
  Features are channels_last; the noise image between two evaluations stays float32.

Source: Diffusion Autoencoders (arXiv 2111.15640). Knows no edits and no files. Inference only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.engine.graphs import Graphs
from explorer.engine.synthesis import onednn_computes_in
from explorer.kernels import winograd
from explorer.networks.diffae import DiffAE, Predict, ResidualBlock, resample, time_features
from explorer.networks.family import NoiseMode

KEPT_TIMES = 512  # what they say to all blocks: up to 100 KB each


class Conv:
    """A convolution that keeps the size, its weight laid out once for this device."""

    def __init__(self, conv: Any, dtype: torch.dtype, size: int) -> None:  # of a torch.nn.Conv2d
        self.padding = conv.kernel_size[0] // 2
        self.weight = conv.weight.detach().to(dtype).contiguous(memory_format=torch.channels_last)
        self.bias = conv.bias.detach().to(dtype)
        self.packed = self.wide = None
        if self.padding == 1 and winograd.pays(self.weight, size):
            self.wide = winograd.Convolution(self.weight)
        elif self.weight.device.type == "cpu" and onednn_computes_in(dtype):
            shape = [1, self.weight.shape[1], size, size]
            padding = [self.padding] * 2
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, padding, [1, 1], [1, 1], 1, shape)

    def __call__(self, x: Tensor, plus: Tensor | None = None) -> Tensor:
        """The convolution of `x`, with `plus` added."""
        if self.wide is not None:
            y = self.wide(x).add_(self.bias[:, None, None])
            return y if plus is None else y.add_(plus)
        if self.packed is None:
            y = F.conv2d(x, self.weight, self.bias, padding=self.padding)
            return y if plus is None else y.add_(plus)
        settings, ops = ([self.padding] * 2, [1, 1], [1, 1], 1), torch.ops.mkldnn
        if plus is None:
            return ops._convolution_pointwise(x, self.packed, self.bias, *settings, "none", [], "")
        return ops._convolution_pointwise.binary(x, plus, self.packed, self.bias, *settings, "add", 1.0, None, [], None)


class Norm:
    """A group normalisation with SiLU behind it."""

    def __init__(self, norm: Any) -> None:  # of a torch.nn.GroupNorm
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight.detach(), norm.bias.detach()

    def __call__(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """`weight` and `bias` `[N, C]` in the place of its own."""
        if weight is None or bias is None:
            return F.silu(self.plain(x), inplace=True)
        if len(weight) == 1:
            return F.silu(self.plain(x, weight[0], bias[0]), inplace=True)
        x = F.group_norm(x, self.groups, eps=self.eps)
        weight, bias = (part.to(x.dtype)[:, :, None, None] for part in (weight, bias))
        return F.silu(torch.addcmul(bias, x, weight), inplace=True)

    def plain(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Without SiLU; `weight` and `bias` are `[C]`."""
        own: tuple[Tensor, Tensor] = self.weight, self.bias
        given = own if weight is None or bias is None else (weight, bias)
        if x.device.type != "cpu":  # only the CPU's takes parameters of another format
            given = given[0].to(x.dtype), given[1].to(x.dtype)
        return F.group_norm(x, self.groups, *given, eps=self.eps)


class Block:
    """A residual block; `part` is where its channels lie among those of all blocks."""

    def __init__(self, block: Any, dtype: torch.dtype, size: int, part: slice) -> None:  # of a ResidualBlock
        self.scale, self.part = block.scale, part
        self.size = size * 2 if block.scale > 0 else size // 2 if block.scale < 0 else size
        self.first, self.conv = Norm(block.in_layers[0]), Conv(block.in_layers[2], dtype, self.size)
        self.last, self.last_conv = Norm(block.out_layers[0]), Conv(block.out_layers[3], dtype, self.size)
        skip = block.skip_connection
        self.skip = Conv(skip, dtype, self.size) if isinstance(skip, nn.Conv2d) else None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # [N, channels of all blocks]
        h = self.conv(resample(self.first(x), self.scale))
        h = self.last(h, weight[:, self.part], bias[:, self.part])
        x = resample(x, self.scale)
        return self.last_conv(h, plus=x if self.skip is None else self.skip(x))


class Look:
    """An attention, on features in channels_last."""

    def __init__(self, attention: Any, dtype: torch.dtype) -> None:  # of an Attention
        self.heads, self.norm = attention.heads, Norm(attention.norm)
        self.qkv, self.out = (
            (conv.weight.detach()[:, :, 0].to(dtype), conv.bias.detach().to(dtype))
            for conv in (attention.qkv, attention.proj_out)
        )

    def __call__(self, x: Tensor, *_: Tensor) -> Tensor:
        flat = self.norm.plain(x).flatten(2).mT  # [N, pixels, C]
        q, k, v = F.linear(flat, *self.qkv).unflatten(2, (self.heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return x + F.linear(seen, *self.out).mT.unflatten(2, x.shape[2:])


class Denoiser:
    """`codes -> pictures`, prepared for one device and number format. Not thread-safe; the engine holds the lock.

    `graphs` replays CUDA graphs, one a batch size and number of steps; it means nothing on a CPU.
    """

    def __init__(self, generator: DiffAE, dtype: torch.dtype, graphs: bool = True) -> None:
        self.generator, self.dtype = generator, dtype
        self._prepare_conditions([block for block in generator.modules() if isinstance(block, ResidualBlock)])
        size = generator.resolution // generator.config.patch
        stages: list[Any] = list(generator.input_blocks)
        self.begin = Conv(stages[0][0], dtype, size)
        self.input, size = self._prepared(stages[1:], size)
        (self.middle,), size = self._prepared([generator.middle_block], size)
        self.output, size = self._prepared(generator.output_blocks, size)
        norm, _, conv = generator.out
        self.last_norm, self.last = Norm(norm), Conv(conv, dtype, size)
        self._times: OrderedDict[float, tuple[Tensor, Tensor]] = OrderedDict()
        self._graphs = Graphs() if graphs and generator.device.type == "cuda" else None

    @torch.no_grad()
    def _prepare_conditions(self, blocks: list[Any]) -> None:
        """The affine maps of all blocks stacked: those of the code and of the time, and that of the normalisation."""
        blocks = [block for block in blocks if block.conditioned]
        self._parts, end = {}, 0
        for block in blocks:
            self._parts[block] = slice(end, end := end + len(block.out_layers[0].weight))

        def stacked(name: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            times = [getattr(block.emb_layers[1], name).chunk(2) for block in blocks]
            scale, shift = (torch.cat(halves) for halves in zip(*times, strict=True))
            code = torch.cat([getattr(block.cond_emb_layers[1], name) for block in blocks])
            return code, scale, shift, torch.cat([getattr(block.out_layers[0], name) for block in blocks])

        self.code, self.scale, self.shift, self.norm = zip(stacked("weight"), stacked("bias"), strict=True)

    def _prepared(self, stages: Iterable[Any], size: int) -> tuple[list[list[Block | Look]], int]:
        prepared: list[list[Block | Look]] = []
        for stage in stages:
            prepared.append([])
            for layer in stage:
                if isinstance(layer, ResidualBlock):
                    block = Block(layer, self.dtype, size, self._parts[layer])
                    prepared[-1].append(block)
                    size = block.size
                else:
                    prepared[-1].append(Look(layer, self.dtype))
        return prepared, size

    def __call__(
        self,
        codes: Tensor,  # [N, 1, z_dim] float32
        noise_mode: NoiseMode = "const",
        noise_seed: int | None = None,
        pose: Tensor | None = None,  # there is none
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:  # [N, 3, S, S] float32
        """Pictures of codes."""
        generator = self.generator
        steps = generator.nearest(steps or generator.codes.steps[-1])
        x_T = generator.noise_images(len(codes), noise_mode, noise_seed) if noise is None else noise
        if self._graphs is None:
            return generator.denoised(self.predicting(codes[:, 0]), x_T, steps)
        width = codes.shape[2]
        return self._graphs(
            steps,
            lambda both: generator.denoised(
                self.predicting(both[:, :width]), both[:, width:].view(-1, *x_T.shape[1:]), steps
            ),
            torch.cat([codes[:, 0], x_T.flatten(1)], dim=1),
        )

    def predicting(self, u: Tensor) -> Predict:  # [N, z_dim]
        """The network at codes u; nothing of it changes, so it may be asked from any thread."""
        scale = 1 + F.linear(u, *self.code)  # [N, channels of all blocks]

        def predict(x: Tensor, t: float) -> Tensor:
            weight, bias = self._at(t)
            return self._net(x, scale * weight, scale * bias)

        return predict

    def _at(self, t: float) -> tuple[Tensor, Tensor]:  # [channels of all blocks]
        """Every block's normalisation, its affine map scaled and shifted as the time says."""
        if (known := self._times.get(t)) is not None:
            return known
        generator = self.generator
        time = torch.full((1,), t, device=generator.device)
        time = F.silu(generator.time_embed(time_features(time, generator.config.net_ch)))[0]
        scale = 1 + F.linear(time, *self.scale)
        known = self._times[t] = (self.norm[0] * scale, self.norm[1] * scale + F.linear(time, *self.shift))
        if len(self._times) > KEPT_TIMES:
            self._times.popitem(last=False)
        return known

    def _net(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # [N, 3, S, S] float32 -> the same
        patch = self.generator.config.patch
        x = F.pixel_unshuffle(x, patch).to(self.dtype, memory_format=torch.channels_last)
        skips = [x := self.begin(x)]
        for stage in self.input:
            for layer in stage:
                x = layer(x, weight, bias)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, weight, bias)
        for stage in self.output:
            x = torch.cat([x, skips.pop()], dim=1)
            for layer in stage:
                x = layer(x, weight, bias)
        return F.pixel_shuffle(self.last(self.last_norm(x)).float(), patch)
