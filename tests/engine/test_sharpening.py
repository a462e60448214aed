"""Sharpened pictures: of small generators only, where asked for only, and every file says so."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import Base

from explorer import Edit, Engine, load
from explorer.actions import SHARPENED, Animate, Bundle, Compose, Grid, Render, Strip, run
from explorer.cli import main
from explorer.engine.sharpening import SharpenError
from explorer.export import ExportError
from explorer.keep import read_picture
from explorer.ui.pictures import answer

EXPANDED = Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"
CATS = Path(__file__).parents[1] / "models" / "cats64.safetensors"
EDIT = Edit(seed=3)


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A generator of 64 px."""
    return Engine(load(CATS), device="cpu", precision="fp32")


def reduced(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture.reshape(height // 2, 2, width // 2, 2, 3).astype(float).mean((1, 3))


def test_a_sharpened_picture_is_twice_as_large_and_shows_the_same(engine: Engine) -> None:
    plain = engine.render(EDIT)
    (sharp,) = engine.sharpened([plain])
    assert sharp.dtype == np.uint8
    assert sharp.shape == (128, 128, 3)
    assert engine.sharp_side == 128
    assert np.abs(reduced(sharp) - plain).mean() < 4
    assert np.array_equal(engine.sharpened([plain])[0], sharp)
    assert np.array_equal(engine.render(EDIT), plain)  # the truth stays


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    small = Engine(load(EXPANDED), device="cpu", precision="fp32")
    assert small.sharp_side is None
    with pytest.raises(SharpenError, match="64 to 128 px are sharpened, not those of 32"):
        run(Render(EDIT, sharpen=True), small, tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ExportError, match="sharpened or kept small"):
        Render(EDIT, max_px=32, sharpen=True)


@pytest.mark.parametrize("ending", ["png", "webp", "jpg"])
def test_a_saved_picture_is_sharpened_where_asked_and_says_so(engine: Engine, tmp_path: Path, ending: str) -> None:
    for sharpen, side in ((False, 64), (True, 128)):
        out = tmp_path / f"{sharpen}.{ending}"
        assert run(Render(EDIT, sharpen=sharpen), engine, out).pixels.shape == (side, side, 3)
        kept = read_picture(out.read_bytes())
        assert (kept.sharpened, kept.edit) == (sharpen, EDIT)
    assert b"sharpened" not in (tmp_path / f"False.{ending}").read_bytes()
    assert run(Render(EDIT, px=200, sharpen=True), engine).pixels.shape == (200, 200, 3)


def test_sheets_and_zips_are_sharpened_where_asked(engine: Engine, tmp_path: Path) -> None:
    first, second = (direction.id for direction in engine.directions[:2])
    assert run(Compose({first: 1}, sharpen=True), engine).pixels.shape == (128, 128, 3)
    assert run(Strip(EDIT, first, count=2, sharpen=True), engine).pixels.shape == (128, 258, 3)
    assert run(Grid(EDIT, first, second, count=2, sharpen=True), engine).pixels.shape == (258, 258, 3)
    with zipfile.ZipFile(run(Bundle((EDIT,), sharpen=True), engine, tmp_path / "edits.zip").file) as archive:
        assert read_picture(archive.read("001.png")).sharpened
        with archive.open("sheet.png") as file, Image.open(file) as sheet:
            assert sheet.size == (128, 128)


@pytest.mark.parametrize("ending", ["mp4", "webp", "gif"])
def test_a_film_says_that_it_is_sharpened(engine: Engine, tmp_path: Path, ending: str) -> None:
    edits = (EDIT, Edit(seed=4))
    for sharpen in (False, True):
        out = run(Animate(edits, 2, sharpen=sharpen), engine, tmp_path / f"{sharpen}.{ending}").file
        assert (SHARPENED.encode() in out.read_bytes()) == sharpen
    if ending == "webp":
        with Image.open(out) as film:
            assert film.size == (128, 128)
            assert film.getexif()[Base.ImageDescription] == SHARPENED


def test_the_command_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "cat.png"
    assert main(["render", "--seed", "3", "--sharpen", "--out", str(out)]) == 0
    assert "256 x 256 px" in capsys.readouterr().out
    assert read_picture(out.read_bytes()).sharpened


def test_a_page_gets_it_at_rest_only_beside_the_truth(engine: Engine) -> None:
    request = {"edits": [EDIT.to_json()], "exact": True, "sharpen": True}
    moving, resting = (answer(engine, request | {"draft": draft}) for draft in (0, 1))
    assert moving["sharp"] is None
    assert resting["sharp"].startswith("data:image/png")
    assert resting["pictures"] == moving["pictures"]
    several = request | {"draft": 1, "edits": request["edits"] * 2}
    for other in (several, request | {"draft": 1, "max_px": 32}, request | {"draft": 1, "sharpen": False}):
        assert answer(engine, other)["sharp"] is None
