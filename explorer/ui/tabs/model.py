"""The Model tab: what the loaded generator is, and a way to the others.

Another generator opens on a page of its own (`explorer.ui.shelf`), so nobody else's page changes. Knows no networks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from explorer.ui import assets
from explorer.ui.gate import Visitor
from explorer.ui.pictures import answer
from explorer.ui.visitors import served
from explorer.weights import CheckpointError

if TYPE_CHECKING:
    from explorer.engine import Engine
    from explorer.ui.shelf import Shelf

KINDS = {"stylegan2": "StyleGAN2", "stylegan3": "StyleGAN3", "diffae": "diffusion autoencoder"}
THUMB_PX = 128
MAX_TITLE = 120


def build(engine: Engine, name: str, max_px: int | None, shelf: Shelf | None = None) -> gr.HTML:
    """The panel of `engine`; without a `shelf` it offers no other generator."""

    def pictures(request: dict[str, Any], visitor: Visitor) -> dict[str, Any]:
        return answer(engine, request, THUMB_PX, visitor)

    def look(_: dict[str, Any]) -> dict[str, Any]:
        others = {"others": None, "first": None} if shelf is None else {"others": shelf.names(), "first": shelf.first}
        return {"model": describe(engine, name), **others}

    def bring(request: dict[str, Any]) -> dict[str, Any]:
        return {"name": take(shelf, request)}

    return gr.HTML(
        value="",
        html_template=assets.read("model.html"),
        css_template=assets.read("model.css"),
        js_on_load=assets.script("model.js"),
        apply_default_css=False,
        elem_id="model",
        server_functions=[served(pictures), served(look), served(bring)],
    )


def describe(engine: Engine, name: str) -> dict[str, Any]:
    """What the panel says of the generator."""
    free = [d for d in engine.directions if d.group != "domains"]
    return {
        "name": name,
        "kind": KINDS.get(engine.generator.family, engine.generator.family),
        "resolution": engine.resolution,
        "domains": [d.label for d in engine.directions if d.group == "domains"],
        "free": len(free),
        "perceptual": engine.perceptual.name,
        "hardware": f"{engine.device}, {engine.precision}",
    }


def take(shelf: Shelf | None, request: Any) -> str:
    """The name under which a file opens that this visitor has uploaded. Raises CheckpointError."""
    if shelf is None or not isinstance(request, dict) or not isinstance(request.get("path"), str):
        raise CheckpointError("drop a checkpoint file here: .safetensors, .pkl or .pt")
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", "/nonexistent")).resolve()
    path = Path(request["path"]).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise CheckpointError("this file did not arrive: drop it again")
    return shelf.add(path, str(request.get("title", "model"))[:MAX_TITLE])
