"""What goes wrong while a page or an endpoint is answered: said in one sentence, or told to the server's terminal.

`EXPLORER_DEBUG=1` raises what is no user's fault, for whoever looks for it. Knows no Gradio and not what is asked.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from explorer.refused import Refused
from explorer.ui.gate import Left

OURS = "This went wrong; the server's terminal says why."

log = logging.getLogger(__name__)
Answer = dict[str, Any]


def answered(work: Callable[[Answer], Answer], request: Any) -> Answer:
    """What `work` returns, or `{error: sentence}`: an exception would reach the page as nothing at all."""
    try:
        return work(request if isinstance(request, dict) else {})
    except Left:
        raise
    except Exception as error:
        raise_ours(error)
        return {"error": sentence(error)}


def sentence(error: Exception) -> str:
    """What an error says to a user. What is no user's fault is told to the terminal only."""
    if not isinstance(error, Refused):
        log.error("a request failed", exc_info=error)
        return OURS
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def raise_ours(error: Exception) -> None:
    """With EXPLORER_DEBUG=1, raise an error that is no user's fault."""
    if os.environ.get("EXPLORER_DEBUG") == "1" and not isinstance(error, Refused):
        raise error
