"""Activation checkpointing: a block keeps its inputs alone, and computes the rest again when gradients pass through it.

A second forward pass for the memory of one block instead of all. Source: Chen et al., "Training Deep Nets with
Sublinear Memory Cost" (arXiv 1604.06174). Knows no losses.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from explorer.networks.discriminator import DiscriminatorBlock
from explorer.networks.family import NoiseMode
from explorer.networks.stylegan2 import NoiseSource, SynthesisBlock


def recompute(network: nn.Module) -> None:
    """Let every block of a StyleGAN2 generator or discriminator do so, from now on; its results stay what they are."""
    for block in network.modules():
        if isinstance(block, SynthesisBlock):
            block.forward = _synthesis(block)
        elif isinstance(block, DiscriminatorBlock):
            block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)


def _synthesis(block: SynthesisBlock):
    """As the block's own `forward`; what it draws is drawn once, before, or the second pass would see other noise."""
    plain = block.forward

    def again(
        x: Tensor | None,
        img: Tensor | None,
        rows: Tensor,
        noise_mode: NoiseMode,
        drawn: list[Tensor],
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None]:
        left = iter(drawn)
        return plain(x, img, rows, noise_mode, lambda *_: next(left), dtype)

    def forward(
        x: Tensor | None, img: Tensor | None, rows: Tensor, noise_mode: NoiseMode, rng: NoiseSource, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor | None]:
        drawn = [layer.draw(len(rows), rng) for layer in block.layers() if layer.use_noise and noise_mode == "random"]
        return checkpoint(again, x, img, rows, noise_mode, drawn, dtype, use_reentrant=False, preserve_rng_state=False)

    return forward
