"""The app: flags -> checkpoint -> `Engine` -> page -> served. Everything else is in `explorer`."""

from __future__ import annotations

import argparse
import os
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
    args = parser.parse_args()
    import explorer  # after the flags: a typing error is answered at once
    from explorer.ui import build_ui, launch

    try:
        checkpoint = explorer.load(args.checkpoint or explorer.DEFAULT)
        engine = explorer.Engine(checkpoint, args.device, args.precision)
        launch(build_ui(engine, checkpoint.meta["name"], args.max_px), args.host, args.port, args.share)
    except (ValueError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
