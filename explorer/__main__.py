"""`domain-explorer` and `python -m explorer`: alone the app, with a command the command line."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from explorer import __version__
from explorer.extras import MissingExtra, extra_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, the app where none is named; the exit code is 0, or 2 with one sentence on stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a letter shows a question mark
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--version"]:
        print(__version__)
        return 0
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["app", *words]
    from explorer import cli

    try:
        return cli.main(words)
    except ModuleNotFoundError as error:
        if (extra := extra_of(error.name or "")) is None:
            raise
        print(f"error: {MissingExtra(extra)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
