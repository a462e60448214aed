"""Server functions of the panels: run in a thread for a visitor who may leave, their errors one sentence.

Knows who asks and whether they still wait, and not what for.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import anyio.to_thread
import gradio as gr

from explorer.ui.answers import answered
from explorer.ui.gate import LOOK, Left, Visitor
from explorer.ui.patience import PATIENCE

ServerFunction = Callable[..., Any]


def served(work: Callable[..., dict[str, Any]], name: str = "") -> ServerFunction:
    """`work(request)` or `work(request, visitor)` as a server function of its own name, which starts without `_`.

    Its work is told through `visitor.left()` when the browser has closed the connection.
    """
    told = len(inspect.signature(work).parameters) > 1

    async def function(request: Any, http: gr.Request) -> dict[str, Any]:
        gone = threading.Event()
        visitor = Visitor(address(http), gone.is_set)
        chosen = (lambda asked: work(asked, visitor)) if told else work
        thread = asyncio.ensure_future(anyio.to_thread.run_sync(answered, chosen, request))
        while not (await asyncio.wait({thread}, timeout=LOOK))[0]:
            if await http.is_disconnected():  # type: ignore[attr-defined]  # here it is Starlette's own request
                gone.set()
        try:
            answer = thread.result()
        except Left:
            return {}
        if answer.get("error"):
            PATIENCE.refused(visitor.name)
        return answer

    function.__name__ = name or work.__name__.lstrip("_")
    function.__doc__ = work.__doc__
    return function


def address(http: Any) -> str:
    """What tells visitors apart: where a request comes from. A proxy that forwards it says so, see uvicorn."""
    client = getattr(http, "client", None)
    return "" if client is None else str(client.host)
