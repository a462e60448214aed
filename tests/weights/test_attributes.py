"""Classifiers of a diffusion autoencoder's codes become directions with names, in every file and on every slider."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from explorer import Edit, Engine, load
from explorer.cli import main
from explorer.networks import DiffAE
from explorer.networks.diffae import CELEBA
from explorer.weights import CheckpointError

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint with its classifiers beside it, in folders of the published names."""
    for name, source in (("cats_latent", "diffae16_latent"), ("cats_cls", "diffae16_cls")):
        (tmp_path / name).mkdir()
        shutil.copyfile(FIXTURES / f"{source}.ckpt", tmp_path / name / "last.ckpt")
    return tmp_path / "cats_latent" / "last.ckpt"


def test_a_direction_is_what_the_classifiers_own_edit_does_in_the_mean(file: Path) -> None:
    checkpoint = load(file)
    generator = checkpoint.generator
    assert isinstance(generator, DiffAE)
    assert tuple(checkpoint.attributes) == CELEBA
    assert len(CELEBA) == 40
    attributes = generator.attributes(file.parents[1] / "cats_cls" / "last.ckpt")
    z = torch.randn(4000, generator.config.z_dim) * attributes.std + attributes.mean
    for index, direction in list(enumerate(checkpoint.attributes.values()))[::8]:
        moved = F.silu(attributes.edit(z, index, 0.05)) - F.silu(z)
        assert (moved.mean(dim=0) / 0.05 - direction).norm() < 0.1 * direction.norm()


def test_a_slider_moves_by_its_name(file: Path) -> None:
    engine = Engine(load(file), "cpu", "fp32")
    direction = engine.direction("Smiling")
    assert (direction.group, direction.low, direction.high) == ("attributes", -0.5, 0.5)
    before, after = Edit(seed=1), Edit(seed=1, strengths={"Smiling": 0.3})
    moved = engine.ws(after) - engine.ws(before)
    torch.testing.assert_close(moved[0], 0.3 * engine.checkpoint.attributes["Smiling"], atol=1e-5, rtol=1e-4)
    assert not np.array_equal(engine.render(before), engine.render(after))
    measured = engine._model.directions.with_effects([0.5] * engine.codes.dim)
    assert measured["Smiling"].effect is None
    assert measured[0].effect == 0.5


def test_a_native_file_carries_them(file: Path, tmp_path: Path) -> None:
    assert main(["convert", str(file), str(tmp_path / "g.safetensors")]) == 0
    expected, found = load(file).attributes, load(tmp_path / "g.safetensors").attributes
    assert list(found) == list(expected)
    for name, direction in expected.items():
        assert torch.equal(found[name], direction)


def test_a_file_may_lie_beside_under_its_own_name(tmp_path: Path) -> None:
    shutil.copyfile(FIXTURES / "diffae16_latent.ckpt", tmp_path / "a.ckpt")
    assert load(tmp_path / "a.ckpt").attributes == {}
    shutil.copyfile(FIXTURES / "diffae16_cls.ckpt", tmp_path / "a_cls.ckpt")
    assert "Young" in load(tmp_path / "a.ckpt").attributes


def test_classifiers_of_another_generator_are_refused(tmp_path: Path) -> None:
    shutil.copyfile(FIXTURES / "diffae16_latent.ckpt", tmp_path / "a.ckpt")
    state = {"classifier.weight": torch.ones(2, 5), "classifier.bias": torch.ones(2)}
    moments = {"conds_mean": torch.zeros(5), "conds_std": torch.ones(5)}
    torch.save({"state_dict": state | moments}, tmp_path / "a_cls.ckpt")
    with pytest.raises(CheckpointError, match=r"a_cls.ckpt: its classifiers are of codes of 5 numbers, a.ckpt has 24"):
        load(tmp_path / "a.ckpt")
