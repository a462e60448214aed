"""Films and zips of a page's snapshots: made one at a time, while the page watches how far they are.

Keeps nothing of a visitor but what is being made or waits to be fetched. Knows no Gradio and no networks.
"""

from __future__ import annotations

import base64
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.actions import Animate, Bundle, edits_of, steps
from explorer.edit import EditError
from explorer.ui.turns import TurnError, Turns

if TYPE_CHECKING:
    from explorer.engine import Engine

FRAMES = 25  # of a film, from edit to edit
KINDS = {"mp4": "video/mp4", "webp": "image/webp", "gif": "image/gif", "zip": "application/zip"}


@dataclass(frozen=True)
class Made:
    """How much of a file is done; with `data` all of it."""

    fraction: float
    data: bytes = b""
    kind: str = ""


class Workshop:
    """What a panel of `engine` may ask for; `name` is in the names of the files."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.turns: Turns[Made] = Turns()

    def make(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{kind: mp4 | webp | gif | zip, edits, px, frames}` -> `{id}`; `frames` of a film are from edit to edit."""
        kind, px = request.get("kind"), request.get("px")
        if kind not in KINDS:
            raise EditError(f"ask for one of {', '.join(KINDS)} and a list of edits")
        edits = edits_of(request.get("edits"))
        wanted = Bundle(edits, px) if kind == "zip" else Animate(edits, request.get("frames", FRAMES), px=px)
        for edit in edits:
            self.engine.ws(edit)  # refuses what this generator does not have

        def work(stop: threading.Event) -> Iterator[Made]:
            yield Made(0.0)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{self.name.replace('/', '-')}.{kind}"
                for fraction in steps(wanted, self.engine, path, self.name):
                    yield Made(min(fraction, 0.99))
                    if stop.is_set():
                        return
                yield Made(1.0, path.read_bytes(), kind)

        return {"id": self.turns.join(work).id}

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{id, hidden}` -> `{state, fraction, ahead}`, and `{file: data URI, name}` once it is done."""
        turn, ahead = self.turns.look(request.get("id"), request.get("hidden") is True)
        if turn.state == "failed":
            raise TurnError(turn.error)
        made = turn.latest or Made(0.0)
        answer: dict[str, Any] = {"state": turn.state, "fraction": made.fraction, "ahead": ahead}
        if made.data and turn.state == "done":
            uri = f"data:{KINDS[made.kind]};base64,{base64.b64encode(made.data).decode()}"
            answer |= {"file": uri, "name": f"{self.name}-snapshots.{made.kind}"}
            turn.latest = Made(1.0)  # it is large, and fetched once
        return answer

    def stop(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{id}`: end it without a file."""
        self.turns.stop(request.get("id"))
        return {}
