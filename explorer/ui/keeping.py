"""What the panels ask to keep an edit: a picture that carries it, a link, a session, and all of these back again.

Free of side effects, like `explorer.ui.pictures`. Knows no Gradio and keeps nothing of a visitor.
"""

from __future__ import annotations

import base64
import binascii
from functools import partial
from typing import TYPE_CHECKING, Any

from explorer.actions import Render, run
from explorer.edit import Edit
from explorer.keep import KeepError, Kept, Session, Snapshot, read_link, read_picture, write_link, write_picture
from explorer.ui.gate import GATE, Visitor
from explorer.ui.making import Workshop
from explorer.ui.visitors import ServerFunction, served

if TYPE_CHECKING:
    from explorer.engine import Engine


def functions(engine: Engine, name: str) -> list[ServerFunction]:
    """The server functions of a panel whose generator is called `name`; bad input is answered `{error: sentence}`."""
    workshop = Workshop(engine, name)
    keep = [served(partial(work, engine, name), work.__name__) for work in (save_picture, save_session, link, restore)]
    make = [served(workshop.make), served(workshop.look, "look_made"), served(workshop.stop, "stop_making")]
    return [*keep, *make]


def save_picture(engine: Engine, name: str, request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """`{edit, format, settings: bool, px: int | null, sharpen: bool}` -> `{file: data URI}`; `px` enlarges it."""
    edit, kind = Edit.from_json(request.get("edit") or {}), request.get("format", "png")
    wanted = Render(edit, request.get("px"), sharpen=request.get("sharpen") is True)
    kept = Kept(edit, name, wanted.sharpen) if request.get("settings", True) else None
    _, pixels = wanted.price(engine)
    data = GATE.do(lambda: write_picture(run(wanted, engine).pixels, kind, kept), pixels, visitor)
    return {"file": f"data:image/{kind};base64,{base64.b64encode(data).decode()}"}


def save_session(engine: Engine, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """`{edits: {tab: edit}, snapshots: [{edit, thumb, seconds}]}` -> `{text}`."""
    edits, shots = request.get("edits"), request.get("snapshots")
    if not isinstance(edits, dict) or not isinstance(shots, list) or not all(isinstance(shot, dict) for shot in shots):
        raise KeepError("a session is {edits: {tab: edit}, snapshots: [{edit, thumb}]}")
    snapshots = [Snapshot.from_json(shot) for shot in shots]
    return {"text": Session(name, {tab: Edit.from_json(edit) for tab, edit in edits.items()}, snapshots).to_text()}


def link(engine: Engine, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """`{edit}` -> `{text}`, what stands behind `?edit=`."""
    return {"text": write_link(Edit.from_json(request.get("edit") or {}))}


def restore(engine: Engine, name: str, request: dict[str, Any]) -> dict[str, Any]:
    """`{link}` or `{picture: data URI}` -> `{edit}`; `{session: text}` -> `{edits, snapshots}`."""
    if isinstance(request.get("session"), str):
        return _restore_session(engine, name, Session.from_text(request["session"]))
    if isinstance(request.get("link"), str):
        edit = read_link(request["link"])
    else:
        kept = read_picture(_bytes_of(request.get("picture")))
        _check_name(kept.generator, name, "picture")
        edit = kept.edit
    engine.ws(edit)  # refuses what this generator does not have
    return {"edit": edit.to_json()}


def _restore_session(engine: Engine, name: str, session: Session) -> dict[str, Any]:
    _check_name(session.generator, name, "session")
    for edit in (*session.edits.values(), *(shot.edit for shot in session.snapshots)):
        engine.ws(edit)
    return {
        "edits": {tab: edit.to_json() for tab, edit in session.edits.items()},
        "snapshots": [shot.to_json() for shot in session.snapshots],
    }


def _check_name(of: str, name: str, what: str) -> None:
    if of != name:
        raise KeepError(f"This {what} belongs to the generator “{of[:100]}”; this page shows “{name}”.")


def _bytes_of(uri: Any) -> bytes:
    try:
        start, data = uri.split(",", 1)
        if not start.startswith("data:"):
            raise ValueError(start)
        return base64.b64decode(data, validate=True)
    except (AttributeError, ValueError, binascii.Error):
        raise KeepError("a picture is sent as a data URI") from None
