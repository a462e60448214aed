"""Serving the page: every setting that makes it quick and keeps it private. Knows no engine."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile

import gradio as gr
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from explorer.ui import assets
from explorer.ui.theme import Gallery

MAX_UPLOAD = "64mb"
OWN_SITES = (b"same-origin", b"none")  # "none": typed by the user, not started by a page


class RefuseOtherSites:
    """Answers 403 to anything but reading that another web site makes a visitor's browser send.

    Browsers say where a request comes from in `Sec-Fetch-Site`, and no script can change it; programs that are no
    browsers do not send it and pass.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        site = dict(scope.get("headers", ())).get(b"sec-fetch-site", b"none")
        reads = scope.get("method") in (None, "GET", "HEAD", "OPTIONS")
        if scope["type"] == "http" and not reads and site not in OWN_SITES:
            await PlainTextResponse("Requests from other sites are refused.", status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def launch(page: gr.Blocks, host: str, port: int, share: bool = False) -> None:
    """Serve `page` until interrupted. Raises OSError when the port is taken.

    A shared page is open to the world, so it gets a user name and a password, printed here.
    """
    auth = None
    if share:
        auth = ("explorer", secrets.token_urlsafe(9))
        print(f"The shared page asks for user name {auth[0]} and password {auth[1]}")
    uploads = tempfile.mkdtemp(prefix="explorer-")  # readable by this user only
    atexit.register(shutil.rmtree, uploads, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = uploads
    page.queue(api_open=False)
    _, address, public = page.launch(
        server_name=host,
        server_port=port,
        share=share,
        auth=auth,
        theme=Gallery(),
        css=assets.read("page.css"),
        run_history=False,  # it rewrites localStorage at every event: 10 frames a second instead of 60
        show_error=False,
        footer_links=[],
        allowed_paths=[],
        max_file_size=MAX_UPLOAD,
        app_kwargs={"middleware": [Middleware(RefuseOtherSites)]},
        quiet=True,
        prevent_thread_lock=True,
    )
    print(f"Domain Explorer is at {public or address} (stop it with Ctrl+C)", flush=True)
    page.block_thread()
