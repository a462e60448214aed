"""The Explore tab: one panel that runs in the browser and asks this server for nothing but pictures.

The panel holds its own state (an `Edit` as JSON), so the server keeps nothing per visitor. `value` is that JSON: it is
written when a slider comes to rest, and an edit written to it from Python is taken over by the panel.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import gradio as gr

from explorer.edit import Edit
from explorer.engine import looks
from explorer.ui import assets, keeping
from explorer.ui.gate import Visitor
from explorer.ui.pictures import answer
from explorer.ui.visitors import served

if TYPE_CHECKING:
    from explorer.engine import Engine

RANDOM_OFF = "codes_unknown"  # in a checkpoint's source: why random codes look like nothing
STYLES = ("explore.css", "rows.css", "stage.css", "switch.css", "keep.css", "film.css", "narrow.css")


def build(engine: Engine, name: str, max_px: int | None) -> gr.HTML:
    """The panel of `engine`; pictures are shown at most `max_px` wide."""

    def pictures(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return answer(engine, request, visitor=visitor)

    return gr.HTML(
        value={},
        html_template=template("explore.html"),
        css_template=assets.read(*STYLES),
        js_on_load=assets.script("explore/main.js"),
        apply_default_css=False,
        elem_id="explore",
        server_functions=[served(pictures), *keeping.functions(engine, name)],
        generator=describe(engine, name, max_px),
    )


def template(name: str) -> str:
    """The HTML of a panel, with what Explore and Compose share put in: icons, dialog, pose, steps."""
    html = assets.read(name)
    for part in ("icons", "keep", "pose", "steps", "film"):
        html = html.replace(f"<!-- {part} -->", assets.read(f"{part}.html").strip())
    return html


def describe(engine: Engine, name: str, max_px: int | None) -> dict[str, Any]:
    """What the panel must know of the generator. `key` names its stored state, which outlives what it is taught:

    the mapping network is what makes a code mean the same, and teaching never changes it.
    """
    directions = [
        {"id": d.id, "label": d.label, "group": d.group, "low": d.low, "high": d.high, "effect": d.effect}
        for d in engine.directions
    ]
    source = engine.checkpoint.meta.get("source")
    source = source if isinstance(source, dict) else {}
    note = source.get(RANDOM_OFF, source.get("codes", ""))
    path = engine.checkpoint.path
    named = () if path is None else looks.load(looks.path_beside(path), {d["id"] for d in directions})
    family = json.dumps([name, engine.resolution, engine.codes.rows, engine.generator.mean.tolist()])
    return {
        "name": name,
        "key": hashlib.sha256(family.encode()).hexdigest()[:16],
        "resolution": engine.resolution,
        "layers": engine.codes.rows,
        "classes": engine.generator.classes,
        "class_names": [name[:60] for name in engine.checkpoint.class_names],
        "noise_modes": list(engine.codes.noise_modes),
        "pose": engine.codes.pose,
        "steps": list(engine.codes.steps),
        "random": RANDOM_OFF not in source,
        "codes_note": note[:300] if isinstance(note, str) else "",
        "expanded": engine.checkpoint.expansion is not None,
        "max_px": max_px,
        "defaults": {field.name: field.default for field in fields(Edit) if field.name not in ("strengths", "layers")},
        "directions": directions,
        "looks": [{"name": look.name, "strengths": look.strengths} for look in named],
    }
