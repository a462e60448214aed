"""Damage as a list of small changes to bytes, which Hypothesis draws and shrinks. Knows no format but its tokens."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import struct
from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

Change = tuple[str, float, int]  # kind, place as a share of the data, number
NUMBERS = (
    0,
    1,
    2,
    7,
    8,
    64,
    127,
    128,
    255,
    256,
    4096,
    2**15,
    2**16,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
DIGITS = (
    b"0",
    b"-1",
    b"1",
    b"4097",
    b"1e308",
    b"-1e-308",
    b"1e999",
    b"NaN",
    b"9" * 30,
    b"9" * 5000,
    b"3.5",
    b"true",
    b"null",
)
LAUGH = b"]\x94(NNe\x94" + b"".join(b"0](h" + bytes([n]) + b"h" + bytes([n]) + b"e\x94" for n in range(1, 40))
ARRAY = pickle.dumps(np.arange(3.0), protocol=2)[2:-1]
TOKENS = (
    *(
        b"[" * 3000,
        b'{"a":' * 2000,
        b"[0]," * 3000,
        b'"' + b"x" * 3000 + b'"',
        b"{}",
        b"[]",
        b'""',
        b"\\ud800",
        b"\xff\xfe",
    ),
    *(b"N", b"}", b"]", b")", b"(", b"t", b"R", b"b", b"\x94", b"0", b"Q", b"\x85", b"\x81", b"h\x00", b"h\x01", b"."),
    *(b"\x8b\xa0\x0f\x00\x00" + b"\x7f" * 4000, b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n"),
    *(b"cnumpy\ndtype\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"ctorch._utils\n_rebuild_tensor_v2\n"),
    *(b"ctorch.storage\n_load_from_bytes\n", b"cos\nsystem\n", b"\x80\x04", b"PK\x03\x04", b"\x00" * 40, LAUGH),
)

shares = st.floats(0, 1, exclude_max=True, width=32)
changes = st.lists(
    st.tuples(
        st.sampled_from(
            ("flip", "flip", "number", "digits", "token", "value", "value", "value", "cut", "drop", "double", "move")
        ),
        shares,
        st.integers(0, 2**16 - 1),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, steps: list[Change]) -> bytes:
    """`data` after all steps, one by one."""
    for kind, share, number in steps:
        if data:
            data = KINDS[kind](data, int(share * len(data)), number)
    return data


def _flip(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + bytes([data[at] ^ (number % 255 + 1)]) + data[at + 1 :]


def _number(data: bytes, at: int, number: int) -> bytes:
    value, size = NUMBERS[number % len(NUMBERS)], (1, 2, 4, 8)[number // 32 % 4]
    order = "<" if number // 128 % 2 else ">"
    return data[:at] + struct.pack(f"{order}Q", value)[: size if order == "<" else None][-size:] + data[at + size :]


def _digits(data: bytes, at: int, number: int) -> bytes:
    """The next number that is written in digits becomes another one."""
    match = re.compile(rb"-?\d+(\.\d+)?").search(data, at)
    return data if match is None else data[: match.start()] + DIGITS[number % len(DIGITS)] + data[match.end() :]


def _token(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + TOKENS[number % len(TOKENS)] + data[at + number // 64 % 4 :]


def _value(data: bytes, at: int, number: int) -> bytes:
    """A whole value becomes another one: an opcode of a pickle, else a text, number or word of JSON."""
    if data.startswith(b"\x80"):
        start, stop = _opcode(data, at)
        return data[:start] + OPCODES[number % len(OPCODES)] + data[stop:]
    match = VALUE.search(data, at)
    return data if match is None else data[: match.start()] + VALUES[number % len(VALUES)] + data[match.end() :]


def _opcode(data: bytes, at: int) -> tuple[int, int]:
    """From where to where the first opcode behind `at` goes, in one pickle or in several in a row."""
    stream, start = io.BytesIO(data), 0
    try:
        while True:
            for _ in pickletools.genops(stream):
                if start >= at:
                    return start, stream.tell()
                start = stream.tell()
    except Exception:  # the end, or bytes that are no pickle
        return start, start


def _cut(data: bytes, at: int, number: int) -> bytes:
    return data[:at]


def _drop(data: bytes, at: int, number: int) -> bytes:
    return data[:at] + data[at + number % 64 + 1 :]


def _double(data: bytes, at: int, number: int) -> bytes:
    part = data[at : at + number % 512 + 1]
    return data[:at] + part * (2 + number // 512 % 40) + data[at + len(part) :]


def _move(data: bytes, at: int, number: int) -> bytes:
    start = number * len(data) // 2**16
    part = data[start : start + number % 100 + 1]
    return data[:at] + part + data[at + len(part) :]


VALUE = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null')
VALUES = (
    *(b"0", b"-1", b"1e308", b"NaN", b"9" * 30, b"true", b"null", b'""', b'"a"', b'"\\ud800"', b"[]", b"{}", b"[[]]"),
    *(
        b'"' + b"x" * 5000 + b'"',
        b"[" * 200 + b"]" * 200,
        b"[" + b"0," * 5000 + b"0]",
        b'{"a": {"b": [1, {}]}}',
        b"1.5",
    ),
)
OPCODES = (
    *(
        b"K\x00",
        b"K\x01",
        b"J\xff\xff\xff\xff",
        b"\x8a\x09" + b"\xff" * 8 + b"\x7f",
        b"N",
        b"\x88",
        b"G\x7f\xf0" + bytes(6),
    ),
    *(b"X\x00\x00\x00\x00", b"X\x01\x00\x00\x000", b"X\x88\x13\x00\x00" + b"x" * 5000, b"C\x03abc", b"}", b"]", b")"),
    *(
        b"ctorch\nFloatStorage\n",
        b"ccollections\nOrderedDict\n)R",
        b"(K\x01K\x02t",
        b"cnumpy\ndtype\n",
        b"",
        b"0",
        b"2",
    ),
    *(ARRAY, LAUGH, b"cpathlib\nPosixPath\n(X\x01\x00\x00\x00atR", b"\x8b\x40\x1f\x00\x00" + b"\x7f" * 8000),
)
KINDS: dict[str, Callable[[bytes, int, int], bytes]] = {
    "flip": _flip,
    "number": _number,
    "digits": _digits,
    "token": _token,
    "value": _value,
    "cut": _cut,
    "drop": _drop,
    "double": _double,
    "move": _move,
}
