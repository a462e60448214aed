"""Checkpoint files: the only code that reads or writes them. One importer a format; nothing in a file is ever run.

Bytes become a network in four steps: the container (safetensors, `torch.save`'s two layouts, a plain pickle), one table
of its tensors and settings by name (`contents`), the layout that those names are of (`layouts`), and the gate that
builds (`checkpoint`). So any known layout is read from any container, however deep it lies in there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from explorer.networks import Discriminator
from explorer.networks.diffae import Attributes, DiffAE
from explorer.shipped import DEFAULT
from explorer.weights import diffae, layouts, native, torchfile, unpickler
from explorer.weights.checkpoint import (
    Checkpoint,
    CheckpointError,
    MemoryShortageError,
    StoredDiscriminator,
    UnsafeCheckpointError,
    check_size,
)
from explorer.weights.container import is_native
from explorer.weights.contents import Contents, contents_of
from explorer.weights.download import resolve
from explorer.weights.layouts import EXPECTED
from explorer.weights.storage import Allowance

__all__ = ["DEFAULT", "Checkpoint", "CheckpointError", "MemoryShortageError", "UnsafeCheckpointError", "load"]


def load(source: str | Path, limit: int | None = None) -> Checkpoint:
    """Read a checkpoint from a path, an http(s) address or the name of a public one (`explorer.weights.download`).

    Returns float32 networks in eval mode. Raises UnsafeCheckpointError where the file asks to run code (nothing is run)
    and CheckpointError, with one sentence on what was expected, for every other file that is no checkpoint. So it does,
    before anything is built, for a generator that would take more than `limit` bytes of memory to be shown (None: more
    than this machine has).
    """
    path = resolve(source)
    with _named(path), _reading(path, limit) as checkpoint:
        pass
    if checkpoint.critic is not None:  # what was read is let go of with the file
        config = checkpoint.critic.config
        checkpoint = replace(checkpoint, critic=StoredDiscriminator(config, partial(_read_discriminator, path)))
    if isinstance(checkpoint.generator, DiffAE):
        checkpoint.generator.attributes = read_attributes
        checkpoint = _with_attributes(checkpoint, path)
    return replace(checkpoint, meta={"name": path.stem} | checkpoint.meta, path=path)


def _read_discriminator(path: Path) -> Discriminator:
    with _named(path), _reading(path, None) as checkpoint:
        if (critic := checkpoint.discriminator) is None:
            raise CheckpointError("its discriminator is gone: the file is another one by now")
        return critic


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors begin with the file's name."""
    try:
        yield
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path.name}: cannot be read ({error.strerror or error})") from None


def read_attributes(path: str | Path) -> Attributes:
    """The linear classifiers of a diffusion autoencoder's codes in a file. Raises CheckpointError where it has none."""
    path = Path(path)
    with _named(path), path.open("rb") as file, _contents(file, path.stat().st_size) as contents:
        return diffae.read_attributes(contents)


@contextmanager
def _reading(path: Path, limit: int | None) -> Iterator[Checkpoint]:
    """What the file holds; its discriminator can be read until it is closed."""
    if (path / "data.pkl").is_file():
        raise CheckpointError(unpickler.INSIDE)
    if not path.is_file():
        raise CheckpointError(f"this is no file; {EXPECTED}")
    with path.open("rb") as file:
        if is_native(file.read(16)):
            with native.reading(path, limit) as checkpoint:
                yield checkpoint
            return
        with _contents(file, path.stat().st_size) as contents:
            checkpoint = layouts.read(contents, limit)
            if isinstance(checkpoint.generator, DiffAE) and diffae.UNSURE in checkpoint.meta["source"]:
                checkpoint = _with_statistics(checkpoint, path)
            yield checkpoint


def _with_statistics(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """With the spread of codes, where the file that says it lies beside the checkpoint, as it is published."""
    for beside in (path.with_suffix(".latent.pkl"), path.with_name("latent.pkl")):
        if beside.is_file():
            with beside.open("rb") as file, _contents(file, beside.stat().st_size) as contents:
                return diffae.with_statistics(checkpoint, contents)
    return checkpoint


def _with_attributes(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """With the attributes of the classifiers that lie beside the checkpoint, as published: `NAME_cls/last.ckpt`."""
    folder = path.resolve().parent
    beside = (
        path.with_name(f"{path.stem}_cls.ckpt"),
        folder.with_name(f"{folder.name}_cls") / path.name,
        folder.with_name(f"{folder.name.removesuffix('_latent')}_cls") / path.name,
    )
    found = next((file for file in beside if file.is_file()), None)
    if checkpoint.attributes or found is None:
        return checkpoint
    attributes, width = read_attributes(found), checkpoint.generator.codes.dim
    if attributes.weight.shape[1] != width:
        raise CheckpointError(
            f"{found.name}: its classifiers are of codes of {attributes.weight.shape[1]} numbers, {path.name} has"
            f" {width}: take the file away"
        )
    return replace(checkpoint, attributes=dict(zip(attributes.names, attributes.directions(), strict=True)))


@contextmanager
def _contents(file: BinaryIO, size: int) -> Iterator[Contents]:
    """What a pickle or a file of `torch.save` holds, to be read while it is open."""
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if head.startswith(b"PK\x03\x04"):
        with torchfile.Archive(file, size) as archive:
            yield contents_of(torchfile.read_zip(archive), Allowance(size))
    elif head.startswith(b"\x80"):
        check_size(size)
        yield contents_of(torchfile.read_stream(file, size), Allowance(size))
    else:
        raise CheckpointError(f"{_guess(head)}; {EXPECTED}")


def _guess(head: bytes) -> str:
    if not head:
        return "the file is empty"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "this is a web page, not the download it announces"
    if head.startswith(b"version https://git-lfs"):
        return "this is a Git LFS pointer, not the file itself (fetch it with git lfs pull)"
    return "this is no checkpoint"
