"""Files that hold one code: `.safetensors` (ours), `.npy`, and `.pt` of other programs, recognised by their content.

Nothing in a file is run: no pickled arrays, and torch files only as plain tensors. Knows no generator: whether a code
fits one is for the engine to say.
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors

from explorer.edit import EditError, Latent
from explorer.inversion.settings import InversionError
from explorer.weights.container import is_native

MAX_BYTES = 2**24
MAX_NUMBERS = 2**20
NAMES = ("latent", "w", "ws", "latent_code", "projected_w")  # of the entry that is the code, in files with several
EXPECTED = "expected a .safetensors, .npy or .pt file with one code, (dim,) or (rows, dim)"


def read_latent(data: bytes, name: str = "") -> Latent:
    """The code in a file's bytes; `name` only stands in messages. A leading batch of 1 is dropped.

    Raises InversionError for anything else than one finite code.
    """
    where = f"{name[:100]}: " if name else ""
    if not data or len(data) > MAX_BYTES:
        raise InversionError(f"{where}this file is {'too large' if data else 'empty'}; {EXPECTED}")
    try:
        found = _only(_parse(data))
        while found.ndim > 2 and found.shape[0] == 1:
            found = found[0]
        if found.ndim == 2 and found.shape[0] == 1:
            found = found[0]
        if found.dtype.kind not in "fiu" or not 0 < found.size <= MAX_NUMBERS:
            raise InversionError(f"it holds {found.dtype} {list(found.shape)}; {EXPECTED}")
        return Latent.of(found)
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


def _parse(data: bytes) -> Any:
    if data.startswith(b"\x93NUMPY"):
        return read_npy(data)
    try:
        if is_native(data[:16]):
            return load_safetensors(data)
        if data.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:  # torch itself never compresses
                if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                    raise InversionError("it expands to far more than one code: it is damaged or hostile")
        if data.startswith((b"PK\x03\x04", b"\x80")):
            with warnings.catch_warnings(action="ignore"):  # of pickle protocols
                return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except InversionError:
        raise
    except pickle.UnpicklingError:
        raise InversionError("it asks to run code, nothing was run: save the code itself, as a tensor") from None
    except (
        SafetensorError,
        RuntimeError,
        ValueError,
        KeyError,
        EOFError,
        OSError,
        TypeError,
        zipfile.BadZipFile,
    ) as error:
        raise InversionError(
            f"it is damaged ({str(error).splitlines()[0][:100] if str(error) else 'no end'})"
        ) from None
    raise InversionError(f"this is no such file; {EXPECTED}")


def read_npy(data: bytes) -> np.ndarray:
    """The array of a `.npy` file; never a pickled one. Raises InversionError."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = header(stream)
        if dtype.hasobject:
            raise InversionError("it holds Python objects, which are not opened: save plain numbers")
        if math.prod(shape) * dtype.itemsize > len(data) - stream.tell():  # before memory is set aside for a claim
            raise InversionError("it announces more numbers than it has: it is damaged")
        stream.seek(0)
        return np.load(stream, allow_pickle=False)
    except InversionError:
        raise
    except (ValueError, KeyError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError):
        raise InversionError("its array is damaged") from None


def _only(found: Any) -> np.ndarray:
    """The one array of what was parsed: itself, or a dictionary's entry of a known name or its only one."""
    if isinstance(found, Mapping):
        named = [found[name] for name in NAMES if name in found] or list(found.values())
        if len(named) != 1:
            raise InversionError(f"it holds {len(named)} entries and none is called latent; {EXPECTED}")
        return _only(named[0])
    if isinstance(found, torch.Tensor):
        if found.is_sparse or found.is_quantized or found.numel() > MAX_NUMBERS:
            raise InversionError(f"it holds no plain tensor of a code's size; {EXPECTED}")
        return found.detach().to("cpu", torch.float32).numpy()
    if isinstance(found, np.ndarray):
        return found
    raise InversionError(f"it holds no array but {type(found).__name__}; {EXPECTED}")
