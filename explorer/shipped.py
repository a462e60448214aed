"""The files that come with the program: where they are, and that they are there.

A checkout has them in `checkpoints/`, an installed copy in the folder of this package.
"""

from __future__ import annotations

from pathlib import Path

from explorer.refused import Refused

_INSTALLED = Path(__file__).parent / "checkpoints"
FOLDER = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).parents[1] / "checkpoints"
DEFAULT = FOLDER / "cats128.safetensors"  # the generator that opens where none is named
FILES = (
    "cats128.safetensors",
    "cats128.effects.json",
    "cats128.looks.toml",
    "cats128-source.safetensors",
    "cats128-source.effects.json",
    "cats128-encoder.safetensors",
    "cats128-judge.safetensors",
    "cats64-diffae.safetensors",
    "cats64-diffae.effects.json",
    "cats64-clip.safetensors",
    "cats64-clip-vit.safetensors",
    "cats-sharpener.safetensors",
)


class MissingFile(Refused):
    """A file that comes with the program is not there."""


def check(path: Path) -> None:
    """Raises MissingFile where `path` is one of the program's own files and is not there."""
    if path.name in FILES and path.resolve().parent == FOLDER.resolve() and not path.is_file():
        raise MissingFile(
            f"{path.name} comes with the program and is not in {FOLDER}: install the program again, or bring the file"
            " back from its repository (git checkout)"
        )
