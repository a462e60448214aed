"""What comes from outside of the program: how a foreign value stands in an error text, and JSON read within bounds.

Both cost time and memory in proportion to what they were given, whatever it is. Knows nothing of the program.
"""

from __future__ import annotations

import json
import math
from typing import Any

LENGTH = 80  # characters of one value in an error text
ENTRIES = 6  # of a container that is shown
MAX_VALUES = 100_000  # of a JSON text


def brief(value: Any, length: int = LENGTH) -> str:
    """A foreign value for an error text: one line of about `length` characters, whatever it holds.

    Numbers and short texts as Python writes them; of containers the first plain entries, or how many there are; of an
    exception its words. Nothing inside a container is entered, so parts that share their parts cost nothing.
    """
    if isinstance(value, BaseException):
        words = " ".join(str(value)[: 10 * length].split())[:length]
        return "".join(letter if letter.isprintable() else "?" for letter in words) or type(value).__name__
    if isinstance(value, (list, tuple, set, frozenset)):
        first = [entry for entry, _ in zip(value, range(ENTRIES), strict=False)]
        if all(isinstance(entry, (bool, int, float, str)) for entry in first):
            rest = ", ..." if len(value) > ENTRIES else ""
            return f"[{', '.join(brief(entry, length // ENTRIES) for entry in first)}{rest}]"
        return f"a {type(value).__name__} of {len(value):,}"
    if isinstance(value, str):
        return repr(value if len(value) <= length else f"{value[: length - 3]}...")
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to write very long numbers
        return f"a number of {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    return f"a {type(value).__name__[:length]}"


def parse_json(text: str | bytes, most: int = MAX_VALUES) -> Any:
    """The data in a JSON text, with or without a byte order mark.

    Raises ValueError for anything else, and, before anything is built, for a text of more than about `most` values: a
    value takes up to a hundred bytes of memory and two of a file.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    if sum(map(text.count, ",[{")) > most:
        raise ValueError(f"it holds more than {most:,} values")
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except RecursionError:
        raise ValueError("it nests too deeply") from None
