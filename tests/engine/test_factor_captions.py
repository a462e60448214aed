"""Captions of factors: chosen by what CLIP sees change, counted on other pictures, kept with the effects, and true."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from generators import make_generator
from torch import Tensor

import explorer
from explorer import Edit, Engine, latents
from explorer.edit import Caption
from explorer.engine import captions, effects
from explorer.engine import engine as module
from explorer.engine.captions import fitting
from explorer.latents import Expansion
from explorer.metrics import Perceptual
from explorer.weights import Checkpoint

N, E, C = 16, 32, 5
TEXTS = F.normalize(torch.randn(C, E, generator=torch.Generator().manual_seed(1)), dim=1)
SPREAD = torch.full((C,), 0.1)


def brightness(rgb: np.ndarray) -> np.ndarray:  # [N, 3] -> [N]
    return rgb.sum(axis=1)


def redness(rgb: np.ndarray) -> np.ndarray:  # [N, 3] -> [N]
    return (rgb[:, 0] - rgb[:, 2]) / rgb.sum(axis=1)


def change(*steps: float, text: int = 2) -> Tensor:
    """Of pictures that go so far along a text, in its spread, and elsewhere a little."""
    away = 0.01 * torch.randn(len(steps), E, generator=torch.Generator().manual_seed(2))
    return torch.tensor(steps)[:, None] * SPREAD[text] * TEXTS[text] + away


def test_words_are_those_that_the_change_agrees_with_and_are_sure_where_it_is_far() -> None:
    far, near = 2 * captions.FAR, 0.5 * captions.FAR
    assert fitting(change(*[far] * N), TEXTS, SPREAD) == (2, True, 1.0)
    assert fitting(change(*[-far] * N), TEXTS, SPREAD) == (2, False, 1.0)
    assert fitting(change(*[far] * 12, *[near] * 4), TEXTS, SPREAD) == (2, True, 0.75)


def test_there_are_no_words_where_half_of_the_pictures_say_otherwise() -> None:
    assert fitting(change(*[1.0, -1.0] * (N // 2)), TEXTS, SPREAD) is None
    both = change(*[1.0] * N)
    both[1::2] = change(*[1.0] * (N // 2), text=3)
    assert fitting(both, TEXTS, SPREAD) is None


def test_the_captions_of_the_default_are_true_of_other_pictures() -> None:
    """As often as they say, by the pixels alone: light fur is brighter than dark, and ginger redder than grey."""
    engine = Engine(explorer.load(explorer.DEFAULT), "cpu", "fp32")
    side = engine.resolution
    middle = slice(side // 5, side - side // 5)
    seen = {"fur: dark to light": brightness, "fur: grey to ginger": redness}
    seen |= {"fur: light to dark": lambda rgb: -brightness(rgb), "fur: ginger to grey": lambda rgb: -redness(rgb)}
    known = [(d.id, d.caption) for d in engine.directions if d.caption and d.caption.words in seen]
    assert len(known) > 2
    for id_, caption in known:
        ends = [
            np.stack(engine.render([Edit(seed=seed, strengths={id_: strength}) for seed in range(1000, 1016)]))
            for strength in (-captions.REACH, captions.REACH)
        ]
        low, high = (seen[caption.words](pictures[:, middle, middle].mean(axis=(1, 2))) for pictures in ends)
        assert (high > low).mean() >= caption.certainty - 0.15, (id_, caption)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared differences in place of the shipped CLIP's distance, and few samples: what is kept is the matter here."""
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    monkeypatch.setattr(module, "load_perceptual", lambda device: squared)
    monkeypatch.setattr(effects, "SAMPLES", 3)


def expanded(path: Path, *dims: int) -> Checkpoint:
    generator = make_generator()
    basis = latents.factorize(generator)
    names = tuple(f"domain {dim}" for dim in dims)
    return Checkpoint(generator, expansion=Expansion(basis, dims, 4.0, names, generator.mapping.w_avg), path=path)


@pytest.mark.usefixtures("quick")
def test_a_clip_of_cats_has_no_words_for_what_are_none(tmp_path: Path) -> None:
    engine = Engine(expanded(tmp_path / "x.safetensors", 20), "cpu", "fp32")
    captions.measure(engine, lambda _: pytest.fail("it looked at factors"))
    assert not any(direction.caption for direction in engine.directions)


@pytest.mark.usefixtures("quick")
def test_captions_are_kept_with_effects_and_go_on_after_a_lesson_but_for_what_it_took(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    engine = Engine(expanded(path, 20), "cpu", "fp32")
    said = {3: Caption("fur: dark to light", 0.75), 5: Caption("age: grown to kitten", 0.5)}
    engine.caption(said | {20: Caption("a domain has a name", 1.0)})
    assert not effects.path_beside(path).exists(), "without effects there is no file to keep them in"
    engine.measure_effects()
    again = Engine(expanded(path, 20), "cpu", "fp32")
    assert {d.id: d.caption for d in again.directions if d.caption} == said
    again.replace(expanded(tmp_path / "taught.safetensors", 20, 5))
    assert {d.id: d.caption for d in again.directions if d.caption} == {3: said[3]}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("entry", [["x" * 61, 0.5], ["fur", 2], ["fur"], "fur", [3, 0.5], ["fur", None]])
def test_a_damaged_caption_costs_a_measurement(tmp_path: Path, entry: object) -> None:
    path = tmp_path / "x.safetensors"
    engine = Engine(expanded(path, 20), "cpu", "fp32")
    engine.measure_effects()
    file = effects.path_beside(path)
    assert effects.load(file, engine._model.effects_key) is not None
    file.write_text(json.dumps(json.loads(file.read_text()) | {"captions": {"3": entry}}))
    assert effects.load(file, engine._model.effects_key) is None
