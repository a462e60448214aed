"""The engine renders what the plain network defines, whatever it caches, in any order and from any thread."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import make_generator, stylegan2

from explorer import Edit, EditError, Engine, Latent, latents
from explorer.engine import effects
from explorer.engine.engine import to_uint8
from explorer.latents import Expansion
from explorer.metrics import Perceptual
from explorer.networks import StyleGAN2
from explorer.weights import Checkpoint

DOMAINS = {"sketch": 23, "bronze": 20}


def expanded(generator: StyleGAN2) -> Checkpoint:
    basis = latents.factorize(generator)
    expansion = Expansion(basis, tuple(DOMAINS.values()), 4.0, tuple(DOMAINS), generator.mapping.w_avg)
    return Checkpoint(generator, expansion=expansion)


@pytest.fixture(scope="module")
def engine(tiny_generator: StyleGAN2) -> Engine:
    return Engine(expanded(tiny_generator), device="cpu", precision="fp32")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared differences instead of the shipped CLIP's distance, and few samples: which effects count is asked."""
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    monkeypatch.setattr("explorer.engine.engine.load_perceptual", lambda device: squared)
    monkeypatch.setattr(effects, "SAMPLES", 4)


def plain_picture(engine: Engine, edit: Edit) -> np.ndarray:
    """What an edit means, by the definitions alone: mapping, truncation, projection, moves, network."""
    g, expansion = stylegan2(engine.generator), engine.checkpoint.expansion
    if edit.latent is None:
        z = torch.from_numpy(np.random.RandomState(edit.seed).randn(1, g.z_dim)).float()
        ws = g.mapping(z, None, edit.truncation_psi, edit.truncation_cutoff)
    else:
        ws = torch.from_numpy(edit.latent.numpy().copy()).expand(1, g.num_ws, g.w_dim)
    if expansion is not None and edit.project:
        ws = latents.project(ws, expansion)
    for direction_id, strength, layers in edit.moves():
        direction = engine.direction(direction_id)
        column = latents.factorize(g)[:, direction.dim]
        ws = latents.move(ws, column, strength * direction.unit, layers)
    return to_uint8(g.synthesis(ws, edit.noise_mode, edit.noise_seed))[0]


EDITS = [
    Edit(),
    Edit(seed=5, truncation_psi=1.0),
    Edit(seed=5, truncation_psi=0.4, truncation_cutoff=3),
    Edit(seed=5, noise_mode="none"),
    Edit(seed=5, noise_mode="random", noise_seed=1),
    Edit(seed=5, noise_mode="random", noise_seed=2),
    Edit(seed=5, strengths={"sketch": 1.0}),
    Edit(seed=5, strengths={"sketch": 1.0}, layers={"sketch": (4, 6)}),
    Edit(seed=5, strengths={"sketch": 0.5, 3: -2.0}, layers={3: (5, 6)}),
    Edit(seed=5, strengths={3: 1.0}, project=False),
    Edit(latent=Latent.of(np.linspace(-1, 1, 24))),
    Edit(latent=Latent.of(np.linspace(-1, 1, 24 * 6).reshape(6, 24)), strengths={"bronze": 0.3}),
]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: json.dumps(edit.to_json())[:70])
def test_a_picture_is_what_the_definitions_say(engine: Engine, edit: Edit) -> None:
    difference = engine.render(edit).astype(int) - plain_picture(engine, edit)
    assert np.abs(difference).max() <= 1  # one level: rounding of equal float32 results


def test_pictures_do_not_depend_on_what_was_rendered_before(engine: Engine) -> None:
    fresh = [Engine(engine.checkpoint, device="cpu", precision="fp32").render(edit) for edit in EDITS]
    for order in (range(len(EDITS)), reversed(range(len(EDITS)))):
        for i in order:
            assert np.array_equal(engine.render(EDITS[i]), fresh[i])


def test_a_list_of_edits_gives_the_single_pictures_in_order(engine: Engine) -> None:
    for together, edit in zip(engine.render(EDITS), EDITS, strict=True):
        assert np.abs(together.astype(int) - engine.render(edit)).max() <= 1
    assert engine.render([]) == []


def test_threads_do_not_disturb_each_other(engine: Engine) -> None:
    expected = [engine.render(edit) for edit in EDITS]
    jobs = list(range(len(EDITS))) * 8
    with ThreadPoolExecutor(8) as pool:
        for i, picture in zip(jobs, pool.map(lambda i: engine.render(EDITS[i]), jobs), strict=True):
            assert np.array_equal(picture, expected[i])


def test_the_code_of_domains_is_their_composition(engine: Engine) -> None:
    expansion = engine.checkpoint.expansion
    assert expansion is not None
    composed = latents.compose(engine.ws(Edit(seed=2, project=False)), expansion, {"sketch": 0.5, "bronze": 1.0})
    torch.testing.assert_close(engine.ws(Edit(seed=2, strengths={"bronze": 1.0, "sketch": 0.5})), composed)


def test_projection_without_an_expansion_changes_nothing(tiny_generator: StyleGAN2) -> None:
    engine = Engine(Checkpoint(tiny_generator), device="cpu", precision="fp32")
    assert torch.equal(engine.ws(Edit(project=True)), engine.ws(Edit(project=False)))


def test_every_basis_column_is_one_direction(engine: Engine) -> None:
    assert sorted(direction.dim for direction in engine.directions) == list(range(24))
    assert [d.id for d in engine.directions[:2]] == ["sketch", "bronze"]
    assert [d.unit for d in engine.directions[:2]] == [4.0, 4.0]


@pytest.mark.parametrize(
    ("edit", "word"),
    [
        (Edit(strengths={"crayon": 1.0}), "crayon.*sketch"),
        (Edit(strengths={24: 1.0}), "24"),
        (Edit(strengths={20: 1.0}), "20"),  # repurposed: it goes by its domain's name
        (Edit(strengths={1: 1.0}, layers={1: (0, 7)}), "row 6"),
        (Edit(latent=Latent.of(np.zeros(23))), "latent"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused_in_one_sentence(engine: Engine, edit: Edit, word: str) -> None:
    with pytest.raises(EditError, match=word):
        engine.render(edit)
    assert engine.render(Edit()).shape == (16, 16, 3)


def test_conditional_generators_take_a_class() -> None:
    engine = Engine(Checkpoint(make_generator(c_dim=3)), device="cpu", precision="fp32")
    pictures = [engine.render(Edit(class_index=c)) for c in (None, 0, 1)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[1], pictures[2])
    with pytest.raises(EditError, match="below 3"):
        engine.render(Edit(class_index=3))


def test_max_px_averages_areas(engine: Engine) -> None:
    small = engine.render(Edit(), max_px=8)
    assert small.shape == (8, 8, 3)
    areas = engine.render(Edit()).reshape(8, 2, 8, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(areas - small).max() <= 1  # both round


@pytest.mark.parametrize(("device", "precision", "wrong"), [("abacus", "fp32", "abacus"), ("cpu", "fp8", "fp8")])
def test_an_unknown_device_or_precision_is_refused(
    tiny_generator: StyleGAN2, device: str, precision: str, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        Engine(Checkpoint(tiny_generator), device, precision)


@pytest.mark.usefixtures("quick")
def test_effects_are_measured_once_and_kept_beside_the_checkpoint(
    tiny_generator: StyleGAN2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = replace(expanded(tiny_generator), path=tmp_path / "x.safetensors")
    engine = Engine(checkpoint, device="cpu", precision="fp32")
    assert engine.directions[0].effect is None
    progress: list[float] = []
    engine.measure_effects(progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    measured = [direction.effect for direction in engine.directions]
    assert all(effect is not None and effect > 0 for effect in measured)

    def never(*_: object) -> Callable:
        raise AssertionError("measured again")

    monkeypatch.setattr(latents, "measure_effects", never)
    again = Engine(checkpoint, device="cpu", precision="fp32")
    again.measure_effects()
    assert [direction.effect for direction in again.directions] == pytest.approx(measured, abs=1e-5)

    other = replace(checkpoint, generator=make_generator(seed=9), expansion=None)
    assert Engine(other, device="cpu", precision="fp32").directions[0].effect is None


@pytest.mark.usefixtures("quick")
def test_effects_of_a_large_generator_come_of_reduced_pictures_and_say_how_wrong_they_are(
    tiny_generator: StyleGAN2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = replace(expanded(tiny_generator), path=tmp_path / "x.safetensors")
    whole = Engine(replace(checkpoint, path=None), device="cpu", precision="fp32")
    assert whole.measure_effects() is None
    monkeypatch.setattr("explorer.engine.engine.LARGE", 1)
    monkeypatch.setattr(effects, "QUICK_SHARE", 0.5)
    engine = Engine(checkpoint, device="cpu", precision="fp32")
    progress: list[float] = []
    error = engine.measure_effects(progress.append)
    assert error is not None
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1)
    dims = range(engine.codes.dim)
    off = [by_dim(engine)[dim] - by_dim(whole)[dim] for dim in dims[:: len(dims) // effects.CHECKED]]
    assert error == pytest.approx(np.sqrt(np.mean(np.square(off))))
    assert error > 1e-3, "the pictures are no reduced ones"
    again = Engine(checkpoint, device="cpu", precision="fp32")
    assert again.measure_effects() == pytest.approx(error, abs=1e-5)
    assert again.measure_effects(thorough=True) is None
    assert by_dim(again) == pytest.approx(by_dim(whole))
    assert Engine(checkpoint, device="cpu", precision="fp32").effects_error is None


def by_dim(engine: Engine) -> dict[int, float]:
    return {direction.dim: direction.effect or 0.0 for direction in engine.directions}


@pytest.mark.usefixtures("quick")
def test_what_was_measured_before_a_lesson_still_counts_and_the_new_domain_is_measured(
    tiny_generator: StyleGAN2, tmp_path: Path
) -> None:
    """A lesson as the warm-up teaches: only what one direction adds to the styles is new."""
    before = replace(expanded(tiny_generator), path=tmp_path / "before.safetensors")
    taught = copy.deepcopy(before)
    assert before.expansion is not None
    column = before.expansion.basis[:, 7]
    with torch.no_grad():
        weight = taught.generator.get_parameter("synthesis.b8.conv1.affine.weight")
        weight.add_(torch.outer(torch.randn(len(weight), generator=torch.Generator().manual_seed(0)), column))
    expansion = replace(before.expansion, dims=(23, 20, 7), domains=("sketch", "bronze", "new"))
    after = replace(taught, expansion=expansion, path=tmp_path / "after.safetensors")
    engine = Engine(before, device="cpu", precision="fp32")
    engine.measure_effects()
    known = {direction.id: direction.effect for direction in engine.directions}
    engine.replace(after)
    found = {direction.id: direction.effect for direction in engine.directions}
    assert {id for id in found if found[id] == pytest.approx(known.get(id, -1))} == known.keys() - {7}
    fresh = Engine(replace(after, path=None), device="cpu", precision="fp32")
    fresh.measure_effects()
    assert found["new"] == pytest.approx(fresh.direction("new").effect, rel=1e-4)
    assert found["new"] != pytest.approx(known[7], rel=0.01)
    assert Engine(after, device="cpu", precision="fp32").direction("new").effect is not None  # kept beside the file


def test_a_damaged_file_of_effects_is_measured_anew(tmp_path: Path) -> None:
    path = tmp_path / "x.effects.json"
    effects.save(path, {"metric": "pyramid"}, measured := effects.Measured((0.25, 0.5), {}, 0.125))
    assert effects.load(path, {"metric": "pyramid"}) == measured
    assert effects.load(path, {"metric": "lpips-alex"}) is None
    for damage in (
        "",
        "{}",
        "[]",
        path.read_text()[:-3],
        '{"effects": [null]}',
        path.read_text().replace("0.125", "[]"),
    ):
        path.write_text(damage)
        assert effects.load(path, {"metric": "pyramid"}) is None
