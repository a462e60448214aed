"""What was measured of a generator's directions, kept in a small JSON file beside its checkpoint.

A file counts only for the very weights, distance and perceptual measure that it names. Of a large generator on a CPU
whole pictures would take hours: there reduced ones of fewer samples are looked at, and the file says how wrong that is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.edit import Caption
from explorer.replacing import replacing

VERSION = 1
SAMPLES = 16  # codes over which an effect is averaged
QUICK_SAMPLES, QUICK_SHARE = (
    4,
    0.25,
)  # of a large generator; of a whole picture's multiplications: of 1024 px it is what 64 px show
CHECKED = 4  # columns of which whole pictures of all samples are looked at too
MAX_WORDS = 60  # characters of a caption


@dataclass(frozen=True)
class Measured:
    """Effects of all columns of a basis, and captions of those for which words were found, by column.

    `error` is None where effects are of whole pictures and SAMPLES codes, else their root mean square difference to
    those, of the CHECKED columns where both are known.
    """

    effects: tuple[float, ...]
    captions: Mapping[int, Caption]
    error: float | None = None


def path_beside(checkpoint: Path) -> Path:
    """cats128.safetensors -> cats128.effects.json"""
    return checkpoint.with_suffix(".effects.json")


def load(path: Path, key: dict[str, str | float]) -> Measured | None:
    """What was measured, or None where the file is not there, not readable or made for something else."""
    try:
        data = json.loads(path.read_text())
        effects, error = tuple(map(float, data.pop("effects"))), data.pop("error", None)
        captions = {int(dim): _caption(*entry) for dim, entry in data.pop("captions", {}).items()}
        measured = Measured(effects, captions, error if error is None else float(error))
        return measured if data == {"version": VERSION} | key else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save(path: Path, key: dict[str, str | float], measured: Measured) -> None:
    """Write atomically; a folder that cannot be written to only costs the next start a measurement."""
    data: dict[str, Any] = {"version": VERSION} | key | {"effects": [round(effect, 5) for effect in measured.effects]}
    if measured.captions:
        data["captions"] = {dim: [one.words, round(one.certainty, 3)] for dim, one in measured.captions.items()}
    if measured.error is not None:
        data["error"] = round(measured.error, 5)
    try:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(data))
    except OSError:
        return


def _caption(words: Any, certainty: Any) -> Caption:
    if not isinstance(words, str) or len(words) > MAX_WORDS or not 0 <= certainty <= 1:
        raise ValueError("a caption is a few words and a part of one")
    return Caption(words, float(certainty))
