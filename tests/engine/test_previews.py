"""What is painted while a slider of a slow generator moves: laws of the engine's previews and of the page's answers."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from generators import make_diffae, make_generator, make_stylegan3, stylegan2
from PIL import Image

from explorer import Edit, Engine, latents
from explorer.actions import Render, Strip, run
from explorer.engine import frames
from explorer.engine.frames import Frames
from explorer.latents import Expansion
from explorer.networks import Generator
from explorer.refused import Refused
from explorer.ui.pictures import answer
from explorer.weights import Checkpoint

WIDE = {"img_resolution": 64, "channels": (16, 16, 16, 16, 16)}


def slow(generator: Generator, seconds: float = 0.0) -> Engine:
    """An engine in whose eyes every picture takes too long."""
    basis = latents.factorize(generator)
    expansion = Expansion(basis, (23, 20), 4.0, ("a", "b"), generator.mean)
    return Engine(Checkpoint(generator, expansion=expansion), "cpu", "fp32", preview_seconds=seconds)


def shown(engine: Engine, edit: Edit, max_px: int | None = None) -> np.ndarray:
    picture = engine.preview(edit, max_px)
    assert picture is not None
    return picture


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.fixture(params=[make_generator, make_stylegan3], ids=["stylegan2", "stylegan3"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return slow(request.param())


def test_a_quick_generator_is_never_previewed() -> None:
    engine = slow(make_generator(), seconds=60.0)
    for strength in (0.0, 0.5, 1.0):
        engine.render(Edit(strengths={"a": strength}))
    assert engine.preview(Edit(strengths={"a": 0.5})) is None
    assert answer(engine, {"edits": [{}], "draft": 0})["preview"] is False


def test_nothing_is_previewed_before_it_is_known_how_long_pictures_take(engine: Engine) -> None:
    assert engine.preview(Edit()) is None


def test_the_preview_of_an_unchanged_edit_is_its_picture(engine: Engine) -> None:
    edit = Edit(seed=3, strengths={"a": 0.7})
    assert np.array_equal(engine.render(edit), shown(engine, edit))
    assert np.array_equal(engine.render(edit, 8), shown(engine, edit, 8))


def test_between_two_known_pictures_it_is_their_blend(engine: Engine) -> None:
    ends = [engine.render(Edit(strengths={"a": strength})) for strength in (0.0, 1.0)]
    quarter = shown(engine, Edit(strengths={"a": 0.25})).astype(float)
    assert np.abs(quarter - (0.75 * ends[0] + 0.25 * ends[1])).max() <= 1.5
    nearer = engine.render(Edit(strengths={"a": 0.5}))  # of several pairs the one that is nearest
    assert np.abs(shown(engine, Edit(strengths={"a": 0.75})) - (0.5 * nearer + 0.5 * ends[1])).max() <= 1.5


def test_more_known_pictures_bring_it_nearer_to_the_truth() -> None:
    for generator in (make_generator(), make_stylegan3()):
        engine, exact = slow(generator), slow(generator, seconds=60.0)
        edits = [Edit(strengths={"a": strength}) for strength in (0.1, 0.35, 0.6, 0.85)]
        errors = []
        for strengths in ((0.0, 1.0), (0.5,), (0.25, 0.75)):
            for strength in strengths:
                engine.render(Edit(strengths={"a": strength}))
            errors.append(sum(distance(shown(engine, edit), exact.render(edit)) for edit in edits))
        assert errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_pictures_of_another_code_pose_or_noise_are_of_no_use(engine: Engine) -> None:
    for strength in (0.0, 1.0):
        engine.render(Edit(strengths={"a": strength}))
    others = [Edit(seed=1), Edit(noise_mode="none"), Edit(project=False)]
    others = [edit for edit in others if not engine.codes.pose or edit.noise_mode == "const"]
    others += [Edit(rotate=20.0)] if engine.codes.pose else [Edit(noise_mode="random", noise_seed=3)]
    for edit in others:
        assert engine.preview(replace(edit, strengths={"a": 0.5})) is None


def test_off_the_line_the_skip_architecture_moves_the_nearest_picture() -> None:
    generator = make_generator(**WIDE)
    engine = slow(generator)
    engine.render(Edit())
    previews = engine._model.previews
    assert previews is not None
    previews.seconds, previews._took[0] = 0.03, 1.0  # a thirtieth of the multiplications
    edit = Edit(strengths={"a": 0.3})
    codes = [engine.ws(edit)[None] for edit in (edit, Edit())]
    smaller, before = (lower(generator, code, 8) for code in codes)
    change = torch.nn.functional.interpolate(smaller - before, (64, 64), mode="bilinear")[0].permute(1, 2, 0).numpy()
    still = engine.render(Edit()).astype(float)
    expected = (still + 127.5 * change).clip(0, 255)
    inside = (still > 0) & (still < 255)  # a picture is cut off at black and white before it is moved
    assert np.abs(shown(engine, edit) - expected)[inside].max() <= 1.5
    assert distance(shown(engine, edit), still) > 1
    previews.seconds = 1e-9  # not even the smallest
    assert engine.preview(edit) is None


def lower(generator: Generator, codes: torch.Tensor, side: int) -> torch.Tensor:
    """The picture so far at a side, by the plain network."""
    x = img = None
    for row, block in stylegan2(generator).synthesis.blocks():
        x, img = block(x, img, codes[:, row : row + block.num_conv + 1], "const", None, torch.float32)
        if block.resolution == side:
            break
    assert img is not None
    return img


@pytest.mark.parametrize("changes", [{}, {"architecture": "orig"}, {"architecture": "resnet"}, {"use_noise": False}])
def test_every_architecture_has_previews(changes: dict) -> None:
    engine = slow(make_generator(**WIDE, **changes))
    for strength in (0.0, 1.0):
        engine.render(Edit(strengths={"b": strength}))
    shown(engine, Edit(strengths={"b": 0.4}))


def test_large_pictures_are_previewed_in_a_smaller_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SIDE", 8)
    engine = slow(make_generator())
    picture = engine.render(Edit())
    assert picture.shape == (16, 16, 3)
    assert np.array_equal(shown(engine, Edit()), engine.render(Edit(), 8))


def test_small_pictures_of_what_is_known_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = slow(make_generator())
    edit = Edit(seed=2)
    engine.render(edit)
    expected = slow(make_generator(), seconds=60.0).render(edit, 8)
    calls = []
    made = engine._model.render
    engine._model = replace(engine._model, render=lambda *a, **k: calls.append(1) or made(*a, **k))
    assert np.array_equal(engine.render(edit, 8), expected)
    assert not calls
    engine.render(edit)
    assert calls


def test_another_checkpoint_starts_with_nothing() -> None:
    engine = slow(make_generator())
    engine.render(Edit())
    shown(engine, Edit())
    engine.replace(Checkpoint(make_generator(seed=5)))
    assert engine.preview(Edit()) is None


def test_only_so_many_pictures_are_kept_and_those_in_use_stay() -> None:
    kept = Frames(kept=3)
    codes = torch.eye(5)[:, None]
    for code in codes[:3]:
        kept.add("drag", code, torch.zeros(3, 4, 4))
    assert kept.between("drag", (codes[0] + codes[1]) / 2) is not None
    for code in codes[3:]:
        kept.add("drag", code, torch.zeros(3, 4, 4))
        assert kept.nearest("drag", codes[0]) is not None
    assert [kept.at("drag", code) is not None for code in codes] == [True, False, False, True, True]


def test_what_leaves_the_page_is_never_a_preview(engine: Engine, tmp_path: Path) -> None:
    exact = slow(engine.generator, seconds=60.0)
    for strength in (0.0, 1.0):
        engine.render(Edit(strengths={"a": strength}))
    edit = Edit(strengths={"a": 0.5})
    assert not np.array_equal(shown(engine, edit), exact.render(edit))
    assert np.array_equal(run(Render(edit), engine, tmp_path / "a.png").pixels, exact.render(edit))
    strips = [run(Strip(edit, "a", 3), e, tmp_path / f"{i}.png").pixels for i, e in enumerate((engine, exact))]
    assert np.abs(strips[0].astype(int) - strips[1]).max() <= 1
    with urlopen(answer(engine, {"edits": [edit.to_json()], "exact": True})["pictures"][0]) as response:
        assert np.array_equal(np.asarray(Image.open(response)), exact.render(edit))


def test_the_page_is_told_what_is_a_preview(engine: Engine) -> None:
    moving = {"edits": [{"strengths": [["a", 0.5]]}], "exact": True, "draft": 0}
    assert answer(engine, moving)["preview"] is False  # nothing is known of it
    for strength in (0.0, 1.0):
        engine.render(Edit(strengths={"a": strength}))
    told = [answer(engine, moving | {"edits": [{"strengths": [["a", 0.4]]}], "draft": draft}) for draft in (0, 1)]
    assert [found["preview"] for found in told] == [True, False]
    truth = engine.render(Edit(strengths={"a": 0.4}))
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(t["pictures"][0].split(",")[1])))) for t in told]
    assert np.array_equal(pixels[1], truth)
    assert not np.array_equal(pixels[0], truth)


def test_a_generator_of_steps_takes_few_of_them_in_the_place_of_previews() -> None:
    engine = Engine(Checkpoint(make_diffae()), "cpu", "fp32", preview_seconds=0.0)
    engine.render(Edit())
    assert engine.preview(Edit()) is None
    few = [engine.drafted([Edit(), Edit(steps=7), Edit(steps=200)], draft) for draft in (0, 1, 2)]
    assert [[edit.steps for edit in edits] for edits in few] == [[5, 5, 5], [10, 7, 10], [None, 7, 200]]
    told = [answer(engine, {"edits": [{}], "draft": draft})["preview"] for draft in (0, 1, 2)]
    assert told == [True, True, False]


@pytest.mark.parametrize("draft", [-1, "0", 0.5, []])
def test_what_is_no_draft_is_refused(engine: Engine, draft: object) -> None:
    assert "Draft must be a whole number" in answer(engine, {"edits": [{}], "draft": draft})["error"]


def test_the_environment_says_what_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_PREVIEW_SECONDS", "0")
    engine = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    engine.render(Edit())
    shown(engine, Edit())
    monkeypatch.setenv("EXPLORER_PREVIEW_SECONDS", "soon")
    with pytest.raises(Refused, match="EXPLORER_PREVIEW_SECONDS is a number of seconds, got 'soon'"):
        Engine(Checkpoint(make_generator()), "cpu", "fp32")
