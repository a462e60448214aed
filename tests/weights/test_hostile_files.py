"""A file can say whatever it likes: nothing of it runs, memory stays bounded, and the error says what is wrong."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import hostile
import pytest
import torch
from generators import stylegan2
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from samples import FIXTURES, relative_error, shared_storage, tiny_checkpoint, tiny_network
from tensorflow_files import hostile_files

from explorer.weights import CheckpointError, UnsafeCheckpointError, load
from explorer.weights.checkpoint import Entry
from explorer.weights.storage import Allowance, Storage, StoredTensor

CANARY = Path(__file__).parent / "canary-of-the-hostile-files"
UNSAFE = hostile.unsafe(CANARY)
BROKEN = hostile.broken(tiny_network())
BROKEN |= {f"tensorflow_{name}": file for name, file in hostile_files(stylegan2(tiny_checkpoint().generator)).items()}
BROKEN["storage_in_many_tensors"] = (shared_storage(), "more values than the file has bytes")
ALLOWED_GROWTH = 300 * 2**10  # kilobytes of resident memory over all files together


class Outcome(NamedTuple):
    error: str
    message: str
    seconds: float
    peak: int


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What came of every hostile file, loaded in one process that may take a gigabyte of addresses."""
    folder = tmp_path_factory.mktemp("hostile")
    for name, (data, _) in (UNSAFE | BROKEN).items():
        (folder / name).write_bytes(data)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    script = Path(hostile.__file__)
    run = subprocess.run([sys.executable, script, folder], env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    return {name: Outcome(*rest) for name, *rest in lines}


@pytest.mark.parametrize("name", UNSAFE)
def test_a_file_that_asks_to_run_something_is_refused_by_that_name(name: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[name].error == "UnsafeCheckpointError"
    assert UNSAFE[name][1] in outcomes[name].message


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_lies_is_refused_with_the_reason(name: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[name].error == "CheckpointError"
    assert BROKEN[name][1] in outcomes[name].message
    assert len(outcomes[name].message) < 500


def test_nothing_in_any_hostile_file_ran(outcomes: dict[str, Outcome]) -> None:
    assert len(outcomes) == len(UNSAFE | BROKEN)
    assert not CANARY.exists()


def test_hostile_files_are_refused_quickly_and_in_bounded_memory(outcomes: dict[str, Outcome]) -> None:
    assert max(outcome.seconds for outcome in outcomes.values()) < 10
    peaks = [outcome.peak for outcome in outcomes.values()]
    assert max(peaks) - min(peaks) < ALLOWED_GROWTH


def test_the_canary_would_have_been_created_by_the_standard_unpickler(tmp_path: Path) -> None:
    """The hostile files are what they claim to be."""
    canary = tmp_path / "canary"
    pickle.loads(hostile.unsafe(canary)["reduce"][0])
    assert canary.exists()


def test_source_text_in_a_pickle_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    original = (FIXTURES / "nvidia_orig16.pkl").read_bytes()
    note = b"# module source removed: data-only fixture (training.networks)\n"
    code = b"open('canary', 'w')".ljust(len(note) - 1) + b"\n"
    assert note in original
    Path("source.pkl").write_bytes(original.replace(note, code))
    loaded, expected = load("source.pkl"), load(FIXTURES / "nvidia_orig16.pkl")
    for name, value in expected.generator.state_dict().items():
        assert torch.equal(loaded.generator.state_dict()[name], value)
    assert not Path("canary").exists()


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(poison: float, tmp_path: Path) -> None:
    path = tiny_checkpoint().save(tmp_path / "good.safetensors")
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    tensors["generator.synthesis.b8.conv0.weight"][0, 0, 0, 0] = poison
    save_file(tensors, tmp_path / "bad.safetensors", metadata)
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.conv0\.weight holds NaN or infinite"):
        load(tmp_path / "bad.safetensors")


def test_pickled_weights_that_are_no_numbers_are_refused_by_name(tmp_path: Path) -> None:
    generator = stylegan2(tiny_checkpoint().generator)
    generator.state_dict()["synthesis.b8.torgb.bias"][1] = float("nan")
    (tmp_path / "nan.pkl").write_bytes(hostile.dump({"G_ema": tiny_network(generator)}))
    with pytest.raises(CheckpointError, match=r"synthesis\.b8\.torgb\.bias holds NaN or infinite"):
        load(tmp_path / "nan.pkl")


def test_a_storage_is_read_once_and_what_shares_it_pays_for_every_copy() -> None:
    reads = []
    storage = Storage(torch.float32, 50_000, Allowance(200_000), lambda: reads.append(1) or bytes(200_000))
    views = [StoredTensor(storage, 0, (50_000,), (1,)) for _ in range(5)]
    for view in views[:4]:
        view.read().fill_(1)
    assert views[0].storage.values.count_nonzero() == 0
    with pytest.raises(CheckpointError, match="more values than the file has bytes"):
        views[4].read()
    assert len(reads) == 1


def test_a_view_inside_its_storage_is_read_as_torch_reads_it() -> None:
    values = torch.arange(24, dtype=torch.float32)
    storage = Storage(torch.float32, 24, Allowance(96), values.numpy().tobytes)
    view = StoredTensor(storage, 3, (2, 3), (1, 5))
    assert torch.equal(view.read(), values.as_strided((2, 3), (1, 5), 3))
    entry = view.entry().reshaped((6,), 2.0)
    assert isinstance(entry, Entry)
    assert relative_error(entry.read(), 2 * values.as_strided((2, 3), (1, 5), 3).reshape(6)) == 0


def test_a_description_larger_than_any_is_not_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive, archive.open("a/data.pkl", "w") as member:
        for _ in range(2**6 + 1):
            member.write(bytes(2**20))
    with pytest.raises(CheckpointError, match="far larger than a description"):
        load(tmp_path / "a.pt")


@pytest.mark.parametrize("make", ["missing", "folder", "pipe"])
def test_what_is_no_file_is_said_in_one_sentence(make: str, tmp_path: Path) -> None:
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    if make == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match="no such file" if make == "missing" else "this is no file"):
        load(path)


def test_an_unsafe_file_is_a_checkpoint_error_too() -> None:
    assert issubclass(UnsafeCheckpointError, CheckpointError)
