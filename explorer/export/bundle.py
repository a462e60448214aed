"""Everything of a list of edits in one zip: pictures, a contact sheet, codes, directions, and a table of what each is.

Knows nothing of how a picture is rendered.
"""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from explorer.edit import DirectionId, Edit
from explorer.export.animation import Codes
from explorer.export.pictures import BATCH, MAX_PICTURES, ExportError, Render, Sheet, rendered, replacing, upscaled

COLUMNS = ("file", "seed", "truncation_psi", "noise_mode", "directions", "edit")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a table program would run a cell that begins so


def write_bundle(
    path: str | Path,
    edits: Sequence[Edit],
    render: Render,
    codes: Codes | None = None,
    px: int | None = None,
    encode: Callable[[np.ndarray, Edit], bytes] = lambda picture, _: png(picture),
) -> Path:
    """What `bundling` does, to its end."""
    for _ in bundling(path, edits, render, codes, px, encode):
        pass
    return Path(path)


def bundling(
    path: str | Path,
    edits: Sequence[Edit],
    render: Render,
    codes: Codes | None = None,
    px: int | None = None,
    encode: Callable[[np.ndarray, Edit], bytes] = lambda picture, _: png(picture),
    batch: int = BATCH,
) -> Generator[float, None, None]:
    """Write a zip with the pictures of `edits`; yields the fraction done after every picture.

    The file is there after the last fraction; closing the iterator earlier leaves nothing behind. It holds
    `001.png`...; `sheet.png`; `edits.csv` with one row a picture; `edits.json`, a list of edits; and with `codes`
    `latents.npy`, float32 `[N, num_ws, w_dim]`, and for every direction that is used its movement at strength 1 in
    `directions.npz`, float32 `[w_dim]` by name. `px` enlarges the single pictures, `encode` makes their PNG files.
    Raises ExportError for no or too many edits, and for a `path` that does not end in .zip.
    """
    path = Path(path)
    if path.suffix.lower() != ".zip":
        raise ExportError(f"the pictures are written as one .zip; {path.name!r} ends otherwise")
    if not 1 <= len(edits) <= MAX_PICTURES:
        raise ExportError(f"a zip holds 1 to {MAX_PICTURES} pictures, got {len(edits)}")
    edits = list(edits)
    names = [f"{i:03d}.png" for i in range(1, len(edits) + 1)]
    sheet = None
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for index, picture in enumerate(rendered(edits, render, batch)):
            sheet = sheet or Sheet(len(edits), math.ceil(math.sqrt(len(edits))), *picture.shape[:2])
            sheet.paste(index, picture)
            archive.writestr(names[index], encode(upscaled(picture, px), edits[index]))
            yield (index + 1) / (len(edits) + 1)
        assert sheet is not None
        archive.writestr("sheet.png", png(sheet.pixels))
        archive.writestr("edits.csv", table(names, edits))
        archive.writestr("edits.json", json.dumps([edit.to_json() for edit in edits], indent=1))
        if codes is not None:
            archive.writestr("latents.npy", npy(np.stack(codes(edits))))
            archive.writestr("directions.npz", npz(movements(edits, codes)))
    yield 1.0


def movements(edits: Sequence[Edit], codes: Codes) -> dict[str, np.ndarray]:
    """For every direction in `edits`, by name or number: what strength 1 adds to w, float32 `[w_dim]`."""
    used: list[DirectionId] = sorted({move[0] for edit in edits for move in edit.moves()}, key=str)
    origin = Edit(truncation_psi=0.0)
    here, *there = codes([origin, *(origin.with_strength(direction, 1.0) for direction in used)])
    return {str(direction): (code - here)[0] for direction, code in zip(used, there, strict=True)}


def table(names: Sequence[str], edits: Sequence[Edit]) -> str:
    """The edits as CSV, one row a picture, with COLUMNS above."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for name, edit in zip(names, edits, strict=True):
        moves = "; ".join(f"{direction}={strength:g}" for direction, strength, _ in edit.moves())
        seed = "photo" if edit.latent is not None else edit.seed
        row = (name, seed, edit.truncation_psi, edit.noise_mode, moves, json.dumps(edit.to_json()))
        writer.writerow([harmless(cell) for cell in row])
    return out.getvalue()


def harmless(cell: object) -> object:
    """A text that no table program takes for a formula: a domain's name may come from anybody's checkpoint."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell


def png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def npz(arrays: dict[str, np.ndarray]) -> bytes:
    """Names that are no file names are kept as they are: zip members are never unpacked by numpy."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name.replace('/', '_')}.npy"), npy(array))  # alike whenever it is made
    return out.getvalue()
