"""`python -m explorer measure expansion`: reads the files that its figures need, and prints the report.

The figures are `explorer.metrics.expansion`; this module knows the files, the flags, and what the domains are called in
the judge's classes and in prompts.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.latents import sample_codes
from explorer.metrics import report
from explorer.metrics.expansion import BARS, Distance, Scorer, composition, mean_distance, pairs
from explorer.metrics.perceptual import Perceptual, load_perceptual
from explorer.networks.pixels import from_array
from explorer.recipes.captions import style_of, style_prompts
from explorer.recipes.quality import FEATURES, real
from explorer.refused import Refused
from explorer.styles import ALL_STYLES, PHOTO, render
from explorer.training.data import Pictures
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.clip import SHIPPED, load_clip
from explorer.weights.parts import load_judge, part_of

MIXED = 64  # photos for the composition of photos: each is drawn twice for every pair


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the expanded generator")
    parser.add_argument("--source", required=True, help="the generator it was expanded from")
    parser.add_argument(
        "--judge",
        type=Path,
        metavar="FILE",
        help="of `python -m explorer.recipes.judge`; else the one beside CHECKPOINT",
    )
    parser.add_argument("--domain", action="append", default=[], metavar="NAME", help="only this one, and others named")
    pair = {"type": named, "action": "append", "default": []}
    parser.add_argument("--class", **pair, dest="classes", metavar="DOMAIN=CLASS", help="the judge's class of a domain")
    parser.add_argument("--prompt", **pair, dest="prompts", metavar="DOMAIN=TEXT", help="what CLIP calls a domain")
    parser.add_argument("--clip", default=SHIPPED, help="the CLIP of training, for zero-shot scores beside the judge's")
    parser.add_argument("--data", metavar="PICTURES", help="real pictures; with them the Frechet distance is measured")
    parser.add_argument("--features", default="imagenet", choices=FEATURES, help="of the Frechet distance")
    parser.add_argument("--frechet-count", type=int, default=5000, metavar="N", help="samples for it")
    parser.add_argument("--count", type=int, default=256, metavar="N", help="samples for all other figures")
    parser.add_argument("--adapted", **pair, metavar="DOMAIN=FILE", help="a generator adapted to that domain alone")
    parser.add_argument("--json", action="store_true", help="plain data instead of tables")


def run(arguments: argparse.Namespace) -> str:
    """Measure what the parsed arguments ask for; text or JSON. Raises ValueError with one sentence on what is wrong."""
    found = measure(
        load(arguments.checkpoint),
        load(arguments.source),
        domains=arguments.domain,
        judge=arguments.judge,
        classes=dict(arguments.classes),
        prompts={domain: [text] for domain, text in arguments.prompts},
        clip=arguments.clip,
        data=arguments.data,
        features=arguments.features,
        frechet_count=arguments.frechet_count,
        count=arguments.count,
        adapted=dict(arguments.adapted),
    )
    return json.dumps(found | {"bars": BARS}, indent=2) if arguments.json else report.text(found)


def measure(
    checkpoint: Checkpoint,
    source: Checkpoint,
    *,
    domains: Sequence[str] = (),
    judge: Path | None = None,
    classes: Mapping[str, str] | None = None,
    prompts: Mapping[str, Sequence[str]] | None = None,
    clip: str | Path = SHIPPED,
    data: str | Path | None = None,
    features: str = "imagenet",
    frechet_count: int = 5000,
    count: int = 256,
    adapted: Mapping[str, str | Path] | None = None,
    perceptual: Perceptual | None = None,
) -> dict[str, Any]:
    """All figures of an expanded generator as plain data; those that need a file that is not given are left out.

    Args:
        judge: a judge's file; by default the one beside the checkpoint, `NAME-judge.safetensors`.
        domains: those to measure, which then compete with each other and the source only; all where none is named.
        classes: the judge's class of a domain, where it is not called as the domain is.
        prompts: what CLIP calls a domain; by default the text it was taught by, all captions of a style, else its name.
        adapted: for some domains a checkpoint that was trained on it alone.

    Raises ValueError where a file does not fit, with one sentence on what was expected.
    """
    expansion = checkpoint.expansion
    if expansion is None or not expansion.domains:
        raise CheckpointError(f"{checkpoint.meta.get('name', 'the generator')} has no domains: expand it first")
    if min(count, frechet_count) < 2:
        raise Refused("--count and --frechet-count are 2 samples or more")
    if source.generator.codes != checkpoint.generator.codes:
        raise CheckpointError("the source takes other codes than the expanded generator: give the one it came from")
    domains = tuple(domains) or expansion.domains
    for name in (*domains, *(prompts or {}), *(adapted or {})):
        if name not in expansion.domains or name not in domains:
            raise Refused(f"{name!r} is no domain to measure; these are: {', '.join(expansion.domains)}")
    perceptual = perceptual or load_perceptual()
    distance = report.in_batches(perceptual)
    scorers: dict[str, Scorer] = {}
    if (judge := judge or part_of(checkpoint, "judge")) is not None:
        scorers["judge"] = report.judge_scorer(load_judge(judge)[0], domains, classes)
    network = load_clip(clip)
    texts = taught(checkpoint.learned, domains) | dict(prompts or {})
    scorers[network.name] = report.clip_scorer(network, domains, texts, style_prompts(PHOTO))

    def subject(size: int) -> report.Subject:
        ws = sample_codes(source.generator, size)
        return report.Subject(checkpoint.generator, source.generator, expansion, ws)

    seen = subject(count)
    original = seen.original()
    found: dict[str, Any] = {"count": count, "distance": perceptual.name, "replay": report.replay(seen)}
    found |= report.domain_figures(seen, original, domains, scorers, distance)
    if adapted:
        generators = {domain: load(path).generator for domain, path in adapted.items()}
        best = next(iter(scorers.values()))
        found["adaptation"] = report.adaptation(seen, generators, original, domains, best, distance)
    if data is not None:
        judges, pictures = FEATURES[features](), Pictures(data, source.generator.resolution)
        found["frechet"] = report.preservation(subject(frechet_count), judges, real(pictures))
        found["frechet"] |= {"features": judges.name, "count": frechet_count}
        names = {name: (classes or {}).get(name, name) for name in domains}
        found["diversity of photos"] = photos_diversity(pictures, names, count, distance)
        best = next(iter(scorers.values()))
        found["composition of photos"] = photos_composition(pictures, names, min(count, MIXED), best)
    return found


def photos_diversity(pictures: Pictures, names: Mapping[str, str], count: int, distance: Distance) -> dict[str, float]:
    """Of domains that are called like a style of `styles`: the diversity of real photos in that style.

    What `expansion.diversity` is for a generator that draws each of its pictures in the style perfectly: many styles
    leave less to differ in than photos have. `names` maps a domain to its style's name, where it is one.
    """
    photos = spread(pictures, count)

    def shown(style: str) -> Tensor:
        return signals(drawn(style, photos))

    between = mean_distance(shown(PHOTO), distance)
    return {name: mean_distance(shown(s), distance) / between for name, s in names.items() if s in ALL_STYLES}


def photos_composition(
    pictures: Pictures, names: Mapping[str, str], count: int, scorer: Scorer, most: int = report.PAIRS
) -> dict[str, float]:
    """Of pairs of domains that are called like a style: `expansion.composition` of real photos in both styles.

    For comparison with a generator, which can surpass it. The best of three ways to show two styles at once: the one
    over the other, the other over the one, both in full, and the mean of both. `names` maps every domain, in the
    order of the scorer's columns, to its style's name, where it is one.
    """
    photos = spread(pictures, count)
    alone = {style: drawn(style, photos) for style in names.values() if style in ALL_STYLES}
    domains, found = list(names), {}
    for pair in pairs(len(domains), most):
        one, other = (domains[i] for i in pair)
        a, b = names[one], names[other]
        if a in alone and b in alone:
            mean = (signals(alone[a]) + signals(alone[b])) / 2
            ways = signals(drawn(b, alone[a])), signals(drawn(a, alone[b])), mean
            found[f"{one} + {other}"] = max(composition(scorer(images), pair) for images in ways)
    return found


def spread(pictures: Pictures, count: int) -> list[np.ndarray]:  # uint8 [H, W, 3]
    """`count` pictures spread over all."""
    chosen = torch.linspace(0, len(pictures) - 1, min(count, len(pictures))).long().tolist()
    return [np.ascontiguousarray(pictures[i][0].permute(1, 2, 0).numpy()) for i in chosen]


def drawn(style: str, photos: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The photos in that style, by the same random numbers each time."""
    random = np.random.default_rng(0)
    return [render(style, photo, random) for photo in photos]


def signals(photos: Sequence[np.ndarray]) -> Tensor:  # uint8 [H, W, 3] each -> [N, 3, H, W] in [-1, 1]
    """Pictures as networks take them."""
    return from_array(np.stack(photos))


def taught(learned: Mapping[str, Mapping[str, Any]], domains: Sequence[str]) -> dict[str, list[str]]:
    """What each domain is called: the target text that the expansion noted, or its name; all captions of a style."""
    arguments = {name: entry.get("arguments") for name, entry in learned.items()}
    found = {name: values.get("target") for name, values in arguments.items() if isinstance(values, dict)}
    texts = {name: str(found.get(name) or name) for name in domains}
    styles = {name: style_of(text) for name, text in texts.items()}
    return {name: [text] if (style := styles[name]) is None else style_prompts(style) for name, text in texts.items()}


def named(text: str) -> tuple[str, str]:
    """`sketch=pencil sketch`: something of a domain."""
    name, equals, value = text.partition("=")
    if not (name and equals and value.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not DOMAIN=VALUE")
    return name, value
