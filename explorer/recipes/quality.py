"""`python -m explorer measure generator`: how good its pictures are, and how much of its W does nothing.

Frechet distances to real pictures on several networks, each beside that of two halves of the real pictures, which no
generator can beat; precision and recall; whether samples repeat training pictures; the spectrum of the style weights
and the measured effect of every direction. Trains nothing.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from explorer.latents import factorize, measure_effects, published_distance, sample_codes
from explorer.latents.basis import style_weights
from explorer.metrics.frechet import (
    Features,
    clip_features,
    features_of,
    frechet_distance,
    imagenet_features,
    spread,
)
from explorer.metrics.manifolds import NEIGHBOURS, apart, nearest, precision_recall
from explorer.metrics.perceptual import load_perceptual
from explorer.networks import Generator
from explorer.networks.hardware import tune_allocator
from explorer.networks.pixels import as_rgb, as_shown, from_pixels
from explorer.refused import Refused
from explorer.training.data import Pictures
from explorer.training.run import sheet
from explorer.weights import DEFAULT, load

BATCH = 50
SAMPLES = 16  # codes over which an effect is averaged
DORMANT = 0.03  # an effect up to this fraction of the distance between two samples
PLOTS = (".png", ".svg", ".pdf")
SHEETS = (".png", ".jpg", ".webp")
SHEET, SHEET_PSI, SHEET_COLUMNS = 48, 0.7, 16
TWINS = 0.01  # a sample is a twin that lies nearer to a real picture than all but this part of these to one another
FEATURES = {"imagenet": imagenet_features, "clip": clip_features}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT, help="a generator")
    parser.add_argument("--data", required=True, metavar="PICTURES", help="the real pictures: a folder or zip")
    parser.add_argument("--count", type=int, default=5000, metavar="N", help="samples")
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES), help="networks that judge")
    parser.add_argument("--plot", metavar="FILE", help="a picture of the spectrum and of every direction's effect")
    parser.add_argument(
        "--sheet",
        metavar="FILE",
        help=f"{SHEET} samples at psi {SHEET_PSI}, each beside the real picture nearest to it",
    )
    parser.add_argument("--json", action="store_true", help="plain data instead of text")


def run(arguments: argparse.Namespace) -> str:
    """Measure what the parsed arguments ask for; text or JSON."""
    if arguments.count < 2:
        raise Refused(f"--count is 2 samples or more, got {arguments.count}")
    if arguments.plot and Path(arguments.plot).suffix not in PLOTS:
        raise Refused(f"--plot writes {', '.join(PLOTS)}, got {arguments.plot}")
    if arguments.sheet and Path(arguments.sheet).suffix not in SHEETS:
        raise Refused(f"--sheet writes {', '.join(SHEETS)}, got {arguments.sheet}")
    tune_allocator()
    generator = load(arguments.checkpoint).generator
    pictures = Pictures(arguments.data, generator.resolution)
    if min(len(pictures), arguments.count) <= NEIGHBOURS:
        raise Refused(
            f"{arguments.data} must hold {NEIGHBOURS + 1} pictures or more, and --count be as many: it has"
            f" {len(pictures)}, and --count is {arguments.count}"
        )
    found: dict[str, Any] = {"count": arguments.count, "pictures": len(pictures)}
    judges = [FEATURES[name]() for name in arguments.features]
    found["frechet"] = [compare(judge, generator, pictures, arguments.count) for judge in judges]
    if arguments.sheet:
        found["twins"] = twins(judges[0], generator, pictures, arguments.sheet)
    found["spectrum"] = spectrum(generator)
    if arguments.plot:
        found["effects"] = effects(generator)
        plot(found["spectrum"], found["effects"], arguments.plot)
    if arguments.json:
        return json.dumps(found, indent=2)
    lines = [f"Frechet distance, {arguments.count} samples at psi 1 with random noise, {len(pictures)} real pictures"]
    lines += [
        f"  {figure['features']}: {figure['distance']:.4g} (real against real: {figure['real halves']:.4g}),"
        f" precision {figure['precision']:.2f}, recall {figure['recall']:.2f}"
        for figure in found["frechet"]
    ]
    if arguments.sheet:
        lines.append(
            f"twins of training pictures: {found['twins']} of {SHEET} samples at psi {SHEET_PSI}; {arguments.sheet}"
        )
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
    """Frechet distance of `count` samples to all pictures, and of every other picture to the rest; of equal counts of

    both, precision and recall.
    """
    truth, made = features_of(features, real(pictures)), features_of(features, samples(generator, count))
    equal = min(len(truth), len(made))
    evenly = torch.arange(equal) * len(truth) // equal  # a set's pictures lie in the order of their sources
    precision, recall = precision_recall(truth[evenly], made[:equal])
    return {
        "features": features.name,
        "distance": frechet_distance(spread(truth), spread(made)),
        "real halves": frechet_distance(spread(truth[::2]), spread(truth[1::2])),
        "precision": precision,
        "recall": recall,
    }


def twins(features: Features, generator: Generator, pictures: Pictures, path: str) -> int:
    """Write samples, each beside the real picture nearest to it or to its mirror image; how many are its twins."""
    truth = features_of(features, real(pictures))
    made = torch.cat(list(samples(generator, SHEET, psi=SHEET_PSI)))
    distances, which = nearest(features_of(features, [made, made.flip(3)]), truth)
    distance, way = distances.view(2, -1).min(dim=0)
    beside = from_pixels(torch.stack([pictures[int(i)][0] for i in which.view(2, -1).gather(0, way[None])[0]]))
    tiles = torch.stack([made, beside], dim=1).flatten(0, 1)
    Image.fromarray(sheet(tiles, SHEET_COLUMNS).permute(1, 2, 0).numpy()).save(path)
    return int((distance <= apart(truth).quantile(TWINS)).sum())


def real(pictures: Pictures) -> Iterator[Tensor]:  # -> [n, 3, H, W] in [-1, 1]
    """All pictures in batches."""
    for indices in torch.arange(len(pictures)).split(BATCH):
        yield from_pixels(torch.stack([pictures[int(i)][0] for i in indices]))


@torch.no_grad()
def samples(
    generator: Generator, count: int, seed: int = 0, psi: float = 1.0
) -> Iterator[Tensor]:  # -> [n, 3, H, W] in [-1, 1]
    """Samples, each with noise of its own, rounded to 8 bits as files are."""
    for number, codes in enumerate(sample_codes(generator, count, seed, psi).split(BATCH)):
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
