"""Weight interpolation, the way people blend generators that were tuned from one source: for comparison only."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch

from explorer.engine.engine import Engine
from explorer.networks import Generator
from explorer.weights import Checkpoint, CheckpointError, load


def mean(one: Generator, other: Generator) -> Generator:
    """A generator whose every weight and buffer is the mean of theirs, which are of one shape and stay as they are.

    It makes pictures only where both were tuned from one source.
    """
    blended = copy.deepcopy(one)
    theirs = other.state_dict()
    with torch.no_grad():
        for name, value in blended.state_dict().items():
            value.lerp_(theirs[name].to(value.device), 0.5)
    return blended


def blended(engine: Engine, files: Sequence[str]) -> Engine:
    """An engine of the mean weights of two checkpoints: those of two `files`, or of one and the engine's own.

    Raises CheckpointError for other counts, a file that cannot be read, and a generator of another shape.
    """
    if not 1 <= len(files) <= 2:
        raise CheckpointError(f"--vs takes one or two checkpoints, got {len(files)}")
    generators = [engine.generator]
    for file in files:
        generators.append(load(file).generator)
        if generators[-1].config != engine.generator.config:
            raise CheckpointError(
                f"{file}: --vs takes the mean of weights, which needs generators of the same size and widths"
            )
    return Engine(Checkpoint(mean(*generators[-2:])), str(engine.device), engine.precision)
