"""A tiny CLIP, photo-like pictures and a tiny run, for the tests of this folder."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image

from explorer.networks.clip import Clip, ClipConfig, build_clip
from explorer.recipes import clip as trainer
from explorer.training.run import Folder

COATS = ("black", "ginger", "white")
COLOURS = {"black": (40, 40, 45), "ginger": (215, 130, 60), "white": (235, 235, 230)}
CONVOLUTIONAL = ClipConfig(32, (1, 1, 1, 1), 8, embed_dim=32, context_length=16, text_width=16, text_layers=1)
TRANSFORMER = ClipConfig(32, (1,), 32, 8, embed_dim=32, context_length=16, text_width=16, text_layers=1)
SETTINGS: dict[str, Any] = {
    "resolution": 32,
    "layers": (1, 1, 1, 1),
    "width": 8,
    "embed_dim": 32,
    "context_length": 16,
    "text_width": 16,
    "text_layers": 1,
    "styles_per_photo": 2,
    "batch": 16,
    "captions": 8,
    "held_out": 0.0,
    "warmup_kimg": 0.05,
    "precision": "fp32",
}


def face(coat: str, size: int, seed: int) -> np.ndarray:  # [size, size, 3]
    """A round head with two ears, two eyes and a nose, smooth and textured as photos are."""
    rng = np.random.default_rng(seed)
    big = np.full((256, 256, 3), rng.integers(60, 200, 3), np.uint8)
    colour = tuple(int(c) for c in np.clip(np.array(COLOURS[coat]) + rng.integers(-15, 16, 3), 0, 255))
    x, y = (int(v) for v in rng.integers(112, 145, 2))
    cv2.circle(big, (x, y), 88, colour, -1)
    for side in (-1, 1):
        ear = np.array([(x + side * 85, y - 105), (x + side * 25, y - 75), (x + side * 80, y - 20)])
        cv2.fillPoly(big, [ear], colour)
        cv2.circle(big, (x + side * 36, y - 18), 17, (180, 200, 70), -1)
        cv2.circle(big, (x + side * 36, y - 18), 8, (10, 10, 10), -1)
    cv2.circle(big, (x, y + 28), 11, (220, 140, 140), -1)
    noise = cv2.GaussianBlur(rng.standard_normal((256, 256, 3)).astype(np.float32), (0, 0), 3) * 60
    return cv2.resize(np.clip(big + noise, 0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)


def write_faces(path: Path, count: int = 24, size: int = 32, first: int = 0) -> Path:
    """A zip of faces, from face number `first` on, with `dataset.json`."""
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(count):
            data = BytesIO()
            Image.fromarray(face(COATS[i % 3], size, first + i)).save(data, "PNG")
            archive.writestr(f"{i:03}.png", data.getvalue())
        labels = [[f"{i:03}.png", i % 3] for i in range(count)]
        archive.writestr("dataset.json", json.dumps({"classes": COATS, "labels": labels}))
    return path


def make_clip(config: ClipConfig = CONVOLUTIONAL) -> Clip:
    """A random model in eval mode; zeroed last layers of its residual blocks are woken up."""
    torch.manual_seed(0)
    clip = build_clip(config, "tiny")
    with torch.no_grad():
        for name, parameter in clip.named_parameters():
            if name.endswith("bn3.weight"):
                parameter.fill_(1)
    return clip.eval().requires_grad_(False)


def settings(data: Path, steps: int, **changes: Any) -> trainer.Config:
    chosen = SETTINGS | changes
    return trainer.Config(data=str(data), kimg=steps * chosen["batch"] / 1000, **chosen)


def flags(data: Path, steps: int, **changes: Any) -> list[str]:
    """The same as command-line flags."""
    out = ["--data", str(data), "--cpu", "--kimg", str(steps * SETTINGS["batch"] / 1000)]
    for name, value in (SETTINGS | changes).items():
        values = value if isinstance(value, tuple) else [value]
        out += [f"--{name.replace('_', '-')}", *map(str, values)]
    return out


def train(run: Path, config: trainer.Config) -> dict[str, Any]:
    """Train in this process and return the checkpoint."""
    run.mkdir(parents=True, exist_ok=True)
    trainer.train(Folder(run), config, Accelerator(cpu=True))
    state = Folder(run).load()
    assert state is not None
    return state
