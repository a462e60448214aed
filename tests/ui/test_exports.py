"""Files made for visitors: those that are being written stay, old ones go, and many sweeps at once are no error."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from explorer import Edit
from explorer.export import write_bundle
from explorer.ui.exports import FOLDER, KEEP_SECONDS, new_file, sweep


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    return tmp_path / FOLDER


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_film_that_takes_an_hour_outlives_every_sweep(folder: Path) -> None:
    """As `replacing` writes it: under a hidden name until it is whole."""
    with new_file("film.mp4") as path:
        begun = path.with_name(".film-x.mp4")
        begun.write_bytes(b"frames")
        for old in (begun, path.parent):
            age(old, 100 * KEEP_SECONDS)
        sweep(folder)
        assert begun.exists()
        begun.rename(path)
    age(path, KEEP_SECONDS / 2)
    sweep(folder)
    assert path.exists(), "somebody may still fetch it"
    age(path, 2 * KEEP_SECONDS)
    sweep(folder)
    assert not path.parent.exists()


def test_what_failed_leaves_nothing(folder: Path) -> None:
    def fail() -> None:
        with new_file("film.mp4") as path:
            path.with_name(".film").write_bytes(b"half")
            raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        fail()
    assert not list(folder.iterdir())


def test_many_sweeps_at_once_are_no_error(folder: Path) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(60):
                with new_file("picture.png") as path:
                    path.write_bytes(b"picture")
                age(path, 2 * KEEP_SECONDS)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    sweep(folder)
    assert not list(folder.iterdir())


def test_a_zip_is_hidden_until_it_is_whole(folder: Path) -> None:
    """What `sweep` goes by."""
    seen: list[list[str]] = []
    with new_file("all.zip") as path:

        def render(edits: list) -> list[np.ndarray]:
            seen.append([name for name in os.listdir(path.parent) if not name.startswith(".")])
            return [np.zeros((8, 8, 3), np.uint8) for _ in edits]

        write_bundle(path, [Edit()], render)
        assert path.exists()
    assert seen == [[]]
