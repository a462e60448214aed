"""What the engine keeps: for which edits it counts, how much of it there is, and that nobody can change it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from generators import make_generator
from torch import Tensor

from explorer import Edit, EditError, Engine, Latent, latents
from explorer.engine import codes, effects
from explorer.engine import engine as module
from explorer.engine.engine import Model, to_uint8
from explorer.latents import Expansion
from explorer.metrics import Perceptual
from explorer.networks import StyleGAN2
from explorer.weights import Checkpoint

SOON = 20.0


def expanded(distance: float = 4.0, **changes: Any) -> Checkpoint:
    generator = make_generator(**changes)
    basis = latents.factorize(generator)
    return Checkpoint(generator, expansion=Expansion(basis, (23, 20), distance, ("a", "b"), generator.mapping.w_avg))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared differences in place of the shipped CLIP's distance, and few samples: what is kept is the matter here."""
    squared = Perceptual("squared", lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    monkeypatch.setattr(module, "load_perceptual", lambda device: squared)
    monkeypatch.setattr(effects, "SAMPLES", 3)


def make_engine(checkpoint: Checkpoint) -> Engine:
    return Engine(checkpoint, "cpu", "fp32")


def with_renderer(engine: Engine, render: Any) -> None:
    engine._model = replace(engine._model, render=render)


# --- Codes ------------------------------------------------------------------------------------------------------------

DIFFERENT = [
    Edit(seed=1),
    Edit(seed=2),
    Edit(seed=1, truncation_psi=0.4),
    Edit(seed=1, truncation_psi=0.4, truncation_cutoff=2),
    Edit(seed=1, truncation_psi=0.4, truncation_cutoff=3),
    Edit(seed=1, class_index=1),
    Edit(seed=1, class_index=2),
    Edit(latent=Latent.of(np.ones(24))),
    Edit(latent=Latent.of(np.arange(24))),
]


def test_each_part_of_an_edit_that_makes_the_code_another_is_asked_for() -> None:
    engine = make_engine(Checkpoint(make_generator(c_dim=3)))
    fresh = [make_engine(Checkpoint(make_generator(c_dim=3))).ws(edit) for edit in DIFFERENT]
    for order in (range(len(DIFFERENT)), reversed(range(len(DIFFERENT)))):
        for i in order:
            assert torch.equal(engine.ws(DIFFERENT[i]), fresh[i])
    assert len({ws.numpy().tobytes() for ws in fresh}) == len(DIFFERENT)


def test_a_code_is_drawn_once_until_others_took_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "KEPT_CODES", 2)
    engine, seeds = make_engine(expanded()), []
    sample_z = latents.sample_z
    monkeypatch.setattr(latents, "sample_z", lambda n, dim, seed: seeds.append(seed) or sample_z(n, dim, seed))
    for seed in (1, 2, 1, 3, 1, 2):  # 1 is used again before 3 comes, so 2 goes
        engine.ws(Edit(seed=seed))
    assert seeds == [1, 2, 3, 2]


@pytest.mark.parametrize("edit", [Edit(seed=1, project=False), Edit(latent=Latent.of(np.ones(24)), project=False)])
def test_nobody_changes_a_code_that_is_kept(edit: Edit) -> None:
    engine = make_engine(expanded())
    before = engine.ws(edit)
    with torch.inference_mode():
        engine.ws(edit).zero_()
    assert torch.equal(engine.ws(edit), before)
    assert before.any()


def test_a_class_is_refused_from_the_number_of_classes_on() -> None:
    engine = make_engine(Checkpoint(make_generator(c_dim=3)))
    assert engine.ws(Edit(class_index=2)).shape == (6, 24)
    with pytest.raises(EditError, match="below 3, got 3"):
        engine.ws(Edit(class_index=3))
    assert torch.equal(make_engine(expanded()).ws(Edit(class_index=7)), make_engine(expanded()).ws(Edit()))


# --- Effects ----------------------------------------------------------------------------------------------------------


def measured(path: Path, distance: float = 4.0) -> Engine:
    engine = make_engine(replace(expanded(distance), path=path))
    engine.measure_effects()
    return engine


def test_effects_beside_a_file_count_for_its_weights_distance_measure_and_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    known = [d.effect for d in measured(path).directions]
    assert None not in known

    def found(checkpoint: Checkpoint) -> bool:
        return make_engine(replace(checkpoint, path=path)).directions[0].effect is not None

    assert found(expanded())
    assert not found(expanded(4.5))
    assert not found(expanded(seed=3))
    with monkeypatch.context() as patch:
        patch.setattr(effects, "SAMPLES", 4)
        assert not found(expanded())
    with monkeypatch.context() as patch:
        other = Perceptual("other", lambda a, b: (a - b).abs().mean(dim=(1, 2, 3)))
        patch.setattr(module, "load_perceptual", lambda device: other)
        assert not found(expanded())
    with monkeypatch.context() as patch:
        patch.setattr(effects, "VERSION", 99)
        assert not found(expanded())
    assert found(expanded())


def test_effects_are_taken_over_only_where_they_were_measured_as_far(tmp_path: Path) -> None:
    engine = measured(tmp_path / "x.safetensors")
    known = {d.id: d.effect for d in engine.directions}
    engine.replace(expanded(4.0))
    assert {d.id: d.effect for d in engine.directions} == pytest.approx(known)
    engine.replace(expanded(5.0))
    assert {d.effect for d in engine.directions} == {None}
    engine.replace(expanded(4.0))
    assert {d.effect for d in engine.directions} == {None}, "of the one before nothing was known"


def test_an_effect_is_the_mean_change_at_the_distance_as_a_part_of_that_between_samples() -> None:
    engine = make_engine(expanded())
    with_renderer(engine, lambda ws, **_: ws[:, :3, :1].unsqueeze(3).expand(-1, -1, 16, 16))
    engine.measure_effects()
    seeds = torch.randint(2**31, (3,), generator=torch.Generator().manual_seed(1)).tolist()
    samples = torch.stack([engine.ws(Edit(seed=seed)) for seed in seeds])[:, 0, 0]
    between = (samples - samples.roll(1)).square().mean()
    basis = engine._model.directions.basis
    for direction in engine.directions:
        expected = (4.0 * basis[0, direction.dim]).square() / between
        assert direction.effect == pytest.approx(float(expected), rel=1e-3, abs=1e-6)


def test_progress_is_the_fraction_of_columns_and_what_is_known_is_not_measured_again() -> None:
    engine, progress = make_engine(expanded()), []
    engine.measure_effects(progress.append)
    assert progress == pytest.approx([(i + 1) / 24 for i in range(24)])
    engine.measure_effects(lambda _: pytest.fail("measured again"))


def test_effects_of_a_generator_that_was_replaced_meanwhile_are_not_the_new_ones(tmp_path: Path) -> None:
    engine = make_engine(replace(expanded(), path=tmp_path / "old.safetensors"))
    other = expanded(seed=5)
    engine.measure_effects(lambda fraction: engine.replace(other) if fraction == 0.5 else None)
    assert engine.checkpoint is other
    assert {d.effect for d in engine.directions} == {None}
    assert effects.path_beside(tmp_path / "old.safetensors").exists()


# --- Pictures under load ----------------------------------------------------------------------------------------------


class Slow:
    """A renderer that waits in the middle of a picture until the test lets it go on, and counts who is inside."""

    def __init__(self, model: Model) -> None:
        self.render, self.inside, self.most = model.render, 0, 0
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, ws: Tensor, **settings: Any) -> Tensor:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.began.set()
        self.go.wait(SOON)
        self.inside -= 1
        return self.render(ws, **settings)


def test_a_swap_waits_for_the_picture_in_the_making_and_whoever_waits_gets_the_new_one() -> None:
    engine, other = make_engine(expanded()), expanded(seed=5)
    old, new = engine.render(Edit()), make_engine(other).render(Edit())
    slow = Slow(engine._model)
    with_renderer(engine, slow)
    pictures: list[np.ndarray] = []
    first = threading.Thread(target=lambda: pictures.append(engine.render(Edit())))
    first.start()
    assert slow.began.wait(SOON)
    swap = threading.Thread(target=lambda: engine.replace(other))
    swap.start()
    swap.join(0.3)
    assert swap.is_alive()
    assert engine.checkpoint is not other
    slow.go.set()
    for thread in (first, swap):
        thread.join(SOON)
    assert np.array_equal(pictures[0], old)
    assert np.array_equal(engine.render(Edit()), new)


def test_one_picture_at_a_time_is_made_and_codes_do_not_wait_for_it() -> None:
    engine = make_engine(expanded())
    slow = Slow(engine._model)
    with_renderer(engine, slow)
    first = threading.Thread(target=lambda: engine.render(Edit(seed=1)))
    second = threading.Thread(target=lambda: engine.render(Edit(seed=2)))
    first.start()
    assert slow.began.wait(SOON)
    engine.ws(Edit(seed=3))
    second.start()
    second.join(0.2)
    assert second.is_alive(), "it waits for the lock"
    slow.go.set()
    for thread in (first, second):
        thread.join(SOON)
    assert slow.most == 1


def test_a_single_picture_does_not_wait_for_a_batch() -> None:
    """Neither does a code, and two batches wait for each other."""
    engine = make_engine(expanded())
    wanted = engine.render(Edit(seed=3))
    render, slow = engine._model.render, Slow(engine._model)
    with_renderer(engine, lambda ws, **settings: (slow if len(ws) > 1 else render)(ws, **settings))
    batches = [threading.Thread(target=lambda: engine.render([Edit(seed=1), Edit(seed=2)])) for _ in range(2)]
    batches[0].start()
    assert slow.began.wait(SOON)
    batches[1].start()
    assert np.array_equal(engine.render(Edit(seed=3)), wanted)
    engine.ws(Edit(seed=4))
    assert batches[0].is_alive()
    slow.go.set()
    for batch in batches:
        batch.join(SOON)
    assert slow.most == 1


def test_what_is_left_of_a_batch_does_not_disturb_a_single_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of one picture touches what is kept for the next picture, whoever asked for it."""
    monkeypatch.setattr(module, "MAX_BATCH_PIXELS", 2 * 256)
    engine = make_engine(expanded())
    render, slow = engine._model.render, Slow(engine._model)
    with_renderer(engine, lambda ws, **settings: (slow if len(ws) == 1 else render)(ws, **settings))
    batch = threading.Thread(target=lambda: engine.render([Edit(seed=i) for i in range(3)]))
    single = threading.Thread(target=lambda: engine.render(Edit(seed=9)))
    batch.start()
    assert slow.began.wait(SOON)
    single.start()
    single.join(0.2)
    slow.go.set()
    for thread in (batch, single):
        thread.join(SOON)
    assert slow.most == 1


@pytest.mark.parametrize(("pixels", "sizes"), [(2 * 256, [2, 2, 1]), (3 * 256 - 1, [2, 2, 1]), (10, [1] * 5)])
def test_batches_hold_so_many_pixels(monkeypatch: pytest.MonkeyPatch, pixels: int, sizes: list[int]) -> None:
    monkeypatch.setattr(module, "MAX_BATCH_PIXELS", pixels)
    engine, rendered = make_engine(expanded()), []
    render = engine._model.render
    with_renderer(engine, lambda ws, **settings: rendered.append(len(ws)) or render(ws, **settings))
    assert len(engine.render([Edit(seed=i) for i in range(5)])) == 5
    assert rendered == sizes


def test_eight_pictures_of_1024_px_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a laptop's memory holds; docs/measurements.md was measured so."""
    engine = make_engine(expanded())
    monkeypatch.setattr(Engine, "resolution", 1024)
    assert engine._chunk == 8
    monkeypatch.setattr(Engine, "resolution", 8192)
    assert engine._chunk == 1


def test_wide_layers_make_batches_of_small_pictures_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """512 channels at 64 px: 2048 pictures at once would hold 17 GB in one tensor. A CPU gains nothing by many."""
    engine = make_engine(expanded())
    monkeypatch.setattr(Engine, "resolution", 64)
    monkeypatch.setattr(StyleGAN2, "features", 512 * 64**2)
    assert engine._chunk == 32
    monkeypatch.setattr(engine, "device", torch.device("cuda"))
    assert engine._chunk == 256


# --- Pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-0.45, 0.0, 0.45])
def test_pixels_are_rounded_to_the_nearest(off: float) -> None:
    levels = torch.arange(256.0)
    (pixels,) = to_uint8(((levels + off - 127.5) / 127.5).expand(1, 3, 1, -1))
    assert pixels[0, :, 1].tolist() == list(range(256))


def test_what_is_beyond_the_range_is_its_end_and_grey_is_three_colours() -> None:
    (pixels,) = to_uint8(torch.tensor([[[[-9.0, -1.0, 0.0, 1.0, 9.0]]]]))
    assert pixels.shape == (1, 5, 3)
    assert pixels[0].tolist() == [[v] * 3 for v in (0, 0, 128, 255, 255)]
    colours = torch.tensor([-1.0, 0.0, 1.0]).view(1, 3, 1, 1)
    assert to_uint8(colours)[0].tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize(("most", "side"), [(None, 16), (16, 16), (17, 16), (15, 8), (8, 8), (7, 4), (1, 1)])
def test_pictures_are_halved_until_they_fit(most: int | None, side: int) -> None:
    assert to_uint8(torch.zeros(1, 3, 16, 16), most)[0].shape == (side, side, 3)
    engine = make_engine(expanded())
    with pytest.raises(EditError, match="1 px or more, got 0"):
        engine.render(Edit(), max_px=0)
