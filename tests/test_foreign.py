"""A foreign value stands in an error text at once, in one short line; JSON costs no more than its values are worth."""

from __future__ import annotations

import json
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.foreign import LENGTH, brief, parse_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)


def sharing(depth: int = 60) -> list:
    """2**60 leaves in sixty lists."""
    value: list = []
    for _ in range(depth):
        value = [value, value]
    return value


def endless() -> list:
    value: list = []
    value.append(value)
    return value


def deep() -> list:
    value: list = []
    for _ in range(100_000):
        value = [value]
    return value


@given(values)
def test_any_value_is_one_short_line(value: object) -> None:
    text = brief(value)
    assert text
    assert text.isprintable()
    assert len(text) <= 3 * LENGTH


LARGE = [
    sharing(),
    endless(),
    deep(),
    "x" * 10**8,
    b"x" * 10**8,
    10**100_000,
    -(10**400),
    {"a": sharing()},
    np.zeros(10**7),
]
LARGE += ["\n" * 10**6, "\ud800", ["y" * 10**7] * 10**6, ValueError("z" * 10**7 + "\n"), KeyError(), set(range(10**5))]


@pytest.mark.parametrize("value", LARGE, ids=lambda value: type(value).__name__)
def test_what_no_text_can_hold_is_named_at_once(value: object) -> None:
    began = time.process_time()
    text = brief(value)
    assert len(text) <= 3 * LENGTH
    assert "\n" not in text
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((4, 2), "[4, 2]"),
        ([1, 2, 3, 4, 5, 6, 7], "[1, 2, 3, 4, 5, 6, ...]"),
        ([[1], [2]], "a list of 2"),
        ({"a": 1}, "a dict"),
        ("it's", '"it\'s"'),
        ("x" * 81, f"'{'x' * 77}...'"),
        (2**64 - 1, "18446744073709551615"),
        (10**100, "a number of 101 digits"),
        (float("nan"), "nan"),
        (None, "None"),
        (ValueError("two\nlines  of it"), "two lines of it"),
        (ValueError("\x1b[31mred\ud800"), "?[31mred?"),
        (KeyError(), "KeyError"),
    ],
)
def test_small_values_are_shown_as_they_are(value: object, text: str) -> None:
    assert brief(value) == text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(json_values, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_json_comes_back_in_every_encoding(value: object, encoding: str) -> None:
    text = json.dumps(value, ensure_ascii=False)
    assert parse_json(text) == parse_json("\ufeff" + text) == value
    assert parse_json(text.encode(encoding)) == value


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 10**6, '{"a":' * 50_000, "1" * 5000, b"\xff\xfe\x00", "[1] 2", "\ud800"]
)
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_json(text)


def test_a_text_of_too_many_values_is_refused_before_anything_is_built() -> None:
    assert parse_json("[" + "0," * 99 + "0]", most=100) == [0] * 100
    with pytest.raises(ValueError, match="more than 100 values"):
        parse_json("[" + "0," * 100 + "0]", most=100)
    text = "[" + "[0]," * 2_000_000 + "0]"
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 100,000 values"):
        parse_json(text)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()
