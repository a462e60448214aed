"""Files that hold one code: `.safetensors` (ours), `.npy`, `.npz` and `.pt` of other programs, known by their content.

Nothing in a file is run: pickles are read by the reader of checkpoints, which builds data only. Knows no generator:
whether a code fits one is for the engine to say.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_safetensors
from safetensors.torch import load as load_safetensors

from explorer.edit import EditError, Latent
from explorer.foreign import brief
from explorer.inversion.settings import InversionError
from explorer.weights import CheckpointError, UnsafeCheckpointError
from explorer.weights.container import is_native
from explorer.weights.storage import DTYPES, StoredTensor
from explorer.weights.torchfile import Archive, read_stream, read_zip

MAX_BYTES = 2**24
MAX_HEADER = 2**20  # of a safetensors file
MAX_NUMBERS = 2**20
MAX_DEPTH = 3  # dictionaries in dictionaries
NAMES = ("latent", "w", "ws", "latent_code", "projected_w")  # of the entry that is the code, in files with several
EXPECTED = "expected a .safetensors, .npy, .npz or .pt file with one code, (dim,) or (rows, dim)"


def read_latent(data: bytes, name: str = "") -> Latent:
    """The code in a file's bytes; `name` only stands in messages. A leading batch of 1 is dropped.

    Raises InversionError for anything else than one finite code.
    """
    where = f"{name[:100]}: " if name else ""
    if not data or len(data) > MAX_BYTES:
        raise InversionError(f"{where}this file is {'too large' if data else 'empty'}; {EXPECTED}")
    try:
        code = _parse(data)
        while code.ndim > 1 and code.shape[0] == 1:
            code = code[0]
        if code.dtype.kind not in "fiu" or not 0 < code.size <= MAX_NUMBERS:
            raise InversionError(f"it holds {brief(str(code.dtype))} {brief(code.shape)}; {EXPECTED}")
        return Latent.of(code)
    except (InversionError, EditError) as error:
        raise InversionError(f"{where}{error}") from None


def write_latent(latent: Latent) -> bytes:
    """The bytes of a `.safetensors` file with the code as the tensor "latent", float32."""
    return save_safetensors({"latent": latent.numpy()}, {"format": "domain-explorer-latent", "version": "1"})


def load_latent(path: str | Path) -> Latent:
    """`read_latent` of a file. Raises InversionError, also where it cannot be opened."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InversionError(f"{path.name} is too large; {EXPECTED}")
        return read_latent(path.read_bytes(), path.name)
    except OSError as error:
        raise InversionError(f"{path} cannot be read ({error.strerror or error})") from None


def _parse(data: bytes) -> np.ndarray:
    try:
        if data.startswith(b"\x93NUMPY"):
            return read_npy(data)
        if is_native(data[:16]):
            return _only(_read_safetensors(data))
        if data.startswith(b"PK\x03\x04"):
            with Archive(io.BytesIO(data), len(data)) as archive:
                return _only(_read_npz(archive) if _is_npz(archive) else read_zip(archive))
        if data.startswith(b"\x80"):
            return _only(read_stream(io.BytesIO(data), len(data)))
    except UnsafeCheckpointError:
        raise InversionError("it asks to run code, nothing was run: save the code itself, as a tensor") from None
    except CheckpointError as error:
        raise InversionError(f"it is damaged ({brief(error, 200)})") from None
    raise InversionError(f"this is no such file; {EXPECTED}")


def _read_safetensors(data: bytes) -> dict[str, torch.Tensor]:
    if int.from_bytes(data[:8], "little") > MAX_HEADER:
        raise InversionError(f"its header is far too long for one code; {EXPECTED}")
    try:
        return load_safetensors(data)
    except Exception as error:  # it names no errors: SafetensorError, KeyError and others were seen
        raise InversionError(f"it is damaged ({brief(error)})") from None


def _is_npz(archive: Archive) -> bool:
    return bool(archive.members) and all(name.endswith(".npy") for name in archive.members)


def _read_npz(archive: Archive) -> dict[str, np.ndarray]:
    members = archive.members.values()
    if sum(member.file_size for member in members) > MAX_BYTES:
        raise InversionError("it expands to far more than one code: it is damaged or hostile")
    if any(member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for member in members):
        raise InversionError("it is compressed in an unknown way: it is damaged")
    return {name.removesuffix(".npy"): read_npy(archive.read(name)) for name in archive.members}


def read_npy(data: bytes) -> np.ndarray:
    """The array of a `.npy` file; never a pickled one. Raises InversionError."""
    stream = io.BytesIO(data)
    try:
        with warnings.catch_warnings(action="ignore"):  # of files that Python 2 wrote
            version = np.lib.format.read_magic(stream)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
            shape, fortran, dtype = header(stream)
    except Exception:  # numpy reads the header as Python's source, which has many names for damage
        raise InversionError("its array is damaged") from None
    if dtype.hasobject:
        raise InversionError("it holds Python objects, which are not opened: save plain numbers")
    if dtype.kind not in "biuf" or min(shape, default=0) < 0 or len(shape) > 8:
        raise InversionError(f"it holds {brief(str(dtype))} {brief(shape)}, no numbers; {EXPECTED}")
    if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():
        raise InversionError("it announces more numbers than it has: it is damaged")
    numbers = np.frombuffer(data, dtype, math.prod(shape), stream.tell())
    return numbers.reshape(shape, order="F" if fortran else "C")


def _only(content: Any) -> np.ndarray:
    """The one array of what was parsed: itself, or a dictionary's entry of a known name or its only one."""
    for _ in range(MAX_DEPTH):
        if not isinstance(content, Mapping):
            break
        named = [content[name] for name in NAMES if name in content] or list(content.values())
        if len(named) != 1:
            raise InversionError(f"it holds {len(named):,} entries and none is called latent; {EXPECTED}")
        content = named[0]
    if isinstance(content, (torch.Tensor, StoredTensor)):
        if math.prod(content.shape) > MAX_NUMBERS:
            raise InversionError(f"it holds {brief(tuple(content.shape))} numbers, far more than a code; {EXPECTED}")
        tensor = content.read() if isinstance(content, StoredTensor) else content
        if tensor.dtype not in DTYPES.values():
            raise InversionError(f"it holds numbers of the kind {tensor.dtype}; {EXPECTED}")
        return tensor.to(torch.float32).numpy()
    if isinstance(content, np.ndarray):
        return content
    raise InversionError(f"it holds no array but {brief(content)}; {EXPECTED}")
