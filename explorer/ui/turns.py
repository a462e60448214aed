"""Work of many visitors, one at a time, each visitor in turn.

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
from explorer.ui.answers import sentence
from explorer.ui.gate import Left, step_back

LEASE = 20.0  # seconds without a look; then the page was closed (a busy machine answers late)
HIDDEN_LEASE = 150.0  # browsers let a page in the background look only once a minute
KEPT = 600.0  # seconds that what has ended can still be looked at
MOST_WAITING = 50
MOST_EACH = 10  # of one visitor
GOODBYE = 5.0  # seconds that a server which ends gives the work at hand
ENDED = ("done", "stopped", "failed")

T = TypeVar("T")


class TurnError(Refused):
    """Work that cannot be done or is not there; the message is one sentence on what to do."""


@dataclass(eq=False)
class Turn(Generic[T]):
    """One piece of work; `latest` is what it yielded last, `error` the sentence of work that failed."""

    work: Callable[[threading.Event], Iterator[T]]
    visitor: str = ""
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    state: Literal["waiting", "working", "done", "stopped", "failed"] = "waiting"
    latest: T | None = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)
    until: float = 0.0  # when its page counts as closed
    began: int = 0  # as the how many-th of all; 0 where it waits


class Turns(Generic[T]):
    """The queue and the one thread that works it off."""

    def __init__(self, lease: float = LEASE) -> None:
        self.lease = lease
        self._turns: dict[str, Turn[T]] = {}  # in the order they came
        self._begun = 0
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        atexit.register(self.close)

    def join(self, work: Callable[[threading.Event], Iterator[T]], visitor: str = "") -> Turn[T]:
        """Queue `work(stop)`, which yields how far it is and ends soon after `stop` is set.

        Raises TurnError where too many wait already, of this visitor (who has a name) or in all.
        """
        now = time.monotonic()
        with self._lock:
            over = [id_ for id_, turn in self._turns.items() if turn.state in ENDED and turn.until + KEPT < now]
            for id_ in over:
                del self._turns[id_]
            waiting = [turn for turn in self._turns.values() if turn.state == "waiting"]
            if len(waiting) >= MOST_WAITING:
                raise TurnError("Many are waiting already. Try again in a few minutes.")
            if visitor and sum(turn.visitor == visitor for turn in waiting) >= MOST_EACH:
                raise TurnError(f"{MOST_EACH} pieces of your work are waiting already. Let one of them begin first.")
            turn = Turn(work, visitor, until=now + self.lease)
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
            if turn.state != "waiting":
                return turn, 0
            order = [other for other in self._order() if other.until >= now]
            return turn, order.index(turn) + any(other.state == "working" for other in self._turns.values())

    def _order(self) -> list[Turn[T]]:
        """What waits, in the order in which it begins: next is always the visitor who waited longest for a turn."""
        waiting = [turn for turn in self._turns.values() if turn.state == "waiting"]
        last = {turn.visitor: turn.began for turn in sorted(self._turns.values(), key=lambda turn: turn.began)}
        order = []
        while waiting:
            turn = min(waiting, key=lambda turn: last[turn.visitor])  # of equals the first, who came first
            waiting.remove(turn)
            order.append(turn)
            last[turn.visitor] = self._begun + len(order)
        return order

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
        step_back()
        while (turn := self._next()) is not None:
            self._run(turn)

    def _next(self) -> Turn[T] | None:
        with self._lock:
            for turn in self._order():
                if turn.until >= time.monotonic():
                    self._begun += 1
                    turn.state, turn.began = "working", self._begun
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
        except Left:
            turn.state = "stopped"
        except Exception as error:
            turn.error, turn.state = sentence(error), "failed"
