"""Methods held against each other on real photos: how near, how fast, and how well the result can still be edited."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from explorer.inversion.methods import without_encoder
from explorer.inversion.networks import Networks
from explorer.inversion.results import Inversion, invert
from explorer.inversion.settings import Settings, defaults
from explorer.latents import Expansion, compose, sample_codes

BATCH = 16
WEIGHTS = (0.0, 0.5, 2.0, 8.0, 32.0)  # of the ablation; 2 is published
EDITED = 16  # photos, and as many samples, whose edits are scored


@dataclass(frozen=True)
class Row:
    """Means over the photos of one method.

    `seconds` is of one photo by itself, after a warm-up of three steps; `batch` how many times that a batch of BATCH
    takes, None with fewer photos; `edit` see `edit_quality`, None without an expansion.
    """

    name: str
    perceptual: float
    psnr: float
    clip_similarity: float
    distance_to_w_avg: float
    seconds: float
    batch: float | None
    edit: float | None


def ways(networks: Networks) -> dict[str, tuple[Networks, Settings]]:
    """What is compared: every method with its published settings, and plain optimisation from the mean code."""
    in_domain = defaults("in_domain")
    found = {
        "300 steps from the mean": (without_encoder(networks), replace(in_domain, steps=300)),
        "clip_guided, 300 steps": (networks, defaults("clip_guided")),
    }
    if networks.encoder is not None:
        found["encoder"] = networks, defaults("encoder")
        found["in_domain, 100 steps"] = networks, in_domain
        found["in_domain, 100 steps, w+offsets"] = networks, replace(in_domain, space="w+offsets")
    return found


def compare(
    networks: Networks,
    photos: Tensor,  # [N, 3, R, R] in [-1, 1]
    expansion: Expansion | None = None,
) -> list[Row]:
    """One row a way. Figures come from batches of BATCH, since a photo is found alike in any company."""
    return [measure_way(name, *way, photos, expansion) for name, way in ways(networks).items()]


def ablation(networks: Networks, photos: Tensor, expansion: Expansion | None = None) -> dict[float, Row]:
    """In-domain rows by lambda_dom, in W+ as in arXiv 2004.00049, section 4.4. Needs an encoder (InversionError)."""
    networks.encode(photos[:1])
    settings = replace(defaults("in_domain"), space="w+")
    rows = {}
    for weight in WEIGHTS:
        name = f"lambda_dom {weight:g}"
        rows[weight] = measure_way(name, networks, replace(settings, lambda_dom=weight), photos, expansion)
    return rows


def measure_way(
    name: str, networks: Networks, settings: Settings, photos: Tensor, expansion: Expansion | None = None
) -> Row:
    """The row of one way."""
    invert(networks, photos[:1], replace(settings, steps=min(settings.steps, 3)))
    (seconds, _), *_ = _timed(networks, settings, photos[:1])
    timed = _timed(networks, settings, photos)
    results = [result for _, result in timed]
    full = [took for took, result in timed if len(result.ws) == BATCH]
    batch = sum(full) / len(full) / seconds if full else None
    figures = [figure for result in results for figure in result.figures]
    means = {
        key: sum(float(figure.get(key, float("nan"))) for figure in figures) / len(figures)
        for key in ("perceptual", "psnr", "clip_similarity", "distance_to_w_avg")
    }
    ws = torch.cat([result.ws for result in results])[:EDITED]
    edit = None if expansion is None or networks.clip is None else edit_quality(networks, ws, expansion)
    return Row(name, **means, seconds=seconds, batch=batch, edit=edit)


def _timed(networks: Networks, settings: Settings, photos: Tensor) -> list[tuple[float, Inversion]]:
    """Every batch's result with the seconds it took."""
    found = []
    for part in photos.split(BATCH):
        began = time.perf_counter()
        result = invert(networks, part, settings)
        found.append((time.perf_counter() - began, result))
    return found


@torch.no_grad()
def edit_quality(networks: Networks, ws: Tensor, expansion: Expansion, seed: int = 0) -> float:
    """How much of a domain's zero-shot gain survives on inverted photos against sampled codes, mean over the domains.

    The gain of codes is the mean rise of the cosine between their pictures and the domain's name when its strength goes
    from 0 to 1; 1 means that photos take on the domains as samples do. Needs CLIP.
    """
    assert networks.clip is not None
    texts = networks.clip.encode_text([f"a {name} of a cat" for name in expansion.domains])
    sampled = sample_codes(networks.generator, len(ws), seed, psi=0.7)
    ratios = []
    for domain, text in zip(expansion.domains, texts, strict=True):
        gains = []
        for codes in (ws, sampled):
            before, after = (
                networks.clip.encode_image(networks.render(compose(codes, expansion, {domain: strength}), exact=True))
                for strength in (0.0, 1.0)
            )
            gains.append(((after - before) @ text).mean().item())
        if gains[1] > 0:  # a domain that samples do not take on says nothing about photos
            ratios.append(gains[0] / gains[1])
    return sum(ratios) / len(ratios) if ratios else float("nan")


def table(rows: list[Row], network: str) -> str:
    """Markdown; less is better for perceptual and the times, more for the others."""
    columns = (
        "method",
        f"perceptual ({network})",
        "PSNR, dB",
        "CLIP similarity",
        "distance to the mean",
        "seconds",
        f"{BATCH} at once",
        "edit quality",
    )
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for row in rows:
        batch = "" if row.batch is None else f"{row.batch:.1f} x"
        edit = "" if row.edit is None else f"{row.edit:.2f}"
        lines.append(
            f"| {row.name} | {row.perceptual:.3f} | {row.psnr:.2f} | {row.clip_similarity:.3f} |"
            f" {row.distance_to_w_avg:.2f} | {row.seconds:.2f} | {batch} | {edit} |"
        )
    return "\n".join(lines)
