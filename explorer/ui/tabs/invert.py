"""The Photo tab: the visitor's own photo becomes a code of the generator, so that every slider works on it.

The page holds the photo, the results and their history; the server holds only the searches that run or wait
(`explorer.ui.turns`). Knows no torch and none of the methods. The example is `chelsea` of scikit-image, CC0.
"""

from __future__ import annotations

import base64
import binascii
import io
import math
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from PIL import Image

from explorer import actions
from explorer.actions import Animate, Fit, Invert, Request
from explorer.edit import Edit, EditError, Latent
from explorer.engine.costs import search_cost
from explorer.engine.inverting import (
    Progress,
    bound,
    boundaries_of_file,
    boundary_of_words,
    delta_folder,
    find_delta,
    likeness_of,
    settings_of,
    temporary_folder,
    tuned_engine,
)
from explorer.inversion import METHODS, SPACE_NOTES, SPACES, InversionError, Settings, defaults
from explorer.inversion.faces import Box, centre_box, find_faces, find_upright, turned
from explorer.inversion.latents import read_latent, write_latent
from explorer.inversion.likeness import STRANGE
from explorer.inversion.settings import MAX_TEXT
from explorer.photos import PhotoError, open_photo
from explorer.ui import assets, pictures
from explorer.ui.gate import GATE, NOBODY, Visitor
from explorer.ui.tabs import explore
from explorer.ui.turns import ENDED, Turns
from explorer.ui.visitors import served
from explorer.weights.parts import part_of

if TYPE_CHECKING:
    from explorer.engine import Engine

EXAMPLE = Path(assets.__file__).parent / "invert" / "chelsea.jpg"
MAX_BYTES = 20 * 2**20
LOOK_PRICE = 2**20  # pixels that cost as much as to look for faces, in a photo of any size
KEPT_SIDE = 2048  # larger photos are scaled down: faces in them are larger than any generator's picture
SMALLEST_FRAME = 8  # px
MAX_STEPS = 2000  # others wait
FIT_STEPS = 200  # of pivotal tuning
MOST_TUNED = 4  # fitted copies in memory
MOST_DIRECTIONS = 64  # of one file
FILM_FRAMES, FILM_PX = 40, 256  # one way
MOST_BETWEEN = 16  # pictures between two photos
NUMBERS = tuple(field.name for field in fields(Settings) if field.name not in ("method", "space", "text"))


def build(engine: Engine, name: str, max_px: int | None, public: bool = False) -> gr.HTML:
    """The panel of `engine`; pictures are shown at most `max_px` wide.

    On a `public` page, which strangers can open, copies that are fitted to their photos are temporary.
    """
    studio = Studio(engine, max_px, public)
    names = (
        "photo",
        "judge",
        "start",
        "look",
        "stop",
        "load_latent",
        "save_latent",
        "render",
        "directions",
        "between",
        "film",
    )
    return gr.HTML(
        value={},
        html_template=assets.read("invert.html"),
        css_template=assets.read("switch.css", "invert.css", "invert/photo.css", "invert/narrow.css"),
        js_on_load=assets.script("invert/main.js"),
        apply_default_css=False,
        elem_id="invert",
        server_functions=[served(getattr(studio, name)) for name in names],
        generator=describe(engine, name, max_px),
    )


def describe(engine: Engine, name: str, max_px: int | None) -> dict[str, Any]:
    """What the panel must know: the generator, the methods with their published settings, and the spaces."""
    checkpoint = engine.checkpoint
    encoder = part_of(checkpoint, "encoder") is not None
    own = settings_of(engine)
    exact = own.method == "ddim"  # nothing is searched for, and nothing else comes as near
    methods = {method: asdict(defaults(method)) for method in METHODS if (method == "ddim") == exact}
    return explore.describe(engine, name, max_px) | {
        "encoder": encoder,
        "exact": exact,
        "method": own.method if encoder or exact else "clip_guided",
        "methods": methods | ({own.method: asdict(own)} if exact else {}),
        "spaces": {space: SPACE_NOTES[space] for space in SPACES},
        "max_steps": MAX_STEPS,
        "max_bytes": MAX_BYTES,
    }


class Studio:
    """What the panel may ask for, of one engine. Keeps nothing of a visitor but the searches that run or wait."""

    def __init__(self, engine: Engine, max_px: int | None = None, public: bool = False) -> None:
        self.engine, self.max_px, self.public = engine, max_px, public
        self.turns: Turns[Progress] = Turns()
        self.tuned: OrderedDict[str, Engine] = OrderedDict()
        self.tuning = threading.Lock()

    @property
    def copies(self) -> Path:
        """The folder with fitted copies: beside the checkpoint, on a public page a temporary one."""
        return temporary_folder() if self.public else delta_folder(self.engine)

    def photo(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """For `{photo: data URI | null, turn}` (null is the example): the photo upright and in RGB, and its faces.

        `turn` is by how many quarters counterclockwise it is to be turned; without it, it is so that its faces stand.
        """
        data = request.get("photo")
        content = EXAMPLE.read_bytes() if data is None else decode(data, "photo")

        turn = request.get("turn")

        def look() -> tuple[Image.Image, int, list[Box]]:
            image = open_photo(content)
            image.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.LANCZOS)
            if not isinstance(turn, int):
                return find_upright(image)
            image = turned(image, turn)
            return image, turn % 4, find_faces(image)

        image, turn, faces = GATE.do(look, LOOK_PRICE, visitor)
        return {
            "photo": encode(image),
            "turn": turn,
            "width": image.width,
            "height": image.height,
            "faces": [asdict(box) for box in faces],
            "centre": asdict(centre_box(image)),
            "costs": self._costs(),
        }

    def _costs(self) -> dict[str, Any]:
        """By method what a search takes, where that is long: `{seconds: of a step, gigabytes}`."""
        known = {method: search_cost(self.engine, defaults(method)) for method in METHODS}
        return {method: {"seconds": c.seconds, "gigabytes": c.bytes / 1e9} for method, c in known.items() if c}

    def judge(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """For `{photo, box, face}` as in `start`: `strange`, a sentence where this generator makes no such pictures."""
        photo = open_photo(decode(request.get("photo"), "photo"))
        box, of_face = read_box(request.get("box"), photo), request.get("face") is True

        def look() -> bool:
            target, _ = actions.target(self.engine, photo, box, of_face)
            return any(one.strange for one in likeness_of(self.engine, target))

        return {"strange": STRANGE if GATE.do(look, LOOK_PRICE, visitor) else ""}

    def start(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """For `{photo, box, settings}`: queues the search; its `id`, and `target`, what it looks for.

        `face` says that the box is a face as `photo` found it, so that it may be aligned. With `context`, a photo as
        data URI, the middle of the photo is set into that one; with `fit`, an edit that was found before, a copy of the
        generator is fitted to the photo.
        """
        settings = read_settings(request.get("settings"), settings_of(self.engine))
        photo = open_photo(decode(request.get("photo"), "photo"))
        box, of_face, context = read_box(request.get("box"), photo), request.get("face") is True, None
        if request.get("context") is not None:
            context = decode(request["context"], "photo")
        wanted: Request[Progress, Any] = Invert((photo,), settings, box, of_face, context)
        target, _ = actions.target(self.engine, photo, box, of_face)
        if context is None and request.get("fit") is not None:
            settings = replace(settings, tune_steps=FIT_STEPS)
            wanted = Fit(photo, read_photo_edit(request["fit"]), settings, box, of_face)

        _, pixels = wanted.price(self.engine)

        def work(stop: threading.Event) -> Iterator[Progress]:
            steps = actions.steps(wanted, self.engine, self.copies if isinstance(wanted, Fit) else None, stop=stop)
            yield from GATE.paced(steps, pixels, Visitor(visitor.name))  # `stop` ends it with the best so far
            bound(self.copies)

        search = Search(work)
        return {"id": self.turns.join(search, visitor.name).id, "target": pictures.data_uri(target, exact=True)}

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{id, seen, hidden}`: how the search stands, and its losses from the `seen`-th on."""
        turn, ahead = self.turns.look(request.get("id"), request.get("hidden") is True)
        state, latest = turn.state, turn.latest  # before the rest, which only grows
        assert isinstance(turn.work, Search)
        seen = request.get("seen")
        answer: dict[str, Any] = {"state": state, "ahead": ahead, "error": turn.error}
        if latest is not None:
            answer |= {
                "step": latest.step,
                "steps": latest.steps,
                "seconds_left": latest.seconds_left,
                "trace": turn.work.trace[max(seen, 0) if isinstance(seen, int) else 0 :],
            }
            if state not in ENDED:
                answer["picture"] = pictures.data_uri(latest.picture, exact=False)
            elif state != "failed":
                answer["result"] = self._result(latest)
        return answer

    def _result(self, progress: Progress) -> dict[str, Any]:
        """The photo's edit, unprojected to be the photo as it was found, and its picture as Explore renders it.

        Where a copy was fitted: `tuned`, its name, and `fitted`, the picture that the copy makes.
        """
        edit = progress.edit
        answer = self._shown(edit) | {"figures": progress.figures, "note": progress.note}
        if progress.delta is None:
            return answer
        name = progress.delta.name
        return answer | {"tuned": name, "fitted": self._picture(self.engine_with(name), edit)}

    def _shown(self, edit: Edit) -> dict[str, Any]:
        return {"edit": edit.to_json(), "picture": self._picture(self.engine, edit)}

    def _picture(self, engine: Engine, edit: Edit) -> str:
        return pictures.data_uri(engine.render(edit, max_px=self.max_px), exact=True)

    def engine_with(self, tuned: object) -> Engine:
        """The engine of all, or for the name of tuned weights one with them; the last few are kept."""
        if tuned is None:
            return self.engine
        file = find_delta(self.copies, tuned)
        with self.tuning:
            kept = self.tuned.pop(file.name, None) or tuned_engine(self.engine, file)
            self.tuned[file.name] = kept
            while len(self.tuned) > MOST_TUNED:
                self.tuned.popitem(last=False)
            return kept

    def render(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """Pictures of edits as `pictures.answer` gives them; `tuned` names the weights of a fitted copy."""
        return pictures.answer(self.engine_with(request.get("tuned")), request, self.max_px, visitor)

    def directions(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{more, less}`, two texts, or `{name, data}` of a `.npy` file: `directions` to move codes along.

        Each has `step`, one standard deviation of codes along it as base64 of float32 `[dim]`.
        """
        if request.get("data") is not None:
            found = boundaries_of_file(self.engine, decode(request["data"], "file"))[:MOST_DIRECTIONS]
        else:
            more, less = (str(request.get(key) or "")[:MAX_TEXT] for key in ("more", "less"))
            found = [boundary_of_words(self.engine, more, less)]
        steps = ((boundary.normal * boundary.spread).numpy().tobytes() for boundary in found)
        return {"directions": [{"step": base64.b64encode(step).decode()} for step in steps]}

    def between(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """For `{edits: [edit, edit], count}`: so many edits from the first to the last."""
        edits, count = request.get("edits"), request.get("count")
        if (
            not isinstance(edits, list)
            or len(edits) != 2
            or not isinstance(count, int)
            or not 2 <= count <= MOST_BETWEEN
        ):
            raise EditError(f"Between two photos there are 2 to {MOST_BETWEEN} pictures.")
        first, last = map(Edit.from_json, edits)
        return {"edits": [edit.to_json() for edit in actions.between(self.engine, first, last, count)]}

    def film(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """For `{edits: [edit, edit], tuned}`: the way between them and back as an MP4, a data URI."""
        engine, edits = self.engine_with(request.get("tuned")), request.get("edits")
        if not isinstance(edits, list) or len(edits) != 2:
            raise EditError("A film goes from one photo to another.")
        film = Animate(tuple(map(Edit.from_json, edits)), FILM_FRAMES, px=max(FILM_PX, engine.resolution))
        with tempfile.TemporaryDirectory() as folder:
            _, pixels = film.price(engine)
            file = GATE.run(actions.steps(film, engine, Path(folder) / "film.mp4"), pixels, visitor).file
            return {"file": f"data:video/mp4;base64,{base64.b64encode(file.read_bytes()).decode()}"}

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """Let the search `id` end with the best it has."""
        self.turns.stop(request.get("id"))
        return {}

    def load_latent(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{name, data}` of a latent's file: its edit and picture."""
        name = request.get("name")
        latent = read_latent(decode(request.get("data"), "file"), name if isinstance(name, str) else "")
        return self._shown(Edit(latent=latent, project=False))

    def save_latent(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{edit}`: its latent as the bytes of a `.safetensors` file."""
        data = write_latent(read_photo_edit(request.get("edit")))
        return {"file": f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"}


class Search:
    """Work for a turn that also keeps the losses of every report, for the plot."""

    def __init__(self, work: Callable[[threading.Event], Iterator[Progress]]) -> None:
        self.work = work
        self.trace: list[tuple[int, dict[str, float]]] = []

    def __call__(self, stop: threading.Event) -> Iterator[Progress]:
        for progress in self.work(stop):
            losses = {name: loss for name, loss in progress.losses.items() if math.isfinite(loss)}
            self.trace.append((progress.step, losses))
            yield progress


def read_settings(request: Any, own: Settings) -> Settings:
    """Settings from the form: the method's published ones, or the generator's `own`, with what the visitor changed.

    Raises InversionError for what no search can be asked for.
    """
    form = request if isinstance(request, dict) else {}
    method = form.get("method", own.method)
    settings = own if method == own.method else defaults(method)
    changed = {name: form[name] for name in (*NUMBERS, "space", "text") if name in form}
    settings = replace(settings, **changed)
    if settings.steps > MAX_STEPS or settings.tune_steps > MAX_STEPS:
        raise InversionError(f"Choose at most {MAX_STEPS} steps: others wait for their turn.")
    return settings


def read_photo_edit(request: Any) -> Latent:
    """The code of an edit. Raises EditError for one without."""
    latent = Edit.from_json(request or {}).latent
    if latent is None:
        raise EditError("This edit holds no photo.")
    return latent


def read_box(request: Any, image: Image.Image) -> Box:
    """The frame `{left, top, size}` in pixels of the photo. Raises PhotoError for anything else."""
    side = max(image.size)
    try:
        left, top, size = (round(request[key]) for key in ("left", "top", "size"))
        if size >= SMALLEST_FRAME and max(abs(left), abs(top), size) <= 4 * side:
            return Box(left, top, size)
    except (TypeError, KeyError, ValueError, OverflowError):
        pass
    raise PhotoError(f"Draw the frame on the photo again: it must be at least {SMALLEST_FRAME} pixels wide.")


def decode(uri: Any, what: str) -> bytes:
    """The bytes of a data URI. Raises PhotoError where it is too large or none."""
    limit = f"Choose a {what} of at most {MAX_BYTES // 2**20} MB."
    if not isinstance(uri, str) or not uri.startswith("data:"):
        raise PhotoError(limit)
    data = uri.partition(",")[2]
    if len(data) > MAX_BYTES * 4 // 3 + 4:
        raise PhotoError(f"This {what} is too large. {limit}")
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error:
        raise PhotoError(f"This {what} arrived damaged: choose it again.") from None


def encode(image: Image.Image) -> str:
    """An RGB image as a data URI, small enough to be sent back and good enough to be searched for."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
