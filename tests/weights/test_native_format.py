"""The native format gives back what was saved, and refuses what does not fit."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from generators import make_generator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from samples import FIXTURES, NVIDIA, relative_error, tiny_checkpoint

from explorer.networks import Discriminator, DiscriminatorConfig
from explorer.weights import Checkpoint, CheckpointError, load


def tensors(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint by a name of its own."""
    found = {f"generator.{name}": value for name, value in checkpoint.generator.state_dict().items()}
    if checkpoint.discriminator is not None:
        found |= {f"discriminator.{name}": value for name, value in checkpoint.discriminator.state_dict().items()}
    if checkpoint.expansion is not None:
        found |= {"basis": checkpoint.expansion.basis, "origin": checkpoint.expansion.mean}
    return found


def assert_same(a: Checkpoint, b: Checkpoint) -> None:
    assert a.generator.config == b.generator.config
    assert (a.discriminator is None) == (b.discriminator is None)
    assert (a.expansion is None) == (b.expansion is None)
    if a.discriminator and b.discriminator:
        assert a.discriminator.config == b.discriminator.config
    if a.expansion and b.expansion:
        assert a.expansion.dims == b.expansion.dims
        assert a.expansion.domains == b.expansion.domains
        assert a.expansion.distance == b.expansion.distance
    assert a.meta == b.meta
    assert tensors(a).keys() == tensors(b).keys()
    for name, value in tensors(a).items():
        assert torch.equal(value, tensors(b)[name]), name


def altered(path: Path, target: Path, change: Any) -> Path:
    """`path` with its tensors and metadata changed by `change(tensors, metadata)`."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    values = load_file(path)
    change(values, metadata)
    save_file(values, target, metadata)
    return target


@pytest.mark.parametrize("name", NVIDIA)
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    original = load(FIXTURES / f"{name}.pkl")
    assert_same(load(original.save(tmp_path / "a.safetensors")), original)


def test_round_trip_keeps_unicode_domains_and_metadata(tmp_path: Path) -> None:
    tiny = tiny_checkpoint()
    loaded = load(tiny.save(tmp_path / "a.safetensors"))
    assert_same(loaded, tiny)
    assert loaded.meta["licence"] == "CC0"


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": "resnet"},
        {"use_noise": False},
        {"c_dim": 2},
        {"c_dim": 2, "label_concat": True},
        {"conv_clamp": 256.0},
        {"resample_filter": (1, 1)},
    ],
    ids=str,
)
def test_round_trip_keeps_every_configuration(changes: dict, tmp_path: Path) -> None:
    generator = make_generator(**changes)
    config = DiscriminatorConfig(8, (4, 6), c_dim=2, cmap_dim=4, mapping_layers=1, mbstd_group_size=None)
    discriminator = Discriminator(config).eval()
    original = Checkpoint(generator, discriminator, meta={"name": "a"})
    loaded = load(original.save(tmp_path / "a.safetensors"))
    assert_same(loaded, original)
    z, c = torch.randn(2, generator.z_dim), torch.eye(2) if generator.c_dim else None
    assert torch.equal(loaded.generator(z, c), generator(z, c))


def test_half_precision_files_are_half_as_large_and_load_in_float32(tmp_path: Path) -> None:
    original = load(FIXTURES / "expanded32.pkl")
    full, half = original.save(tmp_path / "full"), original.save(tmp_path / "half", dtype=torch.float16)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = load(half)
    for name, value in tensors(original).items():
        assert tensors(loaded)[name].dtype == torch.float32
        assert value.norm() == 0 or relative_error(tensors(loaded)[name], value) < 1e-3
    assert loaded.expansion is not None
    assert original.expansion is not None
    assert torch.equal(loaded.expansion.basis, original.expansion.basis)


def test_values_beyond_half_precision_are_refused_by_name(tmp_path: Path) -> None:
    generator = make_generator()
    generator.mean[0] = 1e6
    with pytest.raises(CheckpointError, match=r"generator\.mapping\.w_avg does not fit"):
        Checkpoint(generator).save(tmp_path / "a.safetensors", dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_the_old_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.safetensors"
    Checkpoint(make_generator(1), meta={"name": "one"}).save(path)
    old = path.read_bytes()
    with path.open("rb") as reader:  # somebody who reads while we write sees the whole old file
        Checkpoint(make_generator(2), meta={"name": "two"}).save(path)
        assert reader.read() == old
    assert load(path).meta["name"] == "two"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = Checkpoint(make_generator(1), meta={"name": "one"}).save(tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="plain JSON"):
        Checkpoint(make_generator(2), meta={"name": object()}).save(path)
    with pytest.raises(CheckpointError, match="cannot write"):
        Checkpoint(make_generator(2)).save(path / "below a file")
    assert load(path).meta["name"] == "one"
    assert len(list(tmp_path.iterdir())) == 1


def test_loaded_weights_own_their_memory(tmp_path: Path) -> None:
    path = tiny_checkpoint().save(tmp_path / "a.safetensors")
    loaded = load(path)
    loaded.generator.mean.fill_(7)
    assert load(path).generator.mean[0] != 7
    assert loaded.expansion is not None
    assert loaded.expansion.mean[0] != 7


def metadata_of(part: str, **changes: Any) -> Any:
    def change(values: dict, metadata: dict) -> None:
        metadata[part] = json.dumps(json.loads(metadata[part]) | changes)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda values, _: values.pop("generator.mapping.w_avg"), "w_avg is missing"),
        (lambda values, _: values.update({"generator.extra": torch.zeros(1)}), "extra is unknown"),
        (lambda values, _: values.update({"encoder.extra": torch.zeros(1)}), "unknown tensor encoder"),
        (
            lambda values, _: values.update({"generator.mapping.w_avg": torch.zeros(3)}),
            r"must have shape \[7\], got \[3\]",
        ),
        (lambda values, _: values.pop("expansion.basis"), "expansion needs a basis"),
        (lambda values, _: values.update({"expansion.basis": torch.ones(7, 7)}), "orthonormal"),
        (lambda values, _: values.update({"expansion.basis": torch.eye(3)}), "basis must be 7 x 7"),
        (lambda _, metadata: metadata.update(version="99"), "format version 99"),
        (lambda _, metadata: metadata.pop("generator"), "lacks a JSON object 'generator'"),
        (lambda _, metadata: metadata.update(discriminator="[]"), "lacks a JSON object 'discriminator'"),
        (lambda _, metadata: metadata.update(meta="nonsense"), "lacks a JSON object 'meta'"),
        (lambda _, metadata: metadata.update(meta=f'{{"a": [{"[0]," * 100_000}0]}}'), "lacks a JSON object 'meta'"),
        (metadata_of("meta", name=["tiny"]), r"meta's name must be str, got \['tiny'\]"),
        (metadata_of("meta", name="x" * 1000), "meta's name must be str"),
        (metadata_of("meta", expanded_from=3), "meta's expanded_from must be str, got 3"),
        (metadata_of("generator", architecture="transformer"), "architecture must be"),
        (metadata_of("generator", w_dim=True), "w_dim must be int"),
        (metadata_of("generator", img_resolution=12), "power of two"),
        (metadata_of("generator", mapping_lr_multiplier=0), "learning-rate multiplier"),
        (metadata_of("generator", resample_filter=[1, -1]), "resampling filter"),
        (metadata_of("discriminator", mbstd_group_size=0), "minibatch statistics"),
        (metadata_of("expansion", dims=[6, 6]), "distinct"),
        (metadata_of("expansion", dims=[6, 7]), "must lie in"),
        (metadata_of("expansion", domains=["a"]), "as many domain names"),
        (metadata_of("expansion", distance=0), "positive"),
        (metadata_of("expansion", distance=float("nan")), "distance must be float"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(change: Any, reason: str, tmp_path: Path) -> None:
    path = tiny_checkpoint().save(tmp_path / "good.safetensors")
    with pytest.raises(CheckpointError, match=reason):
        load(altered(path, tmp_path / "bad.safetensors", change))
