"""Shared fixtures: tiny real generators, and the devices that every kernel and engine test runs on."""

from __future__ import annotations

import os

# No test may reach the network, whatever library it goes through.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest
import torch

from explorer.networks import Generator, GeneratorConfig


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is; a GPU adds rows, nothing else changes."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    return torch.device(request.param)


def make_generator(seed: int = 0, **changes: object) -> Generator:
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
    generator = Generator(GeneratorConfig(**settings))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
            elif name.endswith("bias") and "affine" not in name and "fc" not in name:
                parameter.normal_(std=0.2)
        generator.mapping.w_avg.normal_(std=0.3)
    return generator.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_generator() -> Generator:
    """16 px, w_dim 24, six rows of ws."""
    return make_generator()
