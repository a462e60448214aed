"""Photos as they come, from strangers too: opened safely whatever their kind, within a budget of memory.

A photo of more than DETAIL pixels is halved until it has fewer: while it is decoded, where its format can do that, else
strip by strip. Knows no torch and no generator.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from explorer.refused import Refused

MAX_PIXELS = 50_000_000
MAX_PIXELS_OF = {"WEBP": 24_000_000, "JPEG2000": 24_000_000}  # formats whose decoders take 16 bytes a pixel
MAX_BYTES = 200_000_000
DETAIL = 16_000_000  # pixels of an opened photo; no generator shows a quarter of them
STRIP = 2_000_000  # pixels that are converted at once
SMALLEST = 8  # px of the shorter side
# Formats that decode in this process; EPS and others would start programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "JPEG2000")
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")  # brands after "ftyp"
ORIENTATION = 0x0112  # the camera's note on how it was held
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


class PhotoError(Refused):
    """A photo that cannot be used; the message is one sentence for whoever chose it."""


def open_photo(data: bytes | str | Path) -> Image.Image:
    """The photo in a file or in its bytes, as RGB: turned as the camera says, on white where it is transparent.

    Grey, CMYK, palette and 16-bit pictures are converted; an animation is its first picture. Raises PhotoError.
    """
    content = data if isinstance(data, bytes) else _read(Path(data))
    _check_kind(content)
    try:
        # Pillow warns of odd notes, which do no harm, and of large pictures, which are refused here.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_size(image)
            factor = _shrinks(image)
            image.draft(None, (image.width // factor, image.height // factor))  # of JPEG, while it is decoded
            image.load()
            _check_size(image)  # the picture inside of an icon has a size of its own
            return _turned(_to_rgb(image), image)
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise _too_large() from None
    except UnidentifiedImageError:
        raise PhotoError("this is not a picture that can be read here: take a JPEG, PNG or WebP file") from None
    except Exception:  # Pillow's decoders have no common error: two dozen kinds were seen
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


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS_OF.get(image.format or "", MAX_PIXELS):
        raise _too_large(image)
    if min(image.size) < SMALLEST:
        raise PhotoError(f"this picture has {image.width} x {image.height} pixels: it needs {SMALLEST} on each side")


def _too_large(image: Image.Image | None = None) -> PhotoError:
    size = "" if image is None else f" of {image.width} x {image.height} pixels"
    kind = "" if image is None else image.format or ""
    if kind in MAX_PIXELS_OF:
        return PhotoError(
            f"this picture{size} is larger than the {MAX_PIXELS_OF[kind] // 10**6} megapixels that are read of {kind}:"
            " save it as JPEG, or in a smaller size"
        )
    return PhotoError(f"this picture{size} is larger than {MAX_PIXELS // 10**6} megapixels: save it in a smaller size")


def _shrinks(image: Image.Image) -> int:
    """How many times a side is halved, as a factor; a picture much wider than high keeps its smallest side."""
    factor = 1
    while image.width * image.height > DETAIL * factor**2 and min(image.size) >= 2 * factor * SMALLEST:
        factor *= 2
    return factor


def _turned(picture: Image.Image, source: Image.Image) -> Image.Image:
    """As the camera's note in `source` says; a note that cannot be read is no reason to refuse the photo."""
    try:
        turn = TURNS.get(source.getexif().get(ORIENTATION, 1))
    except Exception:  # as above
        return picture
    return picture if turn is None else picture.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of at most DETAIL pixels, a strip at a time: a whole copy of every step takes 25 bytes a pixel."""
    factor = _shrinks(image)
    white = _white(image, factor) if _is_deep(image) else 255
    result = Image.new("RGB", (image.width // factor, image.height // factor))
    for top, strip in _strips(image, factor):
        strip = _strip_to_rgb(strip, white)
        result.paste(strip if factor == 1 else strip.reduce(factor), (0, top // factor))
    return result


def _strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """(first row, part) from top to bottom; sides are multiples of `factor`."""
    width, height = (side // factor * factor for side in image.size)
    rows = max(STRIP // width // factor, 1) * factor
    for top in range(0, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def _white(image: Image.Image, factor: int) -> float:
    """What is white in a picture of one large number a pixel: 1, 255 or 65535, whichever its values fit."""
    most = max(float(np.asarray(strip).max()) for _, strip in _strips(image, factor))
    return next((white for white in (1, 255, 65535) if most <= white), most)


def _is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _strip_to_rgb(image: Image.Image, white: float) -> Image.Image:
    if _is_deep(image):
        values = np.asarray(image, np.float32)
        if not np.isfinite(values).all():
            raise PhotoError("this picture holds values that are no numbers: save it as PNG or JPEG")
        return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
