"""Compiled forms of what surrounds the generator's convolutions, for training on a CPU.

PyTorch's own kernels make a pass over memory for each product, sum and rectifier, forward and backward; at 64 px that
costs more than the convolutions. Compiled regions cannot be differentiated twice, so path-length steps use the plain
functions. Knows no losses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch._dynamo
import torch.nn.functional as F
from torch import Tensor

from explorer import kernels
from explorer.networks.family import Generator
from explorer.networks.layers import modulate
from explorer.networks.stylegan2 import SynthesisLayer


def epilogue(
    x: Tensor,  # [N, C, H, W]
    demod: Tensor,  # [N, C], float32
    noise: Tensor | None,  # [1 or N, 1, H, W], float32
    b: Tensor,  # [C], float32
    gain: float = math.sqrt(2),
    clamp: float | None = None,
) -> Tensor:  # [N, C, H, W], x's dtype
    """`kernels.demod_bias_act` for compiling: computed in float32 and rounded once."""
    y = x.to(torch.float32) * demod[:, :, None, None] + b[:, None, None]
    y = F.leaky_relu(y if noise is None else y + noise, 0.2) * gain
    return (y if clamp is None else y.clamp(-clamp, clamp)).to(x.dtype)


def fuse(generator: Generator) -> None:
    """Let every synthesis layer use the compiled functions; the first step then takes about a minute longer, once."""
    torch._dynamo.config.recompile_limit = 64  # one variant a resolution and width
    compiled = torch.compile(modulate, dynamic=False), torch.compile(epilogue, dynamic=False)
    for layer in _layers(generator):
        layer.modulate, layer.epilogue = compiled


@contextmanager
def unfused(generator: Generator) -> Iterator[None]:
    """Within it the generator uses the plain functions, which can be differentiated twice."""
    before = [(layer, layer.modulate, layer.epilogue) for layer in _layers(generator)]
    for layer in _layers(generator):
        layer.modulate, layer.epilogue = modulate, kernels.demod_bias_act
    try:
        yield
    finally:
        for layer, own_modulate, own_epilogue in before:
            layer.modulate, layer.epilogue = own_modulate, own_epilogue


def _layers(generator: Generator) -> list[SynthesisLayer]:
    return [layer for layer in generator.modules() if isinstance(layer, SynthesisLayer)]
