"""Shared fixtures: tiny real generators, and the devices that every kernel and engine test runs on."""

from __future__ import annotations

import os

# No test may reach the network, whatever library it goes through.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import pytest
import torch
from generators import make_generator

from explorer.networks import StyleGAN2


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Every device there is; a GPU adds rows, nothing else changes."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU on this machine")
    return torch.device(request.param)


@pytest.fixture(scope="session")
def tiny_generator() -> StyleGAN2:
    """16 px, w_dim 24, six rows of ws."""
    return make_generator()
