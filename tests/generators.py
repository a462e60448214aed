"""Tiny real generators for every test that needs one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from explorer.networks import (
    DiffAE,
    DiffAEConfig,
    Generator,
    StyleGAN2,
    StyleGAN2Config,
    StyleGAN3,
    StyleGAN3Config,
)


def stylegan2(generator: Generator) -> StyleGAN2:
    """The same, known to be of that family."""
    assert isinstance(generator, StyleGAN2)
    return generator


def make_stylegan3(seed: int = 0, **changes: object) -> StyleGAN3:
    """A random StyleGAN3-T with every part awake: w turns and shifts the input, biases are not zero."""
    settings: dict = {
        "resolutions": (16,),
        "layers": (5,),
        "channels": (8, 8, 8, 6, 6),
        "z_dim": 12,
        "w_dim": 24,
        "margin_size": 4,
        **changes,
    }
    torch.manual_seed(seed)
    generator = StyleGAN3(StyleGAN3Config(**settings))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("bias") and "affine" not in name and "fc" not in name:
                parameter.normal_(std=0.2)
        generator.synthesis.input.affine.weight.normal_(std=0.5)
        generator.mapping.w_avg.normal_(std=0.3)
        for _, layer in generator.synthesis.layers():
            layer.magnitude_ema.fill_(0.7)
    return generator.eval().requires_grad_(False)


def make_generator(seed: int = 0, **changes: object) -> StyleGAN2:
    """A random generator with every part awake: noise strengths and biases are not zero, w_avg is not the origin."""
    settings: dict = {
        "img_resolution": 16,
        "channels": (32, 16, 16),
        "z_dim": 12,
        "w_dim": 24,
        "mapping_layers": 2,
        **changes,
    }
    torch.manual_seed(seed)
    generator = StyleGAN2(StyleGAN2Config(**settings))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
            elif name.endswith("bias") and "affine" not in name and "fc" not in name:
                parameter.normal_(std=0.2)
        generator.mapping.w_avg.normal_(std=0.3)
    return generator.eval().requires_grad_(False)


def make_diffae(seed: int = 0, **changes: object) -> DiffAE:
    """A random diffusion autoencoder with every part awake: no layer is zero, the mean is not the origin."""
    settings: dict = {
        "img_resolution": 16,
        "net_ch": 8,
        "net_ch_mult": (1, 2),
        "enc_ch_mult": (1, 2, 2),
        "res_blocks": 1,
        "enc_res_blocks": 1,
        "attention": (8,),
        "enc_attention": (8,),
        "embed_dim": 16,
        "z_dim": 24,
        "latent_layers": 3,
        "latent_hidden": 32,
        "latent_skip": (1,),
        **changes,
    }
    torch.manual_seed(seed)
    generator = DiffAE(DiffAEConfig(**settings))
    with torch.no_grad():
        for parameter in generator.parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
        generator.latent.mean.normal_(std=0.5)
        generator.latent.std.uniform_(0.5, 1.5)
        generator.u_mean.normal_(std=0.1)
    return generator.eval().requires_grad_(False)


# A tiny generator of every family.
TINY: dict[str, Callable[..., Generator]] = {
    "stylegan2": make_generator,
    "stylegan3": make_stylegan3,
    "diffae": make_diffae,
}
