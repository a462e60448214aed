"""Memory goes back to the system while nobody asks for anything; meanwhile the allocator keeps it for the next picture.

Knows no page and no engine.
"""

from __future__ import annotations

import ctypes
import gc
import platform
import threading
import time
from collections.abc import Callable

IDLE_SECONDS = 60.0


def trim_when_idle(asked: Callable[[], float], seconds: float = IDLE_SECONDS) -> None:
    """Watch in the background for `seconds` without a request; `asked` tells when the last one came."""
    if platform.libc_ver()[0] != "glibc":
        return
    threading.Thread(target=_watch, args=(asked, seconds, ctypes.CDLL(None)), name="idle", daemon=True).start()


def _watch(asked: Callable[[], float], seconds: float, libc: ctypes.CDLL) -> None:
    trimmed = 0.0
    while True:
        last = asked()
        if last != trimmed and time.monotonic() - last > seconds:
            trimmed = last
            gc.collect()
            libc.malloc_trim(0)
        time.sleep(seconds / 4)
