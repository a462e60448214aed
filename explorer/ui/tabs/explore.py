"""The Explore tab: one panel that runs in the browser and asks this server for nothing but pictures.

The panel holds its own state (an `Edit` as JSON), so the server keeps nothing per visitor. `value` is that JSON: it is
written when a slider comes to rest, and an edit written to it from Python is taken over by the panel.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import gradio as gr

from explorer.edit import Edit
from explorer.engine import looks
from explorer.ui import assets, keeping
from explorer.ui.gate import Visitor
from explorer.ui.naming import Naming
from explorer.ui.pictures import answer
from explorer.ui.visitors import served

if TYPE_CHECKING:
    from explorer.engine import Engine

RANDOM_OFF = "codes_unknown"  # in a checkpoint's source: why random codes look like nothing
STYLES = ("explore.css", "rows.css", "stage.css", "switch.css", "keep.css", "film.css", "narrow.css")


def build(engine: Engine, name: str, max_px: int | None, naming: Naming) -> gr.HTML:
    """The panel of `engine`; pictures are shown at most `max_px` wide, directions called as `naming` says."""

    def pictures(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return answer(engine, request, visitor=visitor)

    return gr.HTML(
        value={},
        html_template=template("explore.html"),
        css_template=assets.read(*STYLES),
        js_on_load=assets.script("explore/main.js"),
        apply_default_css=False,
        elem_id="explore",
        server_functions=[served(pictures), *naming.functions(), *keeping.functions(engine, name)],
        generator=describe(engine, name, max_px, naming),
    )


def template(name: str) -> str:
    """The HTML of a panel, with what Explore and Compose share put in: icons, dialog, pose, steps."""
    html = assets.read(name)
    for part in ("icons", "keep", "pose", "steps", "film"):
        html = html.replace(f"<!-- {part} -->", assets.read(f"{part}.html").strip())
    return html


def key_of(engine: Engine, name: str) -> str:
    """The name of a generator's stored state in browsers, which outlives what it is taught.

    The mapping network is what makes a code mean the same, and teaching never changes it.
    """
    family = json.dumps([name, engine.resolution, engine.codes.rows, engine.generator.mean.tolist()])
    return hashlib.sha256(family.encode()).hexdigest()[:16]


def describe(engine: Engine, name: str, max_px: int | None, naming: Naming | None = None) -> dict[str, Any]:
    """What the panel must know of the generator."""
    directions = [
        {"id": d.id, "label": d.label, "group": d.group, "low": d.low, "high": d.high}
        | {"effect": d.effect, "about": d.about, "caption": d.caption and asdict(d.caption)}
        for d in engine.directions
    ]
    source = engine.checkpoint.meta.get("source")
    source = source if isinstance(source, dict) else {}
    note = source.get(RANDOM_OFF, source.get("codes", ""))
    path = engine.checkpoint.path
    named = () if path is None else looks.load(looks.path_beside(path), {d["id"] for d in directions})
    return {
        "name": name,
        "key": key_of(engine, name),
        "resolution": engine.resolution,
        "sharp_side": engine.sharp_side,
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
        "naming": None if naming is None else naming.describe(),
    }


def tell_panels(
    changing: list[tuple[gr.HTML, str]], engine: Engine, name: str, max_px: int | None, naming: Naming
) -> None:
    """Where directions come or go, on an event of a panel, the panels that show them are built anew.

    Pages that are opened later are told so too, and of what directions are called.
    """
    page: Any = changing[0][0]
    while page.parent is not None:
        page = page.parent
    panels = [block for block in page.blocks.values() if isinstance(block, gr.HTML)]
    told = [panel for panel in panels if isinstance(panel.props.get("generator"), dict)]
    told = [panel for panel in told if "directions" in panel.props["generator"]]

    def refresh() -> None:
        fresh = describe(engine, name, max_px, naming)
        for panel in told:
            described = panel.props["generator"]
            panel.props["generator"] = {key: fresh.get(key, value) for key, value in described.items()}
        page.config = page.get_config_file()  # what pages opened later are built from

    def hide() -> dict[gr.HTML, gr.HTML]:
        return {panel: gr.HTML(visible=False) for panel in told}  # the browser throws them away, and builds them anew

    def show() -> dict[gr.HTML, gr.HTML]:
        refresh()
        return {
            panel: gr.HTML(visible=True, generator=panel.props["generator"]) for panel in told
        }  # and builds them anew

    naming.changed = refresh
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    for panel, event in changing:
        getattr(panel, event)(hide, None, told, **quiet).then(show, None, told, **quiet)
