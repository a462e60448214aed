"""Weight interpolation for comparison: the mean of weights, and what cannot be averaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from generators import make_generator

from explorer import Edit, Engine
from explorer.engine.blending import blended, mean
from explorer.weights import Checkpoint, CheckpointError


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two generators of one shape, and one of another."""
    made = [make_generator(), make_generator()]
    with torch.no_grad():
        for parameter in made[1].parameters():
            parameter.mul_(1.5)
    paths = [Checkpoint(generator).save(tmp_path / f"{i}.safetensors") for i, generator in enumerate(made)]
    other = make_generator(channels=(8, 8, 4))
    return [str(path) for path in (*paths, Checkpoint(other).save(tmp_path / "other.safetensors"))]


def test_every_weight_is_the_mean_and_the_two_stay() -> None:
    one, other = make_generator(), make_generator()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    for name, value in mean(one, other).state_dict().items():
        assert torch.allclose(value, (before[name] + other.state_dict()[name]) / 2, atol=1e-6)
        assert torch.equal(one.state_dict()[name], before[name])


def test_one_file_is_averaged_with_the_engine_and_two_with_each_other(files: list[str]) -> None:
    engine = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    picture = engine.render(Edit(seed=1))
    assert np.array_equal(blended(engine, files[:1]).render(Edit(seed=1)), picture)
    assert not np.array_equal(blended(engine, files[1:2]).render(Edit(seed=1)), picture)
    two, one = (blended(engine, some).render(Edit(seed=1)) for some in (files[:2], files[1:2]))
    assert np.array_equal(two, one)  # the first file is the engine's generator


def test_what_cannot_be_averaged_is_refused_by_name(files: list[str]) -> None:
    engine = Engine(Checkpoint(make_generator()), "cpu", "fp32")
    with pytest.raises(CheckpointError, match="other"):
        blended(engine, files[2:])
    with pytest.raises(CheckpointError, match="one or two"):
        blended(engine, files)
