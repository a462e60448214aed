"""Captions: what a factor does to pictures, in words, where CLIP sees it.

A factor is moved to both ends on a few pictures. The change that CLIP sees between them, as a direction of its space,
is held against what lies between two texts (as StyleGAN-NADA does, arXiv 2108.00946, equation 2), for every pair of
`CONTRASTS`. Words are chosen on one half of the pictures and on the other; where the halves disagree, or fewer than
`LEAST` of the pictures change far enough, there are none: most factors change what this CLIP has no word for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.edit import Caption, Edit
from explorer.engine.engine import Engine
from explorer.networks.clip import Clip
from explorer.networks.pixels import from_array
from explorer.weights import CheckpointError
from explorer.weights.clip import load_clip

SAMPLES = 16  # pictures of a factor; even
REACH = 2.0  # standard deviations, either way
FAR = 0.5  # of the spread of unmoved pictures between two texts: what counts as seen in one picture
LEAST = 0.5  # of the pictures; by eye all seven captions of the default are right, and the first wrong one has 0.38
SURE = 0.9  # of unmoved pictures must be cats to this CLIP, or its words mean nothing


@dataclass(frozen=True)
class Contrast:
    """What changes, how it is called at both ends, and coats of cats that differ in little else."""

    what: str
    low: str
    high: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def words(self, forwards: bool) -> str:
        """What to call it: "fur: dark to light", or the other way round."""
        low, high = (self.low, self.high) if forwards else (self.high, self.low)
        return f"{self.what}: {low} to {high}"


# Coats that the shipped CLIP was taught; it knows no eyes, ears or poses. Siamese masks are left out: what CLIP sees of
# them by eye is contrast.
TABBIES = ("grey tabby", "brown tabby")
CONTRASTS = (
    Contrast("fur", "dark", "light", ("black",), ("white", "cream")),
    Contrast("fur", "grey", "ginger", ("grey", "grey tabby"), ("ginger",)),
    Contrast(
        "fur",
        "plain",
        "striped",
        ("black and white", "white with patches", "grey", "black"),
        ("tabby and white", *TABBIES),
    ),
    Contrast(
        "fur",
        "even",
        "patched",
        ("black", "ginger", "grey tabby"),
        ("black and white", "ginger and white", "tabby and white"),
    ),
    Contrast("age", "grown", "kitten", (*TABBIES, "cream"), ("kitten",)),
    Contrast("face", "long", "flat", ("brown tabby", "grey", "white", "cream"), ("persian",)),
)
CAT = ("a photo of a cat", "a photo of a tabby cat", "a photo of a black cat")
NO_CAT = ("nothing", "noise", "not a cat", "meaningless patches", "an abstract texture")


def fitting(
    change: Tensor,  # [N, E], what CLIP sees change from one end to the other, N even
    texts: Tensor,  # [C, E], unit length
    spread: Tensor,  # [C], standard deviation of unmoved pictures along each of `texts`
) -> tuple[int, bool, float] | None:
    """The text that a change agrees with most, whether forwards, and in which part of the pictures it goes far enough.

    None where the two halves of the pictures do not choose the same.
    """
    cosines, steps = F.normalize(change, dim=1) @ texts.t(), change @ texts.t() / spread
    halves = [cosines[start::2].mean(dim=0) for start in (0, 1)]
    chosen = [int(half.abs().argmax()) for half in halves]
    forwards = [bool(half[best] > 0) for half, best in zip(halves, chosen, strict=True)]
    if len({*zip(chosen, forwards, strict=True)}) > 1:
        return None
    step = steps[:, chosen[0]] if forwards[0] else -steps[:, chosen[0]]
    return chosen[0], forwards[0], float((step > FAR).float().mean())


def measure(engine: Engine, progress: Callable[[float], None] | None = None) -> None:
    """Give the engine's factors captions, unless they have some; none without CLIP, and where it does not know them.

    Takes two pictures a factor and sample; `progress` gets the fraction done.
    """
    factors = [direction for direction in engine.directions if direction.group == "factors"]
    if any(direction.caption for direction in factors):
        return
    try:
        clip = load_clip(device=engine.device)
    except CheckpointError:
        return
    checkpoint, captions = engine.checkpoint, {}
    seeds = torch.randint(2**31, (SAMPLES,), generator=torch.Generator().manual_seed(2)).tolist()

    def seen(*strengths: tuple[int, float]) -> Tensor:  # [SAMPLES, E]
        return _seen(clip, engine, [Edit(seed=seed, strengths=strengths) for seed in seeds])

    with torch.inference_mode():
        unmoved = seen()
        if not _cats(clip, unmoved):
            return
        texts = torch.stack([_between(clip, contrast) for contrast in CONTRASTS])
        spread = (unmoved @ texts.t()).std(dim=0)
        for number, direction in enumerate(factors, 1):
            change = seen((direction.dim, REACH)) - seen((direction.dim, -REACH))
            found = fitting(change, texts, spread)
            if found is not None and found[2] >= LEAST:
                captions[direction.dim] = Caption(CONTRASTS[found[0]].words(found[1]), found[2])
            if progress is not None:
                progress(number / len(factors))
    if engine.checkpoint is checkpoint:  # else another took its place meanwhile
        engine.caption(captions)


def _seen(clip: Clip, engine: Engine, edits: Sequence[Edit]) -> Tensor:  # [N, E], unit length
    pictures = engine.render(engine.drafted(edits, 1))  # of a generator that takes steps, as it shows them at rest
    return clip.encode_image(from_array(np.stack(pictures)).to(clip.mean.device))


def _cats(clip: Clip, seen: Tensor) -> bool:
    cat, nothing = (seen @ clip.encode_prompts([CAT, NO_CAT]).t()).unbind(dim=1)
    return bool((cat > nothing).float().mean() >= SURE)


def _between(clip: Clip, contrast: Contrast) -> Tensor:  # [E], unit length
    ends = [
        [f"{start} {coat} cat" for coat in end for start in ("a photo of a", "a")]
        for end in (contrast.before, contrast.after)
    ]
    before, after = clip.encode_prompts(ends)
    return F.normalize(after - before, dim=0)
