"""A tiny data set and a tiny run, for the tests of the trainers."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from explorer.recipes import gan
from explorer.training.run import Folder

COUNT = 40


def write_pictures(path: Path, size: int = 16, labels: bool = True) -> Path:
    """A zip of `COUNT` random pictures, with labels of three classes if wanted."""
    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        classes = []
        for i in range(COUNT):
            data = BytesIO()
            Image.fromarray(random.integers(0, 255, (size, size, 3), dtype=np.uint8)).save(data, "PNG")
            archive.writestr(f"{i:03}.png", data.getvalue())
            classes.append([f"{i:03}.png", i % 3])
        if labels:
            archive.writestr("dataset.json", json.dumps({"classes": ["a", "b", "c"], "labels": classes}))
    return path


SETTINGS: dict[str, Any] = {
    "resolution": 16,
    "g_channels": (8, 8, 4),
    "d_channels": (8, 8, 4),
    "z_dim": 12,
    "w_dim": 16,
    "mapping_layers": 2,
    "batch": 8,
    "precision": "fp32",
    "r1_every": 4,
    "path_weight": 2.0,
    "style_decay": 0.999,
    "style_threshold": 0.01,
    "style_every": 3,
    "style_dormant": 4,
    "ema_kimg": 0.1,
}


def config(data: Path, steps: int, **changes: Any) -> gan.Config:
    settings = SETTINGS | changes
    return gan.Config(data=str(data), kimg=steps * settings["batch"] / 1000, **settings)


def flags(data: Path, steps: int, **changes: Any) -> list[str]:
    """The same as command-line flags."""
    out = ["--data", str(data), "--cpu", "--kimg", str(steps * SETTINGS["batch"] / 1000)]
    for name, value in (SETTINGS | changes).items():
        values = value if isinstance(value, tuple) else [value]
        out += [f"--{name.replace('_', '-')}", *map(str, values)]
    return out


def train(run: Path, settings: gan.Config) -> dict[str, Any]:
    """Train in this process and return the checkpoint."""
    gan.train(Folder(run), settings, Accelerator(cpu=True))
    state = Folder(run).load()
    assert state is not None
    return state


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
