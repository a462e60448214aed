"""Who may ask for what: requests that no page of ours sends are answered here with one sentence.

A web site that is open in a visitor's browser can send requests to this server too. What tells them apart is the name
that they ask for (`Host`) and where they come from (`Origin`, `Sec-Fetch-Site`), which no script can change. Programs
that are no browsers send neither of the last two, and pass. Knows no engine.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from explorer.ui.bodies import Bodies, Limits
from explorer.ui.patience import PATIENCE

OWN_SITES = ("same-origin", "none")  # "none": typed by the user, not started by a page
READING = ("GET", "HEAD", "OPTIONS")
PORTS = {"http": 80, "https": 443}
PAGE = re.compile(r"(/m/[^/]+)?(?P<path>/.*|$)", re.DOTALL)
# What Gradio answers besides and no page of ours asks for.
CLOSED = re.compile(
    r"/(openapi\.json|monitoring|svelte)(/.*)?|/gradio_api/(openapi\.json|process_recording|deep_link|runs|run-history|stream|dev|token"
    r"|profiling|vibe-edit|undo-vibe-edit|vibe-code|vibe-starter-queries|custom_component)(/.*)?|/gradio_api/proxy=.*",
    re.DOTALL,
)
UPLOAD, LOGIN = "/gradio_api/upload", "/login"
KINDS = {
    UPLOAD: ("multipart/form-data", "application/json"),
    LOGIN: ("application/x-www-form-urlencoded", "multipart/form-data"),
}
NEAR = 10.0  # seconds since the last request of somebody who is on the page
OPEN_EACH = 256  # requests of one address that are being answered, those that wait for news included
TRIES, TRY_SECONDS = 10, 600.0  # wrong passwords from one address


class Guard:
    """An ASGI application around `app`.

    Args:
        names: what the server is called besides its loopback address, `example.org` or `example.org:8080`.
        any_name: it may be asked for by any name: it listens to others, or a proxy of unknown name does.
        root_path: what a proxy may leave before the paths.
    """

    def __init__(
        self, app: ASGIApp, names: frozenset[str], any_name: bool, root_path: str = "", limits: Limits | None = None
    ) -> None:
        self.app, self.names, self.any_name, self.root_path = app, names, any_name, urlsplit(root_path).path
        self.bodies = Bodies(limits or Limits())
        self.asked = 0.0  # when the last request came, by the monotonic clock
        self._open: Counter[str] = Counter()
        self._last: dict[str, float] = {}  # request of each visitor who is on the page
        self._wrong: dict[str, list[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, self.asked = False, time.monotonic()

        async def sent(message: Message) -> None:
            nonlocal begun
            begun = True
            if message["type"] == "http.response.start" and message["status"] >= 400:
                PATIENCE.refused(visitor)
            await send(message)

        visitor = scope["client"][0] if scope.get("client") else ""
        self._note(visitor)
        try:
            async with self._one_more(visitor), PATIENCE.turn(visitor):
                await self._answer(scope, receive, sent, visitor)
        except HTTPException as error:
            if begun:
                raise
            PATIENCE.refused(visitor)
            await PlainTextResponse(error.detail, error.status_code, error.headers)(scope, receive, send)

    def _note(self, visitor: str) -> None:
        """Remember who is on the page, the last who asked at the end, and forget who is not."""
        self._last.pop(visitor, None)
        self._last[visitor] = self.asked
        while self._last[oldest := next(iter(self._last))] < self.asked - NEAR:
            del self._last[oldest]

    def _company(self, visitor: str) -> bool:
        """Whether anybody else is on the page."""
        old = time.monotonic() - NEAR
        return any(other != visitor and last > old for other, last in self._last.items())

    @asynccontextmanager
    async def _one_more(self, visitor: str) -> AsyncIterator[None]:
        if self._open[visitor] >= OPEN_EACH:
            raise HTTPException(429, "Too many requests of yours are open. Close some pages.")
        self._open[visitor] += 1
        try:
            yield
        finally:
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]

    async def _answer(self, scope: Scope, receive: Receive, send: Send, visitor: str) -> None:
        headers = Headers(scope=scope)
        match = PAGE.fullmatch(scope["path"].removeprefix(self.root_path))
        path = match["path"].rstrip("/") if match else ""
        self._check_name(headers)
        if CLOSED.fullmatch(path):
            raise HTTPException(404, "There is nothing here.")
        own = self._is_own(headers)
        if scope["method"] not in READING or "access-control-request-method" in headers:
            if not own:
                raise HTTPException(403, "Requests from other sites are refused.")
            check_kind(headers, KINDS.get(path, ("application/json",)))
        if not own:  # they may ask as a link does, but not read: what allows that is an answer to `Origin`
            scope = {**scope, "headers": [item for item in scope["headers"] if item[0] != b"origin"]}
        length = whole(headers.get("content-length", ""))
        if path == UPLOAD:
            folder = Path(os.environ.get("GRADIO_TEMP_DIR", "/nonexistent"))
            body = self.bodies.upload(receive, visitor, folder, lambda: self._company(visitor), length)
        else:
            body = self.bodies.json(receive, visitor, length)
        if path == LOGIN and scope["method"] == "POST":
            send = self._counting(send, visitor)
        async with body as received:
            await self.app(scope, received, send)

    def _check_name(self, headers: Headers) -> None:
        """Raises HTTPException where a name was asked for that this server does not have: DNS can call it anything."""
        name = place(headers.get("host", ""), "http")
        if self.any_name or (name is not None and (is_loopback(name[0]) or name in self._places("http"))):
            return
        raise HTTPException(
            421, "This server is not known by this name. Behind a proxy, start it with --root-path https://NAME."
        )

    def _places(self, scheme: str) -> set[tuple[str, int] | None]:
        return {place(name, scheme) for name in self.names}

    def _is_own(self, headers: Headers) -> bool:
        """Whether a page of this server sends this, or no page at all."""
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site is not None and site not in OWN_SITES:
            return False
        if origin is None or (self.any_name and site == "same-origin"):  # the second: a proxy has changed `Host`
            return True
        scheme, _, netloc = origin.partition("://")
        # A page elsewhere cannot set X-Forwarded-Host: it would have to be allowed to first, as above.
        hosts = [headers.get("host", ""), *headers.get("x-forwarded-host", "").split(",")]
        own = {place(host.strip(), scheme) for host in hosts if host.strip()} | self._places(scheme)
        return place(netloc, scheme) in own - {None}

    def _counting(self, send: Send, visitor: str) -> Send:
        """Remember wrong passwords. Raises HTTPException where there were many of this visitor."""
        old = time.monotonic() - TRY_SECONDS
        lately = {address: [when for when in tries if when > old] for address, tries in self._wrong.items()}
        self._wrong = {address: tries for address, tries in lately.items() if tries}
        wrong = self._wrong.setdefault(visitor, [])
        if len(wrong) >= TRIES:
            raise HTTPException(429, "Too many wrong passwords. Try again in ten minutes.")
        wrong.append(time.monotonic())  # before the answer, or many could be tried at once

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400 and wrong:
                wrong.pop()
            await send(message)

        return counted


def check_kind(headers: Headers, kinds: tuple[str, ...]) -> None:
    """Raises HTTPException for a body of a kind that forms of other sites may send."""
    empty = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in kinds and not (empty and not kind):
        raise HTTPException(415, f"Send this as {kinds[0]}.")


def whole(text: str) -> int:
    """A number from a header; 0 where it is none."""
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def place(netloc: str, scheme: str) -> tuple[str, int] | None:
    """The host and port of `example.org:80`; None where it is no address."""
    try:
        parts = urlsplit(f"//{netloc}")
        return (parts.hostname.rstrip("."), parts.port or PORTS.get(scheme, 0)) if parts.hostname else None
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether this names this machine itself, whatever a name server says."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
