"""Files of this machine, for a page that its own user alone opens: folders, checkpoints, and what was opened lately.

Only names and sizes are read here; what a file is, its content says when it is opened. Knows no page.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from explorer.foreign import brief
from explorer.replacing import replacing
from explorer.weights import CheckpointError

SUFFIXES = (".safetensors", ".pkl", ".pt", ".pth", ".ckpt")
SCANNED = 20_000  # entries of a folder that are looked at
SHOWN = 500  # folders, and files, that are shown of it
LATEST = 8
MAX_PATH = 4096  # characters
SAFE = re.compile(r"[^\w.-]+")


class Disk:
    """The checkpoints of this machine's disk; those opened lately, newest first, are kept in `file`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._latest: list[Path] = []  # where the file cannot be written

    def latest(self) -> list[Path]:
        """What was opened lately and is still there."""
        paths = self._latest
        with suppress(OSError, ValueError, TypeError):
            paths = [Path(path) for path in json.loads(self.file.read_text(encoding="utf-8"))[:LATEST]]
        return [path for path in paths if path.is_file()]

    def remember(self, path: Path) -> None:
        """Put a file in front."""
        self._latest = [path, *(other for other in self.latest() if other != path)][:LATEST]
        with suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self.file) as temporary:
                temporary.write_text(json.dumps([str(path) for path in self._latest]), encoding="utf-8")

    def named(self, name: str) -> Path | None:
        """The file opened lately that has this name among pages."""
        return next((path for path in self.latest() if name_of(path) == name), None)


def name_of(path: Path) -> str:
    """What the page of a file is called: by its name, and by where it lies."""
    return f"{SAFE.sub('-', path.stem)[:40] or 'model'}~{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"


def checkpoint_at(address: Any) -> Path:
    """The file at an address as it is typed, `~` and quotes around it included. Raises CheckpointError."""
    path = _path(address)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: choose a file in it")
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: look at the address again")
    return path


def listing(address: Any = None) -> dict[str, Any]:
    """What a folder holds that leads to a checkpoint, `{path, parent, folders, files: [{name, bytes}], more}`.

    Without an address the user's home. Hidden names are left out, and whatever is neither a folder nor a file with one
    of SUFFIXES that may be read. Raises CheckpointError where it cannot be looked at.
    """
    folder = _path("~" if address is None else address)
    if any(part.startswith(".") for part in folder.parts):
        raise CheckpointError("hidden folders are not shown: type the address of a file in one")
    folders, files = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in islice(entries, SCANNED):
                if entry.name.startswith("."):
                    continue
                with suppress(OSError):  # a link to nowhere, or gone by now
                    found = entry.stat()
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(entry.name)
                    elif _is_offered(entry, found):
                        files.append({"name": entry.name, "bytes": found.st_size})
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be looked at ({error.strerror or error})") from None
    folders.sort(key=str.casefold)
    files.sort(key=lambda file: str(file["name"]).casefold())
    more = max(len(folders) - SHOWN, 0) + max(len(files) - SHOWN, 0)
    parent = None if folder.parent == folder else str(folder.parent)
    return {"path": str(folder), "parent": parent, "folders": folders[:SHOWN], "files": files[:SHOWN], "more": more}


def _is_offered(entry: os.DirEntry[str], found: os.stat_result) -> bool:
    """Whether it is a file, neither a device nor a pipe, that may be a checkpoint and may be read."""
    named = entry.name.lower().endswith(SUFFIXES) and entry.name.isprintable()
    return named and stat.S_ISREG(found.st_mode) and found.st_size > 0 and os.access(entry.path, os.R_OK)


def _path(address: Any) -> Path:
    """The place of an address, links to its folder followed; a file keeps its name. Raises CheckpointError."""
    text = address.strip().strip("\"'") if isinstance(address, str) else ""
    if not text or len(text) > MAX_PATH or "\0" in text:
        raise CheckpointError("an address is the full path of a file, like /home/ann/models/ffhq.pkl or ~/ffhq.pkl")
    try:
        path = Path(text).expanduser()
        if not path.is_absolute():
            raise CheckpointError(f"{brief(text)} is no full path: begin it with / or ~")
        return path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    except (OSError, RuntimeError) as error:  # a loop of links, a user without a home
        raise CheckpointError(f"{brief(text)} leads nowhere ({brief(error)})") from None
