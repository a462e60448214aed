"""Whoever is refused again and again waits before the next answer: to refuse costs the server time, to let wait none.

Every visitor has credit for what an ordinary page does wrong. Once it is used up, his requests begin one after the
other, however many connections he has. It is the generic cell rate algorithm (ITU-T I.371), one number a visitor.
Knows no requests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

REFUSAL = 0.25  # seconds in which one is forgotten
CREDIT = 10.0  # seconds: 40 refusals at once are free
MOST = 10_000  # visitors that are remembered: addresses are cheap


class Patience:
    """With every visitor, known by address. `credit` are the seconds of refusals that are free."""

    def __init__(self, credit: float = CREDIT) -> None:
        self.credit = credit
        self._forgotten: dict[str, float] = {}  # when all of a visitor's refusals are, by the monotonic clock

    def refused(self, visitor: str) -> None:
        """Remember a refusal."""
        self._add(visitor, REFUSAL)
        if len(self._forgotten) > MOST:
            latest = sorted(self._forgotten.items(), key=lambda item: -item[1])
            self._forgotten = dict(latest[: MOST // 2])

    @asynccontextmanager
    async def turn(self, visitor: str) -> AsyncIterator[None]:
        """Wait until this visitor may be answered; beyond his credit, one by one."""
        wait = self._forgotten.get(visitor, 0.0) - self.credit - time.monotonic()
        if wait <= 0:
            yield
            return
        self._add(visitor, REFUSAL)  # before the answer: many may wait at once
        try:
            await asyncio.sleep(wait)
            yield
        finally:
            self._add(visitor, -REFUSAL)

    def _add(self, visitor: str, seconds: float) -> None:
        now = time.monotonic()
        self._forgotten[visitor] = max(self._forgotten.get(visitor, now), now) + seconds


PATIENCE = Patience()  # of this process: all of its pages share one loop of events
