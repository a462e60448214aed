"""Files that come with the program are there; a missing one is an error, not another distance or an encoder less."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from explorer import Refused, load, shipped
from explorer.metrics.perceptual import load_perceptual
from explorer.weights import clip, parts


def test_every_shipped_file_is_there() -> None:
    for name in shipped.FILES:
        assert (shipped.FOLDER / name).is_file()
    networks = {path.name for path in shipped.FOLDER.glob("*.safetensors")}
    assert networks <= set(shipped.FILES), "a new model is named in explorer/shipped.py"


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program in a folder without models; no backbone of LPIPS lies on this machine."""
    monkeypatch.setenv("EXPLORER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    monkeypatch.setattr(clip, "FOLDER", tmp_path)
    return tmp_path


def test_a_missing_generator_is_refused(empty: Path) -> None:
    with pytest.raises(Refused, match=r"cats128.safetensors comes with the program and is not in .*: install"):
        load(empty / "cats128.safetensors")


def test_a_missing_clip_is_no_other_distance(empty: Path) -> None:
    with pytest.raises(shipped.MissingFile, match=r"cats64-clip\.safetensors"):
        load_perceptual()


def test_a_missing_encoder_is_refused_for_the_shipped_generator_only(empty: Path) -> None:
    shutil.copyfile(shipped.DEFAULT, empty / "cats128.safetensors")
    checkpoint = load(empty / "cats128.safetensors")
    with pytest.raises(shipped.MissingFile, match=r"cats128-encoder\.safetensors"):
        parts.part_of(checkpoint, "encoder")
    assert parts.part_of(replace(checkpoint, path=empty / "mine.safetensors"), "encoder") is None


def test_a_shipped_model_has_a_name_wherever_the_program_lies() -> None:
    assert load("cats128-source").path == shipped.FOLDER / "cats128-source.safetensors"
