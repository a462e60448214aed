"""A file is written whole or not at all: under a hidden name beside its place, then in its place in one step.

The hidden name says which process writes, so that what a killed one left behind is found, and goes the next time that
the file is written or its folder is swept. Knows nothing of what is in files.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HIDDEN = re.compile(r"\.(?P<name>.+)\.(?P<pid>[1-9]\d{0,9})(-[0-9a-f]{8}(\.\w+)?)?")


@contextmanager
def replacing(path: Path, sync: bool = False) -> Iterator[Path]:
    """A temporary name beside `path`; the file that is written there takes its place at the end, or never.

    Args:
        sync: the file is on the disk before it takes the place of another, whenever the power goes.
    """
    sweep(path.parent, path.name)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: Path, name: str | None = None, seconds: float = 0.0) -> None:
    """Delete what processes that have ended left in `folder`, of the file `name` alone where it is given.

    Args:
        seconds: leave what was written to since then; where several machines share a folder, the process may run on
            another one.
    """
    with suppress(OSError):
        for path in folder.iterdir():
            match = HIDDEN.fullmatch(path.name)
            if match is None or (name is not None and match["name"] != name) or psutil.pid_exists(int(match["pid"])):
                continue
            with suppress(OSError):  # another one may sweep too
                if path.is_file() and path.stat().st_mtime < time.time() - seconds:
                    path.unlink()
