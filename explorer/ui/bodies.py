"""How much a request may carry, and how slowly: bodies are counted while they arrive, whatever their headers say.

JSON is read whole and looked at before the app decodes it; files that are uploaded pass through. What the server holds
at once, and what lies in the folder of uploads, has a limit for all and one for each visitor, who is known by address.
Knows no page.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive

MB = 2**20
SMALL = 64 * 1024  # bytes of a body that never waits for others: a slider's requests
LARGE_AT_ONCE = 2  # bodies that are not SMALL, of one visitor
VALUE_SECONDS, BYTE_SECONDS = 1e-6, 1e-9  # in which nothing else is answered, for each value and byte that is decoded
# Bytes a second of one file while somebody else is on the page: taking it apart keeps them waiting.
UPLOAD_RATE = 8 * MB
SHARE = 0.05  # of all time that one visitor's large bodies may take of everybody's
UNTOLD = 65 * MB  # bytes of a file whose length nobody said
FILE_COST = 64 * 1024  # what a file takes at least, however empty
CLOSE = {"Connection": "close"}
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\Z)', re.DOTALL)


def mebibytes(name: str, default: int) -> int:
    """A limit in bytes from the environment, where it is a whole number of MB."""
    value = os.environ.get(name, "")
    return (int(value) if value.isdecimal() else default) * MB


@dataclass(frozen=True)
class Limits:
    """What bodies may cost.

    Attributes:
        json: bytes of a JSON body: two photos of 20 MB, or 200 pictures of a lesson.
        values, depth: how many it may hold, how deeply nested: 256 edits with a strength for each of 512 directions.
        file: bytes of an upload, with what surrounds the file; `room` of the disk stay free.
        held, held_each: bytes of bodies that the server holds at once; of one visitor.
        stored, stored_each: bytes of uploaded files on the disk; of one visitor within `hours`.
        patience, rate: a body takes at most `patience` seconds, and one more for every `rate` bytes that came.
    """

    json: int = 80 * MB
    values: int = 500_000
    depth: int = 64
    file: int = mebibytes("EXPLORER_UPLOADS_EACH_MB", 512)
    held: int = 256 * MB
    held_each: int = 160 * MB
    stored: int = mebibytes("EXPLORER_UPLOADS_MB", 2048)
    stored_each: int = mebibytes("EXPLORER_UPLOADS_EACH_MB", 512)
    room: int = 1024 * MB
    hours: float = 1.0
    patience: float = 30.0
    rate: int = 16 * 1024


# Of a page that the user of the machine alone opens: what the disk has room for.
ALONE = Limits(
    file=mebibytes("EXPLORER_UPLOADS_EACH_MB", 16 * 1024),
    stored=mebibytes("EXPLORER_UPLOADS_MB", 32 * 1024),
    stored_each=mebibytes("EXPLORER_UPLOADS_EACH_MB", 32 * 1024),
)


class Bodies:
    """The bodies that are being received, and how much is there already."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._held: Counter[str] = Counter()
        self._uploading: Counter[str] = Counter()
        self._large: dict[tuple[str, str], asyncio.Semaphore] = {}
        self._rests: dict[str, float] = {}
        self._stored: dict[str, deque[tuple[float, int]]] = {}

    @asynccontextmanager
    async def _in_turn(self, kind: str, visitor: str, counted: Counted) -> AsyncIterator[None]:
        """One of LARGE_AT_ONCE of this visitor's, after the rest from the last; that time is not the body's."""
        turns = self._large.setdefault((kind, visitor), asyncio.Semaphore(LARGE_AT_ONCE))
        began = time.monotonic()
        try:
            async with turns:
                if kind == "json":
                    await asyncio.sleep(self._rests.get(visitor, 0.0) - time.monotonic())
                counted.began += time.monotonic() - began
                yield
        finally:
            if not turns.locked() and self._large.get((kind, visitor)) is turns:
                del self._large[kind, visitor]

    def _rest(self, visitor: str, values: int, size: int) -> None:
        """Let the next large body of this visitor wait: decoding this one keeps everybody waiting."""
        now = time.monotonic()
        self._rests = {other: until for other, until in self._rests.items() if until > now}
        seconds = (values * VALUE_SECONDS + size * BYTE_SECONDS) / SHARE
        self._rests[visitor] = max(self._rests.get(visitor, now), now) + seconds

    @asynccontextmanager
    async def json(self, receive: Receive, visitor: str, length: int = 0) -> AsyncIterator[Receive]:
        """Read a JSON body whole; what is yielded gives it again, and it counts as held until the end.

        A large one waits until few of its visitor's are at work, and some time since the last. `length` is what its
        headers say. Raises HTTPException 408, 413 or 503; what is left of a body that is too large is never read.
        """
        counted, parts = Counted(receive, self.limits.json, self.limits), []
        held = values = 0
        stack = AsyncExitStack()
        try:
            counted.check(length)
            while counted.more:
                part = (await counted()).get("body", b"")
                parts.append(part)
                if held <= SMALL < held + len(part):
                    await stack.enter_async_context(self._in_turn("json", visitor, counted))
                held += len(part)
                self._held[visitor] += len(part)
                values += values_in(part)
                if values > self.limits.values:
                    raise HTTPException(413, f"A request may hold at most {self.limits.values:,} values here.")
                if held > SMALL and self._crowded(visitor):
                    raise HTTPException(503, "Many large requests are being answered. Try again in a minute.")
            body = b"".join(parts)
            parts.clear()
            check_depth(body, self.limits)
            if held > SMALL:
                self._rest(visitor, values, held)
            yield again(body, receive)
        except HTTPException as error:
            if error.status_code == 413:
                error.headers = CLOSE
            raise
        finally:
            await stack.aclose()
            self._held[visitor] -= held
            if not self._held[visitor]:
                del self._held[visitor]

    def _crowded(self, visitor: str) -> bool:
        return self._held[visitor] > self.limits.held_each or self._held.total() > self.limits.held

    @asynccontextmanager
    async def upload(
        self,
        receive: Receive,
        visitor: str,
        folder: Path,
        company: Callable[[], bool] = lambda: False,
        length: int = 0,
    ) -> AsyncIterator[Receive]:
        """Let a file pass into `folder`, at UPLOAD_RATE while there is `company`.

        `length` is what its headers say, 0 where they do not. Raises HTTPException 413 where it is too large, 429 or
        507 where all are. What is yielded raises MultiPartException where the file ends too early, comes too slowly or
        is too large after all: whoever takes it apart deletes then what is there of it.
        """
        expected = length or min(UNTOLD, self.limits.file)
        self._make_room(visitor, folder, expected)
        counted = Counted(receive, expected, self.limits)

        async def paced() -> Message:
            try:
                message = await counted()
            except HTTPException as error:  # Gradio answers 413 where these words stand, else 400
                large = f"This file has more than the maximum allowed size of {expected / MB:g} MB."
                raise MultiPartException(large if error.status_code == 413 else error.detail) from None
            if company():
                rest = len(message.get("body", b"")) / UPLOAD_RATE
                await asyncio.sleep(rest)
                counted.began += rest  # it is not the sender who is slow
            return message

        self._uploading[visitor] += expected
        try:
            async with self._in_turn("upload", visitor, counted):
                yield paced
        finally:
            self._uploading[visitor] -= expected
            self._stored.setdefault(visitor, deque()).append((time.monotonic(), counted.size + FILE_COST))

    def _make_room(self, visitor: str, folder: Path, expected: int) -> None:
        """Forget what is old. Raises HTTPException where `expected` more bytes would be too much."""
        if expected > self.limits.file:
            raise HTTPException(413, f"A file may have at most {self.limits.file / MB:g} MB here.")
        old = time.monotonic() - self.limits.hours * 3600
        for address, uploads in list(self._stored.items()):
            while uploads and uploads[0][0] < old:
                uploads.popleft()
            if not uploads:
                del self._stored[address]
        coming, his = (size + expected for size in (self._uploading.total(), self._uploading[visitor]))
        if size_of(folder, self.limits.hours) + coming > self.limits.stored:
            raise HTTPException(507, "The server holds as many files as it may. Try again in an hour.")
        if sum(size for _, size in self._stored.get(visitor, ())) + his > self.limits.stored_each:
            raise HTTPException(429, "You have sent as many files as one visitor may. Try again in an hour.")
        with suppress(OSError):  # a folder that is not there has no size
            if shutil.disk_usage(folder).free < coming + self.limits.room:
                raise HTTPException(507, "The server's disk has no room for this file.")


class Counted:
    """A `receive` that counts what it gives, as long as there is `more`.

    Raises HTTPException 413 where the body is larger than `most`, 408 where it comes too slowly.
    """

    def __init__(self, receive: Receive, most: int, limits: Limits) -> None:
        self.receive, self.most, self.limits = receive, most, limits
        self.size, self.more, self.began = 0, True, time.monotonic()

    async def __call__(self) -> Message:
        if not self.more:
            return await self.receive()
        left = self.began + self.limits.patience + self.size / self.limits.rate - time.monotonic()
        try:
            async with asyncio.timeout(left):
                message = await self.receive()
        except TimeoutError:
            raise HTTPException(408, "This request took too long to arrive. Send it again.") from None
        if message["type"] != "http.request":
            raise HTTPException(400, "This request ended before all of it was here.")
        self.size += len(message.get("body", b""))
        self.more = message.get("more_body", False)
        self.check(self.size)
        return message

    def check(self, size: int) -> None:
        if size > self.most:
            raise HTTPException(413, f"A request may have at most {self.most / MB:g} MB here.")


def values_in(part: bytes) -> int:
    """How many values of JSON there are at most: they cost far more memory than their length."""
    return sum(map(part.count, (b",", b"[", b"{")))


def check_depth(body: bytes, limits: Limits) -> None:
    """Raises HTTPException 413 for JSON that is nested more deeply than is needed."""
    if body.count(b"[") + body.count(b"{") <= limits.depth:
        return
    depth = 0
    for bracket in STRING.sub(b"", body).translate(None, bytes(set(range(256)) - set(b"[]{}"))):
        depth += 1 if bracket in b"[{" else -1
        if depth > limits.depth:
            raise HTTPException(413, f"A request may be nested at most {limits.depth} levels deep here.")


def again(body: bytes, receive: Receive) -> Receive:
    """Gives a body that was read already, then whatever else comes."""
    bodies = [body]

    async def inner() -> Message:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False} if bodies else await receive()

    return inner


def size_of(folder: Path, hours: float) -> int:
    """Bytes in a folder; files without a folder of their own are what broken uploads left, and go when they are old."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                file = Path(path, name)
                stat = file.stat()
                size += max(stat.st_size, FILE_COST)
                if Path(path) == folder and name.startswith("tmp") and stat.st_mtime < time.time() - hours * 3600:
                    file.unlink()
    return size
