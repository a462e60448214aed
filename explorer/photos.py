"""Photos as they come, from strangers too: opened safely whatever their kind. Knows no torch and no generator."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from explorer.refused import Refused

MAX_PIXELS = 50_000_000
MAX_BYTES = 200_000_000
SMALLEST = 8  # px of the shorter side
# Formats that decode in this process; EPS and others would start programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "JPEG2000")
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands after "ftyp"
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, struct.error, zlib.error, IndexError, TypeError, OverflowError)


class PhotoError(Refused):
    """A photo that cannot be used; the message is one sentence for whoever chose it."""


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
