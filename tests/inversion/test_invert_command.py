"""`python -m explorer invert` and `measure inversion` as a user runs them, on the shipped generator."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from explorer.cli import main
from explorer.cli_invert import _names
from explorer.edit import Edit
from explorer.inversion import comparison
from explorer.inversion.latents import load_latent
from explorer.inversion.networks import Networks
from explorer.inversion.settings import Settings
from explorer.inversion.uses import SAMPLES
from explorer.latents import sample_codes
from explorer.photos import open_photo
from explorer.weights import DEFAULT, load


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("photos")
    chelsea = Image.fromarray(data.chelsea())
    chelsea.save(folder / "chelsea.jpg")
    chelsea.transpose(Image.Transpose.FLIP_LEFT_RIGHT).convert("L").save(folder / "grey.png")
    return folder / "chelsea.jpg", folder / "grey.png"


def spread(normal: np.ndarray) -> float:
    """Standard deviation of the default's codes along a normal."""
    w = sample_codes(load(DEFAULT).generator, SAMPLES)[:, 0].numpy()
    return float((w @ normal).std(ddof=1))


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
        assert strip.size == (4 * 128, 128)
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
    assert moved.numpy()[0] - edit.latent.numpy()[0] == pytest.approx(2 * spread(np.eye(512)[0]), rel=1e-4)
    assert {path.suffix for path in out.iterdir()} == {".png", ".json", ".safetensors", ".webp"}


def test_json_tells_figures_and_files(
    photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found"
    flags = ["--steps", "3", "--crop", "centre", "--tune", "1", "--mix", "0:4", "--strip", "3", "--json"]
    assert main(["invert", *map(str, photos), *flags, "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["method"], told["space"]) == ("in_domain", "w")
    assert [photo["name"] for photo in told["photos"]] == ["chelsea", "grey"]
    written = list(told["files"])
    for photo in told["photos"]:
        for figures in (photo, photo["tuned"]):
            assert figures["perceptual_network"] == "cats64-clip"
            assert figures["psnr"] == pytest.approx(10 * np.log10(4 / figures["mse"]))
            assert min(figures[name] for name in ("mse", "perceptual", "distance_to_w_avg", "seconds")) > 0
            assert -1 <= figures["clip_similarity"] <= 1
            written += figures["files"]
    assert {Path(file) for file in written} == set(out.iterdir())


def test_two_sorts_of_photos_make_a_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Towards the bright ones a photo becomes brighter, and `--boundary` takes the file that is left."""
    rng = np.random.default_rng(0)
    for sort, scale in (("bright", 1.0), ("dark", 0.4)):
        (tmp_path / "sorts" / sort).mkdir(parents=True)
        for i in range(14):
            left = int(rng.integers(0, 150))
            Image.fromarray((data.chelsea()[:, left : left + 300] * scale).astype(np.uint8)).save(
                tmp_path / "sorts" / sort / f"{i}.png"
            )
    (tmp_path / "sorts" / "dark" / ".hidden").write_text("no picture")
    photo = tmp_path / "cat.png"
    Image.fromarray((data.chelsea() * 0.7).astype(np.uint8)).save(photo)
    flags = ["invert", str(photo), "--method", "encoder", "--crop", "centre", "--json"]
    brightness = {}
    for more in ("bright", "dark"):
        out = tmp_path / more
        assert main([*flags, "--examples", str(tmp_path / "sorts"), more, "2", "--out", str(out)]) == 0
        told = json.loads(capsys.readouterr().out)
        (direction,) = told["directions"]
        assert {direction["more"], direction["less"]} == {"bright", "dark"}
        assert direction["more"] == more
        assert direction["accuracy"] > 0.6
        brightness[more] = np.asarray(Image.open(out / "cat-moved.png")).mean()
        brightness["unmoved"] = np.asarray(Image.open(out / "cat.png")).mean()
    assert brightness["bright"] > brightness["unmoved"] > brightness["dark"]
    again = ["--boundary", str(tmp_path / "bright" / "examples.npy"), "1", "--out", str(tmp_path / "again")]
    assert main([*flags, *again]) == 0
    codes = [
        Edit.from_json((tmp_path / "again" / f"cat{name}.json").read_text()).latent.numpy()  # type: ignore[union-attr]
        for name in ("-moved", "")
    ]
    (normal,) = np.load(tmp_path / "bright" / "examples.npy")
    assert np.linalg.norm(codes[0] - codes[1]) == pytest.approx(spread(normal), rel=1e-3)
    learned = Edit.from_json((tmp_path / "bright" / "cat-moved.json").read_text()).latent
    assert learned is not None
    assert np.linalg.norm(learned.numpy() - codes[1]) == pytest.approx(2 * spread(normal), rel=1e-3)


def test_examples_that_are_not_two_sorts_are_refused_in_one_sentence(
    photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sorts = tmp_path / "sorts"

    def refused(*words: str, more: str = "open") -> None:
        flags = ["--steps", "0", "--crop", "centre", "--examples", str(sorts), more, "1"]
        assert main(["invert", str(photos[0]), *flags, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        for word in words:
            assert word in error

    refused("not a folder", str(sorts))
    (sorts / "open").mkdir(parents=True)
    refused("two sub-folders", "it has 1 (open)")
    (sorts / "shut").mkdir()
    refused("at least 10 photos", "open has 0")
    refused("'wide' is not a sub-folder", "open or shut", more="wide")
    for sort in ("open", "shut"):
        for i in range(10):
            Image.fromarray(data.chelsea()[:, i : i + 300]).save(sorts / sort / f"{i}.png")
    (sorts / "shut" / "notes.txt").write_text("these are words")
    refused("notes.txt", "not a picture")
    (sorts / "shut" / "notes.txt").unlink()
    (sorts / "wide").mkdir()
    refused("it has 3 (open, shut, wide)")


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--crop", "left"], "--crop"),
        (["--crop", "9000,0,10"], "square"),
        (["--steps", "-4"], "steps"),
        (["--strip", "3"], "two photos"),
        (["--strip", "0"], "two photos"),
        (["--device", "abacus"], "abacus"),
        (["--towards", "", "shut", "1"], "two texts"),
        (["--towards", "shut", "shut ", "1"], "two texts"),
        (["--boundary", "no-such.npy", "1"], "no-such.npy"),
        (["--towards", "a", "b", "far"], "amount"),
        (["--examples", "sorts", "open", "far"], "amount"),
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


@pytest.mark.parametrize(("flags", "word"), [(["--strip", "-4"], "two ends"), (["--mix", "0:99"], "from 0 to 12")])
def test_what_cannot_be_made_of_two_photos_is_refused_before_the_search(
    flags: list[str], word: str, photos: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invert", *map(str, photos), "--crop", "centre", *flags, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


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
    assert any("from the mean" in line for line in lines)
    (tmp_path / "nothing").mkdir()
    cats = str(tmp_path / "cats.zip")
    for flags, word in (
        ([str(tmp_path / "nothing")], "holds no pictures"),
        ([str(tmp_path / "none.zip")], "neither a folder nor a zip"),
        ([cats, "--count", "0"], "--count"),
        ([cats, "--held-out", "nan"], "--held-out"),
        ([cats, "--checkpoint", "no-such.pkl"], "no-such.pkl"),
    ):
        assert main(["measure", "inversion", *flags]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1


def test_results_never_share_a_name_and_never_overwrite_a_photo(tmp_path: Path) -> None:
    assert _names(["x/a.png", "y/a.png", "a-1.png"]) == ["a-2", "a-3", "a-1"]
    assert _names(["mixed.png", "b.png"]) == ["mixed-1", "b"]
    assert _names(["cat.png", "cat-moved.png"]) == ["cat", "cat-moved-1"]
    for name in ("cat.png", "mixed.png"):
        photo = tmp_path / name
        Image.new("RGB", (64, 64), "red").save(photo)
        before = photo.read_bytes()
        assert main(["invert", str(photo), "--method", "encoder", "--out", str(tmp_path)]) == 2
        assert photo.read_bytes() == before
