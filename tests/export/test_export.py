"""Sheets, films and zips, on pictures whose every pixel is known, and the commands that write them on a real model."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from explorer import Edit, Engine, Latent, load
from explorer.cli import main
from explorer.export import (
    ExportError,
    along,
    animating,
    bundling,
    grid_of,
    sheet,
    spread,
    upscaled,
    write_animation,
    write_bundle,
    write_picture,
)
from explorer.export.animation import MAX_FRAMES, ease
from explorer.export.bundle import table
from explorer.keep import read_picture

ROOT = Path(__file__).parents[2]
EXPANDED = Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"
SIDE = 16


def codes(edits: list[Edit]) -> list[np.ndarray]:
    """A generator's mapping, in the small: the seed and the first strength are the code."""
    return [np.full((2, 3), edit.seed + sum(move[1] for move in edit.moves()), np.float32) for edit in edits]


def render(edits: list[Edit]) -> list[np.ndarray]:
    """A generator, in the small: the code is the grey value."""
    values = [float((edit.latent.numpy() if edit.latent else codes([edit])[0]).mean()) for edit in edits]
    return [np.full((SIDE, SIDE, 3), round(value), np.uint8) for value in values]


def values(film: Sequence[Edit]) -> list[float]:
    return [float(edit.latent.numpy()[0, 0]) for edit in film if edit.latent]


def test_a_film_passes_through_every_edit_and_rests_there() -> None:
    film = values(along([Edit(seed=s) for s in (10, 20, 5)], codes, 10, loop=False))
    assert (len(film), film[0], film[10], film[20]) == (21, 10, 20, 5)
    steps = np.abs(np.diff(film))
    assert steps[[0, 9, 10, 19]].max() < steps[[4, 5]].min()  # slower at the stops than between


def test_a_loop_closes_without_a_jump_and_without_a_frame_shown_twice() -> None:
    edits = [Edit(seed=s) for s in (10, 20, 5)]
    film, open_film = values(along(edits, codes, 10)), values(along([*edits, edits[0]], codes, 10, loop=False))
    assert film == open_film[:-1]  # the frame after the last is the first
    assert open_film[-1] == film[0]
    assert abs(film[-1] - film[0]) <= np.abs(np.diff(film)).max()
    assert film[-1] != film[0]


def test_every_leg_has_frames_of_its_own() -> None:
    edits = [Edit(seed=s) for s in (10, 20, 5)]
    film = values(along(edits, codes, (4, 10, 2)))
    assert (len(film), film[0], film[4], film[14]) == (16, 10, 20, 5)
    assert values(along(edits, codes, [4, 10], loop=False)) == film[:15]


def test_a_linear_film_goes_evenly_and_a_frame_is_where_its_part_of_the_leg_says() -> None:
    film = along([Edit(seed=s) for s in (10, 20)], codes, (8, 3), easing="linear")
    assert np.diff(values(film)) == pytest.approx([10 / 8] * 8 + [-10 / 3] * 2)
    assert [film.at(0, number / 8) for number in range(8)] == film[:8]


def test_frames_are_nothing_but_codes() -> None:
    frame = along([Edit(seed=1, noise_mode="none"), Edit(seed=2)], codes, 2)[1]
    assert (frame.project, frame.noise_mode, frame.strengths) == (False, "none", ())


def test_easing_starts_and_ends_at_rest() -> None:
    t = np.linspace(0, 1, 101)
    assert (ease(t)[0], ease(t)[50], ease(t)[-1]) == (0, 0.5, 1)
    assert np.gradient(ease(t), t)[[0, -1]].max() < 0.05


@pytest.mark.parametrize(
    ("edits", "frames"),
    [(1, 5), (65, 5), (2, 0), (2, MAX_FRAMES), (2, True), (2, 1.5), (2, (5, 0)), (3, (5, 5)), (2, (1, MAX_FRAMES))],
)
def test_films_have_limits(edits: int, frames: Any) -> None:
    with pytest.raises(ExportError):
        along([Edit(seed=s) for s in range(edits)], codes, frames)


def test_an_easing_that_is_none_is_refused() -> None:
    easing: Any = "bouncy"
    with pytest.raises(ExportError, match="smooth or linear, got 'bouncy'"):
        along([Edit(), Edit(seed=1)], codes, 5, easing=easing)


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_frames_are_written_in_order(ending: str, tmp_path: Path) -> None:
    film = [Edit(seed=s) for s in (10, 90, 180, 250)]
    seen: list[float] = []
    path = write_animation(tmp_path / f"film.{ending}", film, render, fps=10, px=32, progress=seen.append)
    with Image.open(path) as image:
        greys = [np.asarray(frame.convert("L")).mean() for frame in ImageSequence.Iterator(image)]
        assert image.size == (32, 32)
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100
    assert greys == pytest.approx([10, 90, 180, 250], abs=3)
    assert seen[-1] == 1
    assert list(tmp_path.iterdir()) == [path]


# The reader of the test leaves its pipes to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_mp4_holds_every_frame_and_cuts_an_odd_row(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = write_animation(tmp_path / "film.mp4", [Edit(seed=s) for s in (10, 90, 180)], render, fps=5, px=33)
    frames = imageio_ffmpeg.read_frames(str(path))
    assert next(frames)["size"] == (32, 32)
    greys = [np.frombuffer(frame, np.uint8).mean() for frame in frames]
    assert greys == pytest.approx([10, 90, 180], abs=6)
    del frames
    gc.collect()


@pytest.mark.parametrize("changes", [{"fps": 0}, {"fps": 61}, {"px": 0}, {"px": 10**6}, {"path": "film.exe"}])
def test_a_film_that_cannot_be_leaves_nothing_behind(changes: dict, tmp_path: Path) -> None:
    name = tmp_path / changes.pop("path", "film.gif")
    with pytest.raises(ExportError):
        write_animation(name, [Edit(), Edit(seed=1)], render, **changes)
    assert not list(tmp_path.iterdir())


def test_a_failing_render_keeps_the_file_of_before(tmp_path: Path) -> None:
    (path := tmp_path / "film.gif").write_bytes(b"before")

    def broken(_: list[Edit]) -> list[np.ndarray]:
        raise ValueError("no picture")

    with pytest.raises(ValueError, match="no picture"):
        write_animation(path, [Edit()], broken)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def noise(edits: list[Edit]) -> list[np.ndarray]:
    """Pictures that no encoder makes small."""
    return [np.random.default_rng(edit.seed).integers(0, 256, (128, 128, 3), np.uint8) for edit in edits]


FULL = """
import resource, sys
import numpy as np
from explorer.edit import Edit
from explorer.export import ExportError, write_animation

def noise(edits):
    return [np.random.default_rng(edit.seed).integers(0, 256, (128, 128, 3), np.uint8) for edit in edits]

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_animation(sys.argv[1], [Edit(seed=seed) for seed in range(40)], noise)
except ExportError as error:
    print(error)
"""


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_film_without_room_is_refused_and_the_one_of_before_stays(ending: str, tmp_path: Path) -> None:
    """Under a real limit of the size of files, which the kernel holds for ffmpeg too."""
    (path := tmp_path / f"film.{ending}").write_bytes(b"before")
    ended = subprocess.run([sys.executable, "-c", FULL, str(path)], cwd=ROOT, capture_output=True, text=True)
    assert "cannot be written" in ended.stdout, ended.stderr
    assert ended.stdout.count("\n") == 1
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk")
def test_on_a_full_disk_a_film_is_refused_and_the_one_of_before_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        (path := disk / "film.mp4").write_bytes(b"before")
        with pytest.raises(ExportError, match="the disk is full"):
            write_animation(path, [Edit(seed=seed) for seed in range(40)], noise)
        assert path.read_bytes() == b"before"
        assert list(disk.iterdir()) == [path]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("ending", ["mp4", "zip"])
def test_work_that_is_closed_early_leaves_nothing_and_renders_no_more(ending: str, tmp_path: Path) -> None:
    seen: list[int] = []

    def counted(edits: list[Edit]) -> list[np.ndarray]:
        seen.extend(edit.seed for edit in edits)
        return noise(edits)

    edits = [Edit(seed=seed) for seed in range(20)]
    write = animating if ending == "mp4" else bundling
    work = write(tmp_path / f"x.{ending}", edits, counted, batch=1)
    next(work)
    next(work)
    work.close()
    assert len(seen) <= 3
    assert not list(tmp_path.iterdir())


def test_a_sheet_is_filled_row_by_row_on_white() -> None:
    out = sheet(render([Edit(seed=s) for s in (10, 20, 30)]), columns=2, gap=4)
    assert out.shape == (2 * SIDE + 4, 2 * SIDE + 4, 3)
    assert (out[0, 0, 0], out[0, -1, 0], out[-1, 0, 0], out[-1, -1, 0], out[0, SIDE, 0]) == (10, 20, 30, 255, 255)


def test_grids_grow_to_the_right_and_downwards() -> None:
    rows = grid_of(Edit(), "a", "b", [0, 1], [0, 2])
    assert [[dict(edit.strengths) for edit in row] for row in rows] == [[{}, {"a": 1}], [{"b": 2}, {"a": 1, "b": 2}]]
    with pytest.raises(ExportError, match="different"):
        grid_of(Edit(), "a", "a", [0], [0])
    with pytest.raises(ExportError, match="at most"):
        grid_of(Edit(), "a", "b", spread(0, 1, 100), spread(0, 1, 100))


def test_enlarging_keeps_the_shape_and_the_grey() -> None:
    picture = np.full((8, 16, 3), 77, np.uint8)
    assert upscaled(picture, None) is picture
    assert upscaled(picture, 64).shape == (32, 64, 3)
    assert (upscaled(picture, 64) == 77).all()


def test_pictures_are_written_by_their_ending(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for ending in ("png", "webp"):
        assert np.array_equal(np.asarray(Image.open(write_picture(picture, tmp_path / f"x.{ending}"))), picture)
    with pytest.raises(ExportError, match=r"\.png"):
        write_picture(picture, tmp_path / "x.svg")
    with pytest.raises(ExportError, match=f"there is no folder {tmp_path / 'no'}$"):
        write_picture(picture, tmp_path / "no" / "x.png")


def test_a_zip_holds_everything_of_every_edit(tmp_path: Path) -> None:
    edits = [Edit(seed=7), Edit(seed=9, strengths={"sketch": 2, 4: -1})]
    with zipfile.ZipFile(write_bundle(tmp_path / "all.zip", edits, render, codes, px=32)) as archive:
        assert archive.testzip() is None
        assert Image.open(archive.open("001.png")).size == (32, 32)
        assert [Edit.from_json(edit) for edit in json.loads(archive.read("edits.json"))] == edits
        latents = np.load(archive.open("latents.npy"), allow_pickle=False)
        assert latents[:, 0, 0].tolist() == [7, 10]
        moves = np.load(io.BytesIO(archive.read("directions.npz")), allow_pickle=False)
        assert {name: moves[name].tolist() for name in moves} == {"sketch": [1, 1, 1], "4": [1, 1, 1]}


def test_a_zip_never_takes_the_place_of_a_picture(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"a picture")
    with pytest.raises(ExportError, match=r"one \.zip"):
        write_bundle(tmp_path / "cat.png", [Edit()], render, codes)
    assert (tmp_path / "cat.png").read_bytes() == b"a picture"


def test_no_table_program_takes_a_name_for_a_formula() -> None:
    rows = list(csv.reader(io.StringIO(table(["=x.png"], [Edit(strengths={"=cmd()": 1})]))))
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    latent = Edit(latent=Latent.of(np.zeros(3)))
    assert "photo" in table(["001.png"], [latent])


def alike(picture: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for the rounding of another batch size."""
    return picture.shape == expected.shape and np.abs(picture.astype(int) - expected).max() <= 1


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_commands_write_what_the_engine_renders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine, model = Engine(load(EXPANDED), "cpu"), ("--checkpoint", EXPANDED, "--device", "cpu")
    out = tmp_path / "strip.png"
    told = run(capsys, "strip", "sketch", "--seed", 3, "--count", 3, "--out", out, *model)
    assert told == {"file": str(out), "width": 3 * 32 + 4, "height": 32}
    expected = engine.render(Edit(seed=3, strengths={"sketch": 1}))
    assert alike(np.asarray(Image.open(out))[:, -32:], expected)
    run(capsys, "grid", "zombie", "sketch", "--seed", 3, "--count", 2, "--out", tmp_path / "grid.png", *model)
    assert alike(np.asarray(Image.open(tmp_path / "grid.png"))[-32:, :32], expected)
    for command in (["compose", "sketch=1"], ["render", "--set", "sketch=1"]):
        told = run(capsys, *command, "--seed", 3, "--out", tmp_path / "one.webp", *model)
        assert read_picture((tmp_path / "one.webp").read_bytes()).edit == Edit.from_json(told["edit"])
        assert told["edit"] == Edit(seed=3, strengths={"sketch": 1}).to_json()

    edits = [Edit(seed=1), Edit(seed=2, strengths={"sketch": 1})]
    (tmp_path / "edits.json").write_text(json.dumps([edit.to_json() for edit in edits]))
    told = run(capsys, "animate", tmp_path / "edits.json", "--frames", 2, "--out", tmp_path / "film.webp", *model)
    assert told["frames"] == 4
    run(capsys, "bundle", tmp_path / "edits.json", "--out", tmp_path / "all.zip", *model)
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert read_picture(archive.read("002.png")).edit == edits[1]
        directions = np.load(io.BytesIO(archive.read("directions.npz")))
        assert np.linalg.norm(directions["sketch"]) == pytest.approx(engine.direction("sketch").unit, rel=1e-4)


def test_models_lists_generators_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(EXPANDED).save(tmp_path / "elves.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\0" * 64)
    (found,) = run(capsys, "models", tmp_path)["models"]
    assert (found["name"], found["domains"]) == ("elves", ["sketch", "tolkien elf", "zombie"])
    assert main(["models", str(tmp_path / "nowhere")]) == 2
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "{}", '[{"sed": 1}]', "[1]"])
def test_edits_that_are_none_are_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "edits.json").write_text(content)
    command = ["animate", str(tmp_path / "edits.json"), "--checkpoint", str(EXPANDED), "--out", str(tmp_path / "x.gif")]
    assert main(command) == 2
    assert capsys.readouterr().err.count("\n") == 1
