"""The commands that go through the engine, run as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from generators import make_generator
from PIL import Image

from explorer import Edit, Engine, load
from explorer.cli import main
from explorer.weights import DEFAULT, Checkpoint


def test_render_writes_the_picture_of_the_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cat.png"
    assert main(["render", "--seed", "3", "--psi", "0.5", "--set", "2=-1.5", "--out", str(out)]) == 0
    edit = Edit(seed=3, truncation_psi=0.5, strengths={2: -1.5})
    assert Edit.from_json(capsys.readouterr().out.splitlines()[1]) == edit
    expected = Engine(load(DEFAULT)).render(edit)
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    (tmp_path / "edit.json").write_text(json.dumps(edit.to_json()))
    again = tmp_path / "again.png"
    for kept in (tmp_path / "edit.json", out):
        assert main(["render", "--edit", str(kept), "--out", str(again)]) == 0
        assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--set", "crayon=1"], "crayon"),
        (["--seed", "-1"], "seed"),
        (["--edit", "no-such-file.json"], "no-such-file.json"),
        (["--checkpoint", "no-such-file.pkl"], "no-such-file.pkl"),
        (["--device", "abacus"], "abacus"),
        (["--max-px", "-5"], "1 px or more"),
    ],
)
def test_render_refuses_in_one_sentence(
    arguments: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cat.png"
    assert main(["render", "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_picture_without_settings_is_no_edit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    assert main(["render", "--edit", str(tmp_path / "photo.jpg"), "--out", str(tmp_path / "x.png")]) == 2
    assert "photo.jpg: This picture carries no settings" in capsys.readouterr().err


def test_doctor_names_the_device_and_tests_every_operation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    report = capsys.readouterr().out
    for word in ("Device", "precision", "upfirdn2d", "bias_act", "demod_bias_act", "EXPLORER_KERNELS=auto"):
        assert word in report
    assert "WRONG" not in report


def test_measure_effects_counts_the_dormant_directions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", "effects", "--device", "cpu"]) == 0
    assert "of 512 directions" in capsys.readouterr().out


def test_a_direction_given_twice_and_a_strength_beyond_all_pictures_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"
    for words in (
        ["render", "--set", "comic=1", "--set", "comic=2"],
        ["compose", "comic=0.7", "comic=0.3"],
        ["render", "--set", "2=1e38"],
        ["render", "--psi", "1e39"],
    ):
        assert main([*words, "--out", str(out)]) == 2
        assert "given twice" in (said := capsys.readouterr().err) or "from -1e+06 to 1e+06" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["animate", "no-such.json"], "no-such.json"),
        (["bundle", "."], ". cannot be read"),
        (["compose", "2=1", "--out", "/proc/x.png"], "/proc/x.png"),
        (["compose", "2=1", "--out", "x.svg"], "x.svg"),
        (["strip", "2", "--count", "257", "--out", "x.png"], "256"),
        (["grid", "2", "2", "--out", "x.png"], "two different"),
        (["invert", "no-such.jpg", "--out", "x"], "no-such.jpg"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    words: list[str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*words, *([] if "--out" in words else ["--out", "x.zip"])]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not list(tmp_path.glob("*.*"))


def test_a_fault_of_ours_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken on purpose, as no input is known that breaks it."""

    def broken(*_: object) -> None:
        raise ValueError("not meant for users")

    monkeypatch.setattr(Engine, "render", broken)
    with pytest.raises(ValueError, match="not meant for users"):
        main(["render", "--out", str(tmp_path / "x.png")])


def test_a_letter_that_the_console_lacks_is_a_question_mark(tmp_path: Path) -> None:
    path = Checkpoint(make_generator(), meta={"name": "имя"}).save(tmp_path / "x.safetensors")
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    command = [sys.executable, "-m", "explorer", "inspect", str(path)]
    run = subprocess.run(command, capture_output=True, env=environment, check=True, timeout=120)
    assert b"name: ???" in run.stdout


def test_render_takes_a_class(tmp_path: Path) -> None:
    path = Checkpoint(make_generator(c_dim=3)).save(tmp_path / "x.safetensors")
    files = [tmp_path / f"{index}.png" for index in range(2)]
    for index, file in enumerate(files):
        assert main(["render", "--checkpoint", str(path), "--class", str(index), "--out", str(file)]) == 0
    assert files[0].read_bytes() != files[1].read_bytes()
