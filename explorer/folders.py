"""Where the program keeps what belongs to its user: downloads, lessons, generators. Knows none of them."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import platformdirs

APP = "domain-explorer"


def cache_home() -> Path:
    """The user's folder for what can be fetched again."""
    try:
        return Path(platformdirs.user_cache_dir(APP))
    except RuntimeError:  # a user without a home, as in a container that is run under any number
        return passing()


def data_home() -> Path:
    """The user's folder for what they made: `$EXPLORER_DATA` where it is set."""
    if chosen := os.environ.get("EXPLORER_DATA"):
        return Path(chosen)
    try:
        return Path(platformdirs.user_data_dir(APP, False))
    except RuntimeError:
        return passing()


@cache
def passing() -> Path:
    """A folder that this process alone knows and takes with it."""
    folder = tempfile.mkdtemp(prefix=f"{APP}-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
