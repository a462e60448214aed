"""Directions of the user's own: differences of edits, and vectors of other programs; their files.

A file is safetensors (ours, several directions with their names), or `.npy` as SeFa, GANSpace and InterFaceGAN write
one. Knows no page and no folder.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import load as load_safetensors
from safetensors.numpy import save as save_safetensors
from torch import Tensor

from explorer import latents
from explorer.edit import Edit, EditError
from explorer.foreign import brief, parse_json
from explorer.inversion.latents import read_npy
from explorer.inversion.settings import InversionError
from explorer.networks import Generator
from explorer.weights.container import is_native

if TYPE_CHECKING:
    from explorer.engine import Engine

FORMAT, VERSION = "domain-explorer-directions", "1"
MAX_BYTES = 2**26
MAX_HEADER = 2**20
MAX_COUNT = 64  # directions of one file
MAX_NAME = 60
LARGEST = 1e6  # of a number in a vector
RANGE = 1.5  # of a slider whose strength 1 is the whole difference
DEVIATIONS = 4.0  # of one whose strength 1 is a standard deviation of codes, like factors
LONGEST = 100.0  # of any slider
SAMPLES = 1024  # codes for that
EXPECTED = "expected a .safetensors file of this program's directions, or a .npy file of one direction"


@dataclass(frozen=True, eq=False)
class OwnDirection:
    """A direction by `name`: strength 1 adds `vector`, float32 `[rows, dim]`; its slider goes from `low` to `high`."""

    name: str
    vector: Tensor
    low: float = -RANGE
    high: float = RANGE


def checked_name(name: Any, taken: Sequence[str]) -> str:
    """What a direction of one's own may be called. Raises EditError."""
    text = " ".join(name.split()) if isinstance(name, str) else ""
    if not text or len(text) > MAX_NAME or not text.isprintable() or text.isdigit():
        raise EditError(f"a direction's name is 1 to {MAX_NAME} letters, and no number alone")
    if text.casefold() in {other.casefold() for other in taken}:
        raise EditError(f"there is a direction called “{text}” already: choose another name")
    return text


def difference(engine: Engine, edit: Edit, name: str) -> OwnDirection:
    """What the sliders of an edit add to its code, as one direction. Raises EditError where they add nothing."""
    vector = engine.ws(edit) - engine.ws(replace(edit, strengths={}, layers={}))
    return OwnDirection(name, _checked(vector.cpu(), engine.generator))


def read_directions(data: bytes, name: str, generator: Generator, most: int = MAX_COUNT) -> list[OwnDirection]:
    """The directions in a file's bytes for this generator, `most` of them; a `.npy` file's is called `name`.

    Raises EditError for anything that is no direction of it.
    """
    if not data or len(data) > MAX_BYTES:
        raise EditError(f"this file is {'too large' if data else 'empty'}; {EXPECTED}")
    if data.startswith(b"\x93NUMPY"):
        try:
            return [_of_array(read_npy(data), name, generator)]
        except InversionError as error:
            raise EditError(str(error)) from None
    if is_native(data[:16]):
        return _read_own(data, generator, most)
    raise EditError(f"this is no such file; {EXPECTED}")


def load_directions(path: str | Path, generator: Generator) -> list[OwnDirection]:
    """`read_directions` of a file; a `.npy` file's is called like the file. Raises EditError."""
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise EditError(f"{path.name} is too large; {EXPECTED}")
        return read_directions(path.read_bytes(), path.stem, generator)
    except OSError as error:
        raise EditError(f"{path} cannot be read ({error.strerror or error})") from None
    except EditError as error:
        raise EditError(f"{path.name}: {error}") from None


def write_directions(directions: Sequence[OwnDirection]) -> bytes:
    """The bytes of a safetensors file, which `read_directions` reads again."""
    told = [{"name": d.name, "low": d.low, "high": d.high} for d in directions]
    metadata = {"format": FORMAT, "version": VERSION, "directions": json.dumps(told)}
    return save_safetensors({str(number): d.vector.cpu().numpy() for number, d in enumerate(directions)}, metadata)


def _of_array(array: np.ndarray, name: str, generator: Generator) -> OwnDirection:
    """A vector `[dim]`, `[1, dim]` or `[rows, dim]` of any length: strength 1 is a standard deviation of codes."""
    rows, dim = generator.codes.rows, generator.codes.dim
    if array.dtype.kind not in "fiu" or array.shape not in ((dim,), (1, dim), (rows, dim)):
        raise EditError(
            f"a direction of this generator is [{dim}], [1, {dim}] or [{rows}, {dim}] numbers, got"
            f" {brief(str(array.dtype))} {brief(array.shape)}"
        )
    with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
        vector = _checked(torch.from_numpy(np.atleast_2d(array).astype(np.float32)), generator)
    lengths = vector.norm(dim=1, keepdim=True)
    along = vector / lengths.clamp_min(1e-12)
    with torch.inference_mode():
        w = latents.sample_codes(generator, SAMPLES)[:, 0].cpu()
    spread = (w @ along.t()).std(dim=0)[lengths[:, 0] > 0].mean()
    scale = spread / lengths.square().mean().sqrt()  # rows keep their part of it
    return OwnDirection(checked_name(name, ()), (vector * scale).clone(), -DEVIATIONS, DEVIATIONS)


def _read_own(data: bytes, generator: Generator, most: int) -> list[OwnDirection]:
    size = int.from_bytes(data[:8], "little")
    try:
        header = parse_json(data[8 : 8 + size]) if size <= min(MAX_HEADER, len(data) - 8) else None
        metadata = header.get("__metadata__") if isinstance(header, dict) else None
        if not isinstance(metadata, dict) or (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
            raise EditError(f"this safetensors file holds no directions of this program; {EXPECTED}")
        told, tensors = parse_json(metadata.get("directions", "")), load_safetensors(data)
    except EditError:
        raise
    except Exception:  # safetensors names no errors: SafetensorError, KeyError and others were seen
        raise EditError("this file of directions is damaged") from None
    count = len(told) if isinstance(told, list) else 0
    if not 1 <= count <= most or tensors.keys() != set(map(str, range(count))):
        raise EditError(f"a file of directions holds 1 to {most}, each with its name: this one is damaged")
    return [_own(entry, tensors[str(number)], generator) for number, entry in enumerate(told)]


def _own(entry: Any, array: np.ndarray, generator: Generator) -> OwnDirection:
    if not isinstance(entry, dict) or array.dtype.kind != "f":
        raise EditError("this file of directions is damaged")
    low, high = (end if isinstance(end, float) else math.nan for end in (entry.get("low"), entry.get("high")))
    if not -LONGEST <= low < high <= LONGEST:
        raise EditError(f"a direction's slider has two ends within {LONGEST:g}: this file is damaged")
    vector = _checked(torch.from_numpy(array.astype(np.float32)), generator)
    return OwnDirection(checked_name(entry.get("name"), ()), vector, low, high)


def _checked(vector: Tensor, generator: Generator) -> Tensor:  # [rows, dim]
    """The vector for every row. Raises EditError where it is not of this generator, not finite, or nothing."""
    rows, dim = generator.codes.rows, generator.codes.dim
    if tuple(vector.shape) not in ((1, dim), (rows, dim)):
        raise EditError(f"a direction of this generator is [{rows}, {dim}] numbers, got {brief(tuple(vector.shape))}")
    if not torch.isfinite(vector).all() or vector.abs().max() > LARGEST:
        raise EditError(f"a direction's numbers are finite and at most {LARGEST:g}")
    if not vector.any():
        raise EditError("this direction leads nowhere: all of its numbers are zero")
    return vector.expand(rows, dim).contiguous()
