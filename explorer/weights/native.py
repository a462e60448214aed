"""The native format: safetensors with tensors `generator.*`, `discriminator.*`, `expansion.basis`, and JSON metadata.

Safetensors holds no code. Names after the prefix are those of our modules, which are NVIDIA's; so a bare safetensors
file with NVIDIA's generator names and no metadata of ours is read too, everything from shapes.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from explorer.networks import DiscriminatorConfig, GeneratorConfig
from explorer.weights import nvidia
from explorer.weights.checkpoint import (
    Checkpoint,
    CheckpointError,
    Entries,
    Entry,
    build_discriminator,
    build_expansion,
    build_generator,
)

FORMAT = "domain-explorer"
VERSION = 1
MAX_HEADER = 2**24


def is_native(head: bytes) -> bool:
    """Whether a file that starts with `head` is a safetensors file: the length of its header, then JSON."""
    return head[4:9] == b"\0\0\0\0{"


def save(checkpoint: Checkpoint, path: Path, dtype: torch.dtype) -> Path:
    """Write `checkpoint`; see `Checkpoint.save`. The metadata is text: format, version, and JSON of the rest."""
    networks = {"generator": checkpoint.generator, "discriminator": checkpoint.discriminator}
    metadata = {"format": FORMAT, "version": str(VERSION), "meta": _json(checkpoint.meta)}
    tensors: dict[str, torch.Tensor] = {}
    for role, network in networks.items():
        if network is not None:
            metadata[role] = _json(asdict(network.config))
            for name, value in network.state_dict().items():
                tensors[f"{role}.{name}"] = _stored(f"{role}.{name}", value, dtype)
    if (expansion := checkpoint.expansion) is not None:
        metadata["expansion"] = _json(
            {"dims": expansion.dims, "distance": expansion.distance, "domains": expansion.domains}
        )
        tensors["expansion.basis"] = _stored("expansion.basis", expansion.basis, torch.float32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(tensors, metadata, path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot write {path}: {error}") from None
    return path


def read(path: Path) -> Checkpoint:
    """The checkpoint in a safetensors file. Raises CheckpointError where anything is missing, unknown or misshapen."""
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if header > min(MAX_HEADER, path.stat().st_size - 8):
        raise CheckpointError(f"its header announces {header:,} bytes, more than there are: download it again")
    try:
        with safe_open(path, framework="pt") as file:
            entries = {name: _entry(file, name) for name in file.keys()}  # noqa: SIM118 (no mapping)
            return _read(entries, file.metadata() or {})
    except SafetensorError as error:
        raise CheckpointError(f"its safetensors structure is damaged ({str(error)[:200]}): download it again") from None


def _read(entries: Entries, metadata: dict[str, str]) -> Checkpoint:
    if metadata.get("format") != FORMAT:
        generator = nvidia.read_generator(nvidia.Module(dict(entries)))
        return Checkpoint(generator, meta={"source": {"format": "safetensors", **metadata}})
    if metadata.get("version") != str(VERSION):
        version = metadata.get("version", "none")[:20]
        raise CheckpointError(f"it has format version {version}, this program reads {VERSION}: update the program")
    parts: dict[str, dict[str, Entry]] = {"generator": {}, "discriminator": {}, "expansion": {}}
    for name, entry in entries.items():
        role, _, rest = name.partition(".")
        if role not in parts:
            raise CheckpointError(f"it holds an unknown tensor {name[:100]}: it is damaged, or made by a newer program")
        parts[role][rest] = entry
    generator = build_generator(_config(GeneratorConfig, metadata, "generator"), parts["generator"])
    discriminator = None
    if "discriminator" in metadata or parts["discriminator"]:
        config = _config(DiscriminatorConfig, metadata, "discriminator")
        discriminator = build_discriminator(config, parts["discriminator"])
    expansion = None
    if "expansion" in metadata or parts["expansion"]:
        described = _object(metadata, "expansion")
        if parts["expansion"].keys() != {"basis"} or described.keys() != {"dims", "distance", "domains"}:
            raise CheckpointError("its expansion needs a basis, dims, distance and domains: the file is damaged")
        values = {key: _checked(kind, key, described[key]) for key, kind in EXPANSION_KINDS.items()}
        expansion = build_expansion(generator, parts["expansion"]["basis"], **values)
    return Checkpoint(generator, discriminator, expansion, _object(metadata, "meta"))


def _entry(file: Any, name: str) -> Entry:
    return Entry(tuple(file.get_slice(name).get_shape()), lambda: file.get_tensor(name))


def _stored(name: str, value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    stored = value.detach().to("cpu", dtype).contiguous().clone()
    if not torch.isfinite(stored).all():
        raise CheckpointError(f"{name} does not fit {dtype}: save it in float32")
    return stored


def _write(tensors: dict[str, torch.Tensor], metadata: dict[str, str], path: Path) -> None:
    """Beside the target first, then in its place in one step."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        save_file(tensors, name, metadata)
        os.chmod(name, 0o644)  # mkstemp's files are for their owner only
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def _json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"meta must be plain JSON data: {error}") from None


def _object(metadata: dict[str, str], key: str) -> dict[str, Any]:
    try:
        value = json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CheckpointError(f"its metadata lacks a JSON object {key!r}: it is damaged or of another program")
    return value


# How a field's annotation reads in JSON; configurations are claims of the file, checked before anything is built.
KINDS: dict[str, Any] = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**31,
    "float": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e9,
    "bool": lambda v: isinstance(v, bool),
    "Architecture": lambda v: v in ("skip", "orig", "resnet"),
    "str": lambda v: isinstance(v, str) and 0 < len(v) < 1000,
    "int | None": lambda v: v is None or KINDS["int"](v),
    "float | None": lambda v: v is None or KINDS["float"](v),
    "tuple[int, ...]": lambda v: isinstance(v, list) and len(v) <= 10_000 and all(map(KINDS["int"], v)),
    "tuple[float, ...]": lambda v: isinstance(v, list) and 0 < len(v) <= 64 and all(map(KINDS["float"], v)),
    "tuple[str, ...]": lambda v: isinstance(v, list) and len(v) <= 10_000 and all(map(KINDS["str"], v)),
}
EXPANSION_KINDS = {"dims": "tuple[int, ...]", "distance": "float", "domains": "tuple[str, ...]"}


def _checked(kind: str, name: str, value: Any) -> Any:
    if not KINDS[kind](value):
        raise CheckpointError(f"{name} must be {kind}, got {str(value)[:100]}: the file's metadata is damaged")
    return value


def _config(kind: Any, metadata: dict[str, str], key: str) -> Any:
    """A configuration from its JSON. Raises CheckpointError for unknown, missing or ill-typed fields."""
    values = _object(metadata, key)
    annotations = {f.name: str(f.type) for f in fields(kind)}
    if unknown := values.keys() - annotations.keys():
        raise CheckpointError(f"its {key} has unknown settings {sorted(unknown)[:3]}: it was made by a newer program")
    try:
        return kind(**{name: _checked(annotations[name], name, value) for name, value in values.items()})
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"the {key}'s settings do not fit together: {error}") from None
