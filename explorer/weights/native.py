"""The native format: safetensors of `generator.*`, `discriminator.*`, `expansion.basis`, `attributes.*`, and JSON.

Safetensors holds no code. A safetensors file without metadata of ours is a container of others' tensors, which are read
by their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from explorer.networks import FAMILIES, DiscriminatorConfig, Generator, StyleGAN2
from explorer.weights import layouts
from explorer.weights.checkpoint import (
    Checkpoint,
    CheckpointError,
    Entries,
    Entry,
    build_expansion,
    build_generator,
    read_finite,
    stored_discriminator,
)
from explorer.weights.container import checked, json_object, opened, read_config, stored, to_json, write
from explorer.weights.contents import Contents
from explorer.weights.plain import plain

FORMAT = "domain-explorer"
VERSION = 1
EXPANSION_KINDS = {"dims": "tuple[int, ...]", "distance": "float", "domains": "tuple[str, ...]"}


def save(checkpoint: Checkpoint, path: Path, dtype: torch.dtype) -> Path:
    """Write `checkpoint`; see `Checkpoint.save`. The metadata is text: format, version, and JSON of the rest."""
    networks = {"generator": checkpoint.generator, "discriminator": checkpoint.discriminator}
    metadata = {"format": FORMAT, "version": str(VERSION), "meta": to_json(checkpoint.meta)}
    metadata["family"] = checkpoint.generator.family
    tensors: dict[str, torch.Tensor] = {}
    for role, network in networks.items():
        if network is not None:
            metadata[role] = to_json(asdict(network.config))
            for name, value in network.state_dict().items():
                tensors[f"{role}.{name}"] = stored(f"{role}.{name}", value, dtype)
    if (expansion := checkpoint.expansion) is not None:
        metadata["expansion"] = to_json(
            {"dims": expansion.dims, "distance": expansion.distance, "domains": expansion.domains}
        )
        tensors["expansion.basis"] = stored("expansion.basis", expansion.basis, torch.float32)
    for number, (name, direction) in enumerate(checkpoint.attributes.items()):
        tensors[f"attributes.{number}"] = stored(name, direction, torch.float32)
    if checkpoint.attributes:
        metadata["attributes"] = to_json({"names": list(checkpoint.attributes)})
    return write(path, tensors, metadata)


@contextmanager
def reading(path: Path, limit: int | None = None) -> Iterator[Checkpoint]:
    """The checkpoint in a safetensors file, its discriminator to be read while that is open.

    Raises CheckpointError where anything is missing, unknown or misshapen.
    """
    with opened(path) as (entries, metadata):
        yield _read(entries, metadata, limit)


def _family(name: str) -> type[Generator]:
    if name not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise CheckpointError(f"its generator is of the family {name[:40]!r}, this program knows {known}: update it")
    return FAMILIES[name]


def kind_of(metadata: Mapping[str, str]) -> str | None:
    """What a file of this program holds by its metadata: "generator", "clip", "encoder"...; None for others' files."""
    found = metadata.get("format", "")
    if found == FORMAT:
        return "generator"
    return found.removeprefix(f"{FORMAT}-")[:40] if found.startswith(f"{FORMAT}-") else None


def _read(entries: Entries, metadata: dict[str, str], limit: int | None) -> Checkpoint:
    if (kind := kind_of(metadata)) is None:
        checkpoint = layouts.read(Contents(dict(entries)), limit)
        return replace(checkpoint, meta=checkpoint.meta | {"source": plain(metadata) | checkpoint.meta["source"]})
    if kind != "generator":
        raise CheckpointError(f"it holds this program's {kind}, no generator: give the generator's own file")
    if metadata.get("version") != str(VERSION):
        version = metadata.get("version", "none")
        raise CheckpointError(f"it has format version {version[:20]}, this program reads {VERSION}: update the program")
    parts: dict[str, dict[str, Entry]] = {"generator": {}, "discriminator": {}, "expansion": {}, "attributes": {}}
    for name, entry in entries.items():
        role, _, rest = name.partition(".")
        if role not in parts:
            raise CheckpointError(f"it holds an unknown tensor {name[:100]}: it is damaged, or made by a newer program")
        parts[role][rest] = entry
    family = _family(metadata.get("family", StyleGAN2.family))  # older files do not say
    config = read_config(family.Config, metadata, "generator")
    generator = build_generator(config, parts["generator"], limit, family)
    critic = None
    if "discriminator" in metadata or parts["discriminator"]:
        config = read_config(DiscriminatorConfig, metadata, "discriminator")
        critic = stored_discriminator(config, parts["discriminator"])
    expansion = None
    if "expansion" in metadata or parts["expansion"]:
        described = json_object(metadata, "expansion")
        if parts["expansion"].keys() != {"basis"} or described.keys() != {"dims", "distance", "domains"}:
            raise CheckpointError("its expansion needs a basis, dims, distance and domains: the file is damaged")
        values = {key: checked(kind, key, described[key]) for key, kind in EXPANSION_KINDS.items()}
        expansion = build_expansion(generator, parts["expansion"]["basis"], **values)
    attributes = _attributes(metadata, parts["attributes"], generator.codes.dim)
    return Checkpoint(generator, critic, expansion, read_meta(metadata), attributes=attributes)


def _attributes(metadata: Mapping[str, str], entries: Entries, dim: int) -> dict[str, torch.Tensor]:
    if "attributes" not in metadata and not entries:
        return {}
    names = checked("tuple[str, ...]", "names of attributes", json_object(metadata, "attributes").get("names"))
    fitting = all(entry.shape == (dim,) for entry in entries.values())
    if entries.keys() != {str(number) for number in range(len(names))} or len({*names}) < len(names) or not fitting:
        raise CheckpointError(f"its attributes need a name of its own and {dim} numbers each: the file is damaged")
    return {name: read_finite(name, entries[str(number)]) for number, name in enumerate(names)}


def read_meta(metadata: Mapping[str, str]) -> dict[str, Any]:
    """`meta`; what the program shows and asks of it is of the type that it expects. Raises CheckpointError."""
    meta = json_object(metadata, "meta")
    for key in ("name", "licence", "expanded_from"):
        if key in meta:
            checked("str", f"meta's {key}", meta[key])
    return meta
