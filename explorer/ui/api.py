"""The endpoints: pictures, strips, grids, films, zips, codes of photos and a list of models, for programs.

Their names and parameters stay. Reached by `gradio_client`, by plain HTTP (`POST /gradio_api/call/NAME`), and with
`--mcp` as tools of a language model; the docstrings are what those programs are told. Anything a caller can get wrong
comes back as one sentence. Knows no networks.
"""

from __future__ import annotations

import base64
import binascii
import functools
import logging
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import gradio as gr
import numpy as np
from gradio.events import api

from explorer import export
from explorer.edit import DirectionId, Edit, EditError
from explorer.engine import inverting
from explorer.inversion import InversionError, defaults
from explorer.inversion.faces import crop, find_faces
from explorer.keep import Kept, write_picture
from explorer.photos import PhotoError, open_photo
from explorer.weights import DEFAULT, CheckpointError
from explorer.weights.folder import generators

if TYPE_CHECKING:
    from explorer.engine import Engine

FORMATS = {"png": "png", "jpg": "jpeg", "webp": "webp"}
MAX_STRIP = 25  # pictures in a row
MAX_GRID = 11  # pictures a side
MAX_STEPS = 1000  # of a search for a photo's code
MAX_PHOTO = 20 * 2**20  # bytes
KEEP_SECONDS = 60  # Gradio copies a file as soon as the endpoint returns
FOLDER = "explorer-exports"

log = logging.getLogger(__name__)
Answer = dict[str, Any]


def register(engine: Engine, name: str) -> None:
    """Add every endpoint of `engine` to the page that is being built."""
    for endpoint in Endpoints(engine, name).all():
        api(explained(endpoint), api_name=endpoint.__name__)


def explained(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """`endpoint`, its errors one sentence for the caller; anything unforeseen is told to the terminal only."""

    @functools.wraps(endpoint)
    def inner(*arguments: Any, **named: Any) -> Any:
        try:
            return endpoint(*arguments, **named)
        except (EditError, export.ExportError, InversionError, PhotoError, CheckpointError) as error:
            raise gr.Error(str(error), print_exception=False) from None
        except Exception:
            log.exception("the endpoint %s failed", endpoint.__name__)
            raise gr.Error("This went wrong; the server's terminal says why.", print_exception=False) from None

    return inner


class Endpoints:
    """The functions by their public names; the order is the one of the documentation."""

    NAMES = ("render", "compose", "strip", "grid", "animate", "bundle", "invert", "models")

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def all(self) -> list[Callable[..., Any]]:
        return [getattr(self, name) for name in self.NAMES]

    def render(self, edit: Answer, px: int | None = None, format: Literal["png", "jpg", "webp"] = "png") -> Answer:
        """Render one edit as a picture file.

        Args:
            edit: an edit as JSON, for example {"seed": 3, "strengths": {"pencil sketch": 1}}; {} is the first picture.
            px: longer side of the picture, enlarged by Lanczos; null is the generator's own size.
            format: png, jpg or webp.
        """
        return self._kept(Edit.from_json(edit), px, format, "picture")

    def compose(
        self, strengths: dict[str, float], seed: int = 0, truncation_psi: float = 0.7, px: int | None = None
    ) -> Answer:
        """Render a sum of domains on one random code.

        Args:
            strengths: how much of each domain, for example {"pencil sketch": 0.7, "neon": 0.3}; `models` lists them.
            seed: number of the random code.
            truncation_psi: 1 is the generator's own variety, 0 the mean picture.
            px: longer side of the picture; null is the generator's own size.
        """
        moves = {direction(key): value for key, value in mapping(strengths).items()}
        edit = Edit(seed=seed, truncation_psi=truncation_psi, strengths=moves)
        return self._kept(edit, px, "png", "composed")

    def strip(self, edit: Answer, direction_id: str, low: float = -1.0, high: float = 1.0, count: int = 7) -> Answer:
        """Render one edit at several strengths of one direction, side by side, as one picture.

        Args:
            edit: an edit as JSON, for example {"seed": 3}.
            direction_id: a domain's name or a direction's number.
            low: strength of the first picture.
            high: strength of the last picture.
            count: how many pictures, 1 to 25.
        """
        limited("the number of pictures of a strip", count, MAX_STRIP)
        edits = export.strip_of(Edit.from_json(edit), direction(direction_id), export.spread(low, high, count))
        return self._sheet(edits, count, "strip")

    def grid(self, edit: Answer, x: str, y: str, low: float = 0.0, high: float = 1.0, count: int = 5) -> Answer:
        """Render one edit at several strengths of two directions, one across and one down, as one picture.

        Args:
            edit: an edit as JSON, for example {"seed": 3}.
            x: the direction that grows to the right, a domain's name or a number.
            y: the direction that grows downwards.
            low: strength of the first row and column.
            high: strength of the last row and column.
            count: pictures a side, 1 to 11.
        """
        limited("the number of pictures on a side of a grid", count, MAX_GRID)
        values = export.spread(low, high, count)
        rows = export.grid_of(Edit.from_json(edit), direction(x), direction(y), values, values)
        return self._sheet([one for row in rows for one in row], count, "grid")

    def animate(
        self,
        edits: list[Answer],
        frames: int = 25,
        fps: int = 25,
        loop: bool = True,
        px: int | None = None,
        format: Literal["mp4", "webp", "gif"] = "mp4",
    ) -> Answer:
        """Render a film that goes from each edit to the next, slowly at both ends.

        Args:
            edits: two or more edits as JSON.
            frames: frames from one edit to the next.
            fps: frames a second.
            loop: go back to the first edit at the end, without a jump when the film is repeated.
            px: longer side of the film; null is the generator's own size.
            format: mp4, webp or gif.
        """
        film = export.along(read_edits(edits), self._codes, frames, loop)
        return file(
            lambda path: export.write_animation(path, film, self._pictures, fps, px, loop),
            f"{self.name}-animation.{format}",
        )

    def bundle(self, edits: list[Answer], px: int | None = None) -> Answer:
        """Render edits into one zip: pictures, a contact sheet, their codes and directions, and a CSV table.

        Args:
            edits: the edits as JSON.
            px: longer side of the single pictures; null is the generator's own size.
        """
        found = read_edits(edits)
        return file(
            lambda path: export.write_bundle(path, found, self._pictures, self._codes, px, self._encode),
            f"{self.name}-edits.zip",
        )

    def invert(
        self,
        photo: str,
        method: Literal["encoder", "in_domain", "clip_guided"] = "in_domain",
        steps: int | None = None,
    ) -> Answer:
        """Find the code of a photo: the answer's `edit` renders it, and takes directions like any other edit.

        Args:
            photo: the picture file as base64 or as a data URI; the largest face in it is taken, else its middle.
            method: encoder (at once), in_domain (photos of what the generator makes) or clip_guided (anything else).
            steps: how long to search, 1 to 1000; null is the method's own number.
        """
        settings = defaults(method)
        if steps is not None and method != "encoder":
            settings = replace(settings, steps=limited("the number of steps of a search", steps, MAX_STEPS))
        image = open_photo(decoded(photo))
        faces = find_faces(image)
        square = crop(image, faces[0] if faces else None, self.engine.img_resolution)
        *_, last = inverting.invert(self.engine, square, settings)
        note = last.note if faces else f"No face was found, so the middle was taken. {last.note}".strip()
        return {"edit": Edit(latent=last.latent, project=False).to_json(), "figures": last.figures, "note": note}

    def models(self) -> Answer:
        """List the generator that is loaded with its domains, and the other generators that can be opened.

        Each of the others has a page and endpoints of its own under /m/NAME/.
        """
        return {
            "loaded": loaded(self.engine, self.name),
            "others": [path.stem for path in generators(DEFAULT.parent) if path.stem != self.name],
        }

    def _pictures(self, edits: list[Edit]) -> list[np.ndarray]:
        return self.engine.render(edits)

    def _codes(self, edits: list[Edit]) -> list[np.ndarray]:
        return [self.engine.ws(edit).cpu().numpy() for edit in edits]

    def _encode(self, picture: np.ndarray, edit: Edit, kind: str = "png") -> bytes:
        return write_picture(picture, kind, Kept(edit, self.name))

    def _kept(self, edit: Edit, px: int | None, format: str, title: str) -> Answer:
        """A picture file that carries its edit."""
        if format not in FORMATS:
            raise EditError(f"a picture is written as {', '.join(FORMATS)}, got {format!r}")
        data = self._encode(export.upscaled(self.engine.render(edit), px), edit, FORMATS[format])
        return file(lambda path: path.write_bytes(data), f"{self.name}-{title}.{format}")

    def _sheet(self, edits: list[Edit], columns: int, title: str) -> Answer:
        sheet = export.sheet(self.engine.render(edits), columns)
        return file(lambda path: export.write_picture(sheet, path), f"{self.name}-{title}.png")


def loaded(engine: Engine, name: str) -> Answer:
    """What a program must know of a generator before it can ask for pictures."""
    return {
        "name": name,
        "resolution": engine.img_resolution,
        "rows": engine.num_ws,
        "domains": [d.label for d in engine.directions if d.group == "domains"],
        "directions": engine.generator.w_dim,
        "perceptual": engine.perceptual.name,
    }


def read_edits(edits: Any) -> list[Edit]:
    if not isinstance(edits, list):
        raise EditError("edits are a list of edits as JSON")
    if len(edits) > export.MAX_PICTURES:
        raise EditError(f"at most {export.MAX_PICTURES} edits at once, got {len(edits)}")
    return [Edit.from_json(edit) for edit in edits]


def direction(given: Any) -> DirectionId:
    """A domain's name, or the number of a direction as a number or as text."""
    if isinstance(given, str) and given.isascii() and given.isdigit():
        return int(given)
    if isinstance(given, bool) or not isinstance(given, (str, int)):
        raise EditError(f"a direction is a domain's name or a number, got {given!r}")
    return given


def mapping(given: Any) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise EditError('strengths are an object, for example {"pencil sketch": 0.7}')
    return given


def limited(what: str, count: Any, most: int) -> int:
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= most:
        raise EditError(f"{what} is 1 to {most}, got {count!r}")
    return count


def decoded(photo: Any) -> bytes:
    """The bytes of a file that came as base64 or as a data URI."""
    if not isinstance(photo, str) or len(photo) > MAX_PHOTO * 4 // 3:
        raise EditError(f"a photo is a base64 text of a picture file of at most {MAX_PHOTO >> 20} MB")
    try:
        return base64.b64decode(photo.partition(",")[2] if photo.startswith("data:") else photo, validate=True)
    except (binascii.Error, ValueError):
        raise EditError("a photo is a base64 text of a picture file; this is no base64") from None


def file(write: Callable[[Path], object], title: str) -> Answer:
    """What Gradio's clients download: the file that `write` makes."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", tempfile.gettempdir())) / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(folder)
    path = Path(tempfile.mkdtemp(dir=folder)) / title.replace("/", "-")
    write(path)
    return {"path": str(path), "orig_name": title, "meta": {"_type": "gradio.FileData"}}


def sweep(folder: Path) -> None:
    """Delete exports that Gradio has copied long ago."""
    for old in folder.iterdir():
        if old.stat().st_mtime < time.time() - KEEP_SECONDS:
            for path in old.iterdir():
                path.unlink(missing_ok=True)
            old.rmdir()
