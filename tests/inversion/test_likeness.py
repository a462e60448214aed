"""A photo of something else is told from one of the generator's kind, by the embedded default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from explorer import DEFAULT, Edit, Engine, Latent, load, run
from explorer.actions import Fit, Invert
from explorer.engine.inverting import likeness_of, networks_of
from explorer.inversion import defaults
from explorer.inversion.faces import crop, find_faces
from explorer.inversion.likeness import STRANGE, centre


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(DEFAULT), "cpu", "fp32")


def cat() -> np.ndarray:
    photo = Image.fromarray(data.chelsea())
    return crop(photo, find_faces(photo)[0], 64)


def test_a_cat_and_the_generators_own_pictures_are_not_strange(engine: Engine) -> None:
    own = [engine.render(Edit(seed=seed)) for seed in range(20)]
    found = likeness_of(engine, [cat(), *own])
    assert not found[0].strange
    assert sum(one.strange for one in found[1:]) <= 1


def test_other_pictures_are_strange_and_less_like_it_than_the_cat(engine: Engine) -> None:
    others = [
        crop(Image.fromarray(getattr(data, name)()).convert("RGB"), None, 64) for name in ("brick", "coins", "clock")
    ]
    found = likeness_of(engine, [cat(), *others])
    assert [one.strange for one in found] == [False, True, True, True]
    assert max(one.likeness for one in found[1:]) < found[0].likeness
    assert all(-1 <= one.likeness <= 1 and one.distance >= 0 for one in found)


def test_a_smooth_picture_is_rebuilt_well_and_still_strange(engine: Engine) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    (found,) = likeness_of(engine, grey)
    assert found.distance < 0.4  # as a good half of cats
    assert found.strange


def test_every_inversion_says_so_beside_its_figures(engine: Engine) -> None:
    photos = (Image.fromarray(cat()), Image.fromarray(data.coins()).convert("RGB"))
    own, other = run(Invert(photos, defaults("encoder"), crop="centre"), engine)
    assert own.figures
    assert other.figures
    assert (own.note, other.note) == ("", STRANGE)
    assert float(own.figures["likeness"]) > float(other.figures["likeness"])


def test_a_fitted_copy_of_a_strange_photo_is_told_of_too(engine: Engine, tmp_path: Path) -> None:
    coins = Image.fromarray(data.coins()).convert("RGB")
    code = Latent.of(engine.ws(Edit(seed=1)).numpy())
    settings = replace(defaults("encoder"), tune_steps=1)
    assert run(Fit(coins, code, settings, crop="centre"), engine, tmp_path).note == STRANGE


def test_where_clip_does_not_know_the_generators_pictures_nothing_is_said(engine: Engine) -> None:
    """A CLIP of nothing: it sees every picture in a direction of its own."""
    networks = networks_of(engine)

    class Stranger:
        def encode_image(self, images: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(torch.randn(len(images), 256), dim=1)

    assert centre(networks) is not None
    assert centre(replace(networks, clip=cast(Any, Stranger()))) is None


def test_without_an_encoder_nothing_is_said() -> None:
    engine = Engine(load(Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"), "cpu", "fp32")
    assert likeness_of(engine, np.zeros((32, 32, 3), np.uint8)) == []
