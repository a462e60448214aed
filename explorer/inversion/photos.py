"""Photos as they come: opened safely whatever their kind, faces found, cropped to what a generator makes.

Knows no torch and no generator. Faces are found by the cascades that OpenCV brings along; `DETECTORS` takes others.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
SMALLEST = 8  # px of the shorter side
# Formats that decode in this process; EPS and others would start programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "JPEG2000")
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands after "ftyp"
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, TypeError, OverflowError)
SEARCHED = 240  # px of the longer side in which faces are looked for; an eighth of it is the smallest face


class PhotoError(ValueError):
    """A photo that cannot be used; the message is one sentence for whoever chose it."""


@dataclass(frozen=True)
class Box:
    """A square in pixels of a photo; it may reach over the border."""

    left: int
    top: int
    size: int


def open_photo(data: bytes | str | Path) -> Image.Image:
    """The photo in a file or in its bytes, as RGB: turned as the camera says, on white where it is transparent.

    Grey, CMYK, palette and 16-bit pictures are converted; an animation is its first picture. Raises PhotoError.
    """
    content = data if isinstance(data, bytes) else _read(Path(data))
    _check_kind(content)
    try:
        # Pillow warns of odd notes and of large pictures; the first do no harm, the second are refused here.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(image)
            image.load()
            return _to_rgb(_turned(image))
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise _too_large() from None
    except UnidentifiedImageError:
        raise PhotoError("this is not a picture that can be read here: take a JPEG, PNG or WebP file") from None
    except (*DAMAGED, MemoryError):
        raise PhotoError("this picture is damaged or incomplete: save or download it once more") from None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PhotoError(f"this file has more than {MAX_BYTES // 10**6} MB: save the photo in a smaller size")
        return path.read_bytes()
    except IsADirectoryError:
        raise PhotoError(f"{path.name} is a folder: choose a photo in it") from None
    except OSError as error:
        raise PhotoError(f"{path.name} cannot be opened ({error.strerror or error})") from None


def _check_kind(content: bytes) -> None:
    """Refuse what is no picture by a sentence of its own, and prepare Pillow for HEIC."""
    head = content[:512].lstrip().lower()
    if not content:
        raise PhotoError("this file is empty: choose another one")
    if len(content) > MAX_BYTES:
        raise PhotoError(f"this file has more than {MAX_BYTES // 10**6} MB: save the photo in a smaller size")
    if content[4:8] == b"ftyp" and content[8:12] in HEIC:
        try:
            import pillow_heif  # type: ignore[import-not-found]
        except ImportError:
            raise PhotoError(
                "this is a HEIC photo: save it as JPEG, or install the package pillow-heif to open such files"
            ) from None
        pillow_heif.register_heif_opener()
        return
    kinds = {
        "a web page": (b"<!doctype", b"<html"),
        "a drawing of vectors (SVG)": (b"<svg", b"<?xml"),
        "a PDF document": (b"%pdf",),
        "an archive": (b"pk\x03\x04", b"rar!", b"\x1f\x8b"),
    }
    for kind, starts in kinds.items():
        if head.startswith(starts):
            raise PhotoError(f"this is {kind}, not a photo: take a JPEG, PNG or WebP file")
    if content[4:8] == b"ftyp" and content[8:12] not in (b"avif", b"avis"):
        raise PhotoError("this is a video, not a photo: take a JPEG, PNG or WebP file")


def _too_large(image: Image.Image | None = None) -> PhotoError:
    size = "" if image is None else f" of {image.width} x {image.height} pixels"
    return PhotoError(f"this picture{size} is larger than {MAX_PIXELS // 10**6} megapixels: save it in a smaller size")


def _turned(image: Image.Image) -> Image.Image:
    """As the camera's note says; a note that cannot be read is no reason to refuse the photo."""
    try:
        return ImageOps.exif_transpose(image)
    except DAMAGED:
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if min(image.size) < SMALLEST:
        raise PhotoError(f"this picture has {image.width} x {image.height} pixels: it needs {SMALLEST} on each side")
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_to_8_bit(np.asarray(image, np.float64))).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _to_8_bit(values: np.ndarray) -> np.ndarray:  # [H, W] -> uint8 [H, W]
    """From a range of 1, 255 or 65535, whichever the values fit."""
    if not np.isfinite(values).all():
        raise PhotoError("this picture holds values that are no numbers: save it as PNG or JPEG")
    most = next((m for m in (1, 255, 65535) if values.max() <= m), values.max())
    return np.clip(np.rint(values * (255 / most)), 0, 255).astype(np.uint8)


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
