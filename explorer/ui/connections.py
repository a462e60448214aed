"""Connections that ask for nothing are closed: uvicorn itself waits for ever for the end of a request's head.

Knows no application.
"""

from __future__ import annotations

import asyncio
from typing import Any

HEAD_SECONDS = 15.0  # from a connection, or the end of an answer, to the next whole head


def impatient(protocol: type, seconds: float = HEAD_SECONDS) -> type:
    """`protocol`, one of uvicorn's for HTTP, which closes a connection where no request began for a while."""

    class Impatient(protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.look(None)

        def look(self, before: Any, again: bool = False) -> None:
            """Close the connection where it waits for a head, and did so after the same answer the last time."""
            waits = self.cycle is None or self.cycle.response_complete
            if self.transport.is_closing():
                return
            if again and waits and self.cycle is before:
                self.transport.close()
                return
            self.watch = self.loop.call_later(seconds, self.look, self.cycle if waits else self, True)

        def connection_lost(self, exc: Exception | None) -> None:
            self.watch.cancel()
            super().connection_lost(exc)

    return Impatient
