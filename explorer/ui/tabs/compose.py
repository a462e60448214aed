"""The Compose tab: domains and factors added up on one code, and beside it the other ways to combine domains.

Like Explore, one panel that holds its own state and asks this server for pictures; nothing is kept per visitor.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from explorer.edit import DirectionId, Edit, EditError, Latent
from explorer.ui import assets, keeping
from explorer.ui.gate import NOBODY, Visitor
from explorer.ui.naming import Naming
from explorer.ui.pictures import answer, data_uri, render
from explorer.ui.tabs import explore
from explorer.ui.visitors import served

if TYPE_CHECKING:
    from explorer.engine import Engine

STYLES = ("explore.css", "rows.css", "stage.css", "switch.css", "keep.css", "film.css", "compose.css", "narrow.css")
MEASURED = (0.25, 0.5, 0.75, 1.0)  # strengths at which `equalise` looks, as parts of the far end of a direction
LARGEST_SUM = 1.5  # of the domains' weights: beyond, their directions leave what training has seen together
MAX_PICKED = 16
NO_BLEND = "Blended networks join them where the app is started with --vs and one or two checkpoints."


def build(engine: Engine, name: str, max_px: int | None, naming: Naming, blended: Engine | None = None) -> gr.HTML:
    """The panel of `engine`; pictures are shown at most `max_px` wide.

    `blended` renders the mean weights of two checkpoints, for comparison.
    """

    def pictures(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return answer(engine, request, visitor=visitor)

    def equalise(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return _equalise(engine, request, visitor)

    def ways(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return _ways(engine, blended, request, visitor)

    return gr.HTML(
        value={},
        html_template=explore.template("compose.html"),
        css_template=assets.read(*STYLES),
        js_on_load=assets.script("compose/main.js"),
        apply_default_css=False,
        elem_id="compose",
        server_functions=[*map(served, (pictures, equalise, ways)), *keeping.functions(engine, name)],
        generator=explore.describe(engine, name, max_px, naming) | {"largest_sum": LARGEST_SUM},
    )


def _equalise(engine: Engine, request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """`{edit}` -> `{strengths: [[direction, strength], ...]}` that each alone change the picture equally."""
    return {"strengths": [list(pair) for pair in equal_strengths(engine, _picked(request), visitor).items()]}


def equal_strengths(engine: Engine, edit: Edit, visitor: Visitor = NOBODY) -> dict[DirectionId, float]:
    """Strengths of the edit's directions at which each alone changes the picture by the same amount.

    The amount is the mean of what they change now, or less where one cannot reach it within its range, or where domains
    would pass 1 or together LARGEST_SUM, of which the page warns; it is measured as the root mean square difference to
    the picture without any, on this edit's code. Signs stay.
    """
    base = replace(edit, strengths={}, layers={})
    rows, before = dict(edit.layers), dict(edit.strengths)
    curves, now = {}, []
    for id_, strength in before.items():
        direction = engine.direction(id_)
        end = direction.high if strength > 0 else direction.low
        end = float(np.clip(end, -1, 1)) if direction.group == "domains" else end
        at = np.array([0.0, *(part * end for part in MEASURED)])
        alone = [replace(base, strengths={id_: s}, layers={id_: rows[id_]} if id_ in rows else {}) for s in at]
        pictures = np.stack(render(engine, alone, 256, visitor)).astype(np.float32)
        change = np.sqrt(((pictures - pictures[0]) ** 2).mean(axis=(1, 2, 3)))
        curves[id_] = np.abs(at), np.maximum.accumulate(change)  # a stronger move never counts as less
        now.append(np.interp(abs(strength), *curves[id_]))
    target = min(float(np.mean(now)), *(change[-1] for _, change in curves.values()))
    domains = [id_ for id_ in before if engine.direction(id_).group == "domains"]

    def reaching(amount: float) -> dict[DirectionId, float]:
        found = {id_: float(np.interp(amount, change, at)) for id_, (at, change) in curves.items()}
        return {id_: round(float(np.copysign(value, before[id_])), 3) for id_, value in found.items()}

    def fits(amount: float) -> bool:
        return sum(abs(reaching(amount)[id_]) for id_ in domains) <= LARGEST_SUM

    if fits(target):
        return reaching(target)
    low, high = 0.0, target
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return reaching(low)


def _ways(engine: Engine, blended: Engine | None, request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
    """`{edit, max_px}` -> `{ways: [{name, note, picture}, ...], more: sentence}`: the sum first."""
    edit, max_px = _picked(request), request.get("max_px")
    rows = dict(edit.layers)
    alone = [
        replace(edit, strengths={id_: strength}, layers={id_: rows[id_]} if id_ in rows else {})
        for id_, strength in dict(edit.strengths).items()
    ]
    total, *singles = render(engine, [edit, *alone], max_px, visitor)
    mean = np.stack(singles).mean(axis=0).round().astype(np.uint8)
    shown = [
        ("Sum of directions", "One picture, made by one generator.", total),
        ("Blended pictures", "The mean of one picture for each domain: edges show through each other.", mean),
    ]
    if blended is not None:
        bare = engine.ws(replace(edit, strengths={}, layers={})).cpu().numpy()
        code = replace(edit, latent=Latent.of(bare), project=False, strengths={}, layers={})
        (picture,) = render(blended, [code], max_px, visitor)
        shown.append(("Blended networks", "The mean weights of two checkpoints, on the same code.", picture))
    ways = [{"name": name, "note": note, "picture": data_uri(picture, True)} for name, note, picture in shown]
    return {"ways": ways, "more": NO_BLEND if blended is None else ""}


def _picked(request: dict[str, Any]) -> Edit:
    edit = Edit.from_json(request.get("edit") or {})
    if not 2 <= len(dict(edit.strengths)) <= MAX_PICKED:
        raise EditError(f"Pick 2 to {MAX_PICKED} domains or factors with weights other than zero.")
    max_px = request.get("max_px")
    if max_px is not None and (not isinstance(max_px, int) or max_px < 1):
        raise EditError(f"max_px must be a whole number of pixels, got {max_px!r}")
    return edit
