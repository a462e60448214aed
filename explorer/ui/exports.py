"""Files made for visitors: each in a folder of its own that nobody can guess, deleted some time after it is finished.

Knows no Gradio and not what is in the files.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEEP_SECONDS = 600.0  # for whoever fetches a file; Gradio copies those of endpoints as soon as they return
FOLDER = "explorer-exports"


@contextmanager
def new_file(title: str) -> Iterator[Path]:
    """Where a file of this title is written; what was begun goes where that fails."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())) / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(folder)
    own = Path(tempfile.mkdtemp(dir=folder))
    try:
        yield own / title.replace("/", "-")
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise


def sweep(folder: Path) -> None:
    """Delete files that were finished long ago: one that is being written has a hidden name until then.

    Others may sweep at the same time, so what has vanished is no error.
    """
    for own in list(folder.iterdir()):
        with suppress(FileNotFoundError, NotADirectoryError):
            finished = [path.stat().st_mtime for path in own.iterdir() if not path.name.startswith(".")]
            if finished and max(finished) < time.time() - KEEP_SECONDS:
                shutil.rmtree(own, ignore_errors=True)
