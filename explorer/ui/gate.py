"""One gate for all that costs: pictures and searches of every visitor pass it step by step, first come first served.

The price of a step is the pixels that it renders, enlarges or writes. At most two steps go on side by side, of two
visitors, a large one alone, in threads that give way; cheap ones, a drag's pictures, never wait. Others come in between
two steps of long work, which ends when nobody waits for it any more. Knows no Gradio, and not what the work is.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from explorer.refused import Refused

FREE = 2**17  # pixels: 32 pictures of 64 px, about a quarter of a second of a core; a drag's one picture is free
ROOM = 4096**2  # pixels of the steps that go on side by side: one largest picture; a step counts as half of it or more
MOST = 2**30  # pixels of all steps of one request: a film of 900 frames at 1024 px
MOST_WAITING = 24  # steps, each of which holds one of the server's 40 threads
MOST_EACH = 8  # of one visitor
BACKGROUND = 10  # niceness
LOOK = 0.25  # seconds between two looks whether anybody still waits

P = TypeVar("P")
R = TypeVar("R")


class GateError(Refused):
    """Work that is not let in; the message is one sentence on what to do."""


class Left(Exception):
    """Nobody waits for this work any more."""


@dataclass(frozen=True)
class Visitor:
    """Who asks: a `name` to tell visitors apart by, and whether they have `left`."""

    name: str = ""
    left: Callable[[], bool] = lambda: False


NOBODY = Visitor()


class Gate:
    """Lets in steps of together at most `room` pixels, or a single larger one."""

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self._inside = 0  # pixels
        self._visitors: list[str] = []  # whose steps they are, where they have names
        self._waiting: list[Visitor] = []
        self._changed = threading.Condition()

    @contextmanager
    def step(self, pixels: int, visitor: Visitor, begun: bool = False) -> Iterator[None]:
        """Wait for room for one step.

        Raises Left where the visitor has left, and GateError where too many wait, unless the work has `begun`.
        """
        if pixels <= FREE:
            yield
            return
        pixels = max(pixels, self.room // 2)
        self._enter(pixels, visitor, begun)
        try:
            yield
        finally:
            with self._changed:
                self._inside -= pixels
                if visitor.name:
                    self._visitors.remove(visitor.name)
                self._changed.notify_all()

    def _enter(self, pixels: int, visitor: Visitor, begun: bool) -> None:
        step = replace(visitor)  # known by its identity
        with self._changed:
            of_visitor = sum(bool(step.name) and other.name == step.name for other in self._waiting)
            if not begun and (len(self._waiting) >= MOST_WAITING or of_visitor >= MOST_EACH):
                raise GateError("Many are waiting already. Try again in a few minutes.")
            self._waiting.append(step)
            try:
                while self._next() is not step or (self._inside and self._inside + pixels > self.room):
                    if visitor.left():
                        raise Left
                    self._changed.wait(LOOK)
                self._inside += pixels
                if visitor.name:
                    self._visitors.append(visitor.name)
            finally:
                self._waiting = [other for other in self._waiting if other is not step]
                self._changed.notify_all()

    def _next(self) -> Visitor | None:
        """Who came first of those who have no step inside."""
        return next((step for step in self._waiting if step.name not in self._visitors), None)

    def do(self, work: Callable[[], R], pixels: int, visitor: Visitor) -> R:
        """`work()` as one step; a costly one in a thread that gives way. Raises what `step` raises."""
        with self.step(pixels, visitor):
            return work() if pixels <= FREE else in_background(work)

    def paced(self, work: Generator[P, None, R], pixels: int, visitor: Visitor) -> Generator[P, None, R]:
        """`work`, each step of it behind the gate; it is closed where the visitor has left, which raises Left."""
        try:
            while True:
                if visitor.left():
                    raise Left
                with self.step(pixels, visitor, begun=True):
                    try:
                        news = next(work)
                    except StopIteration as end:
                        return end.value
                yield news
        finally:
            work.close()

    def run(self, work: Generator[P, None, R], pixels: int, visitor: Visitor) -> R:
        """`paced`, to its end, in a thread that gives way."""

        def all_of_it() -> R:
            steps = self.paced(work, pixels, visitor)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value

        return in_background(all_of_it)


def step_back() -> None:
    """Let the work of this thread give way to a drag's: on Linux a thread, and the processes that it starts, can."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)


def in_background(work: Callable[[], R]) -> R:
    """`work()` in a thread of its own that gives way; a server that ends does not wait for it."""
    future: Future[R] = Future()

    def run() -> None:
        step_back()
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="background", daemon=True).start()
    return future.result()


def check(pictures: int, pixels: int) -> None:
    """Raises GateError for a request of so many pictures that costs too much for one visitor."""
    if pictures * pixels > MOST:
        raise GateError(
            f"This would be {pictures * pixels / 2**20:,.0f} megapixels in all, and {MOST / 2**20:,.0f} are the most"
            " here: ask for fewer or smaller pictures."
        )


GATE = Gate()  # of this process: all of its pages share the machine
