"""Upright crops as those of the FFHQ data set: from landmarks of a human face to a turned square, and its pixels.

Source: Karras et al., "A Style-Based Generator Architecture" (arXiv 1812.04948), appendix A, after the preparation of
CelebA-HQ (arXiv 1710.10196, appendix C): the square's axes follow the eyes and the mouth, its size their distances.
Landmarks come from OpenCV's facemark (LBF, 68 points) where its model file `lbfmodel.yaml` lies beside the checkpoint
or EXPLORER_LANDMARKS names one. Knows no torch and no generator.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from explorer.inversion.faces import DETECTORS, Box, crop, find_upright
from explorer.photos import PhotoError

MODEL = "lbfmodel.yaml"
EYES, HEIGHT, DOWN = 2.0, 1.8, 0.1  # of appendix C: half a side in eye and mouth distances, shift to the mouth
Crop = Literal["face", "centre"] | Box
Landmarks = Callable[[Image.Image, Box], np.ndarray | None]  # a photo and its framed face -> [68, 2]


def quad(landmarks: np.ndarray) -> np.ndarray:  # [5 or 68, 2] -> [4, 2]
    """Corners of the FFHQ crop, from the upper left one against the clock, in pixels of the photo.

    Five points are the eyes, the nose and the corners of the mouth, left before right as one sees them; 68 are those of
    iBUG 300-W. With e between the eyes and m from them to the mouth, x = e - rot90(m) scaled to max(2 |e|, 1.8 |m|) is
    half of a side. Raises ValueError for another number of points and for points without extent.
    """
    if landmarks.shape == (68, 2):
        left, right = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
        mouth = (landmarks[48] + landmarks[54]) / 2
    elif landmarks.shape == (5, 2):
        left, right, mouth = landmarks[0], landmarks[1], landmarks[3:].mean(axis=0)
    else:
        raise ValueError(f"landmarks are [5, 2] or [68, 2], got {list(landmarks.shape)}")
    between, eyes = right - left, (left + right) / 2
    down = mouth - eyes
    across = between - np.array([-down[1], down[0]])
    length = np.hypot(*across)
    if not length > 0:
        raise PhotoError("these landmarks lie on one point: no face has them")
    x = across / length * max(EYES * np.hypot(*between), HEIGHT * np.hypot(*down))
    y = np.array([-x[1], x[0]])
    centre = eyes + DOWN * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def aligned(image: Image.Image, corners: np.ndarray, resolution: int) -> np.ndarray:  # uint8 [R, R, 3]
    """The square of `quad` at a generator's resolution; what lies over the border is mirrored."""
    import cv2

    side = float(np.hypot(*(corners[3] - corners[0])))
    large = max(resolution, int(resolution * max(1, round(side / resolution))))  # then by area, without aliasing
    target = np.array([[0, 0], [0, large], [large, large], [large, 0]], np.float32) - 0.5
    turn = cv2.getPerspectiveTransform((corners - 0.5).astype(np.float32), target)
    pixels = cv2.warpPerspective(np.asarray(image.convert("RGB")), turn, (large, large), borderMode=cv2.BORDER_REFLECT)
    return cv2.resize(pixels, (resolution, resolution), interpolation=cv2.INTER_AREA)


def square(
    image: Image.Image, where: Crop, resolution: int, checkpoint: Path | None, of_face: bool = False
) -> tuple[np.ndarray, bool]:  # uint8 [R, R, 3]
    """Which square of a photo is looked for, and whether it is one of a face.

    "face" is the largest face, of a photo on its side that of the upright one, else the middle; "centre" the middle; a
    box, in pixels of the photo, is taken as it is, `of_face` where `find_upright` framed it. Faces are aligned for
    generators that saw aligned ones, see `ffhq_crop`.
    Raises PhotoError for another word and for a box off the photo.
    """
    if isinstance(where, Box):
        box = where
    elif where == "face":
        image, _, faces = find_upright(image)
        box = next(iter(faces), None)
        of_face = box is not None
    elif where == "centre":
        box = None
    else:
        raise PhotoError(f"a crop is face, centre or a box, got {where!r}")
    aligned_face = ffhq_crop(image, box, resolution, checkpoint) if of_face and box is not None else None
    return crop(image, box, resolution) if aligned_face is None else aligned_face, of_face


def ffhq_crop(image: Image.Image, box: Box, resolution: int, checkpoint: Path | None) -> np.ndarray | None:
    """The aligned crop of the face that `find_upright` framed, for a generator of FFHQ: its file says so in its name.

    None where the generator is another one, no landmark model is here, or it finds no landmarks.
    """
    if checkpoint is None or "ffhq" not in checkpoint.name.lower():
        return None
    file = model_file((checkpoint.parent,))
    landmarks = None if file is None else facemark(file)(image, box)
    return None if landmarks is None else aligned(image, quad(landmarks), resolution)


def model_file(folders: tuple[Path, ...]) -> Path | None:
    """The landmark model in the first of the folders that has one, or where EXPLORER_LANDMARKS points; else None."""
    named = os.environ.get("EXPLORER_LANDMARKS")
    files = [Path(named)] if named else [folder / MODEL for folder in folders]
    return next((file for file in files if file.is_file()), None)


@cache
def facemark(file: Path) -> Landmarks:
    """The finder of OpenCV's LBF model in a file (Ren et al., CVPR 2014). None is found where it gives up."""
    import cv2

    module: Any = getattr(cv2, "face")  # noqa: B009 (of the contributed modules, which have no types)
    finder = module.createFacemarkLBF()
    finder.loadModel(str(file))

    def find(image: Image.Image, box: Box) -> np.ndarray | None:
        side = box.size / DETECTORS["human"].margin  # the face itself, without what the crop adds
        edge = (box.size - side) / 2
        face = np.array([[box.left + edge, box.top + edge, side, side]], np.int32)
        found, points = finder.fit(np.asarray(image.convert("L")), face)
        return points[0][0].astype(np.float64) if found else None

    return find
