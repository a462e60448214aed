"""Faces in photos, and squares cropped to what a generator makes. Knows no torch and no generator.

Faces are found by the cascades that OpenCV brings along; `DETECTORS` takes others. One look at one size finds them by
luck, so there are many, and they vote: over sizes and tilts, and over quarter turns for which way is up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from explorer.photos import PhotoError

SIZES = (128, 160, 200)  # px of the longer side in which faces are looked for; an eighth of it is the smallest
GLANCE = (SIZES[0],)  # enough to see which way is up, where faces are clear
ENOUGH = 4.5  # votes that make a face; a look has one where it is just sure, at most MOST
LEAST, MOST = 0.5, 2.0
CERTAIN = 2 * ENOUGH  # of a photo that stands: nothing turned is looked at
INSIDE = 0.75  # of a face lies on the photo: around it the border is repeated, which looks like one at times
CLEARER = 1.5  # times the votes that a turned photo must have over an upright one


@dataclass(frozen=True)
class Box:
    """A square in pixels of a photo; it may reach over the border."""

    left: int
    top: int
    size: int


# A detector takes a grey picture uint8 [H, W] and tilts in degrees, each a look of its own, and yields faces as
# (centre x, centre y, side, confidence).
Detector = Callable[[np.ndarray, Sequence[int]], Iterator[tuple[float, float, float, float]]]


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
    """A detector of OpenCV's folder of cascades (Viola and Jones, 2001), of heads tilted by the angles asked for.

    Around the picture its border is repeated, for faces that fill it. One search at a time: cascades are not shareable.
    """

    def detect(grey: np.ndarray, tilts: Sequence[int]) -> Iterator[tuple[float, float, float, float]]:
        import cv2

        height, width = grey.shape
        pad, smallest = min(height, width) // 3, max(height, width) // 8
        for tilt in tilts:
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), tilt, 1)
            turn[:, 2] += pad
            size = (width + 2 * pad, height + 2 * pad)
            turned = cv2.warpAffine(grey, turn, size, borderMode=cv2.BORDER_REPLICATE)
            with _detecting:
                boxes, _, scores = _classifier(name).detectMultiScale3(
                    turned, 1.1, 2, minSize=(smallest, smallest), outputRejectLevels=True
                )
            back = cv2.invertAffineTransform(turn)
            for (left, top, side, _), score in zip(boxes, scores, strict=True):
                x, y = back @ [left + side / 2, top + side / 2, 1]
                yield float(x), float(y), float(side), float(score)

    return detect


TILTS = (0, 8, -8, 16, -16)  # degrees
_detecting = threading.Lock()
# The margin of cats is what the close crops of the shipped model's data have around the same cascades' finds.
DETECTORS: dict[str, Kind] = {
    "cat": Kind(cascade("haarcascade_frontalcatface"), 1.5, 1.07),
    "cat, extended": Kind(cascade("haarcascade_frontalcatface_extended"), 1.5, 1.07),
    "human": Kind(cascade("haarcascade_frontalface_default"), 5.0, 1.7),
}


def find_upright(image: Image.Image) -> tuple[Image.Image, int, list[Box]]:
    """A photo turned upright, by how many quarters counterclockwise, and the faces of the photo as it is now.

    It stays as it is unless turned the faces are far clearer, or are there at all.
    """
    found = {0: _votes(image, SIZES, TILTS)}
    if _clearest(found[0]) >= CERTAIN:
        return image, 0, _faces(found[0])
    glances = [_clearest(_votes(turned(image, turn), GLANCE, TILTS[:3])) for turn in range(4)]
    best = max(range(4), key=lambda turn: glances[turn])
    if glances[best] > CLEARER * glances[0]:
        found[best] = _votes(turned(image, best), SIZES, TILTS)
    if _clearest(found.get(best, [])) < max(ENOUGH, CLEARER * _clearest(found[0])):
        best = 0
    return turned(image, best), best, _faces(found[best])


def turned(image: Image.Image, quarters: int) -> Image.Image:
    """The photo turned by quarters counterclockwise."""
    turns = (None, Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
    turn = turns[quarters % 4]
    return image if turn is None else image.transpose(turn)


def find_faces(image: Image.Image) -> list[Box]:
    """Crops around the faces of a photo as it stands, largest first."""
    return _faces(_votes(image, SIZES, TILTS))


@dataclass
class _Votes:
    """What several looks took for one face: (votes, centre x, centre y, side) each, in pixels of the photo."""

    finds: list[tuple[float, float, float, float]]

    @property
    def sum(self) -> float:
        return sum(find[0] for find in self.finds)

    @property
    def box(self) -> Box:
        x, y, side = np.median(np.array(self.finds)[:, 1:], axis=0)
        return Box(round(x - side / 2), round(y - side / 2), round(side))

    def fits(self, x: float, y: float, side: float) -> bool:
        """Whether this is about the same square as the surest find."""
        _, x0, y0, side0 = self.finds[0]
        near = max(abs(x - x0), abs(y - y0)) < 0.3 * max(side, side0)
        return near and 0.55 < side / side0 < 1.8


def _votes(image: Image.Image, sizes: Sequence[int], tilts: Sequence[int]) -> list[_Votes]:
    finds, grey = [], image.convert("L")
    for size in sizes:
        scale = size / max(image.size)
        how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
        small = np.asarray(grey.resize([max(1, round(side * scale)) for side in image.size], how))
        for kind in DETECTORS.values():
            for x, y, side, score in kind.detect(small, tilts):
                if (votes := min(score / kind.sure, MOST)) >= LEAST:
                    finds.append((votes, x / scale, y / scale, side * kind.margin / scale))
    candidates: list[_Votes] = []
    for find in sorted(finds, reverse=True):
        if (known := next((one for one in candidates if one.fits(*find[1:])), None)) is not None:
            known.finds.append(find)
        else:
            candidates.append(_Votes([find]))
    whole = (0, 0, *image.size)
    return [one for one in candidates if _common(one.box, whole) >= INSIDE * one.box.size**2]


def _clearest(candidates: list[_Votes]) -> float:
    return max((one.sum for one in candidates), default=0.0)


def _faces(candidates: list[_Votes]) -> list[Box]:
    kept: list[Box] = []
    for one in sorted(candidates, key=lambda one: -one.sum):
        if one.sum >= ENOUGH and not any(_shared(one.box, other) > 0.3 for other in kept):
            kept.append(one.box)
    return sorted(kept, key=lambda box: -box.size)


def _common(box: Box, area: tuple[int, int, int, int]) -> int:  # left, top, right, bottom
    """The pixels of the box that lie in the area."""
    width = min(box.left + box.size, area[2]) - max(box.left, area[0])
    height = min(box.top + box.size, area[3]) - max(box.top, area[1])
    return max(width, 0) * max(height, 0)


def _shared(a: Box, b: Box) -> float:
    """The common area as a part of the smaller box."""
    return _common(a, (b.left, b.top, b.left + b.size, b.top + b.size)) / min(a.size, b.size) ** 2


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
