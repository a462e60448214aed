"""The sharpener's trainer: what its step learns, resumed runs, its pairs of pictures, its file, its words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from explorer import cli
from explorer.networks.pixels import from_array
from explorer.recipes import sharpener
from explorer.recipes.sharpener import CUTS, FINE, cuts
from explorer.styles import ALL_STYLES
from explorer.training.run import Folder, RunError
from explorer.weights.parts import load_sharpener
from tests.training.tiny import differences, write_pictures

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's and TensorBoard's own
BATCH = 2 * CUTS
SETTINGS: dict[str, Any] = {
    "resolution": 64,
    "size": 12,
    "width": 6,
    "blocks": 1,
    "batch": BATCH,
    "anneal_kimg": 0.0,
    "adv_kimg": 0.02,  # both critic-free steps and others in a few steps
    "r1_every": 3,
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Bit for bit holds for the same number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_pictures(tmp_path_factory.mktemp("sharpener") / "pictures.zip", size=64, labels=False))


def config(data: str, steps: int, **changes: Any) -> sharpener.Config:
    return sharpener.Config(data=data, kimg=steps * BATCH / 1000, **(SETTINGS | changes))


def train(run: Path, settings: sharpener.Config) -> dict[str, Any]:
    sharpener.train(Folder(run), settings, Accelerator(cpu=True))
    state = Folder(run).load()
    assert state is not None
    return state


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(data: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", config(data, 8))
    assert train(tmp_path / "parts", config(data, 5))["step"] == 5
    assert differences(whole, train(tmp_path / "parts", config(data, 8))) == []


def test_the_command_writes_a_file_that_is_read_again(data: str, tmp_path: Path) -> None:
    flags = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    run = tmp_path / "run"
    assert cli.main(["train", "sharpener", str(run), "--data", data, "--cpu", "--kimg", "0.016", *flags]) == 0
    made, meta = load_sharpener(run / "sharpener.safetensors")
    assert (made.config.width, meta["cuts_seen"], meta["data"]) == (6, 16, "pictures.zip")
    assert list((run / "samples").glob("*.png"))


def test_it_comes_nearer_to_the_large_pictures(data: str) -> None:
    """Than the bicubic enlargement, which it begins as, on cuts that it was not shown."""
    settings = config(data, 1000, lambda_adv=0.0, drawn=0.0, lr=0.005)
    trainer = sharpener.Trainer(settings, Accelerator(cpu=True))
    rows, columns = np.indices((64, 64))
    rings = np.stack([np.hypot(rows - k, columns - 20) % 16 < 8 for k in (10, 40)])
    pictures = torch.from_numpy(np.repeat(255 * rings[:, None].astype(np.uint8), 3, axis=1))
    made = [cuts(pictures[0].permute(1, 2, 0).numpy(), settings, np.random.default_rng(seed)) for seed in range(8)]
    small, large = (from_array(np.concatenate(part)) for part in zip(*made, strict=True))

    def error() -> float:
        with torch.no_grad():
            return float((trainer.S(small) - large).abs().mean())

    before = error()
    for _ in range(60):
        trainer.train_step(pictures)
    assert error() < 0.95 * before


def test_small_and_large_cuts_show_the_same(data: str) -> None:
    """Reduced again, what is wanted is what goes in, but for what spoils it; of every style, at half or full size."""
    settings = config(data, 1, drawn=1.0)
    rows, columns = np.indices((64, 64))
    picture = np.stack([4 * rows, 4 * columns, 255 - 2 * rows - 2 * columns], axis=-1).astype(np.uint8)
    for seed in range(24):
        small, large = cuts(picture, settings, np.random.default_rng(seed))
        assert small.shape == (CUTS, 12, 12, 3)
        assert large.shape == (CUTS, 24, 24, 3)
        reduced = large.reshape(CUTS, 12, 2, 12, 2, 3).mean((2, 4))
        assert np.abs(reduced - small).mean() < 20, seed
        assert np.abs(reduced.mean((1, 2)) - small.mean((1, 2))).max() < 12, seed


def test_fine_styles_are_styles() -> None:
    assert set(FINE) <= set(ALL_STYLES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 6}, "a multiple of 4"),
        ({"size": 13}, "even"),
        ({"size": 40}, "at most a quarter"),
        ({"drawn": 1.5}, "at most 1"),
        ({"lr": -1.0}, "0 or more"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((RunError, ValueError), match=message):
        config("pictures.zip", 1, **changes)
