"""The page: a header and one tab a task. A tab is a module of `tabs` with a `build(engine, name, max_px)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from explorer.ui import api, assets
from explorer.ui.serve import private_uploads
from explorer.ui.tabs import compose, explore, invert, model, teach

if TYPE_CHECKING:
    from explorer.engine import Engine
    from explorer.ui.shelf import Shelf

TABS = (("Explore", explore.build), ("Invert", invert.build), ("Compose", compose.build), ("Teach", teach.build))
HOUR = 3600


def build_ui(
    engine: Engine, name: str = "generator", max_px: int | None = None, shelf: Shelf | None = None
) -> gr.Blocks:
    """The whole page for one engine. `name` is what the page calls the generator, `max_px` bounds the pictures shown.

    With a `shelf` the Model tab offers other generators.

    Raises ValueError where `max_px` is below 1.
    """
    if max_px is not None and max_px < 1:
        raise ValueError(f"--max-px must be at least 1, got {max_px}")
    private_uploads()
    title = f"Domain Explorer: {name}"
    with gr.Blocks(title=title, analytics_enabled=False, fill_width=True, delete_cache=(HOUR, HOUR)) as page:
        gr.HTML(
            value="",
            html_template=assets.read("header.html"),
            css_template=assets.read("header.css"),
            js_on_load=assets.read("bus.js", "header.js"),
            apply_default_css=False,
            elem_id="header",
            generator=f"{name}, {engine.img_resolution} px",
        )
        with gr.Tabs(elem_id="tabs"):
            for tab, build in TABS:
                with gr.Tab(tab, id=tab.lower()):
                    build(engine, name, max_px)
            with gr.Tab("Model", id="model"):
                model.build(engine, name, max_px, shelf)
        api.register(engine, name)
    return page
