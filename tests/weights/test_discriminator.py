"""A checkpoint's discriminator lies in its file until somebody asks for it."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hostile import dump, tree
from samples import FIXTURES, tiny_checkpoint, tiny_network

from explorer import Engine
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.checkpoint import StoredDiscriminator


def file_of(kind: str, folder: Path) -> Path:
    """A checkpoint with a discriminator, in one of the containers."""
    checkpoint = tiny_checkpoint()
    critic = checkpoint.discriminator
    assert critic is not None
    path = folder / f"a.{kind}"
    if kind == "safetensors":
        return checkpoint.save(path)
    if kind == "pt":
        torch.save({"G_ema": checkpoint.generator.state_dict(), "D": critic.state_dict()}, path)
    else:
        values = {name: value.numpy() for name, value in critic.state_dict().items()}
        path.write_bytes(dump({"G_ema": tiny_network(), "D": tree(values)}))
    return path


def tensors() -> dict[int, torch.Tensor]:
    """All that are alive, by their ids."""
    gc.collect()
    found = [value for value in gc.get_objects() if issubclass(type(value), torch.Tensor)]
    return {id(v): v for v in found if v.device.type == "cpu" and v.layout == torch.strided}


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (a.shape, a.dtype) == (b.shape, b.dtype) and torch.equal(a, b)


@pytest.mark.parametrize("kind", ["safetensors", "pt", "pkl"])
def test_nothing_of_it_is_in_memory_until_it_is_asked_for(kind: str, tmp_path: Path) -> None:
    path, before = file_of(kind, tmp_path), tensors()
    checkpoint = load(path)
    engine = Engine(checkpoint, "cpu", "fp32")
    there = [value for key, value in tensors().items() if key not in before]
    assert len(there) > len(engine.generator.state_dict()) / 2
    critic = checkpoint.discriminator
    assert critic is not None
    its = {name: value for name, value in critic.state_dict().items() if value.numel() > 16}
    assert its
    assert not [name for name, value in its.items() for other in there if same(value, other)]


@pytest.mark.parametrize("kind", ["safetensors", "pt", "pkl"])
def test_it_is_read_as_it_was_written(kind: str, tmp_path: Path) -> None:
    checkpoint = load(file_of(kind, tmp_path))
    assert isinstance(checkpoint.critic, StoredDiscriminator)
    critic, again = checkpoint.discriminator, checkpoint.discriminator
    assert critic is not None
    assert critic is not again
    assert critic.config == checkpoint.critic.config
    assert not critic.training
    assert not any(parameter.requires_grad for parameter in critic.parameters())


def test_a_native_file_gives_its_values_back(tmp_path: Path) -> None:
    original = tiny_checkpoint()
    loaded = load(original.save(tmp_path / "a.safetensors"))
    for checkpoint in (loaded, load(loaded.save(tmp_path / "b.safetensors"))):
        assert original.discriminator is not None
        assert checkpoint.discriminator is not None
        for name, value in original.discriminator.state_dict().items():
            assert torch.equal(checkpoint.discriminator.state_dict()[name], value)


def test_a_file_that_has_changed_meanwhile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint = load(tiny_checkpoint().save(path))
    replace(tiny_checkpoint(), critic=None).save(path)
    with pytest.raises(CheckpointError, match=r"a\.safetensors: its discriminator is gone"):
        _ = checkpoint.discriminator
    path.unlink()
    with pytest.raises(CheckpointError, match=r"a\.safetensors: this is no file"):
        _ = checkpoint.discriminator


def test_one_that_was_never_in_a_file_is_itself() -> None:
    checkpoint = tiny_checkpoint()
    assert checkpoint.discriminator is checkpoint.critic
    assert Checkpoint(checkpoint.generator).discriminator is None


def test_the_published_layout_keeps_its_values(tmp_path: Path) -> None:
    first, again = (load(FIXTURES / "nvidia_uncond32.pkl").discriminator for _ in range(2))
    assert first is not None
    assert again is not None
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
