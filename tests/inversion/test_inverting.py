"""A photo inverted beside a running engine: progress, Stop, tuned weights, and an engine that goes on as before."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generators import make_generator

from explorer.edit import Edit, Latent
from explorer.engine import Engine, costs, inverting
from explorer.engine.costs import lesson_cost, search_cost
from explorer.engine.inverting import MOST_COPIES, bound, find_delta, invert, networks_of, tuned_engine
from explorer.inversion import SPACES, InversionError, defaults
from explorer.inversion.search import sides_of
from explorer.weights import Checkpoint

PHOTO = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    path = tmp_path_factory.mktemp("engine") / "tiny.safetensors"
    Checkpoint(make_generator()).save(path)
    return Engine(Checkpoint(make_generator(), path=path), "cpu", "fp32")


@pytest.fixture(autouse=True)
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inverting, "EVERY", 0.0)


@pytest.mark.parametrize("space", SPACES)
def test_the_last_report_is_what_the_engine_renders(engine: Engine, space: str) -> None:
    settings = replace(defaults("clip_guided"), steps=6, lr=0.05, space=space)  # type: ignore[arg-type]
    reports = list(invert(engine, PHOTO, settings))
    assert [report.step for report in reports] == list(range(7))
    assert all(report.steps == 6 and report.figures is None for report in reports[:-1])
    last = reports[-1]
    assert last.seconds_left == 0
    assert last.latent.shape == ((24,) if space == "w" else (6, 24))
    rendered = engine.render(Edit(latent=last.latent)).astype(int)
    assert np.abs(rendered - last.picture).max() <= 2
    assert last.figures is not None
    assert last.figures.keys() >= {
        "mse", "psnr", "perceptual", "clip_similarity", "distance_to_w_avg", "perceptual_network", "seconds",
    }  # fmt: skip
    assert last.figures["mse"] == pytest.approx(((rendered / 127.5 - PHOTO / 127.5) ** 2).mean(), rel=0.02)
    weights = {"pixel": 1, "perceptual": 1, "clip": 1, "mean": 0.01, "offsets": 0.1, "total": 0}
    total = sum(weights[name] * loss for name, loss in last.losses.items())
    assert last.losses["total"] == pytest.approx(total, rel=1e-4)


def test_what_a_search_takes_is_known_of_large_generators_before_it_begins(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(defaults("clip_guided"), steps=10)
    engine.render(Edit())
    assert search_cost(engine, settings) is None, "it is a matter of seconds"
    monkeypatch.setattr(costs, "LARGE", 1)
    whole = search_cost(engine, settings)
    assert whole is not None
    assert whole.seconds == pytest.approx(costs.STEP * (engine.picture_seconds or 0))
    assert whole.bytes == 4 * costs.HELD * engine.generator.features
    for name, value in {"LARGE": 1, "COARSEST": 4, "COARSE": ((0.5, 4), (0.8, 2))}.items():
        monkeypatch.setitem(sides_of.__globals__, name, value)
    coarse = search_cost(engine, settings)
    assert coarse is not None
    assert 0.5 < coarse.seconds / whole.seconds < 0.9
    assert search_cost(engine, defaults("encoder")) is None, "nothing is searched for"
    monkeypatch.setattr(costs, "WARM_SIDE", 4)
    lessons = [lesson_cost(engine, reduced) for reduced in (True, False)]
    assert [lesson and lesson.px for lesson in lessons] == [4, 16]
    assert lessons[0]
    assert lessons[1]
    assert lessons[0].seconds < lessons[1].seconds
    assert lessons[0].bytes == lessons[1].bytes / 4
    assert search_cost(Engine(engine.checkpoint, "cpu", "fp32"), settings) is None, "no picture has been timed"


def test_stop_ends_at_once_with_the_best_and_its_figures(engine: Engine) -> None:
    stop, reports = threading.Event(), []
    for report in invert(engine, PHOTO, replace(defaults("clip_guided"), tune_steps=50), stop):
        reports.append(report)
        if report.step == 3:
            stop.set()
    assert reports[-1].step == 3
    assert reports[-1].figures is not None
    assert reports[-1].delta is None
    assert all(report.figures is None for report in reports[:-1])


def test_stop_before_the_start_still_gives_a_result(engine: Engine) -> None:
    stop = threading.Event()
    stop.set()
    (only,) = invert(engine, PHOTO, defaults("clip_guided"), stop)
    assert only.step == 0
    assert only.figures is not None


def test_one_stop_does_not_hit_another_search(engine: Engine) -> None:
    settings = replace(defaults("clip_guided"), steps=5)
    stops = [threading.Event(), threading.Event()]
    first, second = (invert(engine, PHOTO, settings, stop) for stop in stops)
    assert next(first).step == next(second).step == 0
    stops[0].set()
    assert [report.step for report in first] == [0]
    assert [report.step for report in second] == [1, 2, 3, 4, 5]


def test_tuned_weights_are_a_file_that_only_its_own_engine_uses(engine: Engine) -> None:
    untouched = engine.render(Edit(seed=1))
    settings = replace(defaults("in_domain"), steps=2, tune_steps=20)
    *_, before, last = invert(engine, PHOTO, settings)
    assert before.steps == last.step == 22
    assert before.step == 21
    assert last.delta is not None
    assert last.delta.parent.name == "tiny-tuned"
    tuned = tuned_engine(engine, last.delta)
    shown = tuned.render(Edit(latent=last.latent)).astype(int)
    assert np.abs(shown - last.picture).max() <= 3
    plain = engine.render(Edit(latent=last.latent)).astype(int)
    assert np.square(shown - PHOTO).mean() < np.square(plain - PHOTO).mean()
    assert np.array_equal(engine.render(Edit(seed=1)), untouched)
    assert tuned.distance == engine.distance


def test_a_folder_that_cannot_be_written_costs_no_result(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "there-tuned").write_text("in the way")
    blocked = Engine(replace(engine.checkpoint, path=tmp_path / "there.safetensors"), "cpu", "fp32")
    assert inverting.delta_folder(blocked).is_dir()
    assert inverting.delta_folder(blocked).parent != tmp_path


def test_fitted_copies_are_bounded_and_those_last_used_stay(tmp_path: Path) -> None:
    names = [f"{number:016x}.safetensors" for number in range(6)]
    for age, name in enumerate(names):
        (tmp_path / name).write_bytes(b"weights")
        os.utime(tmp_path / name, (10_000 - age, 10_000 - age))
    (other := tmp_path / "notes.txt").write_text("not a copy")
    assert find_delta(tmp_path, names[-1]) == tmp_path / names[-1], "the oldest, used once more"
    bound(tmp_path, most=3)
    assert {path.name for path in tmp_path.iterdir()} == {names[0], names[1], names[-1], other.name}
    for wrong in (names[2], "../notes.txt", "notes.txt", None, f"../{tmp_path.name}/{names[0]}"):
        with pytest.raises(InversionError, match="fit it again"):
            find_delta(tmp_path, wrong)


def test_a_copy_for_a_folder_of_the_users_own_deletes_nothing_there(engine: Engine, tmp_path: Path) -> None:
    for number in range(MOST_COPIES + 1):
        (tmp_path / f"{number:016x}.safetensors").write_bytes(b"weights")
    latent = Latent.of(engine.ws(Edit(seed=1)).numpy())
    *_, last = inverting.fit(engine, PHOTO, latent, replace(defaults("in_domain"), tune_steps=1), folder=tmp_path)
    assert last.delta is not None
    assert last.delta.parent == tmp_path
    assert len(list(tmp_path.iterdir())) == MOST_COPIES + 2


def test_photos_that_are_looked_for_together_are_found_as_alone(engine: Engine) -> None:
    settings = replace(defaults("clip_guided"), steps=2)
    other = PHOTO[::-1].copy()
    *_, first, second = invert(engine, [PHOTO, other], settings)
    assert (first.photo, second.photo) == (0, 1)
    for together, photo in ((first, PHOTO), (second, other)):
        *_, alone = invert(engine, photo, settings)
        assert together.latent.numpy() == pytest.approx(alone.latent.numpy(), abs=1e-3)
        assert together.figures is not None
        assert alone.figures is not None
        assert together.figures["mse"] == pytest.approx(alone.figures["mse"], rel=1e-3)


def test_pictures_do_not_wait_for_a_search(engine: Engine) -> None:
    """Renders between two steps of a search, in another thread, while the search holds what it holds."""
    reports = invert(engine, PHOTO, replace(defaults("clip_guided"), steps=3))
    next(reports)
    drawn = []
    thread = threading.Thread(target=lambda: drawn.append(engine.render(Edit(seed=2))))
    thread.start()
    thread.join(30)
    assert len(drawn) == 1
    assert [report.step for report in reports] == [1, 2, 3]


def test_a_photo_of_another_size_is_resized(engine: Engine) -> None:
    large = PHOTO.repeat(4, axis=0).repeat(4, axis=1)
    (first,) = invert(engine, large, replace(defaults("in_domain"), steps=0))
    (second,) = invert(engine, PHOTO, replace(defaults("in_domain"), steps=0))
    assert first.losses["total"] == pytest.approx(second.losses["total"], rel=0.2)
    assert "average picture" in first.note
    assert networks_of(engine) is networks_of(engine)


@pytest.mark.parametrize("photo", [PHOTO.astype(np.float32), PHOTO[..., 0], PHOTO[:0], PHOTO[..., :2]])
def test_another_kind_of_array_is_refused(engine: Engine, photo: np.ndarray) -> None:
    with pytest.raises(InversionError, match="uint8"):
        next(invert(engine, photo, defaults("in_domain")))


def test_reports_come_so_often_and_estimate_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock of its own."""
    clock = [100.0]
    monkeypatch.setattr(inverting.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(inverting, "EVERY", 0.25)
    stop = threading.Event()
    reports = inverting._Reports(defaults("in_domain"), 10, stop, "a note")
    assert reports.due(0)
    for seconds, due in ((0.2, False), (0.25, True), (0.49, False), (0.5, True)):
        clock[0] = 100 + seconds
        assert reports.due(1) == due
    clock[0] = 104.0
    images, ws = torch.zeros(2, 3, 16, 16), torch.zeros(2, 6, 24)
    for step, left in ((0, 40.0), (2, 16.0), (10, 0.0)):
        progress = reports.progress(step, images, ws, {"total": torch.tensor([1.0, 2.0])}, photo=1)
        assert progress.seconds_left == pytest.approx(left)
        assert (progress.note, progress.photo, progress.losses) == ("a note", 1, {"total": 2.0})
    searching = inverting._Reports(defaults("in_domain"), 110, stop, "")  # of 100 steps, and 10 of tuning
    searching.began = 100.0
    told = searching.progress(60, images, ws, {"total": torch.zeros(2)}, done=0.2)  # small pictures so far
    assert told.seconds_left == pytest.approx(4 / 20 * 90)
    last = reports.end(progress, {})
    assert (last.seconds_left, last.figures) == (0.0, {"seconds": pytest.approx(4.0)})
    assert not reports.due(10), "the last one has figures"
    assert reports.due(9)
    clock[0] = 200.0
    stop.set()
    assert not reports.due(5)


def test_tuned_weights_of_all_photos_lie_in_one_folder_beside_the_checkpoint(engine: Engine) -> None:
    folder = inverting.delta_folder(engine)
    assert folder.name == "tiny-tuned"
    assert inverting.delta_folder(engine) == folder


def test_networks_are_gathered_anew_for_another_checkpoint() -> None:
    engine = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    before = networks_of(engine)
    engine.replace(Checkpoint(make_generator(seed=4)))
    assert networks_of(engine) is not before
    assert networks_of(engine).generator is engine.generator
