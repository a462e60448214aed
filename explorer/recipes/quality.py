"""`python -m explorer measure generator`: how good its pictures are, and how much of its W does nothing.

Frechet distances to real pictures on several networks, each beside that of two halves of the real pictures, which no
generator can beat; the spectrum of the style weights and the measured effect of every direction. Trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from explorer.latents import factorize, measure_effects, published_distance, sample_codes
from explorer.latents.basis import style_weights
from explorer.metrics.frechet import Features, clip_features, frechet_distance, imagenet_features, statistics
from explorer.metrics.perceptual import load_perceptual
from explorer.networks import Generator
from explorer.networks.pixels import as_rgb, as_shown, from_pixels
from explorer.refused import Refused
from explorer.training.data import Pictures
from explorer.weights import DEFAULT, load

BATCH = 50
SAMPLES = 16  # codes over which an effect is averaged
DORMANT = 0.03  # an effect up to this fraction of the distance between two samples
PLOTS = (".png", ".svg", ".pdf")
FEATURES = {"imagenet": imagenet_features, "clip": clip_features}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT, help="a generator")
    parser.add_argument("--data", required=True, metavar="PICTURES", help="the real pictures: a folder or zip")
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="samples")
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES), help="networks that judge")
    parser.add_argument("--plot", metavar="FILE", help="a picture of the spectrum and of every direction's effect")
    parser.add_argument("--json", action="store_true", help="plain data instead of text")


def run(arguments: argparse.Namespace) -> str:
    """Measure what the parsed arguments ask for; text or JSON."""
    if arguments.count < 2:
        raise Refused(f"--count is 2 samples or more, got {arguments.count}")
    if arguments.plot and Path(arguments.plot).suffix not in PLOTS:
        raise Refused(f"--plot writes {', '.join(PLOTS)}, got {arguments.plot}")
    generator = load(arguments.checkpoint).generator
    pictures = Pictures(arguments.data, generator.resolution)
    if len(pictures) < 4:
        raise Refused(f"{arguments.data} must hold 4 pictures or more, two for each half, it has {len(pictures)}")
    found: dict[str, Any] = {"count": arguments.count, "pictures": len(pictures)}
    found["frechet"] = [compare(FEATURES[name](), generator, pictures, arguments.count) for name in arguments.features]
    found["spectrum"] = spectrum(generator)
    if arguments.plot:
        found["effects"] = effects(generator)
        plot(found["spectrum"], found["effects"], arguments.plot)
    if arguments.json:
        return json.dumps(found, indent=2)
    lines = [f"Frechet distance, {arguments.count} samples at psi 1 with random noise, {len(pictures)} real pictures"]
    lines += [
        f"  {figure['features']}: {figure['distance']:.4g} (real against real: {figure['real halves']:.4g})"
        for figure in found["frechet"]
    ]
    values = found["spectrum"]
    empty = sum(value < 1e-3 * values[0] for value in values)
    lines.append(
        f"singular values of the style weights: {values[0]:.3g} to {values[-1]:.3g},"
        f" {empty} of {len(values)} below a thousandth of the largest"
    )
    if arguments.plot:
        dormant = sum(effect <= DORMANT for effect in found["effects"])
        lines.append(
            f"dormant: {dormant} of {len(values)} directions, moved by {published_distance(generator.codes.dim):g},"
            f" change the picture by at most {DORMANT:.0%} of the distance between two samples; {arguments.plot}"
        )
    return "\n".join(lines)


def compare(features: Features, generator: Generator, pictures: Pictures, count: int) -> dict[str, Any]:
    """Frechet distance of `count` samples to all pictures, and of every other picture to the rest."""
    even, odd, everything = (
        statistics(features, real(pictures, slice(start, None, step))) for start, step in ((0, 2), (1, 2), (0, 1))
    )
    made = statistics(features, samples(generator, count))
    return {
        "features": features.name,
        "distance": frechet_distance(everything, made),
        "real halves": frechet_distance(even, odd),
    }


def real(pictures: Pictures, chosen: slice) -> Iterator[Tensor]:  # -> [n, 3, H, W] in [-1, 1]
    """The chosen pictures in batches."""
    for indices in torch.arange(len(pictures))[chosen].split(BATCH):
        yield from_pixels(torch.stack([pictures[int(i)][0] for i in indices]))


@torch.no_grad()
def samples(generator: Generator, count: int, seed: int = 0) -> Iterator[Tensor]:  # -> [n, 3, H, W] in [-1, 1]
    """Samples at psi 1, each with noise of its own, rounded to 8 bits as files are."""
    for number, codes in enumerate(sample_codes(generator, count, seed).split(BATCH)):
        yield as_shown(as_rgb(generator.synthesize(codes, "random", number)))


def spectrum(generator: Generator) -> list[float]:
    """Singular values of the stacked style weights, largest first: how strongly each basis column is looked at."""
    weights = style_weights(generator).double()
    return (weights @ factorize(generator).double()).norm(dim=0).tolist()


@torch.no_grad()
def effects(generator: Generator, seed: int = 1) -> list[float]:
    """Every basis column's effect at the expansion distance, in the order of `spectrum`; see `measure_effects`."""
    codes = sample_codes(generator, SAMPLES, seed)
    distance = published_distance(generator.codes.dim)
    return list(measure_effects(generator.synthesize, load_perceptual(), codes, factorize(generator), distance))


def plot(values: Sequence[float], found: Sequence[float], path: str) -> None:
    """Write two curves over the basis columns: singular values, and effects with the line of what counts as none.

    A value of zero is drawn at the lower edge: the axes are logarithmic.
    """
    figure = Figure(figsize=(9, 3), layout="constrained")
    rows = [("singular value of the style weights", values), ("effect of a move, of the distance of samples", found)]
    sides = figure.subplots(1, 2)
    for axes, (title, curve) in zip(sides, rows, strict=True):
        axes.semilogy([max(value, 1e-4 * max(curve)) for value in curve])
        axes.set(title=title, xlabel="basis column")
    sides[-1].axhline(DORMANT, linestyle="--", color="grey")
    figure.savefig(path)
