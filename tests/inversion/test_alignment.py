"""FFHQ's crop: the formula on faces whose crop is known, and the pixels that it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explorer.inversion import alignment
from explorer.inversion.alignment import MODEL, Crop, aligned, ffhq_crop, model_file, quad, square
from explorer.inversion.faces import Box, crop
from explorer.photos import PhotoError

# Eyes 20 apart at height 40, mouth 22 below: the mouth's distance does not decide.
FACE = np.array([[40.0, 40], [60, 40], [50, 50], [44, 62], [56, 62]])


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return points @ matrix.T + shift


def test_an_upright_face_gets_an_upright_square_around_eyes_and_mouth() -> None:
    half = max(2 * 20, 1.8 * 22)
    centre = np.array([50, 40 + 0.1 * 22])
    expected = centre + half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
    assert quad(FACE) == pytest.approx(expected)


def test_the_square_turns_grows_and_moves_with_the_face() -> None:
    for degrees, scale, shift in ((30, 1, (0, 0)), (-170, 2.5, (7, -3))):
        assert quad(turned(FACE, degrees, scale, shift)) == pytest.approx(turned(quad(FACE), degrees, scale, shift))


def test_68_points_are_read_as_their_eyes_and_mouth() -> None:
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = FACE[0], FACE[1]
    points[48], points[54] = FACE[3], FACE[4]
    assert quad(points) == pytest.approx(quad(FACE))


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.zeros((4, 2)), np.zeros((5, 3)), np.full((5, 2), np.nan)])
def test_points_of_no_face_are_refused(points: np.ndarray) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        quad(points)


def test_a_turned_photo_is_cut_out_as_the_upright_one() -> None:
    y, x = np.mgrid[0:160, 0:160] / 160
    smooth = np.stack([255 * x, 255 * y, 127 + 120 * np.sin(6 * x) * np.cos(5 * y)], axis=2).astype(np.uint8)
    upright = aligned(Image.fromarray(smooth), quad(FACE + 30), 32)
    rotated = Image.fromarray(np.ascontiguousarray(np.rot90(smooth, -1)))  # (x, y) -> (160 - y, x)
    points = np.stack([160 - (FACE + 30)[:, 1], (FACE + 30)[:, 0]], axis=1)
    assert upright.shape == (32, 32, 3)
    assert np.abs(aligned(rotated, quad(points), 32).astype(int) - upright).max() <= 4


def test_a_model_is_used_only_where_its_file_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPLORER_LANDMARKS", raising=False)
    assert model_file((tmp_path,)) is None
    (tmp_path / MODEL).write_text("")
    assert model_file((tmp_path / "none", tmp_path)) == tmp_path / MODEL
    photo, points = Image.new("RGB", (100, 100)), np.tile(FACE[0], (68, 1))
    points[42:48], points[48], points[54] = FACE[1], FACE[3], FACE[4]
    monkeypatch.setattr(alignment, "facemark", lambda file: lambda image, box: points)
    found = ffhq_crop(photo, Box(0, 0, 90), 32, tmp_path / "stylegan2-FFHQ.pkl")
    assert found is not None
    assert found.shape == (32, 32, 3)
    assert ffhq_crop(photo, Box(0, 0, 90), 32, tmp_path / "cats64.safetensors") is None
    assert ffhq_crop(photo, Box(0, 0, 90), 32, tmp_path / "none" / "ffhq.pkl") is None
    monkeypatch.setenv("EXPLORER_LANDMARKS", str(tmp_path / "other.yaml"))
    assert model_file((tmp_path,)) is None


@pytest.mark.parametrize(
    ("where", "of_face", "aligns"),
    [("face", False, True), ("centre", False, False), (Box(10, 5, 60), False, False), (Box(10, 5, 60), True, True)],
)
def test_a_face_is_aligned_however_it_is_asked_for_and_nothing_else_is(
    where: Crop, of_face: bool, aligns: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One decision for command line, endpoint and page; the landmarks stand in for a model that is not shipped."""
    monkeypatch.delenv("EXPLORER_LANDMARKS", raising=False)
    (tmp_path / MODEL).write_text("")
    points = np.tile(FACE[0], (68, 1))
    points[42:48], points[48], points[54] = FACE[1], FACE[3], FACE[4]
    monkeypatch.setattr(alignment, "facemark", lambda file: lambda image, box: points)
    monkeypatch.setattr(alignment, "find_upright", lambda image: (image, 0, [Box(10, 5, 60)]))
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8))
    pixels, face = square(photo, where, 32, tmp_path / "ffhq.pkl", of_face)
    assert face == aligns
    box = {"face": Box(10, 5, 60), "centre": None}.get(where, where) if isinstance(where, str) else where
    plain = crop(photo, box, 32)
    assert np.array_equal(pixels, aligned(photo, quad(points), 32) if aligns else plain)
    assert np.array_equal(square(photo, where, 32, tmp_path / "cats64.safetensors", of_face)[0], plain)


def test_without_a_face_the_middle_is_taken_and_that_is_known(tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 64), "grey")
    pixels, face = square(photo, "face", 16, tmp_path / "ffhq.pkl")
    assert not face
    assert np.array_equal(pixels, crop(photo, None, 16))
    with pytest.raises(PhotoError, match="face, centre"):
        square(photo, "left", 16, None)  # type: ignore[arg-type]
