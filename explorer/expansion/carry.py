"""`python -m explorer carry EXPANDED --source SOURCE --onto NEWER`: domains on a source that was trained further.

What expansion changed in the old source is changed in the newer one too, as fine-tuned relatives share directions of
their weights ("StyleAlign", arXiv 2110.11323; "Editing Models with Task Arithmetic", arXiv 2212.04089, section 3).
Nothing is trained. Knows no task.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import torch

from explorer.expansion.tasks.task import ExpansionError
from explorer.latents.basis import style_weights
from explorer.networks import Generator
from explorer.weights import Checkpoint, load

UNUSED = 1e-2  # style weights along a domain's direction, as a fraction of the largest along any


@torch.no_grad()
def carry(expanded: Checkpoint, source: Generator, newer: Generator, scale: float = 1.0) -> Checkpoint:
    """`newer` with the domains of `expanded`, which was made from `source`, on the same directions.

    `scale` times what expansion changed is added: a source that was trained for long may need more than 1. The base
    subspace shows what `newer` shows, as far as expansion left it alone.

    Raises ExpansionError where the three do not fit together, or where `newer` uses a domain's direction itself (`train
    gan --style-keep` keeps them free).
    """
    expansion = expanded.expansion
    if expansion is None:
        raise ExpansionError("the generator whose domains are to be carried has none: give an expanded one")
    if not expanded.generator.config == source.config == newer.config:
        raise ExpansionError("the three generators must have one shape: give two states of one source")
    repurposed = expansion.basis[:, list(expansion.dims)]
    weights = style_weights(newer)
    if (weights @ repurposed).norm(dim=0).max() > UNUSED * torch.linalg.matrix_norm(weights, 2):
        raise ExpansionError(
            "the newer source uses directions that the domains lie on: train it with --style-keep, from the old one"
        )
    generator = copy.deepcopy(newer).requires_grad_(False)
    moved = repurposed @ (repurposed.t() @ (newer.mean - source.mean))
    before, after = source.learnable(), expanded.generator.learnable()
    for name, weight in generator.learnable().items():
        weight.add_(after[name] - before[name], alpha=scale)
    for layer in generator.style_layers():  # the base subspace lies at the mean code, which is elsewhere now
        added = scale * (after[f"{layer.name}.weight"] - before[f"{layer.name}.weight"])
        layer.bias.sub_(layer.weight_gain / layer.bias_gain * (added @ moved))
    there = replace(expansion, mean=newer.mean.clone())
    return Checkpoint(generator, None, there, expanded.meta)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("expanded", metavar="EXPANDED", help="the generator with the domains")
    parser.add_argument("--source", required=True, help="the generator it was expanded from")
    parser.add_argument("--onto", required=True, metavar="NEWER", help="that source, trained further")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of what expansion changed; more makes domains stronger"
    )
    parser.add_argument("--half", action="store_true", help="store 16-bit floats: half the size")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="usually NAME.safetensors")


def run(arguments: argparse.Namespace) -> str:
    """Carry and write; one line. Raises ValueError with one sentence where the files do not fit."""
    if not 0 < arguments.scale <= 10:
        raise ExpansionError(f"--scale must be more than 0 and at most 10, got {arguments.scale:g}")
    newer = load(arguments.onto)
    carried = carry(load(arguments.expanded), load(arguments.source).generator, newer.generator, arguments.scale)
    name = newer.path.name if newer.path is not None else str(arguments.onto)
    told = {key: newer.meta[key] for key in ("data", "images_seen") if key in newer.meta}
    carried = replace(carried, meta=carried.meta | told | {"name": arguments.out.stem, "expanded_from": name})
    path = carried.save(arguments.out, dtype=torch.float16 if arguments.half else None)
    assert carried.expansion is not None
    return f"{path}: {len(carried.expansion.domains)} domains on {name}"
