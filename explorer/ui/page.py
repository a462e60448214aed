"""The page: a header and one tab a task. A tab is a module of `tabs` with a `build(engine, name, max_px)`."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import gradio as gr

from explorer.refused import Refused
from explorer.ui import api, assets
from explorer.ui.naming import Naming, directions_home
from explorer.ui.serve import private_uploads
from explorer.ui.tabs import compose, explore, invert, model, teach

if TYPE_CHECKING:
    from explorer.engine import Engine
    from explorer.ui.shelf import Shelf

HOUR = 3600


def build_ui(
    engine: Engine,
    name: str = "generator",
    max_px: int | None = None,
    shelf: Shelf | None = None,
    blended: Engine | None = None,
    public: bool = False,
) -> gr.Blocks:
    """The whole page for one engine. `name` is what the page calls the generator, `max_px` bounds the pictures shown.

    With a `shelf` the header and the Model tab offer other generators; with a `blended` engine Compose shows its
    picture beside sums. On a `public` page nobody can start a lesson.

    Raises ValueError where `max_px` is below 1.
    """
    if max_px is not None and max_px < 1:
        raise Refused(f"--max-px must be at least 1, got {max_px}")
    private_uploads()
    naming = Naming(engine, None if public else directions_home())
    tabs = {
        "Explore": partial(explore.build, naming=naming),
        "Photo": partial(invert.build, public=public),
        "Compose": partial(compose.build, naming=naming, blended=blended),
        "Teach": partial(teach.build, read_only=public),
        "Model": partial(model.build, shelf=shelf),
    }
    title = f"Domain Explorer: {name}"
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True, delete_cache=(HOUR, HOUR)) as page:
        gr.HTML(
            value="",
            html_template=assets.read("header.html"),
            css_template=assets.read("header.css"),
            js_on_load=assets.script("header.js"),
            apply_default_css=False,
            elem_id="header",
            name=name,
            names=json.dumps([] if shelf is None else shelf.names()),
            first="" if shelf is None else shelf.first or "",
            resolution=engine.resolution,
            state_key=explore.key_of(engine, name),
        )
        panels: dict[str, gr.HTML] = {}
        with gr.Tabs(elem_id="tabs"):
            for tab, build in tabs.items():
                with gr.Tab(tab, id=tab.lower()):
                    panels[tab] = build(engine, name, max_px)
        changing = [(panels["Teach"], "kept"), (panels["Explore"], "directions")]
        explore.tell_panels(changing, engine, name, max_px, naming)
        api.register(engine, name)
    return page
