"""A folder with two sorts of photos, each in a sub-folder that is named after it. Reads names only, no pictures."""

from __future__ import annotations

from pathlib import Path

from explorer.latents.boundaries import FEWEST
from explorer.photos import PhotoError


def two_sorts(folder: Path, more: str) -> dict[str, list[Path]]:
    """The files of a folder's two sub-folders, sorted by name, under the names of these; `more` is one of them.

    Raises PhotoError where the folder has not two sub-folders, none of them is `more`, or one has fewer than FEWEST
    files. Names that begin with a point are passed over.
    """
    if not folder.is_dir():
        raise PhotoError(f"{folder} is not a folder: examples are a folder with two sub-folders, one a sort of photos")
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    found = {path.name: sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".") for path in folders}
    if len(found) != 2:
        inside = f" ({', '.join(found)})" if found else ""
        raise PhotoError(f"{folder} must have two sub-folders, one a sort of photos; it has {len(found)}{inside}")
    if more not in found:
        raise PhotoError(f"{more!r} is not a sub-folder of {folder}: take {' or '.join(found)}")
    for name, files in found.items():
        if len(files) < FEWEST:
            raise PhotoError(
                f"a direction needs at least {FEWEST} photos of either sort, {folder / name} has {len(files)}"
            )
    return found
