"""Batches of pictures with captions: styles rendered once into a bank, then augmented afresh every time.

Everything random in a batch comes from one generator that its caller seeds by the step, so a resumed training needs no
state of ours. Knows no networks and no loss.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.networks.pixels import from_array
from explorer.recipes.captions import NOTHING, Caption, Content, caption
from explorer.replacing import replacing
from explorer.styles import PHOTO, STYLES, render

Pixels = np.ndarray  # [N, H, W, 3], uint8, RGB
PHOTOS, NOTHINGS = 0.26, 0.12  # shares of a batch; the rest is styled


@dataclass(frozen=True)
class Bank:
    """Photos, and for each of them `K` pictures in different styles.

    Attributes:
        photos: [N, H, W, 3].
        styled: [N, K, H, W, 3], usually mapped from a file.
        styles: [N, K], indices into STYLES.
        coats: N names of coats; None where there are no labels.
    """

    photos: Pixels
    styled: np.ndarray
    styles: np.ndarray
    coats: Sequence[str | None]


def build_bank(photos: Pixels, coats: Sequence[str | None], per_photo: int, seed: int, path: Path | None) -> Bank:
    """Render `per_photo` different styles, at most all of STYLES, of every photo; the same for the same seed.

    With a path the pictures lie in that .npy file, behind them a hash of all that they follow from. Next time they are
    read from it, or made again where the hash is of something else.
    """
    chosen = [np.random.default_rng((seed, i)).permutation(len(STYLES))[:per_photo] for i in range(len(photos))]
    styles = np.stack(chosen)
    if path is None:
        return Bank(photos, _rendered(photos, styles, seed), styles, coats)
    origin = hashlib.sha256(repr((seed, per_photo, photos.shape, list(STYLES))).encode())
    origin.update(np.ascontiguousarray(photos).data)
    if not _ends_with(path, origin.digest()):
        with replacing(path) as part, part.open("wb") as file:
            np.save(file, _rendered(photos, styles, seed))
            file.write(origin.digest())
    return Bank(photos, np.load(path, mmap_mode="r"), styles, coats)


def _rendered(photos: Pixels, styles: np.ndarray, seed: int) -> np.ndarray:  # [N, K] -> [N, K, H, W, 3]
    styled, names = np.empty((*styles.shape, *photos.shape[1:]), np.uint8), list(STYLES)
    cv2.setNumThreads(1)  # pictures are tiny: threads would only wait for each other
    for i, k in np.ndindex(*styles.shape):
        styled[i, k] = render(names[styles[i, k]], photos[i], np.random.default_rng((seed, i, k)))
    return styled


def _ends_with(path: Path, end: bytes) -> bool:
    with suppress(OSError), path.open("rb") as file:  # there is none, or it is shorter
        file.seek(-len(end), os.SEEK_END)
        return file.read() == end
    return False


@dataclass(frozen=True)
class Batch:
    """Pixels, captions and which describes which.

    Attributes:
        images: [B, 3, H, W] in [-1, 1], float32.
        contents: what each picture shows.
        captions: C texts, of the first C pictures.
        match: [B, C], 1 where the caption describes the picture.
    """

    images: Tensor
    contents: list[Content]
    captions: list[Caption]
    match: Tensor


def draw(bank: Bank, images: int, captions: int, rng: np.random.Generator, augmented: bool = True) -> Batch:
    """A random batch: photos, styled pictures and pictures of nothing, captions for the first `captions` of them."""
    pixels, contents = [], []
    names = list(STYLES)
    for _ in range(images):
        i, k = int(rng.integers(len(bank.photos))), int(rng.integers(bank.styles.shape[1]))
        kind = rng.random()
        styled = (bank.photos[i], PHOTO) if kind < PHOTOS else (bank.styled[i, k], names[bank.styles[i, k]])
        if kind > 1 - NOTHINGS:
            styled = (bank.photos[i], PHOTO) if rng.random() < 0.3 else styled
            pixels.append(nothing(styled[0], rng))
            contents.append(Content(NOTHING, None))
        else:
            pixels.append(_jpeg(styled[0], rng) if augmented and rng.random() < 0.2 else styled[0])
            contents.append(Content(styled[1], bank.coats[i]))
    batch = from_array(np.stack(pixels))
    texts = [caption(content, rng) for content in contents[:captions]]
    match = torch.tensor([[float(text.describes(content)) for text in texts] for content in contents])
    return Batch(augment(batch, rng) if augmented else batch, contents, texts, match)


def nothing(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A picture without a cat: shuffled or repeated patches of `picture`, blots of its colours, noise.

    Patches keep the texture of a style and lose the face: a generator guided by the model must not get away with those.
    """
    size, kind = picture.shape[0], int(rng.integers(5))
    count = int(rng.choice([4, 8]))  # 2 x 2 parts of a face would still be faces
    side = size // count
    tiles = picture[: count * side, : count * side].reshape(count, side, count, side, 3).swapaxes(1, 2)
    tiles = tiles.reshape(-1, side, side, 3)
    if kind <= 1:  # shuffled
        order = rng.permutation(len(tiles))
    elif kind == 2:  # one patch, repeated
        order = np.full(len(tiles), rng.integers(len(tiles)))
    else:  # blots of its colours, or any noise
        grain = rng.standard_normal((size, size, 3)).astype(np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), float(rng.uniform(0.3, 8)))
        if rng.random() < 0.4:
            grain = grain[..., :1]
        spread = picture.std() if kind == 3 else rng.uniform(0, 90)
        centre = picture.reshape(-1, 3).mean(0) if kind == 3 else rng.uniform(0, 255, 3)
        return np.clip(centre + spread * grain / (grain.std() + 1e-6), 0, 255).astype(np.uint8)
    mixed = tiles[order].reshape(count, count, side, side, 3).swapaxes(1, 2).reshape(count * side, count * side, 3)
    return cv2.copyMakeBorder(mixed, 0, size - count * side, 0, size - count * side, cv2.BORDER_REFLECT)


def augment(images: Tensor, rng: np.random.Generator) -> Tensor:  # [N, 3, H, W] in [-1, 1] -> the same
    """Mirror, crop and turn, light, noise, blur and holes, each for a random part of the batch.

    Strong enough that single pixels decide nothing, weak enough that every style and coat can still be told.
    """
    count = len(images)

    def some(share: float) -> Tensor:  # [N, 1, 1, 1], 1 for a random share of the batch
        return torch.from_numpy((rng.random(count) < share).astype(np.float32)).view(-1, 1, 1, 1)

    def between(low: float, high: float, channels: int = 1) -> Tensor:  # [N, channels, 1, 1]
        return torch.from_numpy(rng.uniform(low, high, (count, channels)).astype(np.float32)).view(-1, channels, 1, 1)

    images = _warped(images, some, between)
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = torch.lerp(images, blurred, some(0.25) * between(0, 0.8))
    mean = images.mean(dim=(2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + some(0.5) * between(-0.25, 0.25))
    images = images + some(0.5) * between(-0.15, 0.15) + some(0.3) * between(-0.06, 0.06, 3)
    noise = torch.from_numpy(rng.standard_normal(images.shape, dtype=np.float32))
    images = images + some(0.35) * between(0.02, 0.2) * noise
    return _holed(images, rng).clamp(-1, 1)


def _warped(images: Tensor, some: Callable[..., Tensor], between: Callable[..., Tensor]) -> Tensor:
    """Mirrored, turned by up to 12 degrees, scaled and shifted by up to a tenth; borders reflected."""
    warped = some(0.7)
    angle, scale = warped * between(-0.2, 0.2), 1 + warped * between(-0.22, 0.12)
    mirror = 1 - 2 * some(0.5)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [cosine * mirror, -sine, warped * between(-0.1, 0.1), sine * mirror, cosine, warped * between(-0.1, 0.1)]
    matrix = torch.cat(rows, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _holed(images: Tensor, rng: np.random.Generator) -> Tensor:
    """A grey square of up to a third of the side in every tenth picture."""
    images = images.clone()
    size = images.shape[-1]
    for i in np.flatnonzero(rng.random(len(images)) < 0.1):
        side = int(rng.integers(size // 8, size // 3 + 1))
        row, column = rng.integers(0, size - side + 1, 2)
        images[i, :, row : row + side, column : column + side] = 0
    return images


def _jpeg(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`picture` after a strong JPEG compression."""
    quality = int(rng.integers(25, 80))
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1]
