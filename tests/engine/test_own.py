"""Directions of one's own: what they add, files of them, and who keeps them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import make_generator
from safetensors.numpy import save

from explorer import Edit, EditError, Engine
from explorer.cli import main
from explorer.engine.own import OwnDirection, difference, load_directions, read_directions, write_directions
from explorer.weights import Checkpoint

ROWS, DIM = 6, 24
SLIDERS = Edit(seed=3, strengths={2: 1.5, 7: -0.5}, layers={7: (2, 4)})


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return Checkpoint(make_generator(), meta={"name": "tiny"})


@pytest.fixture
def engine(checkpoint: Checkpoint) -> Engine:
    return Engine(checkpoint, "cpu", "fp32")


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def test_a_difference_of_sliders_is_a_direction_on_every_code(engine: Engine) -> None:
    engine.own = [difference(engine, SLIDERS, "smile")]
    assert next(d.id for d in engine.directions) == "smile"
    for seed in (3, 4):
        one = engine.ws(Edit(seed=seed, strengths={"smile": 1.0}))
        all_of_them = engine.ws(replace(SLIDERS, seed=seed))
        torch.testing.assert_close(one, all_of_them, rtol=0, atol=1e-5)
    half = engine.ws(Edit(seed=3, strengths={"smile": 0.5}))
    both_ends = engine.ws(Edit(seed=3)) + engine.ws(SLIDERS)
    torch.testing.assert_close(half, both_ends / 2, rtol=0, atol=1e-5)


def test_layers_choose_rows_of_a_direction_too(engine: Engine) -> None:
    engine.own = [difference(engine, SLIDERS, "smile")]
    bare = engine.ws(Edit(seed=3))
    moved = engine.ws(Edit(seed=3, strengths={"smile": 1.0}, layers={"smile": (2, 3)}))
    assert (moved - bare).any(dim=1).tolist() == [False, False, True, False, False, False]
    torch.testing.assert_close(moved[2], engine.ws(SLIDERS)[2], rtol=0, atol=1e-5)


def test_nothing_moved_is_no_direction(engine: Engine) -> None:
    with pytest.raises(EditError, match="leads nowhere"):
        difference(engine, Edit(seed=3), "smile")


def test_a_file_of_ours_gives_back_what_was_saved(engine: Engine) -> None:
    own = [difference(engine, SLIDERS, "smile"), OwnDirection("wide", torch.ones(ROWS, DIM), -2.0, 7.0)]
    read = read_directions(write_directions(own), "unused", engine.generator)
    assert [(d.name, d.low, d.high) for d in read] == [(d.name, d.low, d.high) for d in own]
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(read, own, strict=True))


@pytest.mark.parametrize("shape", [(DIM,), (1, DIM), (ROWS, DIM)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ">f4", "int8"])
def test_a_vector_of_other_programs_moves_by_a_standard_deviation(engine: Engine, shape: Any, dtype: str) -> None:
    """Whatever its length: SeFa's and InterFaceGAN's have length one, others do not."""
    column = engine._model.directions.basis[:, 2]
    vector = np.zeros(shape) + column.numpy()
    scaled = np.round(vector * 100).astype(dtype)
    (read,) = read_directions(npy(scaled), "sefa", engine.generator)
    assert (read.name, read.vector.shape) == ("sefa", (ROWS, DIM))
    assert torch.cosine_similarity(read.vector[0], column, dim=0) > 0.99
    assert torch.equal(read.vector, read.vector[:1].expand(ROWS, DIM))
    assert read.vector[0].norm().item() == pytest.approx(engine.direction(2).unit, rel=0.1)


def test_rows_of_a_vector_keep_their_part(engine: Engine) -> None:
    vector = np.zeros((ROWS, DIM), np.float32)
    vector[1, 3], vector[2, 3] = 1.0, 2.0
    (read,) = read_directions(npy(vector), "one", engine.generator)
    assert (read.vector[2] / read.vector[1])[3].item() == pytest.approx(2.0)
    assert read.vector[[0, 3, 4, 5]].abs().max() == 0


def metadata(**changes: str) -> dict[str, str]:
    told = json.dumps([{"name": "a", "low": -1.0, "high": 1.0}])
    return {"format": "domain-explorer-directions", "version": "1", "directions": told} | changes


def ours(array: Any = None, **changes: str) -> bytes:
    return save({"0": np.ones((ROWS, DIM), np.float32) if array is None else array}, metadata(**changes))


def told(**changes: Any) -> str:
    return json.dumps([{"name": "a", "low": -1.0, "high": 1.0} | changes])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"hello", "no such file"),
        (npy(np.ones(DIM + 1)), r"\[24\], \[1, 24\] or \[6, 24\]"),
        (npy(np.ones((2, DIM))), r"\[6, 24\]"),
        (npy(np.ones((1, 1, DIM))), r"\[6, 24\]"),
        (npy(np.full(DIM, np.nan)), "finite"),
        (npy(np.full(DIM, 1e300)), "finite"),
        (npy(np.full(DIM, 1e7)), "at most"),
        (npy(np.zeros(DIM)), "leads nowhere"),
        (npy(np.array([object()] * DIM)), "Python objects"),
        (npy(np.ones(DIM))[:100], "damaged"),
        (npy(np.ones(DIM, complex)), "no numbers"),
        (ours(version="2"), "no directions of this program"),
        (ours(directions="{"), "damaged"),
        (ours(directions="[]"), "1 to 64"),
        (ours(directions=json.dumps([{}, {}])), "1 to 64"),
        (ours(directions=told(name="12")), "no number alone"),
        (ours(directions=told(name="x" * 61)), "1 to 60"),
        (ours(directions=told(low=2.0)), "two ends"),
        (ours(directions=told(high=1e9)), "two ends"),
        (ours(directions=told(high="1")), "two ends"),
        (ours(np.ones((ROWS, DIM), np.int32)), "damaged"),
        (ours(np.ones((5, DIM), np.float32)), "numbers, got"),
        (ours(np.full((1, DIM), np.inf, np.float32)), "finite"),
        (ours()[:-10], "damaged"),
        (b"\xff" * 4 + b"\0\0\0\0{" + b"x" * 100, "no directions"),
    ],
)
def test_what_is_no_direction_is_refused(engine: Engine, data: bytes, why: str) -> None:
    with pytest.raises(EditError, match=why):
        read_directions(data, "a", engine.generator)


def test_a_lesson_that_is_kept_keeps_them_and_a_domain_goes_first(engine: Engine, checkpoint: Checkpoint) -> None:
    engine.own = [difference(engine, SLIDERS, "smile"), OwnDirection("frown", torch.ones(ROWS, DIM))]
    engine.replace(replace(checkpoint, attributes={"frown": torch.ones(DIM)}))
    groups = {d.id: d.group for d in engine.directions}
    assert (groups["smile"], groups["frown"]) == ("own", "attributes")
    torch.testing.assert_close(engine.ws(Edit(seed=3, strengths={"smile": 1.0})), engine.ws(SLIDERS))


def test_commands_take_files_of_directions(checkpoint: Checkpoint, engine: Engine, tmp_path: Path) -> None:
    source = checkpoint.save(tmp_path / "tiny.safetensors")
    (tmp_path / "mine.safetensors").write_bytes(write_directions([difference(engine, SLIDERS, "smile")]))
    np.save(tmp_path / "sefa.npy", np.eye(DIM)[3])
    out = tmp_path / "out.png"
    command = ["render", "--checkpoint", str(source), "--seed", "3", "--out", str(out), "--set", "smile=1"]
    assert main(command) == 2, "no direction of this name"
    files = ["--directions", str(tmp_path / "mine.safetensors"), "--directions", str(tmp_path / "sefa.npy")]
    assert main([*command, "--set", "sefa=2", *files, "--precision", "fp32"]) == 0
    assert out.is_file()
    strip = ["strip", "sefa", "--checkpoint", str(source), "--out", str(out)]
    assert main([*strip, *files]) == 0
    with pytest.raises(EditError, match=r"none\.npy cannot be read"):
        load_directions(tmp_path / "none.npy", engine.generator)
