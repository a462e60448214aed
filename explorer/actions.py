"""Everything a user can ask for: a frozen request, checked when it is made, and `run`, which carries it out.

The command line, the endpoints, the page and Python make the same requests, so they get the same results:

    picture = run(Compose({"pencil sketch": 0.7}, seed=3), engine).pixels
    run(Animate((Edit(seed=1), Edit(seed=2))), engine, "film.mp4")

Whatever a user can get wrong raises `Refused`. Knows no Gradio and no argparse.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
from PIL import Image

from explorer import export
from explorer.edit import POSE, DirectionId, Edit, EditError, Latent
from explorer.engine import inverting
from explorer.engine.inverting import Progress
from explorer.export import ExportError
from explorer.export.pictures import replacing
from explorer.foreign import brief
from explorer.inversion import Settings
from explorer.inversion.alignment import Crop, square
from explorer.inversion.likeness import STRANGE, Likeness
from explorer.keep import Kept, write_picture
from explorer.photos import PhotoError, open_photo
from explorer.refused import Refused

if TYPE_CHECKING:
    from explorer.engine import Engine
    from explorer.weights import Checkpoint

ENDINGS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
AT_ONCE = 2**20  # pixels of the pictures that are rendered at once
SEARCHED = 4  # pictures that a step of a search costs: there, back, and the networks that look at it
SHARPENED = "sharpened: a network made these pictures larger and added what is likely"  # in a film's metadata
NO_FACE = "No face was found, so the middle was taken."

P = TypeVar("P", covariant=True)  # what is said while a request is worked on
R = TypeVar("R", covariant=True)  # its result
Photo = Image.Image | bytes | str | Path


@dataclass(frozen=True)
class Place:
    """Where a request is carried out: with which engine, called `name` in what is written, and to which file.

    A search ends with the best it has once `stop` is set.
    """

    engine: Engine
    name: str
    out: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def batch(self) -> int:
        """How many pictures are rendered at once: few large ones, as whoever drags waits for them."""
        return max(1, min(export.BATCH, AT_ONCE // self.engine.cost([Edit()])))

    def rendering(self, sharpen: bool) -> export.Render:
        """How edits become pictures."""
        engine = self.engine
        return (lambda edits: engine.sharpened(engine.render(edits))) if sharpen else engine.render

    def side(self, sharpen: bool) -> int:
        """Of those pictures."""
        return self.engine.sharp_side or self.engine.resolution if sharpen else self.engine.resolution

    def codes(self, edits: Iterable[Edit]) -> list[np.ndarray]:
        return [self.engine.ws(edit).cpu().numpy() for edit in edits]

    def noises(self, edits: Iterable[Edit]) -> list[np.ndarray | None]:
        return [self.engine.noise(edit) for edit in edits]

    def encode(self, picture: np.ndarray, edit: Edit | None, kind: str = "png", sharpened: bool = False) -> bytes:
        return write_picture(picture, kind, None if edit is None else Kept(edit, self.name, sharpened))


class Request(ABC, Generic[P, R]):
    """What a user asks for: a frozen dataclass; `__post_init__` refuses what can be refused without an engine."""

    @abstractmethod
    def price(self, engine: Engine) -> tuple[int, int]:
        """What it costs a server: how many pictures, and pixels of each."""

    @abstractmethod
    def work(self, place: Place) -> Generator[P, None, R]:
        """Carry it out; yield how far it is after every picture or step. Closing it leaves nothing half-written."""


@dataclass(frozen=True)
class Still:
    """One picture, uint8 `[H, W, 3]`, and the edit that it shows; None for a sheet of several."""

    pixels: np.ndarray
    edit: Edit | None = None
    sharpened: bool = False


@dataclass(frozen=True)
class Written:
    """A file, and how many pictures or frames are in it."""

    file: Path
    count: int


@dataclass(frozen=True)
class Render(Request[float, Still]):
    """One edit. `px` enlarges its longer side by Lanczos, `max_px` bounds it by halving.

    With `sharpen` a small generator's picture is sharpened first (`Engine.sharpened`), here as in other requests.
    """

    edit: Edit
    px: int | None = None
    max_px: int | None = None
    settings: bool = True  # whether the file carries the edit
    sharpen: bool = False

    def __post_init__(self) -> None:
        export.check_px(self.px)
        if self.sharpen and self.max_px is not None:
            raise ExportError("a picture is sharpened or kept small, not both: leave out its largest side")

    def price(self, engine: Engine) -> tuple[int, int]:
        return 1, engine.cost([self.edit], self.px, self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Still]:
        pictures = place.engine.render([self.edit], self.max_px)
        pictures = place.engine.sharpened(pictures) if self.sharpen else pictures
        still = Still(export.upscaled(pictures[0], self.px), self.edit, self.sharpen)
        yield 0.5
        _write_still(place, still if self.settings else replace(still, edit=None))
        return still


@dataclass(frozen=True)
class Compose(Request[float, Still]):
    """A sum of domains on one random code: `{direction: strength}`, or pairs."""

    strengths: Mapping[Any, float] | Iterable[tuple[Any, float]]
    seed: int = 0
    truncation_psi: float = 0.7
    px: int | None = None
    rotate: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    steps: int | None = None
    sharpen: bool = False
    edit: Edit = field(init=False)

    def __post_init__(self) -> None:
        export.check_px(self.px)
        try:
            pairs = list(self.strengths.items() if isinstance(self.strengths, Mapping) else self.strengths)
            strengths = [(direction(key), value) for key, value in pairs]
        except (TypeError, ValueError) as error:
            if isinstance(error, Refused):
                raise
            raise EditError('strengths are an object, for example {"pencil sketch": 0.7}') from None
        pose = {name: getattr(self, name) for name in POSE}
        code = {"seed": self.seed, "truncation_psi": self.truncation_psi, "steps": self.steps}
        edit = Edit(strengths=strengths, **code, **pose)
        object.__setattr__(self, "strengths", tuple(strengths))
        object.__setattr__(self, "edit", edit)

    def price(self, engine: Engine) -> tuple[int, int]:
        return 1, engine.cost([self.edit], self.px, self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Still]:
        return (yield from Render(self.edit, self.px, sharpen=self.sharpen).work(place))


@dataclass(frozen=True)
class Strip(Request[float, Still]):
    """One edit at `count` strengths of one direction, side by side."""

    edit: Edit
    direction: DirectionId
    low: float = 0.0
    high: float = 1.0
    count: int = 7
    sharpen: bool = False
    edits: tuple[Edit, ...] = field(init=False)

    def __post_init__(self) -> None:
        values = export.spread(self.low, self.high, self.count)
        object.__setattr__(self, "direction", direction(self.direction))
        object.__setattr__(self, "edits", tuple(export.strip_of(self.edit, self.direction, values)))

    def price(self, engine: Engine) -> tuple[int, int]:
        return self.count, engine.cost([self.edit], sharpen=self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Still]:
        return (yield from _sheet(place, self.edits, self.count, self.sharpen))


@dataclass(frozen=True)
class Grid(Request[float, Still]):
    """One edit at `count` strengths of two directions: `x` grows to the right, `y` downwards."""

    edit: Edit
    x: DirectionId
    y: DirectionId
    low: float = 0.0
    high: float = 1.0
    count: int = 5
    sharpen: bool = False
    edits: tuple[Edit, ...] = field(init=False)

    def __post_init__(self) -> None:
        values = export.spread(self.low, self.high, self.count)
        x, y = direction(self.x), direction(self.y)
        rows = export.grid_of(self.edit, x, y, values, values)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "edits", tuple(edit for row in rows for edit in row))

    def price(self, engine: Engine) -> tuple[int, int]:
        return len(self.edits), engine.cost([self.edit], sharpen=self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Still]:
        return (yield from _sheet(place, self.edits, self.count, self.sharpen))


@dataclass(frozen=True)
class Animate(Request[float, Written]):
    """A film from each edit to the next; MP4, WebP or GIF by the ending of its file.

    `frames` are those of every leg, or a number for each. `px` enlarges the longer side by Lanczos.
    """

    edits: tuple[Edit, ...]
    frames: export.Frames = 25
    fps: int = 25
    loop: bool = True
    px: int | None = None
    easing: export.Easing = "smooth"
    sharpen: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(self.edits))
        export.film_length(len(self.edits), self.frames, self.loop)
        export.check_easing(self.easing)
        export.check_fps(self.fps)
        export.check_px(self.px)

    def price(self, engine: Engine) -> tuple[int, int]:
        frames = export.film_length(len(self.edits), self.frames, self.loop)
        return frames, engine.cost(self.edits, self.px, self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Written]:
        path = _named(place, "film.mp4")
        between = place.engine.noise_between
        film = export.along(self.edits, place.codes, self.frames, self.loop, place.noises, between, self.easing)
        render, note = place.rendering(self.sharpen), SHARPENED if self.sharpen else ""
        yield from export.animating(path, film, render, self.fps, self.px, self.loop, place.batch, note)
        return Written(path, len(film))


@dataclass(frozen=True)
class Bundle(Request[float, Written]):
    """Pictures of edits in one zip, with a contact sheet, codes, directions and a table."""

    edits: tuple[Edit, ...]
    px: int | None = None
    sharpen: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "edits", tuple(self.edits))
        if not 1 <= len(self.edits) <= export.MAX_PICTURES:
            raise ExportError(f"a zip holds 1 to {export.MAX_PICTURES} pictures, got {len(self.edits)}")
        export.check_px(self.px)

    def price(self, engine: Engine) -> tuple[int, int]:
        return len(self.edits), engine.cost(self.edits, self.px, self.sharpen)

    def work(self, place: Place) -> Generator[float, None, Written]:
        path = _named(place, "edits.zip")
        place.codes(self.edits)  # refuses what this generator does not have, before anything is written
        encode, render = partial(place.encode, sharpened=self.sharpen), place.rendering(self.sharpen)
        yield from export.bundling(path, self.edits, render, place.codes, self.px, encode, place.batch)
        return Written(path, len(self.edits))


@dataclass(frozen=True, eq=False)
class Invert(Request[Progress, list[Progress]]):
    """The codes of photos, files or opened ones, searched all at once; the result is one report with figures a photo.

    `crop` says which square of each photo, see `square`; `of_face` that a given box frames a face. With `context`,
    another photo, the middle of each square is set into that one first.
    """

    photos: tuple[Photo, ...]
    settings: Settings | None = None  # as is best for the generator
    crop: Crop = "face"
    of_face: bool = False
    context: Photo | None = None

    def __post_init__(self) -> None:
        if not self.photos:
            raise PhotoError("choose a photo")
        object.__setattr__(self, "photos", tuple(opened(photo) for photo in self.photos))
        if self.context is not None:
            object.__setattr__(self, "context", opened(self.context))

    def targets(self, engine: Engine) -> list[tuple[np.ndarray, str]]:
        """What is searched for: uint8 `[R, R, 3]` of every photo, and a note where no face was found in it."""
        return [target(engine, photo, self.crop, self.of_face) for photo in self.photos]

    def price(self, engine: Engine) -> tuple[int, int]:
        settings = self.settings or inverting.settings_of(engine)
        return settings.steps + settings.tune_steps + 1, len(self.photos) * SEARCHED * engine.resolution**2

    def work(self, place: Place) -> Generator[Progress, None, list[Progress]]:
        engine, targets = place.engine, self.targets(place.engine)
        squares = [pixels for pixels, _ in targets]
        search = partial(inverting.invert, engine, squares)
        if self.context is not None:
            search = partial(inverting.diffuse, engine, squares, target(engine, self.context)[0])
        alike = inverting.likeness_of(engine, squares) if self.context is None else []
        results = []
        for progress in search(self.settings or inverting.settings_of(engine), place.stop):
            if progress.figures is not None:
                progress = _told(progress, alike[progress.photo : progress.photo + 1], targets[progress.photo][1])
                results.append(progress)
            yield progress
        return results


@dataclass(frozen=True, eq=False)
class Fit(Request[Progress, Progress]):
    """A copy of the generator, bent to make one photo from the `latent` that was found for it.

    What the copy differs by is written into the folder `out`, or where the engine keeps such files.
    """

    photo: Photo
    latent: Latent
    settings: Settings
    crop: Crop = "face"
    of_face: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "photo", opened(self.photo))

    def price(self, engine: Engine) -> tuple[int, int]:
        return self.settings.tune_steps + 1, SEARCHED * engine.resolution**2

    def work(self, place: Place) -> Generator[Progress, None, Progress]:
        pixels, _ = target(place.engine, self.photo, self.crop, self.of_face)
        alike, last = inverting.likeness_of(place.engine, pixels), None
        for progress in inverting.fit(place.engine, pixels, self.latent, self.settings, place.stop, place.out):
            last = progress if progress.figures is None else _told(progress, alike)
            yield last
        assert last is not None
        return last


def steps(
    request: Request[P, R],
    engine: Engine,
    out: str | Path | None = None,
    name: str | None = None,
    stop: threading.Event | None = None,
) -> Generator[P, None, R]:
    """The work of a request: yields how far it is, returns its result. Closing it leaves nothing half-written.

    A search that is to end early with the best it has is told by `stop`.
    """
    called = str(engine.checkpoint.meta.get("name", "generator")) if name is None else name
    return request.work(Place(engine, called, None if out is None else Path(out), stop or threading.Event()))


def run(
    request: Request[P, R],
    engine: Engine,
    out: str | Path | None = None,
    watch: Callable[[P], object] | None = None,
    name: str | None = None,
) -> R:
    """Carry a request out.

    Args:
        out: where the result is written, in the format of its ending; pictures need none.
        watch: is told how far it is.
        name: what the generator is called in what is written; by default as its checkpoint says.

    Raises Refused for what the engine or the file cannot do.
    """
    work = steps(request, engine, out, name)
    while True:
        try:
            progress = next(work)
        except StopIteration as end:
            return end.value
        if watch is not None:
            watch(progress)


def about(checkpoint: Checkpoint) -> dict[str, Any]:
    """What a program must know of a generator before it can ask for pictures."""
    expansion = checkpoint.expansion
    return {
        "resolution": checkpoint.generator.resolution,
        "rows": checkpoint.generator.codes.rows,
        "domains": [] if expansion is None else list(expansion.domains),
    }


def direction(name: Any) -> DirectionId:
    """A domain's name, or the number of a direction as a number or as text. Raises EditError for anything else."""
    if isinstance(name, str):
        return int(name) if name.isascii() and name.isdigit() else name
    if isinstance(name, bool) or not isinstance(name, int):
        raise EditError(f"a direction is a domain's name or a number, got {name!r}")
    return name


def edits_of(data: Any) -> tuple[Edit, ...]:
    """A list of edits as JSON. Raises EditError for anything else."""
    if not isinstance(data, list):
        raise EditError(f"edits are a JSON list, got {type(data).__name__}")
    if len(data) > export.MAX_PICTURES:
        raise EditError(f"at most {export.MAX_PICTURES} edits at once, got {len(data)}")
    return tuple(Edit.from_json(edit) for edit in data)


def between(engine: Engine, first: Edit, last: Edit, count: int) -> list[Edit]:
    """`count` edits at equal distances from the first to the last, both included: codes on a line, noise on an arc."""
    return list(_leg(engine, first, last, count - 1, "linear"))


def frame(engine: Engine, first: Edit, last: Edit, part: float, easing: export.Easing = "smooth") -> Edit:
    """The frame of a film at `part` of the time from one edit to the next, 0 to 1."""
    export.check_easing(easing)
    if isinstance(part, bool) or not isinstance(part, (int, float)) or not 0 <= part <= 1:
        raise ExportError(f"a frame lies at 0 to 1 of the way between two edits, got {brief(part)}")
    return _leg(engine, first, last, 1, easing).at(0, float(part))


def _leg(engine: Engine, first: Edit, last: Edit, frames: int, easing: export.Easing) -> export.Way:
    place = Place(engine, "")
    return export.along([first, last], place.codes, frames, False, place.noises, engine.noise_between, easing)


def opened(photo: Photo) -> Image.Image:
    """The photo; a refusal says which file it is."""
    if isinstance(photo, Image.Image):
        return photo
    try:
        return open_photo(photo)
    except PhotoError as error:
        raise PhotoError(f"{photo}: {error}" if isinstance(photo, (str, Path)) else str(error)) from None


def target(engine: Engine, photo: Photo, crop: Crop = "face", of_face: bool = False) -> tuple[np.ndarray, str]:
    """The square of a photo that is looked for, uint8 `[R, R, 3]`, and a note where no face was found in it."""
    pixels, face = square(opened(photo), crop, engine.resolution, engine.checkpoint.path, of_face)
    return pixels, NO_FACE if crop == "face" and not face else ""


def _told(progress: Progress, alike: list[Likeness], note: str = "") -> Progress:
    """The last report of a photo, with how it looks beside the generator's own pictures, where that is known."""
    figures, notes = progress.figures or {}, [note, progress.note]
    if alike:
        figures = figures | {"likeness": alike[0].likeness}
        notes += [STRANGE] if alike[0].strange else []
    return replace(progress, figures=figures, note=" ".join(filter(None, notes)))


def kind_of(path: Path) -> Literal["png", "jpeg", "webp"]:
    """The format of a picture by the ending of its file. Raises ExportError for another ending."""
    kind: Any = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise ExportError(f"a picture is written as {', '.join(ENDINGS)}; {path.name!r} ends otherwise")
    return kind


def _named(place: Place, example: str) -> Path:
    if place.out is None:
        raise ExportError(f"say where to write the file, for example {example}")
    return place.out


def _sheet(place: Place, edits: tuple[Edit, ...], columns: int, sharpen: bool) -> Generator[float, None, Still]:
    sheet = export.Sheet(len(edits), columns, place.side(sharpen))
    for index, picture in enumerate(export.rendered(edits, place.rendering(sharpen), place.batch)):
        sheet.paste(index, picture)
        yield (index + 1) / (len(edits) + 1)
    still = Still(sheet.pixels)
    _write_still(place, still)
    return still


def _write_still(place: Place, still: Still) -> None:
    if place.out is None:
        return
    data = place.encode(still.pixels, still.edit, kind_of(place.out), still.sharpened)
    with replacing(place.out) as temporary:
        temporary.write_bytes(data)
