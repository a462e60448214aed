"""The app: flags -> checkpoint -> `Engine` -> page -> served; meanwhile a page that says how far it is."""

from __future__ import annotations

import argparse
import os
from functools import partial

from explorer.folders import data_home
from explorer.refused import Refused
from explorer.shipped import DEFAULT
from explorer.waiting import Waiting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's flags."""
    parser.add_argument("--checkpoint", default=DEFAULT, help="file, https address or name of public weights")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    # A Hugging Face Space sets GRADIO_SERVER_NAME, as Gradio's own launch expects.
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=7860)
    parser.add_argument("--share", action="store_true", help="public address, protected by a printed password")
    parser.add_argument("--max-px", type=int, help="largest side of the pictures shown")
    parser.add_argument(
        "--auth", metavar="USER:PASSWORD", help="ask for it; or a file with one such line for each user"
    )
    parser.add_argument(
        "--root-path", default="", metavar="/PATH", help="where a proxy serves the page, if not at its /"
    )
    parser.add_argument("--queue-limit", type=int, default=64, help="calls of the endpoints that may wait")
    parser.add_argument(
        "--vs",
        nargs="+",
        metavar="FILE",
        help="compare sums with the mean weights of the checkpoint and this, or of two",
    )
    parser.add_argument("--mcp", action="store_true", help="offer the endpoints as tools of language models")


def run(arguments: argparse.Namespace) -> str:
    """Serve the page until it is interrupted. Raises Refused, ValueError and OSError where it cannot start."""
    if arguments.max_px is not None and arguments.max_px < 1:
        raise Refused(f"--max-px is 1 or more, got {arguments.max_px}")
    flags = arguments
    with Waiting(flags.host, flags.port) as waiting:
        from explorer.engine import Engine  # after the flags: a typing error is answered at once
        from explorer.engine.blending import blended
        from explorer.ui import VISITORS_MEMORY, Disk, Serving, Shelf, build_ui, launch, models_home, users
        from explorer.weights import load

        auth = users(flags.auth)
        serving = Serving(flags.host, flags.port, flags.share, auth, flags.root_path, flags.queue_limit, flags.mcp)
        waiting.say("Reading the generator")
        checkpoint = load(flags.checkpoint)
        waiting.say("Preparing it")
        engine = Engine(checkpoint, flags.device, flags.precision)
        other = blended(engine, flags.vs) if flags.vs else None
        build = partial(build_ui, max_px=flags.max_px, public=serving.public)
        limit = VISITORS_MEMORY if serving.public else None
        own = None if serving.public else models_home()
        disk = Disk(data_home() / "opened.json") if serving.private else None
        shelf = Shelf(build, flags.device, flags.precision, DEFAULT.parent, limit, checkpoint.path, own, disk)
        page = build(engine, checkpoint.meta["name"], shelf=shelf, blended=other)
    launch(page, serving, shelf)
    return "stopped"
