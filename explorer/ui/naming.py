"""What a user calls a generator's directions, which ones are starred or hidden, and directions of their own.

Kept in the user's folder under what the generator is, whatever its file is called: teaching it more changes nothing
there. A page that is open to everybody keeps nothing: names stay in each visitor's browser. Knows no Gradio.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.edit import MAX_NAME, MAX_STRENGTHS, DirectionId, Edit, EditError
from explorer.engine import own
from explorer.folders import data_home
from explorer.replacing import replacing
from explorer.ui.visitors import ServerFunction, served

if TYPE_CHECKING:
    from explorer.engine import Engine

MOST = 200  # directions of one's own
CLOSED = "This page is open to everybody, so it keeps no directions: run the app on your own computer for that."
UNKEPT = "This could not be kept on the disk: it lasts until the app is restarted."
NO_FILE = "a file of a direction is sent as a data URI"

Answer = dict[str, Any]


def directions_home() -> Path:
    """The folder of names and own directions of all generators."""
    return data_home() / "directions"


def identity(engine: Engine) -> str:
    """Tells generators apart by what makes their codes: of one source, taught differently, it is the same."""
    codes = engine.codes
    facts = [engine.generator.family, engine.resolution, codes.rows, codes.dim, engine.generator.mean.tolist()]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class Naming:
    """What the Explore tab may ask for; without a `folder` nothing is kept and nothing made."""

    def __init__(self, engine: Engine, folder: Path | None) -> None:
        self.engine, self.folder = engine, folder
        self.changed: Callable[[], None] = lambda: None  # called when pages opened later are told something else
        self.marks: Answer = {"names": [], "stars": [], "hidden": []}
        if folder is None:
            return
        self.file = folder / f"{identity(engine)}.json"
        with suppress(OSError, ValueError):
            self.marks = checked_marks(json.loads(self.file.read_text(encoding="utf-8")))
        with suppress(OSError, EditError):
            data = self.file.with_suffix(".safetensors").read_bytes()
            engine.own = own.read_directions(data, "", engine.generator, MOST)

    def functions(self) -> list[ServerFunction]:
        """What the panel may ask for."""
        made = (self.make_direction, self.bring_direction, self.export_direction, self.remove_direction)
        return [served(work) for work in (self.mark, *made)]

    def describe(self) -> Answer:
        """What the panel knows of it at its start."""
        return {"marks": self.marks, "own": self.folder is not None}

    def mark(self, request: Answer) -> Answer:
        """`{names: [[direction, name], ...], stars, hidden}` from now on; `{note}` where it is not kept."""
        self._refuse_strangers()
        self.marks = checked_marks(request)
        self.changed()
        return {"note": self._write(self.file, json.dumps(self.marks).encode())}

    def make_direction(self, request: Answer) -> Answer:
        """`{edit, name}`: what its sliders do is a direction from now on; `{ids, note}`."""
        self._refuse_strangers()
        name = own.checked_name(request.get("name"), self._taken())
        return self._add([own.difference(self.engine, Edit.from_json(request.get("edit") or {}), name)])

    def bring_direction(self, request: Answer) -> Answer:
        """`{name, data: data URI}`, a file of directions; `{ids, note}`."""
        self._refuse_strangers()
        name = Path(str(request.get("name"))[:MAX_NAME]).stem
        try:
            data = base64.b64decode(str(request.get("data")).partition(",")[2], validate=True)
        except (ValueError, binascii.Error):
            raise EditError(NO_FILE) from None
        directions = own.read_directions(data, name, self.engine.generator)
        for direction in directions:
            own.checked_name(direction.name, self._taken())
        return self._add(directions)

    def export_direction(self, request: Answer) -> Answer:
        """`{id}` -> `{file: data URI}`, safetensors."""
        data = own.write_directions([self._find(request.get("id"))])
        return {"file": f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"}

    def remove_direction(self, request: Answer) -> Answer:
        """`{id}`: take a direction of one's own away; `{file}` brings it back."""
        self._refuse_strangers()
        gone = self._find(request.get("id"))
        answer = self.export_direction(request)
        return answer | self._set([one for one in self.engine.own if one.name != gone.name])

    def _add(self, directions: list[own.OwnDirection]) -> Answer:
        if len(self.engine.own) + len(directions) > MOST:
            raise EditError(
                f"there are {len(self.engine.own)} directions of your own; {MOST} are the most: delete some"
            )
        return {"ids": [one.name for one in directions]} | self._set([*self.engine.own, *directions])

    def _set(self, directions: list[own.OwnDirection]) -> Answer:
        self.engine.own = directions
        self.changed()
        return {"note": self._write(self.file.with_suffix(".safetensors"), own.write_directions(directions))}

    def _find(self, id_: Any) -> own.OwnDirection:
        found = next((one for one in self.engine.own if one.name == id_), None)
        if found is None:
            raise EditError("this direction is no longer there: reload the page")
        return found

    def _taken(self) -> list[str]:
        return [str(direction.id) for direction in self.engine.directions]

    def _refuse_strangers(self) -> None:
        if self.folder is None:
            raise EditError(CLOSED)

    @staticmethod
    def _write(path: Path, data: bytes) -> str:
        """A sentence where it is not kept; empty where it is."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(data)
        except OSError:
            return UNKEPT
        return ""


def checked_marks(data: Any) -> Answer:
    """`{names, stars, hidden}` as they are kept. Raises EditError for anything else."""
    lists: list[Any] = [data.get(key) for key in ("names", "stars", "hidden")] if isinstance(data, dict) else []
    if not lists or not all(isinstance(entries, list) and len(entries) <= MAX_STRENGTHS for entries in lists):
        raise EditError("marks are {names: [[direction, name], ...], stars: [direction, ...], hidden}")
    names, stars, hidden = lists
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in names):
        raise EditError("names are pairs of a direction and what it is called")
    return {
        "names": [[_id(id_), own.checked_name(name, ())] for id_, name in names],
        "stars": [_id(id_) for id_ in stars],
        "hidden": [_id(id_) for id_ in hidden],
    }


def _id(value: Any) -> DirectionId:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or len(str(value)) > MAX_NAME:
        raise EditError("a direction is a domain's name or a number")
    return value
