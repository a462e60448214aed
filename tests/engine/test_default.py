"""The embedded default: its card's promises that a test can hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer import Edit, Engine, load
from explorer.expansion.config import read_config

DEFAULT = Path(__file__).parents[2] / "checkpoints" / "cats128.safetensors"
EDITS = [Edit(seed=seed, truncation_psi=psi) for seed in range(12) for psi in (0.7, 1.0)]


@pytest.fixture(scope="module")
def exact() -> Engine:
    return Engine(load(DEFAULT), device="cpu", precision="fp32")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_16_bit_pictures_cannot_be_told_from_exact_ones(exact: Engine, precision: str) -> None:
    fast = Engine(load(DEFAULT), device="cpu", precision=precision)
    error = np.stack(fast.render(EDITS)).astype(float) - np.stack(exact.render(EDITS))
    assert np.abs(error).mean() <= 1
    assert 10 * np.log10(255**2 / np.square(error).mean()) >= 45


def test_pictures_are_neither_flat_nor_all_the_same(exact: Engine) -> None:
    pictures = np.stack(exact.render(EDITS)).astype(float)
    assert pictures.std(axis=(1, 2, 3)).min() > 10
    assert np.abs(pictures[0] - pictures[2]).mean() > 5


def test_effects_of_its_directions_come_measured(exact: Engine) -> None:
    """Delete checkpoints/cats128.effects.json and run the app once when the default or the distance in use changes."""
    assert all(direction.effect is not None for direction in exact.directions)


def test_what_it_was_taught_by_can_be_read_and_names_its_domains() -> None:
    """The configurations beside it are no leftovers of settings that are gone."""
    configs = [path for path in DEFAULT.parent.glob("*.toml") if not path.name.endswith(".looks.toml")]
    taught = [domain.name for path in configs for domain in read_config(path).domains]
    expansion = load(DEFAULT).expansion
    assert expansion is not None
    assert set(taught) == set(expansion.domains)
