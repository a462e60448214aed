"""The CLIP trainer as a whole: killed and resumed, in two processes, diverged; and that it learns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from explorer import cli
from explorer.recipes import clip as trainer
from explorer.recipes.captions import style_prompts
from explorer.recipes.pairs import build_bank, draw
from explorer.recipes.zeroshot import encode, load_pixels, measure
from explorer.styles import render
from explorer.training.data import Pictures, is_held_out
from explorer.training.run import Diverged, Folder, RunError
from explorer.weights.clip import load_clip
from tests.clip.tiny_clip import COATS, SETTINGS, face, flags, settings, train, write_faces
from tests.training.tiny import differences

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONFAULTHANDLER": "1"}
STEPS = 12
HELD_OUT = next(i for i in range(1000) if is_held_out(f"{i:03}.png", 0.05))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As in the processes that these tests start: bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(tmp_path_factory.mktemp("data") / "faces.zip")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The checkpoint of an uninterrupted run."""
    return train(tmp_path_factory.mktemp("whole"), settings(data, STEPS))


def test_an_interrupted_run_goes_on_bit_for_bit(
    data: Path, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = trainer.Trainer.train_step

    def interrupted(self: trainer.Trainer, batch: Any) -> dict[str, torch.Tensor]:
        if self.step == 4:
            signal.raise_signal(signal.SIGINT)
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "train_step", interrupted)
        assert train(tmp_path, settings(data, STEPS))["step"] == 5
    assert differences(whole, train(tmp_path, settings(data, STEPS))) == []


def test_a_killed_run_goes_on_bit_for_bit(data: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "explorer", "train", "clip", str(tmp_path / "killed")]
    command += flags(data, STEPS, checkpoint_minutes=0)
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "killed" / "checkpoint-1.pt").exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    state = Folder(tmp_path / "killed").load()
    assert state is not None
    assert 1 <= state["step"] < STEPS
    assert differences(whole, train(tmp_path / "killed", settings(data, STEPS))) == []


def test_two_processes_equal_one_with_the_same_whole_batch(data: Path, tmp_path: Path) -> None:
    """With a transformer: the statistics of batch normalisation are each process's own.

    Gradients are compared by Adam's means of them: Adam's steps hide their scale, and blow up those that should be 0.
    """
    tower = {"layers": (1,), "width": 32}
    config = settings(data, 4, **tower)
    (tmp_path / "two").mkdir()
    photos, coats = load_pixels(Pictures(data, config.resolution))  # as a start with another seed would leave behind
    build_bank(photos, coats, config.styles_per_photo, 9, tmp_path / "two" / trainer.BANK)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "explorer", "train", "clip", str(tmp_path / "two"), *flags(data, 4, **tower)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    two, one = Folder(tmp_path / "two").load(), train(tmp_path / "one", config)
    assert two is not None
    for number, moments in one["optimiser"]["state"].items():
        mean = two["optimiser"]["state"][number]["exp_avg"]
        torch.testing.assert_close(mean, moments["exp_avg"], rtol=2e-2, atol=1e-5, msg=str(number))


def test_a_run_resumed_with_another_seed_or_other_pictures_gets_their_styles(data: Path, tmp_path: Path) -> None:
    other = write_faces(tmp_path / "other.zip", first=100)
    run = tmp_path / "run"
    for steps, pictures, seed in ((1, data, 0), (2, data, 3), (3, other, 3)):
        config = settings(pictures, steps, seed=seed)
        train(run, config)
        photos, coats = load_pixels(Pictures(pictures, config.resolution))
        expected = build_bank(photos, coats, config.styles_per_photo, seed, None)
        np.testing.assert_array_equal(np.load(run / trainer.BANK), expected.styled)


def test_styles_left_by_a_failed_start_change_nothing(data: Path, whole: dict[str, Any], tmp_path: Path) -> None:
    photos, coats = load_pixels(Pictures(data, SETTINGS["resolution"]))
    build_bank(photos, coats, SETTINGS["styles_per_photo"], 3, tmp_path / trainer.BANK)
    assert differences(whole, train(tmp_path, settings(data, STEPS))) == []


@pytest.mark.parametrize(("count", "sheets"), [(3, 0), (HELD_OUT + 1, 1)])
def test_small_data_with_no_or_one_held_out_picture_is_trained_on(count: int, sheets: int, tmp_path: Path) -> None:
    """The first of `face`'s names that the default fraction holds out is the one numbered HELD_OUT."""
    data = write_faces(tmp_path / "few.zip", count)
    assert cli.main(["train", "clip", str(tmp_path / "run"), *flags(data, 1, held_out=0.05)]) == 0
    assert len(list((tmp_path / "run").glob("samples/*.png"))) == sheets


def test_nan_stops_with_a_word(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "contrast", lambda logits, match: logits.sum() * torch.nan)
    with pytest.raises(Diverged, match="no longer finite"):
        train(tmp_path, settings(data, STEPS))


def test_contrast_is_cross_entropy_where_every_row_has_one_match() -> None:
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(5))
    torch.testing.assert_close(trainer.contrast(logits, torch.eye(5)), expected)
    match = torch.eye(5)
    match[4, 4] = 0  # a row without a match is left out
    expected = torch.nn.functional.cross_entropy(logits[:4], torch.arange(4))
    torch.testing.assert_close(trainer.contrast(logits, match), expected)


def test_a_tiny_model_learns_styles_from_prompts(data: Path, tmp_path: Path) -> None:
    """Two hundred steps on two dozen faces tell a few very different styles apart on faces never seen."""
    changes = {"batch": 48, "captions": 48, "styles_per_photo": 12, "lr": 3e-3, "warmup_kimg": 0.2, "attack_every": 0}
    train(tmp_path, settings(data, 200, **changes))
    clip = load_clip(tmp_path / "clip.safetensors")
    styles = ("blueprint", "night vision", "pop art", "sepia")
    texts = clip.encode_prompts([style_prompts(style) for style in styles])
    right = []
    for i, style in enumerate(styles):
        faces = [face(coat, 32, 90 + seed) for coat in COATS for seed in range(4)]
        pixels = np.stack([render(style, picture, np.random.default_rng(0)) for picture in faces])
        right += (encode(clip, pixels) @ texts.t()).argmax(1).eq(i).tolist()
    assert sum(right) >= 0.7 * len(right)  # chance is a quarter
    figures = measure(clip, np.stack([face(coat, 32, 50) for coat in COATS * 2]), COATS * 2, 4)
    assert figures["style"] > 3 / 26
    assert set(figures) >= {"coat", "nothing", "image to text 1", "text to image 5", "chance"}


def test_attacked_pictures_stay_near_and_match_their_captions_worse(data: Path) -> None:
    learner = trainer.Trainer(settings(data, 4, attack_every=2), Accelerator(cpu=True))
    bank = build_bank(np.stack([face(coat, 32, 1) for coat in COATS]), COATS, 2, 0, None)
    batch = draw(bank, 16, 16, np.random.default_rng(0))
    texts = learner.clip.encode_tokens(learner.clip.tokenizer([c.text for c in batch.captions])).detach()
    moved = learner.attacked(batch.images, batch.match, texts)
    assert torch.equal(moved[1::2], batch.images[1::2])
    assert 0 < (moved[::2] - batch.images[::2]).abs().max() <= 0.0301

    def loss(images: torch.Tensor) -> float:
        return trainer.contrast(10 * learner.clip.encode_image(images) @ texts.t(), batch.match[::2]).item()

    assert loss(moved[::2]) > loss(batch.images[::2])


def test_bad_settings_are_one_sentence(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="--batch must be 1 or more"):
        settings(data, 1, batch=0)
    with pytest.raises(RunError, match="captions"):
        settings(data, 1, captions=99)
    assert cli.main(["train", "clip", str(tmp_path / "x"), "--cpu"]) == 2
    assert "--data" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 40}, "--resolution must be a multiple of 32"),
        ({"resolution": 3}, "--resolution must lie between 32"),
        ({"width": 0}, "width must lie between 8"),
        ({"styles_per_photo": 100}, "--styles-per-photo must be at most 25"),
        ({"seed": -1}, "--seed must be a number from 0"),
        ({"seed": 2**64}, "--seed must be a number from 0"),
        ({"attack_every": -1}, "--attack-every must be 1 or more, or 0"),
    ],
)
def test_settings_that_cannot_work_leave_nothing_behind(
    changes: dict[str, Any], message: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "clip", str(tmp_path / "run"), *flags(data, 1, **changes)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changes", [{"attack_every": 100}, {"batch": 1, "captions": 1, "attack_every": 0}])
def test_one_image_is_too_few_for_batch_normalisation_at_the_smallest_size(
    changes: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="two images or more"):
        train(tmp_path, settings(data, 1, **changes))
    assert not (tmp_path / trainer.BANK).exists()
    assert train(tmp_path, settings(data, 1, layers=(1,), width=32, **changes))["step"] == 1
    assert train(tmp_path / "large", settings(data, 1, resolution=64, **changes))["step"] == 1


def test_settings_of_another_model_are_refused_before_styles_are_made(data: Path, tmp_path: Path) -> None:
    train(tmp_path, settings(data, 1))
    before = (tmp_path / trainer.BANK).read_bytes()
    with pytest.raises(RunError, match="other networks"):
        train(tmp_path, settings(data, 2, width=16, seed=3))
    assert (tmp_path / trainer.BANK).read_bytes() == before
