"""What a browser is shown while the app still reads its generator: how far it is, then the app itself.

Stands on the standard library alone, for it answers before anything large is imported.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Thread
from typing import Any

from explorer.refused import Refused

PATIENCE = 5  # seconds for a browser's request
ASKING = "Starting"  # the header of the page's question and of the answer, which the app itself does not give
PAGE = (Path(__file__).parent / "ui/assets/waiting.html").read_text()


class Waiting:
    """A page at the app's address until the app is there; every answer is 503, so that no program takes it for that.

    But for the page itself, which asks with a header of its own how far it is: browsers write every 503 into a console.
    Raises Refused where the port is taken or the host is none.
    """

    def __init__(self, host: str, port: int) -> None:
        self.words = "Starting"
        try:
            self.server = Answering((host.strip("[]"), port), self)
        except (OSError, OverflowError) as error:
            raise Refused(f"nothing can be served at {host}, port {port}: {error}") from None

    def say(self, words: str) -> None:
        """What is going on now: plain words of this program, nothing from outside."""
        self.words = words

    def __enter__(self) -> Waiting:
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.shutdown()
        self.server.server_close()


class Answering(ThreadingTCPServer):
    """Not the library's HTTPServer, which asks the network for its own name."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], waiting: Waiting) -> None:
        self.waiting = waiting
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Answer)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that left is no news."""


class Answer(BaseHTTPRequestHandler):
    timeout = PATIENCE

    def do_GET(self) -> None:
        assert isinstance(self.server, Answering)
        words = self.server.waiting.words
        asked = ASKING in self.headers
        body = (words if asked else PAGE.replace("WORDS", words)).encode()
        self.send_response(HTTPStatus.OK if asked else HTTPStatus.SERVICE_UNAVAILABLE)
        for name, value in (
            ("Content-Type", f"text/{'plain' if asked else 'html'}; charset=utf-8"),
            (ASKING, "still"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Retry-After", "2"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
