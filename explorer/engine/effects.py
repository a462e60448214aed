"""What was measured of a generator's directions, kept in a small JSON file beside its checkpoint.

A file counts only for the very weights, distance and perceptual measure that it names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.edit import Caption
from explorer.replacing import replacing

VERSION = 1
SAMPLES = 16  # codes over which an effect is averaged
MAX_WORDS = 60  # characters of a caption


@dataclass(frozen=True)
class Measured:
    """The effect of every column of the basis, and captions of those for which words were found, by column."""

    effects: list[float]
    captions: dict[int, Caption]


def path_beside(checkpoint: Path) -> Path:
    """cats64.safetensors -> cats64.effects.json"""
    return checkpoint.with_suffix(".effects.json")


def load(path: Path, key: dict[str, str | float]) -> Measured | None:
    """What was measured, or None where the file is not there, not readable or made for something else."""
    try:
        data = json.loads(path.read_text())
        effects = [float(effect) for effect in data.pop("effects")]
        captions = {int(dim): _caption(*entry) for dim, entry in data.pop("captions", {}).items()}
        return Measured(effects, captions) if data == {"version": VERSION} | key else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(path: Path, key: dict[str, str | float], measured: Measured) -> None:
    """Write atomically; a folder that cannot be written to only costs the next start a measurement."""
    data: dict[str, Any] = {"version": VERSION} | key | {"effects": [round(effect, 5) for effect in measured.effects]}
    if measured.captions:
        data["captions"] = {dim: [one.words, round(one.certainty, 3)] for dim, one in measured.captions.items()}
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(data))
    except OSError:
        return


def _caption(words: Any, certainty: Any) -> Caption:
    if not isinstance(words, str) or len(words) > MAX_WORDS or not 0 <= certainty <= 1:
        raise ValueError("a caption is a few words and a part of one")
    return Caption(words, float(certainty))
