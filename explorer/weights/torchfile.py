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
from typing import Any, BinaryIO

from explorer.foreign import brief
from explorer.weights.builders import Global, Rules, expect
from explorer.weights.checkpoint import CheckpointError
from explorer.weights.storage import DTYPES, Allowance, Storage
from explorer.weights.unpickler import Stream, read_pickle, stream_of

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MAX_STRUCTURE = 2**26  # bytes of the pickle that only describes; real ones have some hundred kilobytes


def read_stream(file: BinaryIO, size: int) -> Any:
    """The object in a pickle file, be it plain (NVIDIA's) or `torch.save`'s older layout; types as `read_pickle`'s."""
    allowance = Allowance(size)
    stream = Stream(file, size)
    value = read_pickle(stream, Rules(allowance, nested=lambda payload: _read_nested(payload, allowance)))
    return _read_legacy(stream, allowance) if _is(LEGACY_MAGIC, value) else value


class Archive:
    """A zip file, closed by `with`; every way it can be damaged is a CheckpointError."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size = size
        with _zip_errors():
            self.file = zipfile.ZipFile(file)
        self.members = {info.filename: info for info in self.file.infolist()}

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def read(self, name: str) -> bytes:
        """A whole member: only then is its checksum compared."""
        with _zip_errors():
            return self.file.read(name)


@contextmanager
def _zip_errors() -> Iterator[None]:
    try:
        yield
    # zipfile says so little of what it raises on damaged directories that these were collected by damaging files.
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, OverflowError, struct.error) as error:
        raise CheckpointError(f"its zip archive is damaged ({brief(error)}): download it again") from None


def read_zip(archive: Archive) -> Any:
    """The object in `torch.save`'s zip layout. `archive` must stay open while its tensors are read."""
    roots = [name for name in archive.members if name.endswith("/data.pkl") or name == "data.pkl"]
    if len(roots) != 1:
        raise CheckpointError("this zip archive was not written by torch.save (it has no data.pkl)")
    root = roots[0].removesuffix("data.pkl")
    for info in archive.members.values():  # torch never compresses, and members that expand make archives bombs
        if info.compress_type != zipfile.ZIP_STORED or not info.file_size == info.compress_size <= archive.size:
            raise CheckpointError(
                "this zip archive holds compressed or oversized members, unlike torch.save's:"
                " if you packed its folder yourself, pack it without compression"
            )
    order = archive.members.get(f"{root}byteorder")
    if order is not None and (order.file_size > 16 or archive.read(order.filename) != b"little"):
        raise CheckpointError("this file was written on a big-endian machine; only little-endian ones are read")
    if archive.members[roots[0]].file_size > MAX_STRUCTURE:
        raise CheckpointError("its data.pkl is far larger than a description of tensors: it is damaged or hostile")
    storages = Storages(Allowance(archive.size))

    def storage(identity: tuple[Any, ...]) -> Storage:
        entry, key = storages.of(identity)
        name = f"{root}data/{key}"
        size = archive.members[name].file_size if name in archive.members else 0
        if size != entry.nbytes:
            raise CheckpointError(
                f"storage {brief(key)} announces {entry.nbytes:,} bytes, the archive holds {size:,} of it"
            )
        entry.read = partial(archive.read, name)
        return entry

    return read_pickle(stream_of(archive.read(roots[0])), Rules(storages.allowance, storage))


class Storages:
    """The storages of one file by their keys, each of them once."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.by_key: dict[str, Storage] = {}

    def of(self, identity: tuple[Any, ...]) -> tuple[Storage, str]:
        """The storage and its key, of ("storage", type, key, device, elements[, view])."""
        dtype, key, numel = _identity(identity)
        storage = self.by_key.setdefault(key, Storage(dtype, numel, self.allowance))
        if (storage.dtype, storage.numel) != (dtype, numel):
            raise CheckpointError(f"storage {brief(key)} is of two kinds at once: the file is damaged")
        return storage, key


def _read_nested(payload: bytes, allowance: Allowance) -> Any:
    allowance.copy(len(payload))
    stream = stream_of(payload)
    if not _is(LEGACY_MAGIC, read_pickle(stream, Rules(allowance))):
        raise CheckpointError("a tensor inside it is no torch file: it is damaged or hostile")
    return _read_legacy(stream, allowance)


def _read_legacy(stream: Stream, allowance: Allowance) -> Any:
    """The older layout after its magic number: protocol, system, object, storage keys, then count and bytes of each."""
    storages = Storages(allowance)
    if not _is(LEGACY_PROTOCOL, read_pickle(stream, Rules(allowance))):
        raise CheckpointError("it was written by an unknown version of torch.save")
    read_pickle(stream, Rules(allowance))  # sizes of C types on the writer's machine
    value = read_pickle(stream, Rules(allowance, lambda identity: _class_of(identity) or storages.of(identity)[0]))
    keys = read_pickle(stream, Rules(allowance))
    plain = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not plain or len(keys) != len(storages.by_key) or set(keys) != storages.by_key.keys():
        raise CheckpointError("its list of storages does not fit its tensors: it is damaged")
    for key in keys:
        storage = storages.by_key[key]
        if int.from_bytes(stream.read(8), "little") != storage.numel:
            raise CheckpointError("a storage's length does not fit its tensors: the file is damaged")
        data = stream.view(storage.nbytes)
        allowance.copy(len(data))
        storage.read = partial(memoryview, data)
    return value


def _class_of(identity: tuple[Any, ...]) -> Global | None:
    """The class in ("module", class, its file, its source), how the older layout writes classes of modules."""
    is_class = len(identity) == 4 and isinstance(identity[0], str) and identity[0] == "module"
    return expect(Global, identity[1]) if is_class else None


def _identity(identity: tuple[Any, ...]) -> tuple[Any, str, int]:
    """(dtype, key, elements) of ("storage", type, key, device, elements[, view])."""
    parts: tuple[Any, ...] = identity if 5 <= len(identity) <= 6 else (None,) * 5
    kind, storage_type, key, _, numel, *view = parts
    name = storage_type.name.removeprefix("torch.") if isinstance(storage_type, Global) else ""
    texts = isinstance(kind, str) and isinstance(key, str)
    if not texts or kind != "storage" or name not in DTYPES or any(part is not None for part in view):
        raise CheckpointError("a tensor's storage is of an unknown kind: save the file with torch.save once more")
    return DTYPES[name], key, numel


def _is(number: int, value: Any) -> bool:
    """Types first: what a file holds in a number's place may be anything."""
    return isinstance(value, int) and value == number
