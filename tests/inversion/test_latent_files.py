"""Codes go to files and come back; a file of another kind, and one that would run code, is refused in one sentence."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save as save_safetensors
from safetensors.torch import save as save_tensors

from explorer.edit import Latent
from explorer.inversion import InversionError
from explorer.inversion.latents import MAX_BYTES, load_latent, read_latent, write_latent

CODE = np.random.default_rng(0).standard_normal((6, 24)).astype(np.float32)


def npy(array: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    np.save(data, array, **options)
    return data.getvalue()


def pt(value: Any, **options: Any) -> bytes:
    data = io.BytesIO()
    torch.save(value, data, **options)
    return data.getvalue()


def npz(save: Callable = np.savez, **arrays: Any) -> bytes:
    data = io.BytesIO()
    save(data, **arrays)
    return data.getvalue()


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("shape", [(24,), (6, 24)])
def test_our_file_brings_back_the_very_code(shape: tuple[int, ...], tmp_path: Path) -> None:
    latent = Latent.of(CODE[tuple(slice(n) for n in shape)] if len(shape) == 2 else CODE[0])
    (tmp_path / "code.safetensors").write_bytes(write_latent(latent))
    assert load_latent(tmp_path / "code.safetensors") == latent


@pytest.mark.parametrize(
    "data",
    [
        npy(CODE),
        npy(CODE[None]),
        npy(CODE.astype(np.float64)),
        save_safetensors({"anything": CODE}),
        save_safetensors({"w": CODE, "noise": np.zeros(3, np.float32)}),
        pt(torch.from_numpy(CODE)),
        pt({"latent": torch.from_numpy(CODE)[None], "seed": 3}),
        pt({"latent": torch.from_numpy(CODE)}, _use_new_zipfile_serialization=False),
        pt({"latent": CODE, "path": Path("/data")}),
        pickle.dumps(CODE, protocol=2),
        pickle.dumps(CODE.astype(">f4"), protocol=5),
        npz(w=CODE[None]),
        npz(projected_w=CODE, target=np.zeros((4, 4, 3), np.uint8)),
        npz(np.savez_compressed, w=CODE),
    ],
)
def test_codes_of_other_programs_are_read(data: bytes) -> None:
    assert read_latent(data) == Latent.of(CODE)


def test_files_that_would_run_code_are_refused_and_nothing_runs(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "touched")
    arrays = npy(np.array([trap], dtype=object), allow_pickle=True)
    for data in (pickle.dumps(trap), pt({"latent": trap}), pt([trap], _use_new_zipfile_serialization=False), arrays):
        with pytest.raises(InversionError, match=r"code|objects|damaged"):
            read_latent(data)
    assert not trap.path.exists()


def bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(0))
        archive.writestr("archive/data/0", bytes(2**26))
    return data.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "empty"),
        (b"just text", "expected"),
        (npy(CODE)[:100], "damaged"),
        (npy(CODE)[:-100], "more numbers"),
        (npy(CODE).replace(b"(6, 24)", b"(9, 24)"), "more numbers"),
        (npy(np.array(["cat"])), "holds"),
        (npy(np.full(24, np.nan, np.float32)), "finite"),
        (npy(np.zeros((2, 3, 4))), "latent is"),
        (npy(np.zeros(0)), "holds"),
        (write_latent(Latent.of(CODE))[:-8], "damaged"),
        (save_safetensors({"a": CODE, "b": CODE}), "2 entries"),
        (pt(torch.from_numpy(CODE))[:-40], "damaged"),
        (pt({"latent": "text"}), "'text'"),
        (bomb(), "compressed"),
        (npz(np.savez_compressed, w=np.zeros(2**23, np.float32)), "expands"),
        (npz(w=np.array(["cat"])), "no numbers"),
        (npz(w=np.array([{}])), "objects"),
        (npz(a=CODE, b=CODE), "2 entries"),
        (npz(w=CODE)[:-30], "damaged"),
        (save_tensors({"latent": torch.zeros(24, dtype=torch.complex64)}), "complex64"),
        (save_tensors({"latent": torch.zeros(24, dtype=torch.float8_e4m3fn)}), "float8"),
        (pt({"latent": torch.zeros(2**20 + 1, dtype=torch.int8)}), "far more than a code"),
        (save_safetensors({"latent": np.zeros(2**20 + 1, np.int8)}), "far more than a code"),
        (b"\x80\x04" + b"}X\x01\0\0\0a" * 50_000 + b"N" + b"s" * 50_000 + b".", "a dict"),
        (struct.pack("<Q", 2**20 + 1) + b"{" + bytes(2**21), "header"),
        (npy(CODE).replace(b"(6, 24)", b"(6,-24)"), "no numbers"),
        (npy(CODE).replace(b"(6, 24)", b"[[[[[[["), "damaged"),
        (pt(torch.full((24,), 1e300, dtype=torch.float64)), "finite"),
        (npy(np.full(24, 1e300)), "finite"),
    ],
)
def test_what_is_no_code_is_refused_in_one_sentence(data: bytes, word: str) -> None:
    with pytest.raises(InversionError, match=word) as caught:
        read_latent(data, "code.pt")
    assert str(caught.value).startswith("code.pt: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InversionError, match=r"code\.npy"):
        load_latent(tmp_path / "code.npy")


def test_a_file_larger_than_any_code_is_not_even_looked_at(tmp_path: Path) -> None:
    padded = write_latent(Latent.of(CODE)).ljust(MAX_BYTES + 1)
    with pytest.raises(InversionError, match="too large"):
        read_latent(padded)
    with (tmp_path / "code.npy").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(InversionError, match=r"code\.npy is too large"):
        load_latent(tmp_path / "code.npy")
