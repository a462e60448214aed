"""Whose names a file's tensors have, and where in it the generator lies. A layout that is known is a line of `LAYOUTS`.

A layout finds the prefixes of its generators among all names of a file, and reads one. Where there are several, the
average over the training is taken before the plain network, and what lies further out before what lies deeper.
"""

from __future__ import annotations

import re
from typing import Protocol

from explorer.weights import diffae, nvidia, rosinality, tensorflow
from explorer.weights.checkpoint import Checkpoint, CheckpointError
from explorer.weights.contents import Contents

EXPECTED = (
    "expected a safetensors file of this program, a StyleGAN2 or 3 (a pickle of NVIDIA's, PyTorch's or TensorFlow's, or"
    " a rosinality .pt) or a diffusion autoencoder (last.ckpt)"
)
AVERAGES = {"ema", "gs", "avg", "average", "running", "smooth"}  # in names of averaged networks


class Layout(Protocol):
    """A way to name a generator's tensors: a module with these two functions."""

    @staticmethod
    def find(contents: Contents) -> list[str]:
        """The prefixes behind which there are generators."""
        ...

    @staticmethod
    def read(contents: Contents, prefix: str, limit: int | None) -> Checkpoint:
        """The generator behind `prefix` with what belongs to it. Raises CheckpointError where it does not fit."""
        ...


LAYOUTS: tuple[Layout, ...] = (nvidia, rosinality, tensorflow, diffae)


def read(contents: Contents, limit: int | None = None) -> Checkpoint:
    """The checkpoint in a file's contents. Raises CheckpointError where no layout is known in them."""
    found = [(layout, prefix) for layout in LAYOUTS for prefix in layout.find(contents)]
    if not found:
        raise CheckpointError(f"it holds data but no known generator; {EXPECTED}")
    layout, prefix = min(found, key=lambda place: _rank(place[1]))
    return layout.read(contents, prefix, limit)


def _rank(prefix: str) -> tuple[bool, int]:
    words = set(re.split(r"[._]", prefix.lower()))
    return not words & AVERAGES, prefix.count(".")
