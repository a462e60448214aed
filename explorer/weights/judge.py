"""Files of judges: safetensors with tensors `judge.*`, classes and shape as JSON. Nothing in them is ever run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from explorer.networks.judge import Judge, JudgeConfig
from explorer.weights.checkpoint import CheckpointError, fill
from explorer.weights.container import json_object, opened, read_config, stored, to_json, write

FORMAT = "domain-explorer-judge"
VERSION = "1"
PREFIX = "judge."


def save_judge(judge: Judge, path: Path, meta: dict[str, Any]) -> Path:
    """Write a judge, matrices in float16; in its place in one step. Raises CheckpointError where that fails."""
    tensors = {
        PREFIX + name: stored(name, value, torch.float16 if value.ndim > 1 else torch.float32)
        for name, value in judge.state_dict().items()
    }
    config = to_json(asdict(judge.config))
    return write(path, tensors, {"format": FORMAT, "version": VERSION, "judge": config, "meta": to_json(meta)})


def load_judge(path: Path) -> tuple[Judge, dict[str, Any]]:
    """The judge in a file and its `meta`; float32, eval mode, no gradients. Raises CheckpointError for other files."""
    try:
        with opened(path) as (entries, metadata):
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise CheckpointError("it is no judge; `python -m explorer.training.judge` makes one")
            if odd := [name for name in entries if not name.startswith(PREFIX)]:
                raise CheckpointError(f"it holds an unknown tensor {odd[0][:100]}: it is damaged")
            named = {name.removeprefix(PREFIX): entry for name, entry in entries.items()}
            return fill(Judge, read_config(JudgeConfig, metadata, "judge"), named), json_object(metadata, "meta")
    except CheckpointError as error:
        raise type(error)(f"{path.name}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from None
