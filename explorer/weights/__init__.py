"""Checkpoint files: the only code that reads or writes them. One importer a format; nothing in a file is ever run.

A file is recognised by what it holds, not by its name: native safetensors, NVIDIA's PyTorch pickles (StyleGAN2-ADA,
StyleGAN3, StyleGAN-XL), domain-expanded pickles, and rosinality's `.pt`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from explorer.shipped import DEFAULT
from explorer.weights import native, nvidia, rosinality, torchfile, unpickler
from explorer.weights.checkpoint import Checkpoint, CheckpointError, UnsafeCheckpointError
from explorer.weights.container import is_native
from explorer.weights.download import resolve

__all__ = ["DEFAULT", "Checkpoint", "CheckpointError", "UnsafeCheckpointError", "load"]

EXPECTED = "expected a safetensors file of this program, a StyleGAN2 or 3 pickle of NVIDIA's or a rosinality .pt"


def load(source: str | Path, limit: int | None = None) -> Checkpoint:
    """Read a checkpoint from a path, an http(s) address or the name of a public one (`explorer.weights.download`).

    Returns float32 networks in eval mode. Raises UnsafeCheckpointError where the file asks to run code (nothing is run)
    and CheckpointError, with one sentence on what was expected, for every other file that is no checkpoint. So it does,
    before anything is built, for a generator that would take more than `limit` bytes of memory to be shown (None: more
    than this machine has).
    """
    path = resolve(source)
    try:
        checkpoint = _read(path, limit)
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be read ({error.strerror or error})") from None
    return replace(checkpoint, meta={"name": path.stem} | checkpoint.meta, path=path)


def _read(path: Path, limit: int | None) -> Checkpoint:
    if (path / "data.pkl").is_file():
        raise CheckpointError(unpickler.INSIDE)
    if not path.is_file():
        raise CheckpointError(f"this is no file; {EXPECTED}")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        if is_native(head):
            return native.read(path, limit)
        if head.startswith(b"PK\x03\x04"):
            with torchfile.Archive(file, size) as archive:
                return _import(torchfile.read_zip(archive), limit)
        if head.startswith(b"\x80"):
            return _import(torchfile.read_stream(file, size), limit)
    raise CheckpointError(f"{_guess(head)}; {EXPECTED}")


def _import(data: Any, limit: int | None) -> Checkpoint:
    if nvidia.is_nvidia(data):
        return nvidia.read(data, limit)
    if rosinality.is_rosinality(data):
        return rosinality.read(data, limit)
    raise CheckpointError(f"it holds data but no known generator; {EXPECTED}")


def _guess(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "this is a web page, not the download it announces"
    if head.startswith(b"version https://git-lfs"):
        return "this is a Git LFS pointer, not the file itself (fetch it with git lfs pull)"
    return "this is no checkpoint"
