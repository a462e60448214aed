"""The app: flags -> checkpoint -> `Engine` -> page -> served. Everything else is in `explorer`."""

from __future__ import annotations

import argparse
import os
from functools import partial
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main() -> None:
    parser = Parser(description="Explore what a StyleGAN2 generator can do, in the browser.")
    parser.add_argument("--checkpoint", help="file, https address or name of public weights; default: the cats64 model")
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
    args = parser.parse_args()
    if args.max_px is not None and args.max_px < 1:
        parser.error(f"--max-px is 1 or more, got {args.max_px}")
    import explorer  # after the flags: a typing error is answered at once
    from explorer.engine.blending import blended
    from explorer.ui import VISITORS_MEMORY, Serving, Shelf, build_ui, launch, users

    try:
        auth = users(args.auth)
        serving = Serving(args.host, args.port, args.share, auth, args.root_path, args.queue_limit, args.mcp)
        checkpoint = explorer.load(args.checkpoint or explorer.DEFAULT)
        engine = explorer.Engine(checkpoint, args.device, args.precision)
        other = blended(engine, args.vs) if args.vs else None
        build = partial(build_ui, max_px=args.max_px, public=serving.public)
        limit = VISITORS_MEMORY if serving.public else None
        shelf = Shelf(build, args.device, args.precision, explorer.DEFAULT.parent, limit)
        launch(build(engine, checkpoint.meta["name"], shelf=shelf, blended=other), serving, shelf)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
