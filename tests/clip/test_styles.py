"""Laws of the styles and of what is made of them: the same again, different from each other, still a face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from explorer.recipes import pairs
from explorer.recipes.pairs import augment, build_bank, draw, nothing
from explorer.styles import ALL_STYLES, PHOTO, STYLES, render
from tests.clip.tiny_clip import face

FACES = [face(coat, 64, seed) for seed, coat in enumerate(("black", "ginger", "white"))]


def test_there_are_some_two_dozen() -> None:
    assert 20 <= len(STYLES) <= 30
    assert PHOTO not in ALL_STYLES
    assert len(ALL_STYLES) == len(STYLES) + 10


@pytest.mark.parametrize("style", [PHOTO, *ALL_STYLES])
def test_a_style_is_a_function_of_picture_and_generator(style: str) -> None:
    for picture in FACES:
        before = picture.copy()
        made = render(style, picture, np.random.default_rng(3))
        assert made.shape == picture.shape
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, render(style, picture, np.random.default_rng(3)))
        np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize("style", ALL_STYLES)
def test_a_style_keeps_the_difference_between_pictures(style: str) -> None:
    first, second = (render(style, face("ginger", 64, seed), np.random.default_rng(0)) for seed in (5, 9))
    assert np.abs(first.astype(int) - second).mean() > 4
    assert first.std() > 8


@pytest.mark.parametrize("size", [32, 50, 128])
def test_other_sizes_have_styles_too(size: int) -> None:
    for style in ALL_STYLES:
        assert render(style, face("white", size, 1), np.random.default_rng(0)).shape == (size, size, 3)


def test_styles_are_distinct() -> None:
    """Of any two styles some part of the same three faces looks different, in colour, contrast, grain or form."""
    made = {
        style: np.stack([render(style, p, np.random.default_rng(1)) for p in FACES]) for style in [PHOTO, *ALL_STYLES]
    }
    for style, pictures in made.items():
        for other, pictures_of_other in made.items():
            if style < other:
                apart = (
                    np.abs(pictures.astype(int) - pictures_of_other).reshape(3, 4, 16, 4, 16, 3).mean(axis=(0, 2, 4, 5))
                )
                assert apart.max() > 10, (style, other)


def test_an_unknown_style_is_an_error() -> None:
    with pytest.raises(KeyError):
        render("cubism of a lost school", FACES[0], np.random.default_rng(0))


def test_the_bank_is_the_same_from_memory_and_from_its_file(tmp_path: Path) -> None:
    photos = np.stack(FACES)
    fresh = build_bank(photos, ["black", "ginger", "white"], 3, 7, None)
    for _ in range(2):  # written, then read
        stored = build_bank(photos, ["black", "ginger", "white"], 3, 7, tmp_path / "bank.npy")
        np.testing.assert_array_equal(fresh.styled, stored.styled)
    assert all(len(set(row)) == 3 for row in fresh.styles.tolist())


OTHERS = [face(coat, 64, seed) for seed, coat in enumerate(("black", "ginger", "white"), 10)]


@pytest.mark.parametrize(
    ("pictures", "per_photo", "seed"),
    [(FACES, 3, 8), (FACES, 2, 7), (OTHERS, 3, 7), (FACES[::-1], 3, 7), (FACES[:2], 3, 7)],
    ids=["another seed", "fewer styles", "other pictures", "another order", "fewer pictures"],
)
def test_a_bank_of_something_else_is_made_again(
    pictures: list[np.ndarray], per_photo: int, seed: int, tmp_path: Path
) -> None:
    build_bank(np.stack(FACES), [None] * 3, 3, 7, tmp_path / "bank.npy")
    photos, coats = np.stack(pictures), [None] * len(pictures)
    stored = build_bank(photos, coats, per_photo, seed, tmp_path / "bank.npy")
    np.testing.assert_array_equal(stored.styled, build_bank(photos, coats, per_photo, seed, None).styled)
    assert [path.name for path in tmp_path.iterdir()] == ["bank.npy"]


@pytest.mark.parametrize("kept", [0, 10, -1, -32])
def test_a_damaged_bank_is_made_again(kept: int, tmp_path: Path) -> None:
    photos, path = np.stack(FACES), tmp_path / "bank.npy"
    whole = build_bank(photos, [None] * 3, 3, 7, path).styled.copy()
    path.write_bytes(path.read_bytes()[:kept])
    np.testing.assert_array_equal(build_bank(photos, [None] * 3, 3, 7, path).styled, whole)


def test_a_bank_that_fits_is_not_rendered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_bank(np.stack(FACES), [None] * 3, 3, 7, tmp_path / "bank.npy")
    monkeypatch.setattr(pairs, "render", lambda *_: pytest.fail("rendered again"))
    build_bank(np.stack(FACES), [None] * 3, 3, 7, tmp_path / "bank.npy")


def test_a_batch_follows_from_its_generator_alone() -> None:
    bank = build_bank(np.stack(FACES), ["black", "ginger", None], 3, 7, None)
    first, second = (draw(bank, 32, 12, np.random.default_rng((1, 5))) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert first.captions == second.captions
    assert first.match.shape == (32, 12)
    assert all(first.match[i, i] == 1 for i in range(12))  # a caption describes its own picture
    assert not torch.equal(first.images, draw(bank, 32, 12, np.random.default_rng((1, 6))).images)


def test_augmentation_stays_in_range_and_near_the_picture() -> None:
    images = torch.from_numpy(np.stack(FACES * 8)).permute(0, 3, 1, 2).float() / 127.5 - 1
    before = images.clone()
    augmented = augment(images, np.random.default_rng(0))
    assert torch.equal(images, before)
    assert augmented.abs().max() <= 1
    assert augmented.shape == images.shape
    assert 0.02 < (augmented - images).abs().mean() < 0.4


def test_pictures_of_nothing_keep_no_face() -> None:
    rng = np.random.default_rng(0)
    made = [nothing(FACES[1], rng) for _ in range(20)]
    assert all(m.shape == (64, 64, 3) and m.dtype == np.uint8 for m in made)
    assert all(nothing(face("white", 50, 0), rng).shape == (50, 50, 3) for _ in range(10))
    assert all(np.abs(m.astype(int) - FACES[1]).mean() > 8 for m in made)
