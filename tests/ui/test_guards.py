"""Guards of names and paths: each test fails where its guard is taken away."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from app_server import ROOT

from explorer import CheckpointError, Engine, load
from explorer.engine.inverting import delta_folder, find_delta
from explorer.inversion import InversionError
from explorer.inversion.tuning import save_delta
from explorer.ui import Shelf, build_ui
from explorer.ui.tabs.model import take

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "uploads"
    (folder / "abc").mkdir(parents=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(build_ui, "cpu", "fp32", tmp_path)


def refused(shelf: Shelf, path: object) -> None:
    with pytest.raises(CheckpointError, match="drop"):
        take(shelf, {"path": path, "title": "a.pkl"})


def test_only_a_file_that_was_uploaded_is_taken(shelf: Shelf, uploads: Path, tmp_path: Path) -> None:
    """It is moved away: a path that leads out of the folder of uploads would lose somebody's checkpoint."""
    mine, beside = tmp_path / "mine.pkl", tmp_path / "uploads-of-others"
    shutil.copy(EXPANDED, mine)
    beside.mkdir()
    shutil.copy(EXPANDED, beside / "a.pkl")
    (uploads / "abc" / "link.pkl").symlink_to(mine)
    others = (mine, beside / "a.pkl", uploads / ".." / "mine.pkl", uploads / "abc" / ".." / ".." / "mine.pkl")
    for path in (*others, uploads / "abc" / "link.pkl", uploads / "abc", uploads / "abc" / "none", "", None, 3, ["a"]):
        refused(shelf, str(path) if isinstance(path, Path) else path)
    assert mine.is_file()
    assert (beside / "a.pkl").is_file()
    shutil.copy(EXPANDED, uploads / "abc" / "a.pkl")
    name = take(shelf, {"path": str(uploads / "abc" / "a.pkl"), "title": "a.pkl"})
    assert name.startswith("a~")
    assert not (uploads / "abc" / "a.pkl").exists()


def test_a_file_that_is_refused_does_not_stay(shelf: Shelf, uploads: Path) -> None:
    (uploads / "abc" / "a.pkl").write_bytes(b"no checkpoint")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        take(shelf, {"path": str(uploads / "abc" / "a.pkl"), "title": "a.pkl"})
    assert list(uploads.rglob("*.pkl")) == []


def test_without_a_folder_of_uploads_nothing_is_taken(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    (tmp_path / "abc").mkdir()
    mine = Path(shutil.copy(EXPANDED, tmp_path / "abc"))
    refused(shelf, str(mine))
    assert mine.is_file()


@pytest.fixture
def fitted(tmp_path: Path) -> tuple[Engine, Path]:
    """An engine whose checkpoint lies in a folder of its own, and a fitted copy beside it."""
    checkpoint = tmp_path / "expanded32.pkl"
    shutil.copy(EXPANDED, checkpoint)
    engine = Engine(load(checkpoint), "cpu", "fp32")
    other = load(checkpoint).generator
    for parameter in other.learnable().values():
        parameter.mul_(1.01)
    ws = engine.generator.mean.expand(1, engine.codes.rows, -1)
    return engine, save_delta(other, engine.checkpoint.generator, delta_folder(engine), ws)


def test_a_fitted_copy_is_known_by_its_own_name_alone(fitted: tuple[Engine, Path], tmp_path: Path) -> None:
    engine, file = fitted
    assert find_delta(delta_folder(engine), file.name) == file
    shutil.copy(file, tmp_path / file.name)
    shutil.copy(file, file.with_name("notes.safetensors"))
    names = [f"../{file.name}", str(tmp_path / file.name), "../expanded32.pkl", "notes.safetensors", file.stem, ""]
    names += [f"./{file.name}", f"{file.name}\n", file.name.upper(), os.fspath(file), "0" * 16 + ".safetensors"]
    for name in (*names, None, 3, [file.name]):
        with pytest.raises(InversionError, match="no longer here"):
            find_delta(delta_folder(engine), name)
