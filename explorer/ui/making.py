"""Films and zips of a page's snapshots: made one at a time, while the page watches how far they are.

Keeps nothing of a visitor but what is being made or waits to be fetched. Knows no Gradio and no networks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from explorer.actions import Animate, Bundle, edits_of, steps
from explorer.edit import Edit, EditError
from explorer.ui.exports import new_file
from explorer.ui.gate import GATE, NOBODY, Visitor, check
from explorer.ui.turns import TurnError, Turns

if TYPE_CHECKING:
    from explorer.engine import Engine

FRAMES = 25  # of a film, from edit to edit
FPS = 25  # the page counts the frames of its films by it
KINDS = ("mp4", "webp", "gif", "zip")


@dataclass(frozen=True)
class Made:
    """How much of a file is done; with `file` all of it."""

    fraction: float
    file: Path | None = None


class Workshop:
    """What a panel of `engine` may ask for; `name` is in the names of the files."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.turns: Turns[Made] = Turns()

    def make(self, request: dict[str, Any], visitor: Visitor = NOBODY) -> dict[str, Any]:
        """`{kind: mp4 | webp | gif | zip, edits, px, sharpen}` and of a film `{frames, loop, easing}` -> `{id}`."""
        kind, px, sharpen = request.get("kind"), request.get("px"), request.get("sharpen") is True
        if kind not in KINDS:
            raise EditError(f"ask for one of {', '.join(KINDS)} and a list of edits")
        edits = edits_of(request.get("edits"))
        wanted = Bundle(edits, px, sharpen) if kind == "zip" else film(edits, px, request)
        pictures, pixels = wanted.price(self.engine)
        check(pictures, pixels)
        for edit in edits:
            self.engine.ws(edit)  # refuses what this generator does not have

        def work(stop: threading.Event) -> Iterator[Made]:
            yield Made(0.0)
            with new_file(f"{self.name}-snapshots.{kind}") as path:
                work = steps(wanted, self.engine, path, self.name)
                for fraction in GATE.paced(work, pixels, Visitor(visitor.name, stop.is_set)):
                    yield Made(min(fraction, 0.99))
                yield Made(1.0, path)

        return {"id": self.turns.join(work, visitor.name).id}

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{id, hidden}` -> `{state, fraction, ahead}`, and `{file: address, name}` once it is done.

        The address is one below the page's own; the file is there for some minutes.
        """
        turn, ahead = self.turns.look(request.get("id"), request.get("hidden") is True)
        if turn.state == "failed":
            raise TurnError(turn.error)
        made = turn.latest or Made(0.0)
        answer: dict[str, Any] = {"state": turn.state, "fraction": made.fraction, "ahead": ahead}
        if made.file is not None and turn.state == "done":
            answer |= {"file": f"gradio_api/file={quote(str(made.file))}", "name": made.file.name}
        return answer

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{id}`: end it without a file."""
        self.turns.stop(request.get("id"))
        return {}


def film(edits: tuple[Edit, ...], px: int | None, request: dict[str, Any]) -> Animate:
    """The film that a page asks for."""
    frames, loop, easing = request.get("frames", FRAMES), request.get("loop", True), request.get("easing", "smooth")
    return Animate(edits, frames, FPS, loop is True, px, easing, request.get("sharpen") is True)
