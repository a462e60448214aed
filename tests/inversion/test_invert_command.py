"""`python -m explorer invert` and `measure inversion` as a user runs them, on the shipped generator."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from explorer.cli import main
from explorer.edit import Edit
from explorer.inversion import comparison
from explorer.inversion.latents import load_latent
from explorer.inversion.networks import Networks
from explorer.inversion.photos import open_photo
from explorer.inversion.settings import Settings


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("photos")
    chelsea = Image.fromarray(data.chelsea())
    chelsea.save(folder / "chelsea.jpg")
    chelsea.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("L").save(folder / "grey.png")
    return folder / "chelsea.jpg", folder / "grey.png"


def test_photos_become_pictures_codes_and_edits(
    photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    np.save(tmp_path / "normal.npy", np.eye(512)[:1])
    flags = ["--steps", "6", "--crop", "centre", "--out", str(out), "--strip", "4", "--mix", "0:4", "--tune", "2"]
    flags += ["--boundary", str(tmp_path / "normal.npy"), "2"]
    assert main(["invert", *map(str, photos), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "psnr" in lines[0]
    assert "chelsea.png" in lines[0]
    with Image.open(out / "strip.png") as strip, Image.open(out / "strip.webp") as animation:
        assert strip.size == (4 * 64, 64)
        assert getattr(animation, "n_frames", 1) > 10
    edit = Edit.from_json((out / "chelsea.json").read_text())
    assert edit.latent == load_latent(out / "chelsea.safetensors")
    again = tmp_path / "again.png"
    assert main(["render", "--edit", str(out / "chelsea.json"), "--out", str(again)]) == 0
    difference = np.asarray(open_photo(again), int) - np.asarray(open_photo(out / "chelsea.png"), int)
    assert np.abs(difference).max() <= 1
    moved = Edit.from_json((out / "chelsea-moved.json").read_text()).latent
    assert moved is not None
    assert edit.latent is not None
    assert (moved.numpy() - edit.latent.numpy())[1:] == pytest.approx(0, abs=1e-6)
    assert moved.numpy()[0] - edit.latent.numpy()[0] == pytest.approx(2, abs=1e-5)
    assert {path.suffix for path in out.iterdir()} == {".png", ".json", ".safetensors", ".webp"}


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--crop", "left"], "--crop"),
        (["--crop", "9000,0,10"], "square"),
        (["--steps", "-4"], "steps"),
        (["--strip", "3"], "two photos"),
        (["--boundary", "no-such.npy", "1"], "no-such.npy"),
        (["--towards", "a", "b", "far"], "amount"),
        (["--checkpoint", "no-such.pkl"], "no-such.pkl"),
    ],
)
def test_bad_flags_are_one_sentence(
    flags: list[str], word: str, photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = [] if "--steps" in flags else ["--steps", "0"]
    assert main(["invert", str(photos[0]), "--crop", "centre", *steps, *flags, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1


def test_the_table_has_a_row_a_method(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With searches of two steps, which is all that differs from what a user gets."""
    ways = comparison.ways

    def short(networks: Networks) -> dict[str, tuple[Networks, Settings]]:
        return {name: (n, replace(s, steps=min(s.steps, 2))) for name, (n, s) in ways(networks).items()}

    monkeypatch.setattr(comparison, "ways", short)
    with zipfile.ZipFile(tmp_path / "cats.zip", "w") as archive:
        for i in range(3):
            Image.fromarray(data.chelsea()[:, 50 * i : 50 * i + 300]).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"{i}.png")
    assert main(["measure", "inversion", str(tmp_path / "cats.zip"), "--count", "2", "--held-out", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 photos"
    assert any("clip_guided" in line for line in lines)
    assert any("from w_avg" in line for line in lines)
    (tmp_path / "nothing").mkdir()
    cats = str(tmp_path / "cats.zip")
    for flags, word in (
        ([str(tmp_path / "nothing")], "no held-out pictures"),
        ([str(tmp_path / "none.zip")], "neither a folder nor a zip"),
        ([cats, "--count", "0"], "--count"),
        ([cats, "--held-out", "nan"], "--held-out"),
        ([cats, "--checkpoint", "no-such.pkl"], "no-such.pkl"),
    ):
        assert main(["measure", "inversion", *flags]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1
