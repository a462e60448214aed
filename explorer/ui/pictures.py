"""What the browser may ask the engine for: a JSON request for pictures in, data URIs or one clear sentence out.

Free of side effects, so that a request may be repeated or dropped. Knows no Gradio.
"""

from __future__ import annotations

import base64
import io
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from explorer.actions import frame
from explorer.edit import Edit, EditError
from explorer.foreign import brief
from explorer.ui.answers import answered
from explorer.ui.gate import FREE, GATE, NOBODY, Visitor

if TYPE_CHECKING:
    from explorer.engine import Engine

MAX_EDITS = 64  # pictures in one request
AT_ONCE = 2**14  # pixels between two of which a drag comes in
EXACT_PX = 64  # pictures up to this side are sent without loss even during a drag: as quick as JPEG there
JPEG_QUALITY = 90


def answer(engine: Engine, request: Any, limit_px: int | None = None, visitor: Visitor = NOBODY) -> dict[str, Any]:
    """Pictures for `{edits: [edit, ...], max_px: int | null, exact: bool, draft: int | null, sharpen: bool}`.

    A frame of a film may stand in the place of an edit: `{from: edit, to: edit, part: 0 to 1, easing}`.
    Returns `{pictures: [data URI, ...], exact: bool, preview: bool, sharp: data URI | null}`, or `{error: sentence}`;
    never raises but for a `visitor` who has left, since an exception would reach the page as nothing at all. `limit_px`
    bounds the side whatever the request says. Without `exact` the pictures may be JPEG; the answer's `exact` tells
    whether anything was lost. With a `draft`, 0 while something moves and one more with every look at what has come to
    rest, they may be previews; the answer's `preview` tells, and the draft after the last preview is what was asked
    for. `sharp` is a single picture at rest once more, sharpened, where the request says `sharpen` and the generator is
    small.
    """
    return answered(lambda asked: _answer(engine, asked, limit_px, visitor), request)


def _answer(engine: Engine, request: dict[str, Any], limit_px: int | None, visitor: Visitor) -> dict[str, Any]:
    edits, max_px, exact, draft = _read(engine, request)
    max_px = min((side for side in (max_px, limit_px) if side is not None), default=None)
    moving = engine.preview(edits[0], max_px) if draft == 0 and len(edits) == 1 else None
    drafted = edits if draft is None else engine.drafted(edits, draft)
    pictures = render(engine, drafted, max_px, visitor) if moving is None else [moving]
    exact = exact or all(max(picture.shape) <= EXACT_PX for picture in pictures)
    preview = moving is not None or drafted != edits
    resting = draft != 0 and not preview and [picture.shape[0] for picture in pictures] == [engine.resolution]
    sharpen = resting and engine.sharp_side is not None and request.get("sharpen") is True
    sharp = data_uri(engine.sharpened(pictures)[0], exact) if sharpen else None
    uris = [data_uri(picture, exact) for picture in pictures]
    return {"pictures": uris, "exact": exact, "preview": preview, "sharp": sharp}


def render(engine: Engine, edits: list[Edit], max_px: int | None, visitor: Visitor) -> list[np.ndarray]:
    """Pictures uint8 `[H, W, 3]`: all at once where they are cheap, as one is, else a few at a time behind the gate."""
    each = engine.cost(edits)
    price = each * len(edits) if len(edits) > 1 or engine.codes.steps else 0
    at_once = len(edits) if price <= FREE else max(AT_ONCE // each, 1)
    pictures: list[np.ndarray] = []
    for start in range(0, len(edits), at_once):
        part = edits[start : start + at_once]
        # The price of all: it is not cheap because it comes in parts.
        pictures += GATE.do(partial(engine.render, part, max_px=max_px), price, visitor)
    return pictures


def data_uri(picture: np.ndarray, exact: bool) -> str:
    """A uint8 `[H, W, 3]` picture as `data:image/...`: PNG if `exact`, else JPEG with full colour resolution."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if exact:
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    kind = "png" if exact else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _read(engine: Engine, request: Any) -> tuple[list[Edit], int | None, bool, int | None]:
    if not isinstance(request, dict) or not isinstance(request.get("edits"), list):
        raise EditError("a request for pictures is {edits: [edit, ...]}")
    if not 1 <= len(request["edits"]) <= MAX_EDITS:
        raise EditError(f"a request is for 1 to {MAX_EDITS} pictures, got {len(request['edits'])}")
    max_px = request.get("max_px")
    if max_px is not None and (not isinstance(max_px, int) or max_px < 1):
        raise EditError(f"max_px must be a whole number of pixels, got {max_px!r}")
    draft = request.get("draft")
    if draft is not None and (not isinstance(draft, int) or draft < 0):
        raise EditError(f"draft must be a whole number from 0, got {brief(draft)}")
    return [_edit(engine, data) for data in request["edits"]], max_px, bool(request.get("exact")), draft


def _edit(engine: Engine, data: Any) -> Edit:
    if not isinstance(data, dict) or "from" not in data:
        return Edit.from_json(data)
    part: Any = data.get("part")
    return frame(
        engine, Edit.from_json(data["from"]), Edit.from_json(data.get("to")), part, data.get("easing", "smooth")
    )
