"""`python -m explorer carry EXPANDED --source SOURCE --onto NEWER`: domains on a source that was trained further.

What expansion changed in the old source is changed in the newer one too, as fine-tuned relatives share directions of
their weights ("StyleAlign", arXiv 2110.11323; "Editing Models with Task Arithmetic", arXiv 2212.04089, section 3).
Nothing is trained. Knows no task.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from explorer.expansion.tasks.task import ExpansionError
from explorer.latents.basis import style_weights
from explorer.networks import Generator
from explorer.weights import Checkpoint, load

MOST = 10  # times what a domain was
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


@torch.no_grad()
def strengthened(expanded: Checkpoint, scales: Mapping[str, float]) -> Checkpoint:
    """Some domains at strength 1 as they are now at the strength that `scales` gives them; all else stays as it is.

    What styles look at along the domains' directions is scaled, which the source does not look at. Raises
    ExpansionError for a domain that is not there.
    """
    expansion, generator = expanded.expansion, copy.deepcopy(expanded.generator).requires_grad_(False)
    for name, scale in scales.items():
        if expansion is None or name not in expansion.domains:
            known = "none" if expansion is None else ", ".join(expansion.domains)
            raise ExpansionError(f"the generator has no domain {name!r}; it has: {known}")
        direction = expansion.basis[:, expansion.dim(name)]
        for layer in generator.style_layers():
            along = (scale - 1) * (layer.weight @ direction)
            layer.weight.add_(torch.outer(along, direction))
            layer.bias.sub_(layer.weight_gain / layer.bias_gain * (direction @ expansion.mean) * along)
    return replace(expanded, generator=generator)


def strength(text: str) -> tuple[str, float]:
    """`comic=1.2`: a domain and the strength that is to be its 1."""
    name, _, number = text.rpartition("=")
    try:
        scale = float(number)
    except ValueError:
        scale = 0.0
    if not name or not 0 < scale <= MOST:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=STRENGTH, more than 0 and at most {MOST}")
    return name, scale


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("expanded", metavar="EXPANDED", help="the generator with the domains")
    parser.add_argument("--source", required=True, help="the generator it was expanded from")
    parser.add_argument("--onto", required=True, metavar="NEWER", help="that source, trained further")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="of what expansion changed; more makes domains stronger"
    )
    parser.add_argument(
        "--strength",
        type=strength,
        action="append",
        default=[],
        metavar="NAME=STRENGTH",
        help="what the domain is at this strength it becomes at 1",
    )
    parser.add_argument("--half", action="store_true", help="store 16-bit floats: half the size")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="usually NAME.safetensors")


def run(arguments: argparse.Namespace) -> str:
    """Carry and write; one line. Raises ValueError with one sentence where the files do not fit."""
    if not 0 < arguments.scale <= MOST:
        raise ExpansionError(f"--scale must be more than 0 and at most {MOST}, got {arguments.scale:g}")
    newer = load(arguments.onto)
    carried = carry(load(arguments.expanded), load(arguments.source).generator, newer.generator, arguments.scale)
    carried = strengthened(carried, dict(arguments.strength))
    name = newer.path.name if newer.path is not None else str(arguments.onto)
    told = {key: newer.meta[key] for key in ("data", "images_seen") if key in newer.meta}
    carried = replace(carried, meta=carried.meta | told | {"name": arguments.out.stem, "expanded_from": name})
    path = carried.save(arguments.out, dtype=torch.float16 if arguments.half else None)
    assert carried.expansion is not None
    return f"{path}: {len(carried.expansion.domains)} domains on {name}"
