"""`python -m explorer convert` and `inspect`: plain words on success, one sentence and exit code 2 on failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import hostile
import pytest
import torch
from samples import FIXTURES

from explorer import shipped
from explorer.cli import main
from explorer.weights import DEFAULT, CheckpointError, load
from explorer.weights.container import opened, write
from explorer.weights.inventory import LOADERS


def test_convert_writes_a_file_that_loads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = FIXTURES / "expanded32.pkl", tmp_path / "a.safetensors"
    assert main(["convert", str(source), str(target)]) == 0
    before, after = load(source), load(target)
    for name, value in before.generator.state_dict().items():
        assert torch.equal(after.generator.state_dict()[name], value)
    assert after.meta == before.meta
    assert str(target) in capsys.readouterr().out


def test_convert_can_halve_the_file(tmp_path: Path) -> None:
    source = str(FIXTURES / "nvidia_orig16.pkl")
    main(["convert", source, str(tmp_path / "full")])
    main(["convert", "--half", source, str(tmp_path / "half")])
    assert (tmp_path / "half").stat().st_size < 0.6 * (tmp_path / "full").stat().st_size


def test_inspect_says_what_a_file_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(FIXTURES / "expanded32.pkl")]) == 0
    text = capsys.readouterr().out
    for fact in ("StyleGAN2, 32 x 32 px", "8 rows", "tolkien elf (direction 62)", "distance of 20", "nvidia"):
        assert fact in text


def test_inspect_says_what_a_file_does_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(FIXTURES / "nvidia_cond16.pkl")]) == 0
    text = capsys.readouterr().out
    assert "3 classes" in text
    assert "domains: none" in text


def test_inspect_knows_every_file_that_comes_with_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(DEFAULT.parent.glob("*.safetensors"))
    for file in files:
        assert main(["inspect", str(file)]) == 0, file.name
        kind = next((k for k in LOADERS if f"-{k}" in file.name), "generator")
        assert capsys.readouterr().out.startswith(f"{kind}: "), file.name
    assert [file.name for file in files] == sorted(name for name in shipped.FILES if name.endswith(".safetensors"))


def test_a_file_of_another_kind_is_named_where_a_generator_is_expected() -> None:
    models = Path(__file__).parents[1] / "models"
    for kind, folder in (("clip", shipped.FOLDER), ("encoder", models), ("discriminator", models), ("judge", models)):
        with pytest.raises(CheckpointError, match=f"cats64-{kind}.safetensors: it holds this program's {kind}, no gen"):
            load(folder / f"cats64-{kind}.safetensors")


def test_a_damaged_part_is_said_to_be_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with opened(DEFAULT.with_name("cats128-encoder.safetensors")) as (entries, metadata):
        tensors = {name: entry.read() for name, entry in list(entries.items())[:-1]}
        write(tmp_path / "part.safetensors", tensors, metadata)
    assert main(["inspect", str(tmp_path / "part.safetensors")]) == 2
    assert "part.safetensors: w_avg is missing" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_errors_are_one_sentence_without_a_traceback(command: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pkl"
    bad.write_bytes(hostile.unsafe(tmp_path / "canary")["reduce"][0])
    arguments = [str(bad)] if command == "inspect" else [str(bad), str(tmp_path / "out.safetensors")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-m", "explorer", command, *arguments], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.startswith("error: bad.pkl: it asks to run 'posix.system'")
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "canary").exists()
    assert not (tmp_path / "out.safetensors").exists()
