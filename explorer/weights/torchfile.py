"""What `torch.save` writes, in both of its layouts: a pickle of the structure, and the tensors' bytes beside it.

The zip layout (since torch 1.6) keeps each storage as an uncompressed member; the older layout is a row of pickles
followed by raw bytes, and is also what NVIDIA's pickles embed for every tensor. Both only wire the interpreter of
`explorer.weights.unpickler` to bytes; they know no networks.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from explorer.weights.checkpoint import CheckpointError
from explorer.weights.storage import DTYPES, Allowance, Storage
from explorer.weights.unpickler import Budget, Global, Rules, Stream, read_pickle, stream_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_STRUCTURE = 2**26  # bytes of the pickle that only describes; real ones have some hundred kilobytes


def read_stream(file: BinaryIO, size: int) -> Any:
    """The object in a pickle file, be it plain (NVIDIA's) or `torch.save`'s older layout; types as `read_pickle`'s."""
    budget, allowance = Budget(), Allowance(size)
    stream = Stream(file, size)
    rules = Rules(budget, nested=lambda payload: _read_nested(payload, budget, allowance))
    value = read_pickle(stream, rules)
    return _read_legacy(stream, budget, allowance) if value == LEGACY_MAGIC else value


class Archive:
    """An open zip file, closed by `with`; every way it can be damaged is a CheckpointError."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        with _zip_errors():
            self.file = zipfile.ZipFile(path)
        self.members = {info.filename: info for info in self.file.infolist()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, name: str, start: int = 0, stop: int | None = None) -> bytes:
        """Bytes of a member, which is read to its end, because only then is its checksum compared."""
        with _zip_errors():
            return self.file.read(name)[start:stop]


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    # zipfile says so little of what it raises on damaged directories that these were collected by damaging files.
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"its zip archive is damaged ({str(error)[:100]}): download it again") from None


def read_zip(archive: Archive) -> Any:
    """The object in `torch.save`'s zip layout. `archive` must stay open while its tensors are read."""
    roots = [name for name in archive.members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(roots) != 1:
        raise CheckpointError("this zip archive was not written by torch.save (it has no data.pkl)")
    root = roots[0].removesuffix("data.pkl")
    for info in archive.members.values():  # torch never compresses, and members that expand make archives bombs
        if info.compress_type != zipfile.ZIP_STORED or not info.file_size == info.compress_size <= archive.size:
            raise CheckpointError("this zip archive holds compressed or oversized members, unlike torch.save's")
    if f"{root}byteorder" in archive.members and archive.read(f"{root}byteorder") != b"little":
        raise CheckpointError("this file was written on a big-endian machine; only little-endian ones are read")
    if archive.members[roots[0]].file_size > MAX_STRUCTURE:
        raise CheckpointError("its data.pkl is far larger than a description of tensors: it is damaged or hostile")
    allowance = Allowance(archive.size)

    def storage(identity: tuple[Any, ...]) -> Storage:
        dtype, key, numel = _identity(identity)
        name = f"{root}data/{key}"
        held = archive.members[name].file_size if name in archive.members else 0
        found = Storage(dtype, numel, allowance, partial(archive.read, name))
        if held != found.nbytes:
            raise CheckpointError(f"storage {key[:20]} announces {found.nbytes:,} bytes, the archive holds {held:,}")
        return found

    return read_pickle(stream_of(archive.read(roots[0])), Rules(storage=storage))


def _read_nested(payload: bytes, budget: Budget, allowance: Allowance) -> Any:
    stream = stream_of(payload)
    if read_pickle(stream, Rules(budget)) != LEGACY_MAGIC:
        raise CheckpointError("a tensor inside it is no torch file: it is damaged or hostile")
    return _read_legacy(stream, budget, allowance)


def _read_legacy(stream: Stream, budget: Budget, allowance: Allowance) -> Any:
    """The older layout after its magic number: protocol, system, object, storage keys, then count and bytes of each."""
    storages: dict[str, Storage] = {}

    def storage(identity: tuple[Any, ...]) -> Storage:
        dtype, key, numel = _identity(identity)
        return storages.setdefault(key, Storage(dtype, numel, allowance))

    if read_pickle(stream, Rules(budget)) != LEGACY_PROTOCOL:
        raise CheckpointError("it was written by an unknown version of torch.save")
    read_pickle(stream, Rules(budget))  # sizes of C types on the writer's machine
    value = read_pickle(stream, Rules(budget, storage=storage))
    keys = read_pickle(stream, Rules(budget))
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys():
        raise CheckpointError("its list of storages does not fit its tensors: it is damaged")
    for key in keys:
        found = storages[key]
        if int.from_bytes(stream.read(8), "little") != found.numel:
            raise CheckpointError("a storage's length does not fit its tensors: the file is damaged")
        found.read = partial(_slice, memoryview(stream.read(found.nbytes)))
    return value


def _slice(data: memoryview, start: int, stop: int) -> bytes:
    return bytes(data[start:stop])


def _identity(identity: tuple[Any, ...]) -> tuple[Any, str, int]:
    """(dtype, key, elements) of ("storage", type, key, device, elements[, view])."""
    kind, storage_type, key, _, numel, *view = identity
    name = storage_type.name.removeprefix("torch.") if isinstance(storage_type, Global) else ""
    if kind != "storage" or name not in DTYPES or not isinstance(key, str) or view not in ([], [None]):
        raise CheckpointError("a tensor's storage is of an unknown kind: save the file with torch.save once more")
    return DTYPES[name], key, numel
