"""Serving the page: every setting that makes it quick and keeps it private. Knows no engine."""

from __future__ import annotations

import atexit
import gc
import importlib.util
import os
import re
import secrets
import shutil
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from filelock import BaseFileLock, FileLock, Timeout
from gradio.routes import App, ORJSONResponse
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from explorer.refused import Refused
from explorer.ui import assets
from explorer.ui.bodies import ALONE, Limits
from explorer.ui.connections import impatient
from explorer.ui.guard import Guard, is_loopback
from explorer.ui.idle import trim_when_idle
from explorer.ui.shelf import SESSIONS, OtherPages, Shelf
from explorer.ui.theme import Gallery

SWITCH_SECONDS = 0.0005  # that a thread waits for another one's Python; a picture asks for it dozens of times
PREFIX, LOCK = "explorer-", ".lock"  # of the folders with what visitors send
ROOT_PATH = re.compile(r"https?://[^\s/?#@]+(/[\w.~-]+)*|(/[\w.~-]+)+")


class ServeError(Refused):
    """A way of serving that cannot be; the message is one sentence on what was expected."""


@dataclass(frozen=True)
class Serving:
    """Where and for whom the page is served.

    Attributes:
        host, port: where it listens.
        share: also at a public address; it asks for a password that is printed, where `auth` gives none.
        auth: user names and passwords, `users` reads them; empty for none.
        root_path: "/path" where a proxy serves the page below its own address, or all of that address with its name,
            "https://example.org/path"; without it what GRADIO_ROOT_PATH says.
        queue_limit: calls of endpoints that may wait; later ones are refused.
        mcp: offer the endpoints as tools of language models too.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    share: bool = False
    auth: tuple[tuple[str, str], ...] = ()
    root_path: str = ""
    queue_limit: int = 64
    mcp: bool = False

    def __post_init__(self) -> None:
        if not self.root_path:  # Gradio obeys this variable whatever it is told
            object.__setattr__(self, "root_path", os.environ.get("GRADIO_ROOT_PATH", "").rstrip("/"))
        if not 0 <= self.port < 2**16:
            raise ServeError(f"--port is a number up to 65535, got {self.port}")
        if self.root_path and not ROOT_PATH.fullmatch(self.root_path):
            raise ServeError(
                "--root-path is a path like /cats or an address like https://example.org/cats, without a slash at its"
                f" end, got {self.root_path!r}"
            )
        if self.queue_limit < 1:
            raise ServeError(f"--queue-limit must be at least 1, got {self.queue_limit}")
        if self.mcp and importlib.util.find_spec("mcp") is None:
            raise ServeError('--mcp needs a package that is not installed: pip install "gradio[mcp]"')
        if self.mcp and (self.auth or self.share):
            raise ServeError("--mcp goes without --auth and --share: programs that use these tools cannot log in")

    @property
    def public(self) -> bool:
        """Whether strangers may open the page: others reach it, and nothing asks who they are."""
        if self.auth or self.share:  # a shared page always has a password
            return False
        return not self.loopback or bool(self.root_path)  # behind a path there is a proxy, which others reach

    @property
    def private(self) -> bool:
        """Whether the page is for the user of this machine alone: it offers files of the disk then."""
        return self.loopback and not (self.share or self.auth or self.root_path)

    @property
    def loopback(self) -> bool:
        """Whether it listens to this machine alone; a name may be known to others."""
        return is_loopback(self.host.strip("[]"))

    @property
    def guarded(self) -> dict[str, Any]:
        """How `Guard` is told where the page is served."""
        names = {urlsplit(self.root_path).netloc, os.environ.get("SPACE_HOST", "")} - {""}  # of a Hugging Face Space
        unnamed = bool(self.root_path) and not names
        any_name = not self.loopback or self.share or unnamed
        limits = ALONE if self.private else Limits()
        return {"names": frozenset(names), "any_name": any_name, "root_path": self.root_path, "limits": limits}


def users(text: str | None) -> tuple[tuple[str, str], ...]:
    """The users of `USER:PASSWORD`, or of a file of such lines. Raises ServeError, which repeats no password."""
    if not text:
        return ()
    path = Path(text)
    lines = [text]
    if ":" not in text or path.is_file():
        try:
            lines = [line for line in path.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError):
            raise ServeError("--auth is USER:PASSWORD or a text file of such lines") from None
    pairs = tuple((user, password) for user, _, password in (line.partition(":") for line in lines))
    if not pairs or not all(user and password for user, password in pairs):
        raise ServeError("--auth is USER:PASSWORD or a text file of such lines")
    return pairs


class GuardedApp(App):
    """Gradio's application with the guard outside of everything, its own CORS answers included."""

    def __init__(self, serving: Serving, **named: Any) -> None:
        super().__init__(**named)
        self.guard = Guard(super().__call__, **serving.guarded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.guard(scope, receive, send)


@cache
def private_uploads() -> None:
    """Let what visitors send, and what is made for them, lie in a folder of this process, readable by its user only.

    Gradio's parts ask where when they are made: call this before the first one.
    """
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = FileLock(folder / LOCK)
    lock.acquire()  # the system lets go of it, however this process ends
    atexit.register(put_away, folder, lock)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    sweep_folders(folder)


def put_away(folder: Path, lock: BaseFileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()


def sweep_folders(own: Path) -> None:
    """Delete what killed servers of this user left beside the folder `own`: nobody holds their locks."""
    for folder in own.parent.glob(f"{PREFIX}*"):
        lock = FileLock(folder / LOCK, timeout=0)
        with suppress(OSError, Timeout):  # it is in use, or gone
            if folder.lstat().st_uid == own.stat().st_uid and (folder / LOCK).is_file():
                lock.acquire()
                put_away(folder, lock)


def settings(serving: Serving) -> dict[str, Any]:
    """What Gradio is told wherever a page is served: by `launch`, as one page of several, in a replica."""
    return {
        "auth": list(serving.auth) or None,
        "theme": Gallery(),
        "css": assets.read("page.css"),
        "head": f"<style>{assets.typeface()}</style><script>{assets.read('page.js', 'reopen.js')}</script>",
        "ssr_mode": False,  # another program would answer in front of the guard
        "run_history": False,  # it rewrites localStorage at every event: 10 frames a second instead of 60
        "show_error": False,
        "footer_links": [],
        "allowed_paths": [],
        "max_file_size": None,  # the guard counts
        "mcp_server": serving.mcp,
    }


def launch(page: gr.Blocks, serving: Serving, shelf: Shelf | None = None) -> None:
    """Serve `page` until interrupted, as `start` does; to be ended by a signal is to be interrupted."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(number, signal.default_int_handler)
    tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"]  # films in the making go with it too
    with suppress(KeyboardInterrupt):  # before all of it is there
        address = start(page, serving, shelf)
        give_way()
        print(f"Domain Explorer is at {address} (stop it with Ctrl+C)", flush=True)
        page.block_thread()


def give_way() -> None:
    """Keep Python from holding up a drag: whatever else it is busy with, a thread that asks for it gets it soon.

    What is there by now stays, so that collecting garbage, which stops everything, need not look at all of it.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


def start(page: gr.Blocks, serving: Serving, shelf: Shelf | None = None) -> str:
    """Serve `page` in the background; its address. Raises OSError when the port is taken.

    A shared page is open to the world, so it gets a user name and a password, printed here. The generators of `shelf`
    have pages of their own.
    """
    told = settings(serving)
    if serving.share and not serving.auth:
        told["auth"] = [("explorer", secrets.token_urlsafe(9))]
        print("The shared page asks for user name {} and password {}".format(*told["auth"][0]))
    page.queue(api_open=False, max_size=serving.queue_limit)
    middleware = []
    if shelf is not None:
        limits = {"root_path": serving.root_path, "queue_limit": serving.queue_limit}
        middleware.append(Middleware(OtherPages, shelf=shelf, settings=told, **limits))
    app = GuardedApp(serving, middleware=middleware, default_response_class=ORJSONResponse)
    _, address, public = page.launch(
        server_name=f"[{serving.host}]" if ":" in serving.host else serving.host,  # IPv6
        server_port=serving.port,
        share=serving.share,
        root_path=serving.root_path or None,
        _app=app,
        quiet=True,
        prevent_thread_lock=True,
        num_workers=0,
        state_session_capacity=SESSIONS,
        **told,
    )
    trim_when_idle(lambda: app.guard.asked)
    config = page.server.config
    config.http_protocol_class = impatient(config.http_protocol_class)
    return public or address
