"""The judge: what its classes are made of, that it learns them, and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.metrics.report import judge_scorer
from explorer.networks.judge import Judge, JudgeConfig
from explorer.recipes import judge as trainer
from explorer.styles import ALL_STYLES
from explorer.training.data import is_held_out
from explorer.weights import CheckpointError
from explorer.weights.parts import load_judge, save_part

TINY = (8, 8)


def photos(count: int, seed: int = 0, px: int = 64) -> np.ndarray:  # [count, px, px, 3]
    """Random blots on a random ground, smooth as photos are."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((px, px))
    made = np.empty((count, px, px, 3), np.uint8)
    for picture in made:
        picture[:] = rng.integers(0, 256, 3)
        for _ in range(6):
            y, x, radius = (*rng.integers(0, px, 2), rng.integers(px // 8, px // 3))
            picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.integers(0, 256, 3)
    return made


def write(folder: Path, pixels: np.ndarray) -> Path:
    folder.mkdir()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{i:03}.png")
    return folder


def make_judge(*classes: str) -> Judge:
    torch.manual_seed(0)
    judge = Judge(JudgeConfig(classes, 16, TINY))
    for name, buffer in judge.named_buffers():
        buffer.uniform_(0.5, 1.5) if name.endswith("var") else buffer.normal_()
    return judge.eval().requires_grad_(False)


def test_every_style_photo_and_nothing_are_classes() -> None:
    made = trainer.styled(photos(6), 4, 0)
    assert made.keys() == {"photo", "nothing", *ALL_STYLES}
    assert {name: len(group) for name, group in made.items() if len(group) != 4} == {"nothing": 16}
    assert all(group.shape[1:] == (64, 64, 3) and group.dtype == np.uint8 for group in made.values())
    again = trainer.styled(photos(6), 4, 0)
    assert all(np.array_equal(made[name], again[name]) for name in made)
    assert not np.array_equal(made["mosaic"], trainer.styled(photos(6), 4, 1)["mosaic"])


def test_recolouring_gives_the_colours_of_the_target_and_keeps_the_picture() -> None:
    photo = (photos(1)[0] // 3 + 90).astype(np.uint8)
    target = (photos(1, seed=1)[0] // 4 + 40).astype(np.uint8)
    moved = trainer.recoloured(photo, target)
    a, b = (x.reshape(-1, 3).astype(float) for x in (moved, target))
    np.testing.assert_allclose(a.mean(0), b.mean(0), atol=1)
    np.testing.assert_allclose(np.cov(a.T), np.cov(b.T), atol=0.05 * np.cov(b.T).max())
    np.testing.assert_allclose(trainer.recoloured(photo, photo), photo, atol=1)
    grey = np.full((64, 64, 3), 90, np.uint8)
    assert trainer.recoloured(grey, target).std(axis=(0, 1)).max() < 1, "a flat picture stays flat"


def test_softened_pictures_stay_pictures_and_lose_detail() -> None:
    images = trainer._images(np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3)).astype(np.uint8))
    soft = trainer.softened(images, np.random.default_rng(0))
    assert soft.shape == images.shape
    assert soft.abs().max() <= 1
    detail = [(x[..., 1:] - x[..., :-1]).abs().mean(dim=(1, 2, 3)) for x in (images, soft)]
    assert (detail[1] < 0.7 * detail[0]).float().mean() > 0.4


def test_it_learns_to_tell_classes_apart() -> None:
    grey = photos(40, px=16).mean(axis=-1, keepdims=True).repeat(3, axis=-1).astype(np.uint8)
    classes = {"red": grey * np.array([1, 0, 0], np.uint8), "blue": grey * np.array([0, 0, 1], np.uint8), "grey": grey}
    judge = trainer.train({name: group[:30] for name, group in classes.items()}, 40, widths=TINY)
    assert min(trainer.accuracy(judge, {name: group[30:] for name, group in classes.items()}).values()) > 0.9
    swapped = {"red": classes["blue"], "blue": classes["red"]}
    assert max(trainer.accuracy(judge, swapped).values()) < 0.1


def test_photos_and_nothing_get_their_share_of_a_batch() -> None:
    classes = {name: photos(2, px=16) for name in ("photo", "a", "b", "nothing")}
    _, labels = trainer.batch(classes, 2000, np.random.default_rng(0))
    shares = torch.bincount(labels) / 2000
    torch.testing.assert_close(shares, torch.tensor([0.2, 0.35, 0.35, 0.1]), atol=0.04, rtol=0)


def test_folders_and_pictures_become_classes_and_leave_the_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "PER_CLASS", 6)
    monkeypatch.setattr(trainer, "PER_TEST", 3)
    everything = photos(60)
    data = write(tmp_path / "data", everything)
    tom = write(tmp_path / "tom", everything[:12])
    learned, unseen = trainer.gather(str(data), {"tom": str(tom)}, {"moon": str(tom / "001.png")}, 64)
    assert len(learned["tom"]) == 9
    assert len(unseen["tom"]) == 3
    known = {picture.tobytes() for picture in everything[:12]}
    assert not any(picture.tobytes() in known for picture in (*learned["photo"], *unseen["photo"]))
    assert len(learned["moon"]) == 6
    assert np.array_equal(learned["moon"][0], everything[1])
    assert not {x.tobytes() for x in learned["tom"]} & {x.tobytes() for x in unseen["tom"]}


@pytest.mark.parametrize(
    ("folders", "images", "message"),
    [
        ({"mosaic": "x"}, {}, "'mosaic' already"),
        ({"tom": "x"}, {"tom": "y"}, "'tom' already"),
        ({}, {"moon": "nowhere.png"}, "nowhere.png is no picture file"),
        ({"tom": "nowhere"}, {}, "neither a folder nor a zip"),
    ],
)
def test_classes_that_cannot_be(folders: dict, images: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        trainer.gather("nowhere", folders, images, 64)


def test_folders_that_take_all_photos_are_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "styled", lambda *_: pytest.fail("styles were made"))
    everything = photos(60)
    data = write(tmp_path / "data", everything)
    unseen = [i for i in range(60) if is_held_out(f"{i:03}.png", trainer.HELD_OUT)]
    few = write(tmp_path / "few", everything[unseen])
    for folder, message in ((data, "no pictures but those"), (few, "no held-out pictures but those")):
        with pytest.raises(ValueError, match=message):
            trainer.gather(str(data), {"x": str(folder)}, {}, 64)


@pytest.mark.parametrize(
    ("out", "flags", "message"),
    [
        (".", (), "is a folder: name the file"),
        ("missing/judge.safetensors", (), "missing a folder that"),
        ("file/judge.safetensors", (), "file a folder that"),
        ("judge.safetensors", ("--steps", "0"), "--steps must be 1 or more"),
        ("judge.safetensors", ("--seed", "-1"), "--seed must be a number from 0"),
        ("judge.safetensors", ("--resolution", "100"), "--resolution must be a multiple of 16"),
    ],
)
def test_what_cannot_work_is_one_sentence_before_any_work(
    out: str, flags: tuple, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(trainer, "gather", lambda *_: pytest.fail("pictures were read"))
    (tmp_path / "file").touch()
    assert trainer.main([str(tmp_path / out), "--data", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_step_is_enough_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "PER_CLASS", 2)
    monkeypatch.setattr(trainer, "PER_TEST", 1)
    data, out = write(tmp_path / "data", photos(60)), tmp_path / "judge.safetensors"
    assert trainer.main([str(out), "--data", str(data), "--steps", "1", "--resolution", "32"]) == 0
    assert load_judge(out)[1]["steps"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "judge.safetensors"]


def test_a_file_holds_the_judge(tmp_path: Path) -> None:
    judge = make_judge("photo", "red")
    path = save_part(judge, tmp_path / "judge.safetensors", {"steps": 3})
    again, meta = load_judge(path)
    assert again.config == judge.config
    assert meta == {"steps": 3}
    images = torch.rand(4, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(again(images), judge(images), atol=2e-2, rtol=2e-2)
    assert not again.training


def test_other_files_are_no_judges(tmp_path: Path, tiny_generator: torch.nn.Module) -> None:
    path = tmp_path / "judge.safetensors"
    for content, message in ((b"not a judge at all", "no native file"), (b"", "no native file")):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_judge(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_judge(tmp_path / "missing.safetensors")
    save_part(make_judge("photo", "red"), path, {})
    path.write_bytes(path.read_bytes().replace(b"domain-explorer-judge", b"domain-explorer-fudge"))
    with pytest.raises(CheckpointError, match="it is no judge"):
        load_judge(path)


def test_a_judges_columns_are_the_domains_then_photo_and_nothing() -> None:
    judge = make_judge("nothing", "sketch", "photo", "other", "red")
    images = torch.rand(3, 3, 16, 16) * 2 - 1
    found = judge_scorer(judge, ("red", "drawing"), {"drawing": "sketch"})(images)
    torch.testing.assert_close(found, judge(images)[:, [4, 1, 2, 0]].softmax(dim=1))


@pytest.mark.parametrize(
    ("domains", "classes", "message"),
    [
        (("blue",), {}, "no class 'blue' for the domain 'blue'"),
        (("red",), {"green": "red"}, "'green' is no domain"),
        (("red", "rot"), {"rot": "red"}, "a class of its own"),
        (("red",), {"red": "photo"}, "a class of its own"),
    ],
)
def test_a_judge_that_does_not_fit_says_so(domains: tuple, classes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge_scorer(make_judge("photo", "red"), domains, classes)
    with pytest.raises(ValueError, match="must know the class 'photo'"):
        judge_scorer(make_judge("blue", "red"), ("red",))


@pytest.mark.parametrize(
    "config",
    [
        {"classes": ("a",)},
        {"classes": ("a", "a")},
        {"classes": ("a", "b"), "image_size": 20},
        {"classes": ("a", "b"), "widths": ()},
    ],
)
def test_configurations_that_cannot_be(config: dict) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        JudgeConfig(**config)
