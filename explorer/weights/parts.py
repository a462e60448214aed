"""Files of one network that belongs to a generator: its encoder, its discriminator, its judge, mappers.

`NAME-encoder.safetensors` lies beside `NAME.safetensors`; tensors `encoder.*`, the shape and `meta` as JSON. Nothing in
such a file is ever run.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from explorer.networks import Discriminator, DiscriminatorConfig, Encoder, EncoderConfig
from explorer.networks.judge import Judge, JudgeConfig
from explorer.networks.mapper import Mapper, MapperConfig
from explorer.networks.sharpener import Sharpener, SharpenerConfig
from explorer.shipped import check
from explorer.weights.checkpoint import Checkpoint, CheckpointError, Entries, build_discriminator, fill
from explorer.weights.container import json_object, opened, read_config, stored, to_json, write

FORMAT = "domain-explorer-{}"
VERSION = "1"


Part = Encoder | Discriminator | Judge | Mapper | Sharpener


def save_part(network: Part, path: Path, meta: dict[str, Any], half: bool = True) -> Path:
    """Write a network to its own file, matrices in float16 with `half`; in its place in one step.

    Raises CheckpointError where a value does not fit float16 or the folder cannot be written.
    """
    role = type(network).__name__.lower()
    dtype = torch.float16 if half else torch.float32
    tensors = {
        f"{role}.{name}": stored(name, value, dtype if value.ndim > 1 else torch.float32)
        for name, value in network.state_dict().items()
    }
    config = to_json(asdict(network.config))
    return write(
        path, tensors, {"format": FORMAT.format(role), "version": VERSION, role: config, "meta": to_json(meta)}
    )


def load_encoder(path: Path) -> tuple[Encoder, dict[str, Any]]:
    """The encoder in a file and its `meta`; float32, no gradients. Raises CheckpointError for any other file."""
    return _load(path, "encoder", EncoderConfig, lambda config, entries: fill(Encoder, config, entries))


def load_discriminator(path: Path) -> tuple[Discriminator, dict[str, Any]]:
    """The discriminator in a file, likewise."""
    return _load(path, "discriminator", DiscriminatorConfig, build_discriminator)


def load_judge(path: Path) -> tuple[Judge, dict[str, Any]]:
    """The judge in a file, likewise; `python -m explorer.recipes.judge` makes one."""
    return _load(path, "judge", JudgeConfig, lambda config, entries: fill(Judge, config, entries))


def load_mapper(path: Path) -> tuple[Mapper, dict[str, Any]]:
    """The latent mapper in a file, likewise; `mine_steps` of a `nada` domain makes one."""
    return _load(path, "mapper", MapperConfig, lambda config, entries: fill(Mapper, config, entries))


def load_sharpener(path: Path) -> tuple[Sharpener, dict[str, Any]]:
    """The sharpener in a file, likewise; `train sharpener` makes one."""
    return _load(path, "sharpener", SharpenerConfig, lambda config, entries: fill(Sharpener, config, entries))


def part_of(checkpoint: Checkpoint, role: str) -> Path | None:
    """The file of a checkpoint's "encoder", "discriminator" or "judge", where it lies beside it.

    `NAME-source.safetensors`, of which `NAME.safetensors` is an expansion, has the same parts.
    Raises MissingFile where the program itself comes with the file.
    """
    if checkpoint.path is None:
        return None
    path = checkpoint.path.with_name(f"{checkpoint.path.stem.removesuffix('-source')}-{role}.safetensors")
    check(path)
    return path if path.is_file() else None


def _load(path: Path, role: str, config: Any, build: Any) -> tuple[Any, dict[str, Any]]:
    try:
        with opened(path) as (entries, metadata):
            if (metadata.get("format"), metadata.get("version")) != (FORMAT.format(role), VERSION):
                raise CheckpointError(f"it is no {role} file of version {VERSION}; give the {role}'s own file")
            return build(read_config(config, metadata, role), _named(entries, role)), json_object(metadata, "meta")
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None


def _named(entries: Entries, role: str) -> Entries:
    if odd := [name for name in entries if not name.startswith(f"{role}.")]:
        raise CheckpointError(f"it holds an unknown tensor {odd[0][:100]}: it is damaged")
    return {name.removeprefix(f"{role}."): entry for name, entry in entries.items()}
