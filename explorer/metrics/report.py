"""`python -m explorer measure expansion`: all figures of an expanded generator as plain data, and as text.

Makes the pictures and the scores that the figures of `expansion` are computed from. A judge took no part in training;
the CLIP beside it is the one that training used, and its scores alone would prove nothing. Knows no interface.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc

import torch
from torch import Tensor

from explorer.latents import Expansion, compose, project
from explorer.metrics import expansion as figures
from explorer.metrics.expansion import Distance, Render, Scorer
from explorer.metrics.frechet import Features, frechet_distance, statistics
from explorer.networks import Generator
from explorer.networks.clip import Clip
from explorer.networks.judge import Judge
from explorer.networks.pixels import as_rgb, as_shown
from explorer.refused import Refused

BATCH = 50
PAIRS = 120  # all pairs of sixteen domains
OTHERS = ("photo", "nothing")  # classes of a judge that may win besides the domains


@dataclass(frozen=True)
class Subject:
    """An expanded generator, the source it came from, and the codes by which they are seen.

    Attributes:
        ws: [N, rows, dim], samples without truncation. Noise is drawn afresh for every batch of codes and is the
            same in every picture made of them.
    """

    generator: Generator
    source: Generator
    expansion: Expansion
    ws: Tensor

    def __call__(self, strengths: Mapping[str, float]) -> Tensor:
        """The codes' pictures at `strengths`, [N, 3, H, W] in [-1, 1]; {} is the base subspace."""
        return torch.cat(list(pictures(self.generator, compose(self.ws, self.expansion, strengths))))

    def replayed(self) -> Tensor:
        """What the source makes of the projected codes."""
        return torch.cat(list(pictures(self.source, project(self.ws, self.expansion))))

    def original(self) -> Tensor:
        """What the source makes of the codes themselves."""
        return torch.cat(list(pictures(self.source, self.ws)))


@torch.no_grad()
def pictures(generator: Generator, ws: Tensor) -> Iterator[Tensor]:  # [N, rows, dim] -> batches [n, 3, H, W]
    """Pictures batch by batch, rounded to 8 bits as files are; each with noise that depends on its place alone."""
    for seed, part in enumerate(ws.split(BATCH)):
        yield as_shown(as_rgb(generator.synthesize(part, "random", seed)))


def judge_scorer(judge: Judge, domains: Sequence[str], classes: Mapping[str, str] | None = None) -> Scorer:
    """Probabilities of the domains' classes, then of "photo" and "nothing" where the judge knows them.

    `classes` maps a domain's name to the judge's class where the two differ. Raises ValueError where a class is
    missing, where two domains share one, and for a judge without "photo".
    """
    known, chosen = judge.config.classes, [(classes or {}).get(name, name) for name in domains]
    if unknown := set(classes or {}) - set(domains):
        raise Refused(f"{sorted(unknown)[0]!r} is no domain of this generator; it has {', '.join(domains)}")
    for domain, name in zip(domains, chosen, strict=True):
        if name not in known:
            raise Refused(
                f"the judge has no class {name!r} for the domain {domain!r}: name one of its classes with"
                f" --class '{domain}=CLASS' ({', '.join(known)}), or train it with that class"
            )
    if len(set(chosen)) < len(chosen) or set(chosen) & set(OTHERS):
        raise Refused(f"every domain needs a class of its own, none of {' and '.join(OTHERS)}: got {chosen}")
    if OTHERS[0] not in known:
        raise Refused(f"the judge must know the class {OTHERS[0]!r}, the domain of the source")
    columns = [known.index(name) for name in (*chosen, *(name for name in OTHERS if name in known))]
    return _in_batches(lambda images: judge(images)[:, columns].softmax(dim=1))


def clip_scorer(
    clip: Clip, domains: Sequence[str], prompts: Mapping[str, Sequence[str]], source: Sequence[str]
) -> Scorer:
    """Zero-shot probabilities of the domains, then of the source domain, at the model's own temperature.

    `prompts` has texts for a domain; one without any is called by its name.
    """
    directions = clip.encode_prompts([*([*prompts.get(name, [name])] for name in domains), [*source]])
    return _in_batches(lambda images: clip.scores(images, directions))


def _in_batches(score: Scorer) -> Scorer:
    @torch.no_grad()
    def scorer(images: Tensor) -> Tensor:
        return torch.cat([score(part) for part in images.split(BATCH)])

    return scorer


def in_batches(distance: Distance) -> Distance:
    """The same distance, a batch at a time."""

    @torch.no_grad()
    def batched(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([distance(x, y) for x, y in zip(a.split(BATCH), b.split(BATCH), strict=True)])

    return batched


def replay(subject: Subject) -> dict[str, float]:
    """PSNR between the base subspace of the expanded generator and the source, same codes and noise: mean and worst."""
    values = figures.psnr(subject({}), subject.replayed())
    return {"psnr": values.mean().item(), "worst psnr": values.min().item()}


def preservation(subject: Subject, features: Features, real: Iterable[Tensor]) -> dict[str, float]:
    """Frechet distance to real pictures: of the expanded generator's base subspace, of the source, and their ratio."""
    truth = statistics(features, real)
    base, source = project(subject.ws, subject.expansion), subject.ws
    expanded = frechet_distance(statistics(features, pictures(subject.generator, base)), truth)
    before = frechet_distance(statistics(features, pictures(subject.source, source)), truth)
    return {"expanded": expanded, "source": before, "ratio": expanded / before}


def domain_figures(
    render: Render,
    source: Tensor,  # [N, 3, H, W], the source's pictures of the same codes
    domains: Sequence[str],
    scorers: Mapping[str, Scorer],
    distance: Distance,
    most_pairs: int = PAIRS,
) -> dict:
    """Arrival, diversity, separation and composition, each as its function in `expansion` defines it.

    Every picture is made once and shown to all `scorers`. Returns plain data: a figure, then scorer, then domain.
    """
    images = render({})
    base = {name: score(images) for name, score in scorers.items()}
    alone: dict[str, list[Tensor]] = {name: [] for name in scorers}
    between, ratios = figures.mean_distance(source, distance), {}
    for domain in domains:
        images = render({domain: 1.0})
        ratios[domain] = figures.mean_distance(images, distance) / between
        for name, score in scorers.items():
            alone[name].append(score(images))
    combined: dict[str, dict[str, float]] = {name: {} for name in scorers}
    for i, j in figures.pairs(len(domains), most_pairs):
        images = render({domains[i]: figures.STRENGTH, domains[j]: figures.STRENGTH})
        for name, score in scorers.items():
            combined[name][f"{domains[i]} + {domains[j]}"] = figures.composition(score(images), (i, j))
    stacked = {name: torch.stack(scores) for name, scores in alone.items()}
    arrivals, matrices = {}, {}
    for name in scorers:
        one, zero = figures.arrival(base[name], stacked[name])
        arrivals[name] = {
            domain: {"at 1": float(a), "at 0": float(b)} for domain, a, b in zip(domains, one, zero, strict=True)
        }
        matrix = figures.separation(base[name], stacked[name])
        matrices[name] = {domain: figures.by_name(domains, row) for domain, row in zip(domains, matrix, strict=True)}
    return {"arrival": arrivals, "diversity": ratios, "separation": matrices, "composition": combined}


def adaptation(
    subject: Subject,
    adapted: Mapping[str, Generator],  # domain -> a generator that was trained on it alone
    source: Tensor,  # [N, 3, H, W]
    domains: Sequence[str],  # in the order of the scorer's columns
    scorer: Scorer,
    distance: Distance,
) -> dict[str, dict]:
    """For each adapted generator, it and the expanded one side by side; see `expansion.compared`.

    Raises ValueError for an unknown domain and where an adapted generator takes other codes.
    """
    found, base = {}, replay(subject)["psnr"]
    for name, generator in adapted.items():
        if generator.codes != subject.generator.codes:
            raise Refused(f"the generator adapted to {name!r} takes other codes than the expanded one")
        images = {"expanded": subject({name: 1.0}), "adapted": torch.cat(list(pictures(generator, subject.ws)))}
        preserved = {"expanded": base, "adapted": figures.psnr(images["adapted"], source).mean().item()}
        found[name] = figures.compared(domains.index(name), images, preserved, source, scorer, distance)
    return found


def text(report: Mapping) -> str:
    """A report of `explorer.recipes.figures` as tables, each figure under its definition."""
    lines = [f"{report['count']} codes, perceptual distance: {report['distance']}"]
    if found := report.get("frechet"):
        lines += _heading("Preservation, Frechet distance", preservation)
        lines.append(
            f"expanded {found['expanded']:.2f}, source {found['source']:.2f}, ratio {found['ratio']:.3f}"
            f" (at most {figures.BARS['frechet ratio']}); {found['count']} samples, features of {found['features']}"
        )
    found = report["replay"]
    lines += _heading("Preservation, replay", replay)
    lines.append(f"mean {found['psnr']:.1f} dB (at least {figures.BARS['psnr']:g}), worst {found['worst psnr']:.1f} dB")
    scorers = report["arrival"]
    lines += _heading("Arrival", figures.arrival)
    if "judge" not in scorers:
        lines.append("No judge was at hand: the teacher's own scores, as below, prove little.")
    lines += [*_heading("Diversity", figures.diversity), ""]
    columns: list[tuple[str, float | str, Mapping[str, float]]] = [  # title, bar, by domain
        (f"{name} {at}", figures.BARS[at], {domain: values[at] for domain, values in found.items()})
        for name, found in scorers.items()
        for at in ("at 1", "at 0")
    ]
    columns.append(("diversity", figures.BARS["diversity"], report["diversity"]))
    if photos := report.get("diversity of photos"):
        columns.append(("of photos in this style", "", photos))
    rows = [[domain, *(values.get(domain, "") for *_, values in columns)] for domain in report["diversity"]]
    lines += _table(["domain", *(title for title, *_ in columns)], [["bar", *(bar for _, bar, _ in columns)], *rows])
    for name, matrix in report["separation"].items():
        lines += [*_heading(f"Separation by {name}", figures.separation), ""]
        lines += _table(["slider", *matrix], [[slider, *row.values()] for slider, row in matrix.items()])
    combined = dict(report["composition"])
    if photos := report.get("composition of photos"):
        combined[f"{next(iter(combined))}, photos in both styles"] = photos
    if by_pair := list(dict.fromkeys(pair for found in combined.values() for pair in found)):
        lines += [*_heading("Composition", figures.composition), ""]
        rows = [[pair, *(found.get(pair, "") for found in combined.values())] for pair in by_pair]
        lines += _table(["pair", *combined], rows)
        for name, found in combined.items():
            good = sum(fraction >= figures.BARS["composition"] for fraction in found.values())
            lines += ["", f"{name}: {good} of {len(found)} pairs at {figures.BARS['composition']} or more"]
    for domain, sides in report.get("adaptation", {}).items():
        lines += [*_heading(f"Against adaptation: {domain}", figures.compared), ""]
        lines += _table(["", *sides["expanded"]], [[name, *row.values()] for name, row in sides.items()])
    return "\n".join(lines)


def _heading(title: str, figure: Callable[..., object]) -> list[str]:
    """A title and the figure's definition: the docstring's first paragraphs, as they stand in the code."""
    return ["", f"## {title}", "", cleandoc(figure.__doc__ or "")]


def _table(head: Sequence[str], rows: Sequence[Sequence[str | float]]) -> list[str]:
    cells = [[cell if isinstance(cell, str) else f"{round(cell, 2) + 0:.2f}" for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]
