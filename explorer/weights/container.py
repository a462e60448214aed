"""What our own files share: safetensors (tensors only, no code) with JSON texts as metadata, written in one step.

Each kind of file says in `format` and `version` what it is. Everything read from one is a claim: settings are checked
before anything is built from them. Knows no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from explorer.foreign import brief, parse_json
from explorer.replacing import replacing
from explorer.weights.checkpoint import CheckpointError, Entry

MAX_HEADER = 2**24
MAX_TENSORS = 20_000
MAX_NAME = 200  # letters of a tensor's name
NUMBERS = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")  # kinds of numbers that networks have


def is_native(head: bytes) -> bool:
    """Whether a file that starts with `head` is a safetensors file: the length of its header, then JSON."""
    return head[4:9] == b"\0\0\0\0{"


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, Entry], dict[str, str]]]:
    """The tensors, to be read while the file is open, and the metadata. Raises CheckpointError for a damaged file."""
    with path.open("rb") as file:
        head = file.read(16)
    header = int.from_bytes(head[:8], "little")
    if not is_native(head):
        raise CheckpointError("this is no native file (safetensors)")
    if header > min(MAX_HEADER, path.stat().st_size - 8):
        raise CheckpointError(f"its header announces {header:,} bytes, more than there are: get it again")
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            if len(names) > MAX_TENSORS:
                raise CheckpointError(f"it holds {len(names):,} tensors, at most {MAX_TENSORS:,} are read")
            if odd := [name for name in names if len(name) > MAX_NAME or not name.isprintable()]:
                raise CheckpointError(f"{brief(odd[0])} is no tensor's name: the file is damaged")
            yield {name: _entry(file, name) for name in names}, file.metadata() or {}
    except SafetensorError as error:
        raise CheckpointError(f"its safetensors structure is damaged ({brief(error)}): get it again") from None


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> Path:
    """Beside the target first, then in its place in one step. Raises CheckpointError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path, sync=True) as temporary:
            save_file(dict(tensors), temporary, dict(metadata))
            temporary.chmod(0o644)  # safetensors' files are for their owner only
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}") from None
    return path


def _entry(file: Any, name: str) -> Entry:
    part = file.get_slice(name)
    if part.get_dtype() not in NUMBERS:
        raise CheckpointError(f"{name[:100]} holds numbers of the kind {brief(part.get_dtype())}, which are not read")
    return Entry(tuple(part.get_shape()), lambda: file.get_tensor(name))


def stored(name: str, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """A copy of `value` to be written as `dtype`. Raises CheckpointError where it does not fit that type."""
    stored = value.detach().to("cpu", dtype).contiguous().clone()
    if not torch.isfinite(stored).all():
        raise CheckpointError(f"{name} does not fit {dtype}: save it in float32")
    return stored


def to_json(value: Any) -> str:
    """Metadata as text. Raises CheckpointError for what JSON does not hold."""
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"meta must be plain JSON data: {error}") from None


def json_object(metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    """The JSON object stored under `key`. Raises CheckpointError where there is none."""
    try:
        value = parse_json(metadata.get(key, ""))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise CheckpointError(f"its metadata lacks a JSON object {key!r}: it is damaged or of another program")
    return value


# How a field's annotation reads in JSON; configurations are claims of the file, checked before anything is built.
KINDS: dict[str, Any] = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**31,
    "float": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9,
    "bool": lambda v: isinstance(v, bool),
    "Architecture": lambda v: isinstance(v, str) and v in ("skip", "orig", "resnet"),
    "Prediction": lambda v: isinstance(v, str) and v in ("eps", "v"),
    "str": lambda v: isinstance(v, str) and 0 < len(v) < 1000,
    "int | None": lambda v: v is None or KINDS["int"](v),
    "float | None": lambda v: v is None or KINDS["float"](v),
    "tuple[int, ...]": lambda v: isinstance(v, list) and len(v) <= 10_000 and all(map(KINDS["int"], v)),
    "tuple[float, ...]": lambda v: isinstance(v, list) and 0 < len(v) <= 64 and all(map(KINDS["float"], v)),
    "tuple[str, ...]": lambda v: isinstance(v, list) and len(v) <= 10_000 and all(map(KINDS["str"], v)),
}


def checked(kind: str, name: str, value: Any) -> Any:
    """`value`, if it is of this one of KINDS. Raises CheckpointError otherwise."""
    if not KINDS[kind](value):
        raise CheckpointError(f"{name} must be {kind}, got {brief(value)}: the file's metadata is damaged")
    return value


def read_config(kind: Any, metadata: Mapping[str, str], key: str) -> Any:
    """A configuration from its JSON. Raises CheckpointError for unknown, missing or ill-typed fields."""
    values = json_object(metadata, key)
    annotations = {f.name: str(f.type) for f in fields(kind)}
    if unknown := values.keys() - annotations.keys():
        raise CheckpointError(
            f"its {key} has unknown settings {brief(sorted(unknown)[:3])}: it was made by a newer program"
        )
    try:
        return kind(**{name: checked(annotations[name], name, value) for name, value in values.items()})
    except CheckpointError:
        raise
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"the {key}'s settings do not fit together: {brief(error, 200)}") from None
