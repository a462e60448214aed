"""Files of this program that hold something else than a generator: which they are, and what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from explorer.weights.checkpoint import CheckpointError
from explorer.weights.clip import read_clip
from explorer.weights.container import opened
from explorer.weights.native import kind_of
from explorer.weights.parts import load_discriminator, load_encoder, load_judge, load_mapper, load_sharpener

LOADERS: dict[str, Callable[[Path], tuple[Any, dict[str, Any]]]] = {
    "clip": read_clip,
    "discriminator": load_discriminator,
    "encoder": load_encoder,
    "judge": load_judge,
    "mapper": load_mapper,
    "sharpener": load_sharpener,
}


def read_part(path: Path) -> tuple[str, nn.Module, Any, dict[str, Any]] | None:
    """The kind of a file in LOADERS, its network, the network's configuration and `meta`; None for any other file.

    Raises CheckpointError where such a file is damaged.
    """
    try:
        with opened(path) as (_, metadata):
            kind = kind_of(metadata)
    except (CheckpointError, OSError):
        return None
    if kind not in LOADERS:
        return None
    network, meta = LOADERS[kind](path)
    return kind, getattr(network, "model", network), network.config, meta
