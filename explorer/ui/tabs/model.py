"""The Model tab: what the loaded generator is, and a way to the others.

Another generator opens on a page of its own (`explorer.ui.shelf`), so nobody else's page changes. Knows no networks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from explorer.ui import assets
from explorer.ui.disk import listing
from explorer.ui.gate import Visitor
from explorer.ui.lessons import checked_name
from explorer.ui.own import file_in, write_new
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
        return {"model": describe(engine, name, shelf), **others(shelf)}

    def bring(request: dict[str, Any]) -> dict[str, Any]:
        return {"name": take(shelf, request)}

    def find(request: dict[str, Any]) -> dict[str, Any]:
        return {"name": offered(shelf).find(request.get("address"))}

    def browse(request: dict[str, Any]) -> dict[str, Any]:
        offered(shelf)
        return listing(request.get("address"))

    def arrange(request: dict[str, Any]) -> dict[str, Any]:
        return {"name": write_arranged(engine, shelf, request)}

    return gr.HTML(
        value="",
        html_template=assets.read("model.html"),
        css_template=assets.read("model.css"),
        js_on_load=assets.script("model/main.js"),
        apply_default_css=False,
        elem_id="model",
        server_functions=[*map(served, (pictures, look, bring, find, browse, arrange))],
    )


def describe(engine: Engine, name: str, shelf: Shelf | None) -> dict[str, Any]:
    """What the panel says of the generator, and whether it may be written with other domains."""
    free = [d for d in engine.directions if d.group in ("factors", "dormant")]
    domains = [d.label for d in engine.directions if d.group == "domains"]
    return {
        "name": name,
        "kind": KINDS.get(engine.generator.family, engine.generator.family),
        "resolution": engine.resolution,
        "domains": domains,
        "free": len(free),
        "perceptual": engine.perceptual.name,
        "hardware": f"{engine.device}, {engine.precision}",
        "arranged": bool(domains) and shelf is not None and shelf.own is not None,
    }


def others(shelf: Shelf | None) -> dict[str, Any]:
    """The generators that this page can open: by name, and lately opened files where it is its user's alone."""
    if shelf is None:
        return {"others": None, "first": None, "latest": None}
    latest = (
        None
        if shelf.disk is None
        else [{"name": path.name, "address": str(path), "folder": str(path.parent)} for path in shelf.disk.latest()]
    )
    return {"others": shelf.names(), "first": shelf.first, "latest": latest}


def offered(shelf: Shelf | None) -> Shelf:
    """The shelf, where it offers files of the disk. Raises CheckpointError elsewhere."""
    if shelf is None or shelf.disk is None:
        raise CheckpointError("files of the server are opened on a page that its user alone can open")
    return shelf


def write_arranged(engine: Engine, shelf: Shelf | None, request: dict[str, Any]) -> str:
    """Write the generator with other domains, `{domains: [[domain, new name], ...], file}`, among the user's own.

    Returns the name under which it opens. Raises CheckpointError.
    """
    if shelf is None or shelf.own is None:
        raise CheckpointError("this page is open to everybody, so nothing is written here")
    pairs = request.get("domains")
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) for p in pairs
    ):
        raise CheckpointError("domains are a list of pairs: a domain, and what it is called from now on")
    names = {old: old if new == old else checked_name(new, ()) for old, new in pairs}
    path = file_in(shelf.own, request.get("file"))
    if path.stem in shelf.names():
        raise CheckpointError(f"there is a generator called {path.stem} already: choose another name")
    write_new(engine.checkpoint.with_domains(names), path)
    return path.stem


def take(shelf: Shelf | None, request: Any) -> str:
    """The name under which a file opens that this visitor has uploaded. Raises CheckpointError."""
    if shelf is None or not isinstance(request, dict) or not isinstance(request.get("path"), str):
        raise CheckpointError("drop a checkpoint file here: .safetensors, .pkl or .pt")
    folder = Path(os.environ.get("GRADIO_TEMP_DIR", "/nonexistent")).resolve()
    path = Path(request["path"]).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise CheckpointError("this file did not arrive: drop it again")
    return shelf.add(path, str(request.get("title", "model"))[:MAX_TITLE])
