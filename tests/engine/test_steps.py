"""In how many steps a picture is made: what the number means, and how an edit carries it everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from generators import make_diffae, make_generator
from PIL import Image

from explorer import Edit, EditError, Engine
from explorer.actions import Animate, Bundle, Compose, Render, Strip, run
from explorer.cli import main
from explorer.export import along
from explorer.ui.pictures import answer
from explorer.weights import Checkpoint


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(Checkpoint(make_diffae()), "cpu", "fp32")


def test_without_a_number_it_is_the_generators_own(engine: Engine) -> None:
    own = engine.codes.steps[-1]
    assert np.array_equal(engine.render(Edit(seed=1)), engine.render(Edit(seed=1, steps=own)))
    assert not np.array_equal(engine.render(Edit(seed=1)), engine.render(Edit(seed=1, steps=engine.codes.steps[0])))


def test_numbers_that_no_stride_gives_are_the_nearest_that_one_does(engine: Engine) -> None:
    assert np.array_equal(engine.render(Edit(seed=1, steps=190)), engine.render(Edit(seed=1, steps=200)))


def test_every_picture_of_a_batch_has_its_own_number(engine: Engine) -> None:
    edits = [Edit(seed=3), Edit(seed=3, steps=5), Edit(seed=4, steps=5), Edit(seed=3, steps=50)]
    for edit, picture in zip(edits, engine.render(edits), strict=True):
        assert np.abs(engine.render(edit).astype(int) - picture).max() <= 1


@pytest.mark.parametrize("steps", [0, -1, 251, 2.5, "10", True])
def test_what_is_no_number_of_steps_is_refused(steps: object) -> None:
    with pytest.raises(EditError, match="steps must be a whole number from 1 to 250"):
        Edit(steps=steps)  # pyright: ignore[reportArgumentType]


def test_a_generator_that_makes_pictures_at_once_refuses_any() -> None:
    at_once = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    with pytest.raises(EditError, match="makes its pictures at once"):
        at_once.render(Edit(steps=5))


def test_more_steps_cost_more(engine: Engine) -> None:
    side = engine.resolution**2
    few, many = Edit(steps=5), Edit(steps=100)
    assert Render(few).price(engine) == (1, 5 * side)
    assert Render(Edit()).price(engine) == (1, engine.codes.steps[-1] * side)
    assert Render(few, 4 * engine.resolution).price(engine) == (1, 16 * side)
    assert Strip(many, 0).price(engine) == (7, 100 * side)
    assert Bundle((few, many)).price(engine) == Animate((few, many), frames=1).price(engine) == (2, 100 * side)
    assert Engine(Checkpoint(make_generator()), "cpu", "fp32").cost([Edit()]) == 16**2


def test_a_film_has_the_number_of_its_first_edit(engine: Engine) -> None:
    film = along([Edit(seed=1, steps=5), Edit(seed=2)], lambda edits: [engine.ws(e).numpy() for e in edits], 3)
    assert {edit.steps for edit in film} == {5}


def test_page_command_line_and_python_make_the_same_picture(engine: Engine, tmp_path: Path) -> None:
    file, out = Checkpoint(make_diffae()).save(tmp_path / "g.safetensors"), tmp_path / "a.png"
    flags = ["--checkpoint", str(file), "--seed", "3", "--steps", "7", "--precision", "fp32", "--out", str(out)]
    expected = run(Render(Edit(seed=3, steps=7)), engine).pixels
    assert main(["render", *flags]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert main(["render", "--checkpoint", str(file), "--edit", str(out), *flags[-4:-2], "--out", str(out)]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), expected)
    assert main(["compose", "0=1", *flags]) == 0
    assert np.array_equal(np.asarray(Image.open(out)), run(Compose({0: 1.0}, 3, steps=7), engine).pixels)
    edit = json.loads(json.dumps(Edit(seed=3, steps=7).to_json()))
    (uri,) = answer(engine, {"edits": [edit], "exact": True})["pictures"]
    from urllib.request import urlopen

    with urlopen(uri) as response, Image.open(response) as image:
        assert np.array_equal(np.asarray(image), expected)


def test_the_noise_of_a_seed_is_the_same_however_many_pictures_are_made_at_once(engine: Engine) -> None:
    edits = [Edit(seed=seed, noise_mode="random", noise_seed=7) for seed in (1, 2, 3)]
    for edit, picture in zip(edits, engine.render(edits), strict=True):
        assert np.abs(engine.render(edit).astype(int) - picture).max() <= 1
