"""Settings found in a file, reduced to plain JSON data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from explorer.weights.checkpoint import CheckpointError

MAX_VALUES = 100_000
MAX_DEPTH = 30
MAX_TEXT = 100_000


def plain(value: Any) -> Any:
    """`value` as None, bool, int, float, str, list and dict with text keys; what is none of these becomes None.

    Raises CheckpointError for more values than settings have: containers that share their parts can be small in a file
    and endless when written out.
    """
    left = MAX_VALUES

    def convert(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1 + (len(value) // 100 if isinstance(value, str) else 0)
        if left < 0 or depth > MAX_DEPTH:
            raise CheckpointError("its settings nest without end: it is damaged or hostile")
        if value is None or isinstance(value, bool) or (isinstance(value, int) and value.bit_length() <= 64):
            return value
        if isinstance(value, str):
            return value[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, dict):
            return {convert(str(key), depth + 1): convert(entry, depth + 1) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [convert(entry, depth + 1) for entry in value]
        if isinstance(value, np.ndarray) and value.size <= 10_000:
            return convert(value.tolist(), depth + 1)
        return None

    return convert(value, 0)
