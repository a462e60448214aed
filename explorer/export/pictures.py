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
BATCH = 8  # pictures rendered at once


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


class Sheet:
    """A contact sheet that is filled picture by picture, row by row; gaps and missing pictures are white.

    `pixels` is uint8 `[H, W, 3]`. Raises ExportError for no pictures, too many, or more than MAX_PIXELS.
    """

    def __init__(self, count: int, columns: int, height: int, width: int | None = None, gap: int = GAP) -> None:
        if not 1 <= count <= MAX_PICTURES:
            raise ExportError(f"a sheet has 1 to {MAX_PICTURES} pictures, got {count}")
        if columns < 1:
            raise ExportError(f"a sheet has at least one column, got {columns}")
        self.columns, self.gap = min(columns, count), gap
        self.height, self.width = height, height if width is None else width
        rows = -(-count // self.columns)
        size = (rows * (self.height + gap) - gap, self.columns * (self.width + gap) - gap)
        if size[0] * size[1] > MAX_PIXELS:
            raise ExportError(f"this sheet would be {size[1]} x {size[0]} px: ask for fewer or smaller pictures")
        self.pixels = np.full((*size, 3), 255, np.uint8)

    def paste(self, index: int, picture: np.ndarray) -> None:  # uint8 [H, W, 3]
        """Set the picture of this number, counted from 0, into its place."""
        if picture.shape != (self.height, self.width, 3):
            raise ExportError("the pictures of a sheet must have one size")
        top, left = index // self.columns * (self.height + self.gap), index % self.columns * (self.width + self.gap)
        self.pixels[top : top + self.height, left : left + self.width] = picture


def sheet(
    pictures: Sequence[np.ndarray],  # uint8 [H, W, 3], all of one size
    columns: int,
    gap: int = GAP,
) -> np.ndarray:  # uint8 [H', W', 3]
    """The `Sheet` of pictures. Raises ExportError as it does, and for pictures of several sizes."""
    height, width = pictures[0].shape[:2] if pictures else (1, 1)
    filled = Sheet(len(pictures), columns, height, width, gap)
    for index, picture in enumerate(pictures):
        filled.paste(index, picture)
    return filled.pixels


def rendered(edits: Sequence[Edit], render: Render, batch: int = BATCH) -> Iterator[np.ndarray]:
    """The pictures of edits one after another, never more than `batch` of them in memory."""
    for start in range(0, len(edits), batch):
        yield from render(list(edits[start : start + batch]))


def check_px(px: int | None) -> None:
    """Raises ExportError for a size that no picture is enlarged to."""
    if px is not None and (isinstance(px, bool) or not isinstance(px, int) or not 1 <= px <= MAX_SIDE):
        raise ExportError(f"the size is a whole number from 1 to {MAX_SIDE} pixels, got {px!r}")


def upscaled(
    picture: np.ndarray,  # uint8 [H, W, 3]
    px: int | None,
) -> np.ndarray:
    """The picture with its longer side at `px`, by Lanczos; unchanged for None. Raises ExportError out of range."""
    check_px(px)
    if px is None:
        return picture
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
    """A temporary file beside `path` that takes its name once all of it has been written.

    Raises ExportError where the file cannot be written: no folder, no right, no room. What lay there before stays then.
    """
    if not path.parent.is_dir():
        raise ExportError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        with beside(path) as temporary:
            yield temporary
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror or error})") from error
