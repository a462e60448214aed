"""Key frames of a drag: pictures that were made exactly, and what is painted between them while a slider moves.

A slider moves a code along a line. Between two exact pictures on that line their blend comes nearer to the true picture
than anything that a fraction of the network makes of the code (measured: `docs/measurements.md`), in next to no time
and for any family. Knows no generator.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 512  # px of a key frame; a picture in motion shows no more
KEPT = 24  # of 3 MB each
ON_LINE = 1e-3  # how far from the line between two codes a code may lie, as a part of their distance


@dataclass(eq=False)
class Frame:
    """An exact picture in the size of a preview.

    Attributes:
        key: what else than the code its picture depends on; frames of one key are pictures of one drag.
        code: `[rows, dim]`.
        picture: `[C, side, side]`, float32, about [-1, 1].
        smaller: pictures so far at smaller sides `[C, s, s]`, by side, where they were asked for.
    """

    key: Hashable
    code: Tensor
    picture: Tensor
    smaller: dict[int, Tensor] = field(default_factory=dict)


class Frames:
    """The last key frames of all visitors. Safe for threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._frames: OrderedDict[int, Frame] = OrderedDict()  # by their ids, the last used last
        self._lock = threading.Lock()

    def add(self, key: Hashable, code: Tensor, picture: Tensor) -> None:
        """Keep an exact picture `[C, H, W]` of a code `[rows, dim]`, halved by area to at most SIDE."""
        if self.at(key, code) is None:
            frame = Frame(key, code.clone(), halved(picture[None], SIDE)[0])
            with self._lock:
                self._frames[id(frame)] = frame
                while len(self._frames) > self.kept:
                    self._frames.popitem(last=False)

    def at(self, key: Hashable, code: Tensor) -> Frame | None:
        """The frame of exactly this code."""
        return next((frame for frame in self._of(key) if torch.equal(frame.code, code)), None)

    def between(self, key: Hashable, code: Tensor) -> Tensor | None:  # [C, side, side]
        """The blend of the two frames nearest to each other between which the code lies; None where there are none.

        For the code of a frame it is that frame.
        """
        if (frame := self.at(key, code)) is not None:
            return frame.picture
        found: list[tuple[float, float, Frame, Frame]] = []
        for here, there in combinations(self._of(key), 2):
            way, gone = (there.code - here.code).flatten(), (code - here.code).flatten()
            length = float(way.norm())
            t = float(gone @ way) / length**2
            if 0 < t < 1 and float((gone - t * way).norm()) <= ON_LINE * length:
                found.append((length, t, here, there))
        if not found:
            return None
        _, t, here, there = min(found, key=lambda pair: pair[0])
        self._use(here, there)
        return torch.lerp(here.picture, there.picture, t)

    def nearest(self, key: Hashable, code: Tensor) -> Frame | None:
        """The frame whose code is nearest."""
        frame = min(self._of(key), key=lambda frame: float((frame.code - code).norm()), default=None)
        if frame is not None:
            self._use(frame)
        return frame

    def _of(self, key: Hashable) -> Sequence[Frame]:
        with self._lock:
            return [frame for frame in self._frames.values() if frame.key == key]

    def _use(self, *frames: Frame) -> None:
        with self._lock:
            for frame in frames:
                if id(frame) in self._frames:
                    self._frames.move_to_end(id(frame))


def sharpened(frame: Frame, smaller: Tensor) -> Tensor:  # [C, side, side]
    """A frame, moved by how its picture so far at a smaller side has changed to `smaller`.

    What the frame has above its own smaller picture is kept, so that an unchanged code gives the frame itself.
    """
    change = (smaller - frame.smaller[smaller.shape[-1]])[None]
    return frame.picture + F.interpolate(change, frame.picture.shape[-2:], mode="bilinear", align_corners=False)[0]


def halved(images: Tensor, side: int | None) -> Tensor:  # [N, C, H, W] -> [N, C, h, w]
    """In [-1, 1], halved by area until the side is at most `side`."""
    images = images.float().clamp(-1, 1)
    while side is not None and images.shape[-1] > side:
        images = F.avg_pool2d(images, 2)
    return images
