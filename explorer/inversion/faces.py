"""Faces in photos, and squares cropped to what a generator makes. Knows no torch and no generator.

Faces are found by the cascades that OpenCV brings along; `DETECTORS` takes others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explorer.photos import PhotoError

SEARCHED = 240  # px of the longer side in which faces are looked for; an eighth of it is the smallest face


@dataclass(frozen=True)
class Box:
    """A square in pixels of a photo; it may reach over the border."""

    left: int
    top: int
    size: int


# A detector takes a grey picture uint8 [H, W] and yields faces as (centre x, centre y, side, confidence).
Detector = Callable[[np.ndarray], Iterator[tuple[float, float, float, float]]]


@dataclass(frozen=True)
class Kind:
    """How one kind of face is found, how sure that must be, and how much larger than the find the crop is."""

    detect: Detector
    sure: float
    margin: float


@cache
def _classifier(name: str) -> Any:
    import cv2  # takes a quarter of a second that programs without photos need not spend

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / f"{name}.xml"))


def cascade(name: str) -> Detector:
    """A detector of OpenCV's folder of cascades (Viola and Jones, 2001), also for heads tilted by up to `TILTS`.

    Around the picture its border is repeated, for faces that fill it. One search at a time: cascades are not shareable.
    """

    def detect(grey: np.ndarray) -> Iterator[tuple[float, float, float, float]]:
        import cv2

        height, width = grey.shape
        pad, smallest = min(height, width) // 3, max(height, width) // 8
        for tilt in TILTS:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, 1)
            turn[:, 2] += pad
            size = (width + 2 * pad, height + 2 * pad)
            turned = cv2.warpAffine(grey, turn, size, borderMode=cv2.BORDER_REPLICATE)
            with _detecting:
                boxes, _, scores = _classifier(name).detectMultiScale3(
                    turned, 1.05, 2, minSize=(smallest, smallest), outputRejectLevels=True
                )
            back = cv2.invertAffineTransform(turn)
            for (left, top, side, _), score in zip(boxes, scores, strict=True):
                x, y = back @ [left + side / 2, top + side / 2, 1]
                yield float(x), float(y), float(side), float(score)

    return detect


TILTS = (0, 10, -10)  # degrees
_detecting = threading.Lock()
# The margin of cats is what the close crops of the shipped model's data have around the same cascades' finds.
DETECTORS: dict[str, Kind] = {
    "cat": Kind(cascade("haarcascade_frontalcatface"), 1.5, 1.07),
    "cat, extended": Kind(cascade("haarcascade_frontalcatface_extended"), 1.5, 1.07),
    "human": Kind(cascade("haarcascade_frontalface_default"), 5.0, 1.7),
}


def find_faces(image: Image.Image) -> list[Box]:
    """Crops around the faces of a photo, largest first; of several finds of one face the surest is taken."""
    scale = min(1.0, SEARCHED / max(image.size))
    small = image.convert("L").resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    grey = np.asarray(small)
    finds = [
        (score / kind.sure, Box(*(round(v / scale) for v in (x - half, y - half, 2 * half))))
        for kind in DETECTORS.values()
        for x, y, side, score in kind.detect(grey)
        if score >= kind.sure and (half := side * kind.margin / 2)
    ]
    kept: list[Box] = []
    for _, box in sorted(finds, key=lambda find: -find[0]):
        if not any(_shared(box, other) > 0.3 for other in kept):
            kept.append(box)
    return sorted(kept, key=lambda box: -box.size)


def _shared(a: Box, b: Box) -> float:
    """The common area as a part of the smaller box."""
    width = min(a.left + a.size, b.left + b.size) - max(a.left, b.left)
    height = min(a.top + a.size, b.top + b.size) - max(a.top, b.top)
    return max(width, 0) * max(height, 0) / min(a.size, b.size) ** 2


def centre_box(image: Image.Image) -> Box:
    """The largest square in the middle."""
    size = min(image.size)
    return Box((image.width - size) // 2, (image.height - size) // 2, size)


def crop(image: Image.Image, box: Box | None, resolution: int) -> np.ndarray:  # uint8 [R, R, 3]
    """The box, or the middle for None, at a generator's resolution; what lies over the border is mirrored.

    Raises PhotoError for a box without area or one that does not touch the photo.
    """
    box = centre_box(image) if box is None else box
    right, bottom = box.left + box.size, box.top + box.size
    if box.size < 1 or right <= 0 or bottom <= 0 or box.left >= image.width or box.top >= image.height:
        raise PhotoError("the chosen square lies outside of the photo: draw it over the face")
    if box.size > 4 * max(image.size):
        raise PhotoError("the chosen square is far larger than the photo: draw it around the face")
    inside = (max(box.left, 0), max(box.top, 0), min(right, image.width), min(bottom, image.height))
    pixels = np.asarray(image.convert("RGB").crop(inside))
    around = (inside[1] - box.top, bottom - inside[3]), (inside[0] - box.left, right - inside[2]), (0, 0)
    if any(any(sides) for sides in around):
        pixels = np.pad(pixels, around, mode="symmetric")
    side = (resolution, resolution)
    return np.asarray(Image.fromarray(pixels).resize(side, Image.Resampling.LANCZOS))
