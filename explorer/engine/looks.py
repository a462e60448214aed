"""Named looks of a generator: strengths that go well together, in a small TOML file beside its checkpoint.

    [[look]]
    name = "cyanotype"
    strengths = { "blueprint" = 0.8, "charcoal" = 0.4 }

A direction is a domain's name, or a number as text. Whoever has the file may write into it; where there is none, there
are no looks.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.edit import DirectionId, Edit, EditError
from explorer.foreign import brief

MAX_BYTES = 2**20
MAX_NAME = 60  # characters


@dataclass(frozen=True)
class Look:
    """What it is called, and how far it goes along which directions."""

    name: str
    strengths: tuple[tuple[DirectionId, float], ...]


def path_beside(checkpoint: Path) -> Path:
    """cats128.safetensors -> cats128.looks.toml"""
    return checkpoint.with_suffix(".looks.toml")


def load(path: Path, directions: Collection[DirectionId]) -> tuple[Look, ...]:
    """The looks in a file whose directions the generator has; none where there is no file.

    Those of other directions are left out: a domain may have been removed since. Raises EditError where the file cannot
    be read as looks.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EditError(f"{path.name} is larger than any file of looks: {MAX_BYTES >> 20} MB is the most")
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("look", [])
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, RecursionError) as error:
        raise error if isinstance(error, EditError) else EditError(f"{path.name}: {brief(error, 200)}") from None
    if not isinstance(found, list):
        raise EditError(f"{path.name}: a look begins with [[look]]")
    looks = [_look(path, entry) for entry in found]
    return tuple(look for look in looks if all(id_ in directions for id_, _ in look.strengths))


def _look(path: Path, entry: Any) -> Look:
    name, strengths = (entry.get("name"), entry.get("strengths")) if isinstance(entry, dict) else (None, None)
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME or not isinstance(strengths, dict):
        raise EditError(f"{path.name}: a look has a name of 1 to {MAX_NAME} characters, and strengths by direction")
    numbered = {int(key) if key.isascii() and key.isdigit() else key: value for key, value in strengths.items()}
    try:
        return Look(name, tuple(dict(Edit(strengths=numbered).strengths).items()))
    except EditError as error:
        raise EditError(f"{path.name}: {name}: {error}") from None
