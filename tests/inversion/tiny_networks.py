"""Tiny real networks to invert with: a random generator and CLIP, and an encoder trained on the generator's samples."""

from __future__ import annotations

import torch
from generators import make_generator
from torch import Tensor

from explorer.inversion import Networks
from explorer.metrics import Perceptual
from explorer.metrics.perceptual import clip_distance
from explorer.networks import Encoder, EncoderConfig, StyleGAN2
from explorer.networks.clip import Clip, ClipConfig, build_clip

CLIP = ClipConfig(32, (1,), 32, 8, embed_dim=32, context_length=16, text_width=16, text_layers=1)


def make_clip() -> Clip:
    torch.manual_seed(0)
    return build_clip(CLIP, "tiny").eval().requires_grad_(False)


def make_encoder(generator: StyleGAN2, steps: int) -> Encoder:
    """An encoder that has seen the codes of `steps` batches of samples."""
    torch.manual_seed(1)
    config = EncoderConfig(generator.img_resolution, (32, 32, 16), generator.w_dim, generator.num_ws)
    encoder = Encoder(config)
    encoder.w_avg.copy_(generator.mapping.w_avg)
    encoder.scale.fill_(0.5)
    torch.nn.init.normal_(encoder.to_offsets.weight, std=0.05)
    adam = torch.optim.Adam(encoder.parameters(), lr=2e-3)
    for _ in range(steps):
        with torch.no_grad():
            ws = generator.mapping(torch.randn(16, generator.z_dim))
            images = generator.synthesis(ws)
        loss = (encoder(images)[0] - ws[:, 0]).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    return encoder.eval().requires_grad_(False)


def make_networks(encoder_steps: int | None = 0) -> Networks:
    """Without an encoder for None."""
    generator, clip = make_generator(), make_clip()
    encoder = None if encoder_steps is None else make_encoder(generator, encoder_steps)
    return Networks(generator, Perceptual("tiny", clip_distance(clip)), clip, encoder)


def samples(networks: Networks, count: int, seed: int = 5) -> Tensor:  # [count, 3, 16, 16]
    """Pictures that the generator can make, so that a search can succeed."""
    z = torch.randn(count, networks.generator.codes.z_dim, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return networks.generator(z).clamp(-1, 1)
