"""CLIP files: our own native one, and any open_clip model with weights on this disk. One setting, `source`, chooses.

    cats64-clip          the model that comes with the program (the default)
    cats64-clip-vit      its second tower, of another kind, beside it where domains are learned
    FILE.safetensors     a native file
    ViT-B-32             a name of `download.REGISTRY`, fetched on first use
    NAME=FILE            any name of `open_clip.list_models()` with its weights in FILE

Our own format is safetensors with tensors `clip.*` and the shape as JSON; nothing in it is ever run. TorchScript
archives hold code, so they are opened only where their SHA-256 is that of a published file.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from explorer.foreign import brief
from explorer.networks.clip import Clip, ClipConfig, build_clip
from explorer.shipped import FOLDER, check
from explorer.weights import download
from explorer.weights.checkpoint import CheckpointError, Entries, UnsafeCheckpointError, read_finite
from explorer.weights.container import json_object, opened, read_config, stored, to_json, write

FORMAT = "domain-explorer-clip"
VERSION = "1"
SHIPPED = "cats64-clip"
TEACHERS = (SHIPPED, "cats64-clip-vit")  # two towers of different kinds, for whatever learns from them


def load_clip(source: str | Path = SHIPPED, device: torch.device | str = "cpu") -> Clip:
    """The CLIP model of `source`, as this module's first lines list them; float32, eval mode, no gradients.

    Raises CheckpointError for an unknown name, a missing or damaged file, one of another architecture, and MissingFile
    where a model that comes with the program is not there.
    """
    text = str(shipped_clip(str(source))) if str(source) in TEACHERS else str(source)
    name, equals, file = text.partition("=")
    if equals and not Path(text).exists():
        clip = _load_open_clip(name, Path(file))
    elif text in download.REGISTRY and not Path(text).exists():
        clip = _load_open_clip(text, download.resolve(text))
    else:
        clip, _ = read_clip(Path(text))
    # channels_last: small convolutions take two thirds of the time on a CPU, on a GPU no more than before
    return clip.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def shipped_clip(name: str = SHIPPED) -> Path:
    """The file of a model that comes with the program. Raises MissingFile where it is not there."""
    path = FOLDER / f"{name}.safetensors"
    check(path)
    return path


def save_clip(clip: Clip, path: Path, meta: dict[str, Any], dtype: torch.dtype = torch.float16) -> Path:
    """Write a model of our own in the native format, matrices in `dtype`, vectors in float32; in its place in one step.

    Raises ValueError for a model of another maker, CheckpointError where a value does not fit `dtype`.
    """
    if clip.config is None:
        raise ValueError(f"{clip.name} was not made here; only models with a ClipConfig have a native file")
    tensors = {
        f"clip.{name}": stored(name, value, dtype if value.ndim > 1 else torch.float32)
        for name, value in clip.model.state_dict().items()
        if value.is_floating_point()  # what is left are batch counters that evaluation does not read
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "clip": to_json(asdict(clip.config)),
        "meta": to_json({"name": clip.name} | meta),
    }
    return write(path, tensors, metadata)


def read_clip(path: Path) -> tuple[Clip, dict[str, Any]]:
    """A native file's model and its `meta`. Raises CheckpointError where anything is missing, unknown or misshapen."""
    try:
        with opened(path) as (entries, metadata):
            return _read(entries, metadata)
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None


def _read(entries: Entries, metadata: dict[str, str]) -> tuple[Clip, dict[str, Any]]:
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        known = f"{metadata.get('format', 'none')[:40]} {metadata.get('version', '')[:20]}"
        raise CheckpointError(f"its format is {known!r}, expected {FORMAT} {VERSION}: it is another kind of file")
    config = read_config(ClipConfig, metadata, "clip")
    meta = json_object(metadata, "meta")
    if not isinstance(name := meta.get("name"), str) or not 0 < len(name) < 100:
        raise CheckpointError("its meta needs a name of at most 100 letters: the file is damaged")
    with torch.device("meta"):  # shapes only: a claim costs nothing until it was held against the file
        shapes = {
            name: tuple(value.shape)
            for name, value in build_clip(config, name).model.state_dict().items()
            if value.is_floating_point()
        }
    if odd := {f"clip.{key}" for key in shapes} ^ entries.keys():
        raise CheckpointError(
            f"tensors missing or unknown: {brief(sorted(odd)[:3])}; it does not fit its own configuration"
        )
    for key, shape in shapes.items():
        if entries[f"clip.{key}"].shape != shape:
            raise CheckpointError(f"{key} must have shape {brief(shape)}, got {brief(entries[f'clip.{key}'].shape)}")
    clip = build_clip(config, name)
    state = {key: read_finite(key, entries[f"clip.{key}"]) for key in shapes}
    clip.model.load_state_dict(state, strict=False)
    return clip.eval().requires_grad_(False), meta


def _load_open_clip(name: str, path: Path) -> Clip:
    """A model of open_clip's own list with weights from a file: safetensors, a state dict, or OpenAI's archive."""
    import open_clip
    from open_clip.factory import load_checkpoint

    if name not in open_clip.list_models():
        raise CheckpointError(f"{name[:100]} is no model of open_clip; `open_clip.list_models()` lists them")
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; weights of {name} are expected there")
    published = {weights.sha256: weights for weights in download.REGISTRY.values() if weights.file == path.name}
    openai = path.suffix == ".pt" and bool(published) and _digest(path) in published
    logging.disable(logging.WARNING)  # it warns of random weights, which are replaced below
    try:
        model = open_clip.create_model(name, load_weights=False, pretrained_text=False, force_quick_gelu=openai)
    finally:
        logging.disable(logging.NOTSET)
    try:
        if openai:
            _load_openai(model, path)
        else:
            load_checkpoint(model, str(path), weights_only=True)  # type: ignore[arg-type]
    except UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"{path.name}: it asks to run code, nothing was run ({brief(error, 200)})"
        ) from None
    except Exception as error:  # torch.load and open_clip have no common error for damage
        cause = brief(error, 300)
        raise CheckpointError(f"{path.name} holds no weights of {name}, or not as a state dict: {cause}") from None
    settings = open_clip.get_model_preprocess_cfg(model)
    tokenizer = open_clip.get_tokenizer(name)
    return Clip(model, tokenizer, name, mean=settings["mean"], std=settings["std"])


def _load_openai(model: nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TorchScript itself, which is what OpenAI published
        archive = torch.jit.load(path, map_location="cpu")
    drop = {"input_resolution", "context_length", "vocab_size", "attn_mask"}  # constants of the traced program
    state: dict[str, Tensor] = {key: value.float() for key, value in archive.state_dict().items() if key not in drop}
    model.load_state_dict(state)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
