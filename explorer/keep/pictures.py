"""Pictures that carry the edit they show: PNG as an iTXt chunk, WebP and JPEG as EXIF's ImageDescription.

Pixels of a PNG are exactly those given. Reading looks at the header alone; no pixel is decoded. Knows no engine.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from explorer.foreign import brief
from explorer.keep.kept import KeepError, Kept

FORMATS = ("png", "webp", "jpeg")
KEYWORD = "domain-explorer"  # of the PNG chunk
QUALITY = 95  # of WebP and JPEG
OPTIMISED = 3 * 512**2  # numbers of a PNG up to which the smallest file is looked for: 4096 px take over a minute
MAX_BYTES = 20 * 2**20
NO_PICTURE = "This is no PNG, WebP or JPEG picture, or it is damaged."
NO_SETTINGS = (
    "This picture carries no settings: it was saved without them, or a program on its way removed them. "
    "Photos are opened in the Photo tab."
)


def write_picture(
    picture: np.ndarray,  # uint8 [H, W, 3]
    kind: str = "png",
    kept: Kept | None = None,
) -> bytes:
    """An image file of `picture`, with `kept` inside where it is given.

    `kind` is one of `FORMATS`; PNG is exact, the others are not. Raises `KeepError` for another kind, and for settings
    that JPEG has no room for.
    """
    if not isinstance(kind, str) or kind not in FORMATS:
        raise KeepError(f"a picture is saved as {', '.join(FORMATS)}, not as {brief(kind)}")
    options: dict = {"quality": QUALITY} | ({"subsampling": 0} if kind == "jpeg" else {})
    if kind == "png":
        options = {"optimize": picture.size <= OPTIMISED}
    if kept is not None and kind == "png":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt(KEYWORD, kept.to_text())
    elif kept is not None:
        options["exif"] = Image.Exif()
        options["exif"][Base.ImageDescription] = kept.to_text()
    buffer = io.BytesIO()
    try:
        Image.fromarray(picture).save(buffer, kind, **options)
    except ValueError as error:  # "EXIF data is too long"
        raise KeepError("JPEG has no room for these settings: save as PNG or WebP.") from error
    return buffer.getvalue()


def read_picture(data: bytes) -> Kept:
    """What `write_picture` put in. Raises `KeepError` where there is nothing, `EditError` where it is no edit."""
    if len(data) > MAX_BYTES:
        raise KeepError(f"This picture has {len(data) / 2**20:.0f} MB; at most {MAX_BYTES // 2**20} MB are read.")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            warnings.simplefilter("ignore")  # of metadata that we do not read
            text = image.info.get(KEYWORD) if image.format == "PNG" else image.getexif().get(Base.ImageDescription)
    except Exception:  # Pillow has no common error for damage
        raise KeepError(NO_PICTURE) from None
    if not isinstance(text, str) or (image.format != "PNG" and not text.startswith("{")):
        raise KeepError(NO_SETTINGS)
    return Kept.from_text(text)
