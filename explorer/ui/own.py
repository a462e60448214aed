"""The user's own generators: files in one folder, each with the networks that belong to it, which the page lists.

Knows no Gradio and no page.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer.engine import effects
from explorer.folders import data_home
from explorer.replacing import replacing
from explorer.weights import Checkpoint, CheckpointError
from explorer.weights.parts import part_of

FILE_NAME = re.compile(r"\w[\w .-]*")
MAX_STEM = 60
MODELS = "models"  # the folder's name, beside that of lessons
PARTS = ("discriminator", "encoder", "judge")


def models_home() -> Path:
    """The folder of the user's own generators."""
    return data_home() / MODELS


def file_in(folder: Path, name: Any) -> Path:
    """The file of a generator that is to have this name. Raises CheckpointError for what is no name of a file."""
    stem = " ".join(name.split()).removesuffix(".safetensors") if isinstance(name, str) else ""
    if not FILE_NAME.fullmatch(stem) or len(stem) > MAX_STEM:
        raise CheckpointError("A file name is made of letters, digits, spaces, dots and dashes.")
    return folder / f"{stem}.safetensors"


def write_new(checkpoint: Checkpoint, path: Path, **meta: str) -> None:
    """Write a generator with its parts and what was measured of it, called like its file. Never replaces a file.

    `meta` is told in the file too. Raises CheckpointError where the file is there already or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open("xb").close()  # ours from here on
    except FileExistsError:
        raise CheckpointError(f"{path.name} is there already: choose another name.") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        write(checkpoint, path, **meta)
    except (ValueError, OSError):
        path.unlink()
        raise


def write(checkpoint: Checkpoint, path: Path, **meta: str) -> None:
    """The same, in the place of whatever is there."""
    replace(checkpoint, meta=checkpoint.meta | meta | {"name": path.stem}).save(path)
    copy_parts(checkpoint, path, PARTS)
    if checkpoint.path is not None and (known := effects.path_beside(checkpoint.path)).is_file():
        shutil.copyfile(known, effects.path_beside(path))


def copy_parts(checkpoint: Checkpoint, path: Path, roles: tuple[str, ...]) -> None:
    """Copy the files of a checkpoint's other networks to where those of `path` are looked for."""
    for role in roles:
        part, target = part_of(checkpoint, role), path.with_name(f"{path.stem}-{role}.safetensors")
        if part is not None and part != target:  # the same where a lesson is kept once more
            with replacing(target) as temporary:
                shutil.copyfile(part, temporary)
