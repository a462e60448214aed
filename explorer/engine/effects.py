"""Measured effects of a generator's directions, kept in a small JSON file beside its checkpoint.

A file counts only for the very weights, distance and perceptual measure that it names.
"""

from __future__ import annotations

import json
from pathlib import Path

from explorer.replacing import replacing

VERSION = 1
SAMPLES = 16  # codes over which an effect is averaged


def path_beside(checkpoint: Path) -> Path:
    """cats64.safetensors -> cats64.effects.json"""
    return checkpoint.with_suffix(".effects.json")


def load(path: Path, key: dict[str, str | float]) -> list[float] | None:
    """Effects of all basis columns, or None where the file is not there, not readable or made for something else."""
    try:
        data = json.loads(path.read_text())
        effects = data.pop("effects")
        return [float(effect) for effect in effects] if data == {"version": VERSION} | key else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(path: Path, key: dict[str, str | float], effects: list[float]) -> None:
    """Write atomically; a folder that cannot be written to only costs the next start a measurement."""
    data = {"version": VERSION} | key | {"effects": [round(effect, 5) for effect in effects]}
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(data))
    except OSError:
        return
