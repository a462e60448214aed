"""What a CLIP model knows of styles and coats, on pictures it has not been trained on.

`python -m explorer.recipes.zeroshot --data PICTURES [--clip SOURCE]` prints the figures as JSON. Works for any model
that `load_clip` reads; knows no training.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from explorer.networks.clip import Clip
from explorer.networks.pixels import from_array, from_pixels
from explorer.recipes.captions import NOTHING, PHRASES, STYLE_NAMES, Content, caption, coat_prompts, style_prompts
from explorer.recipes.pairs import nothing
from explorer.refused import Refused
from explorer.styles import render
from explorer.training.data import Pictures
from explorer.weights.clip import SHIPPED, load_clip

BATCH = 128
ATTACK, ATTACK_STEPS, ATTACKED = 0.03, 5, 16  # 0.03 of [-1, 1] is four steps of 8-bit colour


def load_pixels(pictures: Pictures) -> tuple[np.ndarray, list[str | None]]:
    """All pictures as [N, H, W, 3] RGB, and the names of their classes; None where there are no labels."""
    pixels = np.stack([pictures[i][0].permute(1, 2, 0).numpy() for i in range(len(pictures))])
    labels = (pictures.labels.get(name, -1) for name in pictures.names)
    return pixels, [pictures.classes[label] if label >= 0 else None for label in labels]


@torch.no_grad()
def encode(clip: Clip, pixels: np.ndarray) -> Tensor:  # [N, H, W, 3] -> [N, E]
    """Directions of pictures, in batches."""
    device = clip.mean.device
    parts = (torch.from_numpy(pixels[i : i + BATCH]).to(device) for i in range(0, len(pixels), BATCH))
    return torch.cat([clip.encode_image(from_pixels(part.permute(0, 3, 1, 2))) for part in parts])


@torch.no_grad()
def measure(clip: Clip, pixels: np.ndarray, coats: Sequence[str | None], per_style: int | None = None) -> dict:
    """Figures on held-out pictures; every one is a fraction in [0, 1] unless said otherwise.

    - `style`: zero-shot accuracy over photos and all styles, every picture rendered in each; `worst styles` beside it.
    - `prompts`: the same with single prompts instead of averaged ones, over every phrase of `captions`.
    - `nothing`: shuffled and repeated patches of styled pictures that go to "nothing" when it is one of the classes.
    - `attacked`: `style` where every picture was moved against its style by at most ATTACK, in ATTACK_STEPS steps
      (projected gradient ascent, arXiv 1706.06083); on ATTACKED photos.
    - `coat`: zero-shot accuracy over the coats on photos.
    - `image to text`, `text to image`: retrieval over one picture and caption a photo, each in a random style: at
      least one of the first 1 (5) found describes the picture, or is described; `chance` is the same for the first 1
      of a random order.

    `per_style` measures styles and retrieval on that many photos only.
    """
    few, few_coats = pixels[:per_style], coats[:per_style]
    directions = clip.encode_prompts([style_prompts(style) for style in STYLE_NAMES])
    images = [
        encode(clip, np.stack([render(style, p, np.random.default_rng((1, i))) for i, p in enumerate(few)]))
        for style in STYLE_NAMES
    ]
    right = [(image @ directions.t()).argmax(1).eq(i).float().mean().item() for i, image in enumerate(images)]
    worst = sorted(zip(right, STYLE_NAMES, strict=True))[:3]
    figures: dict = {
        "style": sum(right) / len(right),
        "worst styles": {style: round(accuracy, 3) for accuracy, style in worst},
        "prompts": _single_prompts(clip, images),
        "nothing": _nothing(clip, few, directions),
        "attacked": _attacked(clip, few[:ATTACKED], directions),
    }
    if (names := sorted({coat for coat in coats if coat is not None})) and len(names) > 1:
        texts = clip.encode_prompts([coat_prompts(name) for name in names])
        truth = torch.tensor([names.index(coat) if coat is not None else -1 for coat in coats])
        figures["coat"] = (encode(clip, pixels) @ texts.t()).argmax(1).cpu().eq(truth).float().mean().item()
    return figures | _retrieval(clip, torch.stack(images), few_coats)


def _single_prompts(clip: Clip, images: list[Tensor]) -> float:
    """For each picture and a random phrase of every style: is the right phrase the nearest?"""
    rng, rounds, right = np.random.default_rng(2), 20, 0.0
    for _ in range(rounds):
        texts = clip.encode_text([PHRASES[s][rng.integers(len(PHRASES[s]))].format("cat") for s in STYLE_NAMES])
        hits = [(image @ texts.t()).argmax(1).eq(i).float().mean().item() for i, image in enumerate(images)]
        right += sum(hits) / len(hits) / rounds
    return right


def _nothing(clip: Clip, pixels: np.ndarray, directions: Tensor) -> float:
    rng = np.random.default_rng(3)
    styles = [STYLE_NAMES[i % len(STYLE_NAMES)] for i in range(len(pixels))]
    broken = np.stack([nothing(render(s, p, rng), rng) for s, p in zip(styles, pixels, strict=True)])
    classes = torch.cat([directions, clip.encode_prompts([style_prompts(NOTHING)])])
    return (encode(clip, broken) @ classes.t()).argmax(1).eq(len(STYLE_NAMES)).float().mean().item()


def _attacked(clip: Clip, pixels: np.ndarray, directions: Tensor) -> float:
    right = 0
    for truth, style in enumerate(STYLE_NAMES):
        made = np.stack([render(style, p, np.random.default_rng((1, i))) for i, p in enumerate(pixels)])
        clean = from_array(made).to(directions.device)
        images = clean.clone()
        for _ in range(ATTACK_STEPS):
            images.requires_grad_()
            with torch.enable_grad():
                score = (clip.encode_image(images) @ directions.t() * clip.scale).log_softmax(1)[:, truth].sum()
                (gradient,) = torch.autograd.grad(score, images)
            moved = images.detach() - 2 * ATTACK / ATTACK_STEPS * gradient.sign()
            images = clean + (moved - clean).clamp(-ATTACK, ATTACK)
        right += int((clip.encode_image(images) @ directions.t()).argmax(1).eq(truth).sum())
    return right / (len(pixels) * len(STYLE_NAMES))


def _retrieval(clip: Clip, images: Tensor, coats: Sequence[str | None]) -> dict[str, float]:
    """`images` is [styles, N, E]: every photo in every style, of which one a photo takes part."""
    rng = np.random.default_rng(4)
    chosen = rng.integers(len(STYLE_NAMES), size=len(coats))
    contents = [Content(STYLE_NAMES[style], coat) for style, coat in zip(chosen, coats, strict=True)]
    captions = [caption(content, rng) for content in contents]
    match = torch.tensor([[text.describes(content) for text in captions] for content in contents])
    pictures = images[torch.from_numpy(chosen), torch.arange(len(coats))]
    similarity = (pictures @ clip.encode_text([text.text for text in captions]).t()).cpu()
    figures = {"chance": match.float().mean().item()}
    for name, scores, truth in (
        ("image to text", similarity, match),
        ("text to image", similarity.t(), match.t()),
    ):
        for k in (1, 5):
            found = scores.topk(min(k, len(coats)), dim=1).indices
            figures[f"{name} {k}"] = truth.gather(1, found).any(1).float().mean().item()
    return figures


@torch.no_grad()
def retrieved(clip: Clip, pixels: np.ndarray, columns: int = 8) -> Tensor:  # [styles * columns, 3, H, W]
    """A sheet's pictures: for each style, the `columns` pictures that its prompts find among all styles of `pixels`."""
    rendered = np.concatenate(
        [np.stack([render(s, p, np.random.default_rng((1, i))) for i, p in enumerate(pixels)]) for s in STYLE_NAMES]
    )
    images = encode(clip, rendered)
    texts = clip.encode_prompts([style_prompts(style) for style in STYLE_NAMES])
    found = (texts @ images.t()).topk(min(columns, len(rendered)), dim=1).indices.flatten().cpu()
    return from_array(rendered[found.numpy()])


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures of a model; the exit code is 0, or 2 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m explorer.recipes.zeroshot", description="Measure a CLIP model.")
    parser.add_argument("--data", required=True, help="a folder or zip of pictures, with dataset.json for coats")
    parser.add_argument("--clip", default=SHIPPED, help="a native file, or as `explorer.weights.clip` lists them")
    parser.add_argument("--held-out", type=float, default=0.05, help="fraction that was never trained on")
    parser.add_argument("--per-style", type=int, help="measure styles and retrieval on that many pictures only")
    arguments = parser.parse_args(argv)
    try:
        clip = load_clip(arguments.clip)
        size = clip.config.image_size if clip.config else 64
        pixels, coats = load_pixels(Pictures(arguments.data, size, arguments.held_out, held_out=True))
        print(json.dumps(measure(clip, pixels, coats, arguments.per_style), indent=2))
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
