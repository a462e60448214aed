"""A judge of domains that no generator ever saw: a classifier of real photos to which styles were applied.

`python -m explorer.recipes.judge OUT --data PICTURES [--folder NAME=FOLDER] [--image NAME=PICTURE]`. Classes are
`photo`, `nothing` (textures without a face, so that these do not win) and one a style of `styles`, and further:

- a folder's class is its pictures, every fifth of them held out where there are ten or more;
- a picture's class is the picture itself, moved and turned, and twice as often photos with its colours (see
  `recoloured`). So it judges the colours and, less, the look; what else the artist of the picture did is not judged.

Generated pictures are softer than these, hence the blur and the resizing. Knows no generator and no CLIP. It takes
minutes and cannot be resumed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks.judge import Judge, JudgeConfig
from explorer.networks.pixels import from_array
from explorer.recipes.captions import NOTHING
from explorer.recipes.pairs import Pixels, augment, nothing
from explorer.recipes.zeroshot import load_pixels
from explorer.refused import Refused
from explorer.styles import ALL_STYLES, PHOTO, render
from explorer.training.data import DataError, Pictures
from explorer.training.run import Progress, RunError, training_dtype
from explorer.weights.parts import save_part

BATCH = 128
SMALLEST, LARGEST = 16, 256  # px
LR, DECAY, SMOOTHING = 4e-3, 0.02, 0.05
HELD_OUT = 0.05  # of the photos, by their names' hash: the same as the other trainers leave out
PER_CLASS, PER_TEST = 800, 150  # pictures made of a class for training, and for its accuracy
SHARES = {
    PHOTO: 0.2,
    NOTHING: 0.1,
}  # of a batch: these two are the most varied, and all that is no style must be theirs
SOFTEN = 0.3  # of the side, or more, to which half of the pictures are reduced and enlarged again

Classes = Mapping[str, Pixels]  # name -> [n, H, W, 3]


def styled(photos: Pixels, count: int, seed: int) -> dict[str, Pixels]:
    """`count` pictures of every style and of `photo`, each of a random photo, four times as many of `nothing`."""
    cv2.setNumThreads(1)  # pictures are tiny: threads would only wait for each other
    made: dict[str, Pixels] = {}
    for index, style in enumerate((PHOTO, *ALL_STYLES)):
        rng = np.random.default_rng((seed, index))
        chosen = rng.choice(len(photos), count, replace=count > len(photos))
        made[style] = np.stack([render(style, photos[i], rng) for i in chosen])
    rng, every = np.random.default_rng((seed, len(made))), list(made.values())
    made[NOTHING] = np.stack([nothing(every[k % len(every)][k % count], rng) for k in range(4 * count)])
    return made


def recoloured(photo: np.ndarray, target: np.ndarray) -> np.ndarray:  # [H, W, 3] uint8, twice -> [H, W, 3] uint8
    """`photo` with mean and covariance of the target's colours.

    The linear Monge-Kantorovich map, of all maps that do it the one that moves colours least (Pitie and Kokaram, "The
    linear Monge-Kantorovitch linear colour mapping", 2007): `T = A^-1 (A B A)^1/2 A^-1`, A^2 the covariance of the
    photo, B that of the target.
    """
    source, wanted = (x.reshape(-1, 3).astype(np.float64) for x in (photo, target))
    root = _power(np.cov(source.T), 0.5)
    inverse = np.linalg.inv(root)
    matrix = inverse @ _power(root @ np.cov(wanted.T) @ root, 0.5) @ inverse
    moved = (source - source.mean(0)) @ matrix + wanted.mean(0)
    return np.clip(moved + 0.5, 0, 255).astype(np.uint8).reshape(photo.shape)


def _power(matrix: np.ndarray, exponent: float) -> np.ndarray:  # symmetric, [3, 3]
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1.0) ** exponent) @ vectors.T  # a variance of 1: grey pictures have none


def of_picture(target: np.ndarray, photos: Pixels, count: int, seed: int) -> Pixels:  # -> [count, H, W, 3]
    """The class of a single picture: itself (every third), and photos in its colours."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(photos), size=count)
    return np.stack([target if i % 3 == 0 else recoloured(photos[k], target) for i, k in enumerate(chosen)])


def softened(images: Tensor, rng: np.random.Generator) -> Tensor:  # [N, 3, H, W] in [-1, 1]
    """Half of the pictures reduced to a random size and enlarged again, in four groups; then `pairs.augment`."""
    size = images.shape[-1]
    parts = list(images.chunk(8))
    for i in range(0, len(parts), 2):
        small = round(size * rng.uniform(SOFTEN, 1))
        part = F.interpolate(parts[i], size=small, mode="bilinear", antialias=True)
        parts[i] = F.interpolate(part, size=size, mode="bicubic" if rng.random() < 0.5 else "bilinear").clamp(-1, 1)
    return augment(torch.cat(parts), rng)


def batch(classes: Classes, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:  # [B, 3, H, W], [B] int64
    """Random classes by SHARES, the others alike; random pictures of them, softened and augmented."""
    groups = list(classes.values())
    shares = np.array([SHARES.get(name, 0.0) for name in classes])
    shares[shares == 0] = (1 - shares.sum()) / np.count_nonzero(shares == 0)
    labels = rng.choice(len(groups), size, p=shares)
    pixels = np.stack([groups[k][rng.integers(len(groups[k]))] for k in labels])
    return softened(_images(pixels), rng), torch.from_numpy(labels)


def _images(pixels: Pixels) -> Tensor:  # [N, H, W, 3] uint8 -> [N, 3, H, W] in [-1, 1]
    return from_array(pixels)


def train(classes: Classes, steps: int, seed: int = 0, widths: Sequence[int] = JudgeConfig.widths) -> Judge:
    """A judge of `classes` after `steps` of AdamW on balanced batches, the rate rising and falling (arXiv 1708.07120).

    Raises ValueError for fewer than two classes.
    """
    torch.manual_seed(seed)
    size = next(iter(classes.values())).shape[1]
    judge = Judge(JudgeConfig(tuple(classes), size, tuple(widths))).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = training_dtype("auto", torch.device("cpu"))
    optimiser = torch.optim.AdamW(judge.parameters(), LR, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=steps, pct_start=0.15)
    progress = Progress(steps * BATCH, 0)
    for step in range(steps):
        images, labels = batch(classes, BATCH, np.random.default_rng((seed, step)))
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            logits = judge(images.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        schedule.step()
        if step % 100 == 99:
            hit = (logits.argmax(1) == labels).float().mean()
            progress.report((step + 1) * BATCH, {"loss": loss.item(), "accuracy": hit.item()})
    return judge.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(judge: Judge, classes: Classes) -> dict[str, float]:
    """For each class, the fraction of its pictures that the judge gives to it."""
    names = judge.config.classes
    found = {
        name: torch.cat([judge(part).argmax(1) for part in _images(p).split(BATCH)]) for name, p in classes.items()
    }
    return {name: (labels == names.index(name)).float().mean().item() for name, labels in found.items()}


def gather(
    data: str, folders: Mapping[str, str], images: Mapping[str, str], px: int
) -> tuple[dict[str, Pixels], dict[str, Pixels]]:
    """The classes to learn and those to measure on, `px` pixels wide; pictures of a folder are left out of the photos.

    Raises DataError, before anything is made, where pictures are missing, a name is taken or no photos are left.
    """
    taken = [name for name in (*folders, *images) if name in (PHOTO, NOTHING, *ALL_STYLES)]
    if taken or folders.keys() & images.keys():
        raise DataError(f"the judge has a class {(taken or sorted(folders.keys() & images.keys()))[0]!r} already")
    extra = {name: load_pixels(Pictures(path, px))[0] for name, path in folders.items()}
    targets = {name: _picture(path, px) for name, path in images.items()}
    known = {pixels.tobytes() for group in extra.values() for pixels in group}
    kept, unseen = (_photos(data, px, held_out, known) for held_out in (False, True))
    parts = []
    for held_out, photos, count, seed in ((False, kept, PER_CLASS, 0), (True, unseen, PER_TEST, 1)):
        made = styled(photos, count, seed) | ({} if held_out else {PHOTO: photos})
        for name, group in extra.items():
            few = len(group) < 10
            made[name] = group if few else group[::5] if held_out else np.delete(group, np.s_[::5], axis=0)
        for index, (name, target) in enumerate(targets.items()):
            made[name] = of_picture(target, photos, count, 1000 * (seed + 1) + index)
        parts.append(made)
    return parts[0], parts[1]


def _photos(data: str, px: int, held_out: bool, known: set[bytes]) -> Pixels:
    """The photos without the known ones. Raises DataError where there are no others."""
    pixels, _ = load_pixels(Pictures(data, px, HELD_OUT, held_out))
    photos = [photo for photo in pixels if photo.tobytes() not in known]
    if not photos:
        kind = "held-out pictures" if held_out else "pictures"
        raise DataError(f"{data} holds no {kind} but those of the folders of classes: add photos of something else")
    return np.stack(photos)


def _picture(path: str, px: int) -> np.ndarray:
    """One picture file, cropped and resized as `Pictures` does. Raises DataError where it cannot be read."""
    file = Path(path)
    if not file.is_file():
        raise DataError(f"{path} is no picture file")
    folder = Pictures(file.parent, px)
    if file.name not in folder.names:
        raise DataError(f"{path} is no picture that can be used (png, jpg, webp, bmp)")
    return folder[folder.names.index(file.name)][0].permute(1, 2, 0).numpy()


def named(text: str) -> tuple[str, str]:
    """`mittens=photos/mittens`: a class and its pictures."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


def check(out: Path, px: int, steps: int, seed: int) -> None:
    """Raise RunError for what training would refuse, or the file system after it."""
    if not SMALLEST <= px <= LARGEST or px % SMALLEST:
        raise RunError(f"--resolution must be a multiple of {SMALLEST} from {SMALLEST} to {LARGEST}, got {px}")
    if steps < 1:
        raise RunError(f"--steps must be 1 or more, got {steps}")
    if not 0 <= seed < 2**63:
        raise RunError(f"--seed must be a number from 0 to {2**63 - 1}, got {seed}")
    if out.is_dir():
        raise RunError(f"{out} is a folder: name the file to write, for example {out / 'judge.safetensors'}")
    if not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        raise RunError(f"{out} cannot be written: make {out.parent} a folder that you may write to")


def main(argv: Sequence[str] | None = None) -> int:
    """Train, measure and write a judge; the exit code is 0, or 2 with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m explorer.recipes.judge", description="Train a judge of domains.")
    parser.add_argument("out", metavar="OUT", type=Path, help="where to write, usually NAME.safetensors")
    parser.add_argument("--data", required=True, help="a folder or zip of photos")
    parser.add_argument("--folder", type=named, action="append", default=[], metavar="NAME=FOLDER", help="a class")
    parser.add_argument("--image", type=named, action="append", default=[], metavar="NAME=PICTURE", help="a class")
    parser.add_argument("--resolution", type=int, default=128, help="px of the pictures it looks at")
    parser.add_argument("--steps", type=int, default=1200, help=f"batches of {BATCH} pictures")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    try:
        check(arguments.out, arguments.resolution, arguments.steps, arguments.seed)
        learned, unseen = gather(arguments.data, dict(arguments.folder), dict(arguments.image), arguments.resolution)
        judge = train(learned, arguments.steps, arguments.seed)
        figures = accuracy(judge, unseen)
        meta = {"data": Path(arguments.data).name, "held_out": HELD_OUT, "steps": arguments.steps, "accuracy": figures}
        save_part(judge, arguments.out, meta)
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"accuracy": sum(figures.values()) / len(figures), "classes": figures}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
