"""Work of many visitors, one at a time, first come first served.

A piece of work is known by a random id that only its own page holds, so nobody sees or stops another's. It ends when
its page no longer looks at it. Knows no Gradio, no engine, and not what the work is.
"""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from explorer.refused import Refused
from explorer.ui.answers import OURS, sentence

LEASE = 20.0  # seconds without a look; then the page was closed (a busy machine answers late)
HIDDEN_LEASE = 150.0  # browsers let a page in the background look only once a minute
KEPT = 600.0  # seconds that what has ended can still be looked at
MOST_WAITING = 50
GOODBYE = 5.0  # seconds that a server which ends gives the work at hand
ENDED = ("done", "stopped", "failed")

T = TypeVar("T")


class TurnError(Refused):
    """Work that cannot be done or is not there; the message is one sentence on what to do."""


@dataclass(eq=False)
class Turn(Generic[T]):
    """One piece of work; `latest` is what it yielded last, `error` the sentence of work that failed."""

    work: Callable[[threading.Event], Iterator[T]]
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: Literal["waiting", "working", "done", "stopped", "failed"] = "waiting"
    latest: T | None = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    until: float = 0.0  # when its page counts as closed


class Turns(Generic[T]):
    """The queue and the one thread that works it off."""

    def __init__(self, lease: float = LEASE) -> None:
        self.lease = lease
        self._turns: dict[str, Turn[T]] = {}  # in the order they came
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        atexit.register(self.close)

    def join(self, work: Callable[[threading.Event], Iterator[T]]) -> Turn[T]:
        """Queue `work(stop)`, which yields how far it is and ends soon after `stop` is set.

        Raises TurnError where too many wait already.
        """
        now = time.monotonic()
        with self._lock:
            over = [id_ for id_, turn in self._turns.items() if turn.state in ENDED and turn.until + KEPT < now]
            for id_ in over:
                del self._turns[id_]
            if sum(turn.state == "waiting" for turn in self._turns.values()) >= MOST_WAITING:
                raise TurnError("Many are waiting already. Try again in a few minutes.")
            turn = Turn(work, until=now + self.lease)
            self._turns[turn.id] = turn
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="turns", daemon=True)
                self._worker.start()
        return turn

    def look(self, id_: object, hidden: bool = False) -> tuple[Turn[T], int]:
        """The turn of this id and how many are before it; keeps it alive. Raises TurnError where there is none."""
        now = time.monotonic()
        with self._lock:
            turn = self._turns.get(id_) if isinstance(id_, str) else None
            if turn is None:
                raise TurnError("This work is no longer on the server. Press Start again.")
            turn.until = now + (HIDDEN_LEASE if hidden else self.lease)
            ahead = 0
            for other in self._turns.values():
                if other is turn:
                    break
                ahead += other.state == "working" or (other.state == "waiting" and other.until >= now)
            return turn, ahead if turn.state == "waiting" else 0

    def stop(self, id_: object) -> None:
        """Let this turn end with what it has. Raises TurnError where there is none."""
        turn, _ = self.look(id_)
        turn.stop.set()
        with self._lock:
            if turn.state == "waiting":
                turn.state = "stopped"

    def close(self) -> None:
        """End everything: for a server that ends."""
        with self._lock:
            for turn in self._turns.values():
                turn.stop.set()
                if turn.state == "waiting":
                    turn.state = "stopped"
            worker = self._worker
        if worker is not None:
            worker.join(GOODBYE)

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            self._run(turn)

    def _next(self) -> Turn[T] | None:
        with self._lock:
            for turn in self._turns.values():
                if turn.state == "waiting":
                    if turn.until >= time.monotonic():
                        turn.state = "working"
                        return turn
                    turn.state = "stopped"
            self._worker = None
            return None

    def _run(self, turn: Turn[T]) -> None:
        try:
            for news in turn.work(turn.stop):
                turn.latest = news
                if turn.until < time.monotonic():
                    turn.stop.set()
            turn.state = "stopped" if turn.stop.is_set() else "done"
        except Exception as error:
            turn.error = OURS
            try:
                turn.error = sentence(error)
            finally:
                turn.state = "failed"
