"""Several generators on one server: each has a page and endpoints of its own below `/m/NAME/`.

So whoever changes to another generator changes it in their browser only, and no panel needs to know that there are
others. Pages are built when they are asked for, and the last used are kept: at most KEPT, of KEPT_BYTES together, and
no more than the machine has room for beside the one that is asked for. Knows no networks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from fastapi import FastAPI
from gradio.context import Context
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from explorer.engine import Engine
from explorer.replacing import sweep
from explorer.ui.disk import SAFE, Disk, checkpoint_at, name_of
from explorer.weights import CheckpointError, MemoryShortageError, load
from explorer.weights.cost import held_bytes
from explorer.weights.folder import generators

KEPT = 3  # generators in memory beside the first
KEPT_BYTES = 2 * 10**9  # that they take, but for the last one
SWEEP_SECONDS = 60.0  # how long a half-written file was left alone
SESSIONS = 1000  # of visitors that Gradio remembers for a page; each takes 50 kB, and anybody may begin many
KEPT_FILES = 6  # files that visitors brought
VISITORS_MEMORY = 2 * 10**9  # bytes that a generator may take which a visitor brings to a public page
PATH = re.compile(r"/m/([^/]+)(/.*)?")


class Shelf:
    """The generators that can be opened: those of two folders by name, files of the disk, and what visitors brought.

    Args:
        folder, own: where they lie: those that come with the program, and those that its user made; None where those
            are not for whoever opens the page.
        limit: bytes of memory that a visitor's generator may take; None: what the machine has.
        first: the file that the first page shows.
        disk: the files of this machine, where the page is for its user alone.
    """

    def __init__(
        self,
        build: Callable[..., gr.Blocks],
        device: str,
        precision: str,
        folder: Path,
        limit: int | None = None,
        first: Path | None = None,
        own: Path | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.build, self.device, self.precision, self.folder = build, device, precision, folder
        self.limit, self.own, self.disk = limit, own, disk
        self._engines: dict[str, Engine] = {}  # of the pages that are open
        self._brought: OrderedDict[str, Path] = OrderedDict()
        for path in (folder, *folder.glob("*-tuned/"), *([] if own is None else [own])):
            sweep(path, seconds=SWEEP_SECONDS)
        self.first = None if first is None else self._name(first)  # None: no other page knows the way back

    def names(self) -> list[str]:
        """What everybody may see; a file that a visitor brought is known to that visitor only."""
        return sorted(self._listed())

    def _listed(self) -> dict[str, Path]:
        folders = [self.folder] if self.own is None else [self.own, self.folder]
        return {path.stem: path for folder in folders for path in generators(folder)}

    def add(self, path: Path, title: str) -> str:
        """Take a visitor's file, moved away from `path`; the name under which it opens. Raises CheckpointError."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        name = f"{SAFE.sub('-', Path(title).stem)[:40] or 'model'}~{digest}"
        try:
            load(path, self.limit)  # refused here, where the visitor is told
        except CheckpointError:
            path.unlink()
            raise
        kept = Path(tempfile.mkdtemp(prefix="model-", dir=path.parent.parent)) / f"{name}{Path(title).suffix}"
        shutil.move(path, kept)
        self._brought[name] = kept
        while len(self._brought) > KEPT_FILES:
            shutil.rmtree(self._brought.popitem(last=False)[1].parent, ignore_errors=True)
        return name

    def find(self, address: Any) -> str:
        """The name under which a file of the disk opens. Raises CheckpointError, also where files are not offered."""
        if self.disk is None:
            raise CheckpointError("files of the server are opened on a page that its user alone can open")
        path = checkpoint_at(address)
        load(path, self.limit)  # refused here, where the user is told
        return self._name(path) or name_of(path)

    def _name(self, path: Path) -> str | None:
        """What a file is called here, None where it cannot be opened; one of the disk is remembered."""
        path = path.parent.resolve() / path.name
        listed = next((name for name, known in self._listed().items() if known.resolve() == path.resolve()), None)
        if listed is not None or self.disk is None:
            return listed
        self.disk.remember(path)
        return name_of(path)

    def open(self, name: str) -> gr.Blocks:
        """A page for the generator of this name. Raises CheckpointError where there is none or it cannot be read."""
        on_disk = None if self.disk is None else self.disk.named(name)
        path = self._brought.get(name) or on_disk or self._listed().get(name)
        if path is None:
            raise CheckpointError(f"there is no generator called {name[:80]!r} here: go back and choose another one")
        engine = self._engines[name] = Engine(load(path), self.device, self.precision)
        Context.id = 0  # parts are numbered alike every time, so that an open page finds them in a page built anew
        return self.build(engine, name.partition("~")[0], shelf=self)

    def close(self, name: str) -> None:
        """Let go of the generator of an open page: Gradio and FastAPI keep the page itself for ever."""
        self._engines.pop(name).close()

    def held_bytes(self) -> int:
        """Bytes of memory that the generators of open pages take."""
        return sum(held_bytes(engine.generator) for engine in self._engines.values())


@dataclass
class Opened:
    """A page that answers, and how it is put away."""

    app: ASGIApp
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class OtherPages:
    """Answers everything below `/m/NAME/` from that generator's own page; the rest goes on to the first page.

    Who is logged in on the first page is so on all of them.
    """

    def __init__(self, app: ASGIApp, shelf: Shelf, settings: dict[str, Any], root_path: str, queue_limit: int) -> None:
        self.app, self.shelf, self.settings = app, shelf, settings
        self.root_path, self.queue_limit = root_path, queue_limit
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._opening: asyncio.Lock | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(urlsplit(self.root_path).path)  # a proxy may leave it in
        match = PATH.fullmatch(path) if scope["type"] == "http" else None
        if match is None:
            return await self.app(scope, receive, send)
        if self.settings["auth"] and not logged_in(scope):
            return await PlainTextResponse("Log in on the first page.", 401)(scope, receive, send)
        try:
            page = await self._page(match.group(1), scope["app"])
        except CheckpointError as error:
            return await PlainTextResponse(f"{error}.", 404)(scope, receive, send)
        # Like a proxy: the page is told its path from outside when it is made, and asked without it.
        return await page.app({**scope, "path": match.group(2) or "/", "root_path": ""}, receive, send)

    async def _page(self, name: str, first: Any) -> Opened:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:  # one at a time: building a page is not thread-safe in Gradio
            if name not in self._opened:
                blocks = await self._blocks(name)
                self._opened[name] = await self._start(name, blocks, first)
                while len(self._opened) > KEPT or (len(self._opened) > 1 and self.shelf.held_bytes() > KEPT_BYTES):
                    await self._put_away()
            self._opened.move_to_end(name)
            return self._opened[name]

    async def _blocks(self, name: str) -> gr.Blocks:
        """The page of this name; others are put away while memory is short for it."""
        while True:
            try:
                return await asyncio.to_thread(self.shelf.open, name)
            except MemoryShortageError:
                if not self._opened:
                    raise
            await self._put_away()

    async def _put_away(self) -> None:
        """End the page that was asked for longest ago, and give its memory back."""
        name, opened = self._opened.popitem(last=False)
        opened.ended.set()
        await asyncio.to_thread(self.shelf.close, name)

    async def _start(self, name: str, blocks: gr.Blocks, first: Any) -> Opened:
        blocks.queue(api_open=False, max_size=self.queue_limit)
        path = f"/m/{name}"
        parent = gr.mount_gradio_app(FastAPI(), blocks, path, root_path=self.root_path + path, **self.settings)
        page: Any = next(route for route in parent.routes if isinstance(route, Mount)).app
        page.tokens, page.cookie_id = first.tokens, first.cookie_id
        page.state_holder.capacity = SESSIONS
        opened, started = Opened(page), asyncio.Event()

        async def live() -> None:
            async with parent.router.lifespan_context(parent):
                started.set()
                await opened.ended.wait()

        opened.task = asyncio.create_task(live())
        waiting = asyncio.create_task(started.wait())
        await asyncio.wait({opened.task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if opened.task.done():
            opened.task.result()
        return opened


def logged_in(scope: Scope) -> bool:
    """Whether the request carries a token that the first page gave out."""
    first: Any = scope["app"]
    with contextlib.suppress(KeyError):
        header = dict(scope["headers"])[b"cookie"].decode("latin-1")
        cookies = dict(pair.strip().partition("=")[::2] for pair in header.split(";"))
        names = (f"access-token-{first.cookie_id}", f"access-token-unsecure-{first.cookie_id}")
        return any(cookies.get(name) in first.tokens for name in names)
    return False
