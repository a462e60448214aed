"""Tiny real generators for every test that needs one."""

from __future__ import annotations

from collections.abc import Callable

import torch

from explorer.networks import Generator, StyleGAN2, StyleGAN2Config, StyleGAN3, StyleGAN3Config


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


# A tiny generator of every family.
TINY: dict[str, Callable[..., Generator]] = {"stylegan2": make_generator, "stylegan3": make_stylegan3}
