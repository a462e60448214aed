"""Any damage to a file either leaves a checkpoint of finite numbers or raises CheckpointError; never anything else."""

from __future__ import annotations

import functools
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from hostile import dump
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import FIXTURES, tiny_checkpoint, tiny_network, tiny_rosinality

from explorer.weights import Checkpoint, CheckpointError, load, torchfile

FORMATS = ("native", "nvidia", "expanded", "rosinality", "legacy", "tensorflow")
damage = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        native = tiny_checkpoint().save(Path(folder) / "tiny.safetensors").read_bytes()
    return {
        "native": native,
        "nvidia": dump({"G_ema": tiny_network(), "expansion_cfg": {"tasks": [1, 2.5, None, True, ("a", [])]}}),
        "expanded": (FIXTURES / "expanded32.pkl").read_bytes(),
        "rosinality": tiny_rosinality(),
        "legacy": tiny_rosinality(_use_new_zipfile_serialization=False),
        "tensorflow": (FIXTURES / "tf_v4_uncond16.pkl").read_bytes(),
    }


def outcome(path: Path, data: bytes) -> Checkpoint | None:
    """The checkpoint, or None where it is refused; any other exception is the test's failure."""
    path.write_bytes(data)
    try:
        return load(path)
    except CheckpointError as error:
        message = str(error)
    assert path.name in message
    assert len(message) < 1000
    return None


def finite(checkpoint: Checkpoint) -> bool:
    return all(torch.isfinite(value).all() for value in checkpoint.generator.state_dict().values())


@pytest.mark.parametrize("kind", FORMATS)
def test_the_undamaged_file_loads(kind: str, tmp_path: Path) -> None:
    assert outcome(tmp_path / "whole", files()[kind]) is not None


@pytest.mark.parametrize("kind", FORMATS)
@damage
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file_is_refused(kind: str, tmp_path: Path, share: float) -> None:
    data = files()[kind]
    assert outcome(tmp_path / "truncated", data[: int(share * len(data))]) is None


@pytest.mark.parametrize("kind", FORMATS)
@damage
@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=8))
def test_flipped_bytes_give_finite_weights_or_are_refused(
    kind: str, tmp_path: Path, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(files()[kind])
    for share, mask in flips:
        data[int(share * len(data))] ^= mask
    checkpoint = outcome(tmp_path / "flipped", bytes(data))
    assert checkpoint is None or finite(checkpoint)


@damage
@given(data=st.binary(max_size=200))
def test_random_opcodes_are_refused(data: bytes, tmp_path: Path) -> None:
    assert outcome(tmp_path / "random", b"\x80\x04" + data) is None


def test_the_values_of_a_tensor_alone_in_its_storage_are_not_kept(tmp_path: Path) -> None:
    """Reading a file takes its size once; tensors that share a storage share what was read of it."""
    alone, shared = torch.randn(5, 7), torch.randn(12)
    torch.save(
        {"alone": alone, "a": shared[:6].view(2, 3), "b": shared, "turned": alone.clone().t()}, tmp_path / "a.pt"
    )
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        members = [name for name in archive.namelist() if "/data/" in name]
    assert len(members) == 3
    file = (tmp_path / "a.pt").open("rb")
    with torchfile.Archive(file, (tmp_path / "a.pt").stat().st_size) as archive:
        found = torchfile.read_zip(archive)
        for name, expected in {"alone": alone, "a": shared[:6].view(2, 3), "b": shared, "turned": alone.t()}.items():
            assert torch.equal(found[name].read(), expected)
            kept = "values" in vars(found[name].storage)
            assert kept == (name in ("a", "b"))
            assert torch.equal(found[name].read(), expected)
    file.close()
