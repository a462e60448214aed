"""The endpoints: pictures, strips, grids, films, zips, codes of photos and a list of models, for programs.

Their names and parameters stay. Reached by `gradio_client`, by plain HTTP (`POST /gradio_api/call/NAME`), and with
`--mcp` as tools of a language model; the docstrings are what those programs are told. Anything a caller can get wrong
comes back as one sentence. Knows no networks.
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import gradio as gr
from gradio.context import LocalContext
from gradio.events import api

from explorer import actions
from explorer.actions import Request, edits_of
from explorer.edit import Edit, EditError
from explorer.engine.inverting import settings_of
from explorer.export import ExportError
from explorer.inversion import defaults
from explorer.ui.answers import raise_ours, sentence
from explorer.ui.exports import new_file
from explorer.ui.gate import GATE, Left, Visitor, check
from explorer.ui.visitors import address
from explorer.weights import DEFAULT
from explorer.weights.folder import generators

if TYPE_CHECKING:
    from explorer.engine import Engine

FORMATS = ("png", "jpg", "webp")
MAX_STEPS = 1000  # of a search for a photo's code
MAX_PHOTO = 20 * 2**20  # bytes

Answer = dict[str, Any]
Result = TypeVar("Result")


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
        except Left:
            raise gr.Error("Nobody waits for this any more.", print_exception=False) from None
        except Exception as error:
            raise_ours(error)
            raise gr.Error(sentence(error), print_exception=False) from None

    return inner


class Endpoints:
    """The functions by their public names; the order is the one of the documentation."""

    NAMES = ("render", "compose", "strip", "grid", "animate", "bundle", "invert", "models")

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name

    def all(self) -> list[Callable[..., Any]]:
        return [getattr(self, name) for name in self.NAMES]

    def render(
        self,
        edit: Answer,
        px: int | None = None,
        format: Literal["png", "jpg", "webp"] = "png",
        sharpen: bool = False,
    ) -> Answer:
        """Render one edit as a picture file.

        Args:
            edit: an edit as JSON, for example {"seed": 3, "strengths": {"pencil sketch": 1}}; {} is the first picture.
            px: longer side of the picture, enlarged by Lanczos; null is the generator's own size.
            format: png, jpg or webp.
            sharpen: enlarge it first by a network that adds what is likely; generators of 64 to 128 px only.
        """
        if format not in FORMATS:
            raise ExportError(f"a picture is written as {', '.join(FORMATS)}, got {format!r}")
        return self._file(actions.Render(Edit.from_json(edit), px, sharpen=sharpen), f"picture.{format}")

    def compose(
        self,
        strengths: dict[str, float],
        seed: int = 0,
        truncation_psi: float = 0.7,
        px: int | None = None,
        rotate: float = 0.0,
        shift_x: float = 0.0,
        shift_y: float = 0.0,
        steps: int | None = None,
        sharpen: bool = False,
    ) -> Answer:
        """Render a sum of domains on one random code.

        Args:
            strengths: how much of each domain, for example {"pencil sketch": 0.7, "neon": 0.3}; `models` lists them.
            seed: number of the random code.
            truncation_psi: 1 is the generator's own variety, 0 the mean picture.
            px: longer side of the picture; null is the generator's own size.
            rotate: turn of the whole picture in degrees, counterclockwise; StyleGAN3 only.
            shift_x: how far it is shifted to the right, in picture widths; StyleGAN3 only.
            shift_y: how far it is shifted down.
            steps: in how many steps it is made, 1 to 250; null is the generator's own; diffusion autoencoders only.
            sharpen: as of `render`.
        """
        pose = rotate, shift_x, shift_y
        return self._file(actions.Compose(strengths, seed, truncation_psi, px, *pose, steps, sharpen), "composed.png")

    def strip(
        self,
        edit: Answer,
        direction_id: str,
        low: float = 0.0,
        high: float = 1.0,
        count: int = 7,
        sharpen: bool = False,
    ) -> Answer:
        """Render one edit at several strengths of one direction, side by side, as one picture.

        Args:
            edit: an edit as JSON, for example {"seed": 3}.
            direction_id: a domain's name or a direction's number.
            low: strength of the first picture.
            high: strength of the last picture.
            count: how many pictures, 1 to 256; together at most 64 megapixels.
            sharpen: as of `render`.
        """
        return self._file(actions.Strip(Edit.from_json(edit), direction_id, low, high, count, sharpen), "strip.png")

    def grid(
        self,
        edit: Answer,
        x: str,
        y: str,
        low: float = 0.0,
        high: float = 1.0,
        count: int = 5,
        sharpen: bool = False,
    ) -> Answer:
        """Render one edit at several strengths of two directions, one across and one down, as one picture.

        Args:
            edit: an edit as JSON, for example {"seed": 3}.
            x: the direction that grows to the right, a domain's name or a number.
            y: the direction that grows downwards.
            low: strength of the first row and column.
            high: strength of the last row and column.
            count: pictures a side, 1 to 16; together at most 64 megapixels.
            sharpen: as of `render`.
        """
        return self._file(actions.Grid(Edit.from_json(edit), x, y, low, high, count, sharpen), "grid.png")

    def animate(
        self,
        edits: list[Answer],
        frames: int | list[int] = 25,
        fps: int = 25,
        loop: bool = True,
        px: int | None = None,
        format: Literal["mp4", "webp", "gif"] = "mp4",
        easing: Literal["smooth", "linear"] = "smooth",
        sharpen: bool = False,
    ) -> Answer:
        """Render a film that goes from each edit to the next.

        Args:
            edits: two or more edits as JSON.
            frames: frames from one edit to the next, or a list with a number for every leg.
            fps: frames a second.
            loop: go back to the first edit at the end, without a jump when the film is repeated.
            px: longer side of the film; null is the generator's own size.
            format: mp4, webp or gif.
            easing: smooth is at rest on every edit, linear goes evenly.
            sharpen: as of `render`.
        """
        film = actions.Animate(edits_of(edits), frames, fps, loop, px, easing, sharpen)
        return self._file(film, f"animation.{format}")

    def bundle(self, edits: list[Answer], px: int | None = None, sharpen: bool = False) -> Answer:
        """Render edits into one zip: pictures, a contact sheet, their codes and directions, and a CSV table.

        Args:
            edits: the edits as JSON.
            px: longer side of the single pictures; null is the generator's own size.
            sharpen: as of `render`.
        """
        return self._file(actions.Bundle(edits_of(edits), px, sharpen), "edits.zip")

    def invert(
        self,
        photo: str,
        method: Literal["encoder", "in_domain", "clip_guided", "ddim"] | None = None,
        steps: int | None = None,
    ) -> Answer:
        """Find the code of a photo: the answer's `edit` renders it, and takes directions like any other edit.

        Args:
            photo: the picture file as base64 or as a data URI; the largest face in it is taken, else its middle.
            method: encoder (at once), in_domain (photos of what the generator makes), clip_guided (anything else), or,
                of a diffusion autoencoder, ddim (nearly exact); null is the best one for the generator.
            steps: how long to search, 1 to 1000; null is the method's own number.
        """
        settings = settings_of(self.engine) if method is None else defaults(method)
        if steps is not None and settings.method != "encoder":
            settings = replace(settings, steps=limited("the number of steps of a search", steps, MAX_STEPS))
        (result,) = self._carried_out(actions.Invert((decoded(photo),), settings))
        return {"edit": result.edit.to_json(), "figures": result.figures, "note": result.note}

    def models(self) -> Answer:
        """List the generator that is loaded with its domains, and the other generators that can be opened.

        Each of the others has a page and endpoints of its own under /m/NAME/.
        """
        return {
            "loaded": loaded(self.engine, self.name),
            "others": [path.stem for path in generators(DEFAULT.parent) if path.stem != self.name],
        }

    def _file(self, request: Request[float, Any], title: str) -> Answer:
        """What Gradio's clients download: the file that the request makes."""
        check(*request.price(self.engine))
        title = f"{self.name}-{title}"
        with new_file(title) as path:
            self._carried_out(request, path)
            return {"path": str(path), "orig_name": title, "meta": {"_type": "gradio.FileData"}}

    def _carried_out(self, request: Request[Any, Result], out: Path | None = None) -> Result:
        _, pixels = request.price(self.engine)
        return GATE.run(actions.steps(request, self.engine, out, self.name), pixels, caller())


def caller() -> Visitor:
    """Who calls the endpoint at work: Gradio knows where the call came from, and whether its answer is waited for."""
    request, id_ = LocalContext.request.get(None), LocalContext.event_id.get(None)
    blocks: Any = LocalContext.blocks.get(None)

    def left() -> bool:
        jobs = [] if blocks is None else blocks._queue.active_jobs
        event = next((event for job in jobs for event in job or () if event._id == id_), None)
        return event is not None and not event.alive

    return Visitor(address(request), left)


def loaded(engine: Engine, name: str) -> Answer:
    """What a program must know of the generator that is loaded."""
    more = {"directions": len(engine.directions), "perceptual": engine.perceptual.name}
    return {"name": name, **actions.about(engine.checkpoint), **more}


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
