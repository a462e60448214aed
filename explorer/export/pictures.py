"""Still pictures: the edits of a strip or a grid, many pictures as one sheet, one made larger, one written.

Knows nothing of how a picture is rendered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from explorer.edit import DirectionId, Edit
from explorer.refused import Refused
from explorer.replacing import replacing as beside

if TYPE_CHECKING:
    from collections.abc import Iterator

Render = Callable[[list[Edit]], list[np.ndarray]]  # pictures uint8 [H, W, 3], one an edit

MAX_PICTURES = 256  # in one sheet or zip
MAX_SIDE = 4096  # of an enlarged picture
MAX_PIXELS = 64 * 1024 * 1024  # of one sheet
ENDINGS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
QUALITY = 95  # of JPEG; WebP and PNG are written without loss
GAP = 2


class ExportError(Refused):
    """An export that cannot be: the message says what was expected."""


def spread(low: float, high: float, count: int) -> list[float]:
    """`count` values from `low` to `high`, both included. Raises ExportError outside 1 to MAX_PICTURES values."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_PICTURES:
        raise ExportError(f"a strip has 1 to {MAX_PICTURES} pictures, got {count!r}")
    try:
        ends = (float(low), float(high))
    except (TypeError, ValueError):
        raise ExportError(f"strengths are numbers, got {low!r} and {high!r}") from None
    return [float(value) for value in np.linspace(*ends, count)]


def strip_of(edit: Edit, direction: DirectionId, strengths: Sequence[float]) -> list[Edit]:
    """`edit` once at every strength of one direction."""
    return [edit.with_strength(direction, strength) for strength in strengths]


def grid_of(
    edit: Edit, x: DirectionId, y: DirectionId, across: Sequence[float], down: Sequence[float]
) -> list[list[Edit]]:
    """Rows of edits: strengths of `x` grow to the right, those of `y` downwards. Raises ExportError where x is y."""
    if x == y:
        raise ExportError("a grid needs two different directions, one across and one down")
    if len(across) * len(down) > MAX_PICTURES:
        raise ExportError(f"a grid has at most {MAX_PICTURES} pictures, got {len(across)} x {len(down)}")
    return [strip_of(edit.with_strength(y, strength), x, across) for strength in down]


def sheet(
    pictures: Sequence[np.ndarray],  # uint8 [H, W, 3], all of one size
    columns: int,
    gap: int = GAP,
) -> np.ndarray:  # uint8 [H', W', 3]
    """One contact sheet, filled row by row; gaps and missing pictures are white.

    Raises ExportError for no pictures, too many, pictures of several sizes or a sheet of more than MAX_PIXELS.
    """
    if not 1 <= len(pictures) <= MAX_PICTURES:
        raise ExportError(f"a sheet has 1 to {MAX_PICTURES} pictures, got {len(pictures)}")
    if columns < 1:
        raise ExportError(f"a sheet has at least one column, got {columns}")
    if len({picture.shape for picture in pictures}) > 1:
        raise ExportError("the pictures of a sheet must have one size")
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    if size[0] * size[1] > MAX_PIXELS:
        raise ExportError(f"this sheet would be {size[1]} x {size[0]} px: ask for fewer or smaller pictures")
    out = np.full((*size, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        out[top : top + height, left : left + width] = picture
    return out


def upscaled(
    picture: np.ndarray,  # uint8 [H, W, 3]
    px: int | None,
) -> np.ndarray:
    """The picture with its longer side at `px`, by Lanczos; unchanged for None. Raises ExportError out of range."""
    if px is None:
        return picture
    if isinstance(px, bool) or not isinstance(px, int) or not 1 <= px <= MAX_SIDE:
        raise ExportError(f"the size is a whole number from 1 to {MAX_SIDE} pixels, got {px!r}")
    height, width = picture.shape[:2]
    longer = max(height, width)
    if longer == px:
        return picture
    size = (max(round(width * px / longer), 1), max(round(height * px / longer), 1))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def write_picture(picture: np.ndarray, path: str | Path) -> Path:
    """Write PNG or WebP without loss, or JPEG, by the ending of `path`. Raises ExportError for other endings."""
    path = Path(path)
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise ExportError(f"a picture is written as {', '.join(ENDINGS)}; {path.name!r} ends otherwise")
    options = {"quality": QUALITY, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, kind, **options)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its name once all of it has been written."""
    if not path.parent.is_dir():
        raise ExportError(f"{path} cannot be written: there is no folder {path.parent}")
    with beside(path) as temporary:
        yield temporary
