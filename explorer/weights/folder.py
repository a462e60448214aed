"""Which files of a folder are generators of this program's own format, and what they say. Reads headers only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from explorer.weights import native
from explorer.weights.checkpoint import CheckpointError
from explorer.weights.container import opened


def generators(folder: Path) -> list[Path]:
    """The native checkpoints in `folder` by name; its other networks and whatever cannot be read are left out."""
    return [path for path in sorted(folder.glob("*.safetensors")) if _is_generator(path)]


def meta_of(path: Path) -> dict[str, Any]:
    """`meta` of the native checkpoint in a file; empty where there is none."""
    try:
        with opened(path) as (_, metadata):
            return native.read_meta(metadata)
    except (CheckpointError, OSError):
        return {}


def _is_generator(path: Path) -> bool:
    try:
        with opened(path) as (_, metadata):
            return native.kind_of(metadata) == "generator"
    except (CheckpointError, OSError):
        return False
