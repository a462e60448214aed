"""A tiny source with its discriminator, a tiny CLIP, pictures and runs, for the tests of this folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from explorer.expansion import Config, expand, run
from explorer.expansion.config import config_from
from explorer.expansion.trainer import Trainer
from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.networks.clip import ClipConfig, build_clip
from explorer.training.run import Folder
from explorer.weights import Checkpoint
from explorer.weights.clip import save_clip
from tests.generators import make_generator

SETTINGS: dict[str, Any] = {
    "steps": 6,
    "batch": 8,
    "precision": "fp32",
    "distance": 3.0,
    "views": 2,
    "lambda_lpips": 0.0,  # its network is the slowest part; replay is tested with it once
    "r1_every": 2,
    "r1_gamma": 0.1,
    "path_weight": 0.5,
    "path_every": 3,
    "ema_kimg": 0.1,
}
NADA = {"type": "nada", "source": "photo", "target": "pencil sketch"}


def write_source(path: Path, resolution: int = 16, critic: bool = True) -> Path:
    """A random generator of `resolution` px, whose basis is real and whose w_avg is not the origin."""
    channels = (32, 16, 16, 8)[: resolution.bit_length() - 2]
    generator = make_generator(img_resolution=resolution, channels=channels)
    torch.manual_seed(1)
    discriminator = Discriminator(DiscriminatorConfig(resolution, channels)) if critic else None
    return Checkpoint(generator, discriminator, meta={"name": "tiny"}).save(path)


def write_clip(path: Path, seed: int = 2) -> Path:
    torch.manual_seed(seed)
    shape = ClipConfig(32, (1,), 32, 8, embed_dim=32, context_length=16, text_width=16, text_layers=1)
    return save_clip(build_clip(shape, "tiny"), path, {})


def write_pictures(folder: Path, count: int = 3, size: int = 20) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for i in range(count):
        pixels = random.integers(0, 80, (size, size, 3), dtype=np.uint8) + np.array([150, 20, 40 * i], np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def config(clip: Path, *domains: dict[str, Any], **changes: Any) -> Config:
    tables = [{"name": "sketch", **NADA}] if not domains else list(domains)
    return config_from(SETTINGS | {"clip": [str(clip)], "domain": tables} | changes)


def train(source: Path, settings: Config, out: Path, **more: Any) -> dict[str, Any]:
    """Expand in this process and return the checkpoint of training."""
    expand(source, settings, out, cpu=True, **more)
    state = Folder(out).load()
    assert state is not None
    return state


def trainer_of(source: Path, settings: Config, out: Path) -> Trainer:
    """A trainer before its first step."""
    accelerator = Accelerator(cpu=True)
    resolved = run.new_run(out, source, settings, {}, accelerator)
    return run.prepare(Folder(out), resolved, accelerator)


@cache
def fixtures(folder: Path) -> dict[str, Path]:
    """All files, once a test session."""
    return {
        "source": write_source(folder / "source.safetensors"),
        "plain": write_source(folder / "alone.safetensors", critic=False),
        "clip": write_clip(folder / "clip.safetensors"),
        "pictures": write_pictures(folder / "pictures"),
    }


def differences(a: Any, b: Any, name: str = "") -> list[str]:
    """Names of the entries of two checkpoints that are not the same bit for bit."""
    if isinstance(a, torch.Tensor):
        return [] if torch.equal(a, b) else [name]
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return [bad for key in a for bad in differences(a[key], b[key], f"{name}.{key}")]
    if isinstance(a, list | tuple):
        return [bad for i, pair in enumerate(zip(a, b, strict=True)) for bad in differences(*pair, f"{name}.{i}")]
    return [] if a == b else [name]
