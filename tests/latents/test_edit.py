"""Laws of `Edit`: one picture, one value, one JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer import Edit, EditError, Latent
from explorer.edit import MAX_STRENGTHS

directions = st.one_of(st.text(max_size=8), st.integers(0, 511))
strengths = st.dictionaries(directions, st.floats(-10, 10, allow_nan=False), max_size=5)
edits = st.builds(
    Edit,
    seed=st.integers(0, 2**32 - 1),
    latent=st.none() | st.builds(lambda n: Latent.of(np.linspace(0, 1, n)), st.integers(1, 8)),
    truncation_psi=st.floats(-2, 2),
    truncation_cutoff=st.none() | st.integers(0, 18),
    noise_mode=st.sampled_from(["const", "none", "random"]),
    rotate=st.floats(-360, 360),
    shift_x=st.floats(-1, 1),
    project=st.booleans(),
    strengths=strengths,
    layers=st.dictionaries(directions, st.tuples(st.integers(0, 5), st.integers(6, 18)), max_size=3),
)


@given(edits)
def test_json_restores_the_edit(edit: Edit) -> None:
    assert Edit.from_json(json.dumps(edit.to_json())) == edit


@given(strengths)
def test_order_of_strengths_does_not_matter(values: dict) -> None:
    backwards = dict(reversed(values.items()))
    assert Edit(strengths=values) == Edit(strengths=backwards)
    assert hash(Edit(strengths=values)) == hash(Edit(strengths=backwards))


def test_strengths_stand_by_number_then_by_name() -> None:
    edit = Edit(strengths={"b": 1, 10: 1, 9: 1, "a": 1})
    assert [direction for direction, *_ in edit.moves()] == [9, 10, "a", "b"]


def test_a_slider_back_at_zero_is_no_edit() -> None:
    moved = Edit(seed=3).with_strength(7, 1.5)
    assert moved != Edit(seed=3)
    assert moved.with_strength(7, 0.0) == Edit(seed=3)


def test_layers_of_a_slider_at_zero_do_not_count() -> None:
    assert Edit(strengths={1: 0.0}, layers={1: (0, 4)}) == Edit()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "JSON object"),
        ('{"version": 99}', "version"),
        ('{"sead": 1}', "sead"),
        ('{"seed": -1}', "seed"),
        ('{"seed": 1.5}', "seed"),
        ('{"seed": true}', "seed"),
        ('{"truncation_psi": "a"}', "truncation_psi"),
        ('{"truncation_psi": NaN}', "truncation_psi"),
        ('{"noise_mode": "loud"}', "noise_mode"),
        ('{"project": 1}', "project"),
        ('{"strengths": 5}', "strengths"),
        ('{"strengths": [[1.5, 1]]}', "direction"),
        ('{"strengths": [[1, Infinity]]}', "strength of 1"),
        ('{"strengths": [[1, 1]], "layers": [[1, [4, 2]]]}', "start < stop"),
        ('{"strengths": [[1, 1]], "layers": [[1, [2, 2]]]}', "start < stop"),
        ('{"strengths": [[1, 1]], "layers": [[1, 4]]}', "start, stop"),
        ('{"latent": {"shape": [4], "data": "AAAA"}}', "16 bytes"),
        ('{"latent": {"shape": [1], "data": "AACAfw=="}}', "finite"),
        ('{"latent": {"shape": [1]}}', "latent"),
        ('{"latent": 3}', "latent"),
    ],
)
def test_what_is_no_edit_is_refused_in_one_sentence(data: str, word: str) -> None:
    with pytest.raises(EditError, match=word) as error:
        Edit.from_json(data)
    assert "\n" not in str(error.value)


def test_an_edit_of_every_direction_costs_little_and_more_are_refused() -> None:
    pairs = [[k, 1.0] for k in range(MAX_STRENGTHS)]
    began = time.process_time()
    assert len(dict(Edit.from_json({"strengths": pairs, "layers": [[k, [0, 2]] for k, _ in pairs]}).strengths)) == 4096
    with pytest.raises(EditError, match="more than 4,096"):
        Edit(strengths=zip(range(10**9), iter(float, 1.0), strict=False))
    with pytest.raises(EditError, match="given twice"):
        Edit.from_json({"strengths": [*pairs[:-1], [0, 1]]})
    assert time.process_time() - began < 1


def with_name(name: str | int) -> Edit:
    return Edit(strengths={name: 1.0})


@pytest.mark.parametrize(
    ("make", "last", "refused"),
    [
        (lambda v: Edit(seed=v), (0, 2**32 - 1), (-1, 2**32)),
        (lambda v: Edit(noise_seed=v), (0, 2**32 - 1), (-1, 2**32)),
        (lambda v: Edit(class_index=v), (0, 2**31), (-1, 2**31 + 1)),
        (lambda v: Edit(truncation_cutoff=v), (0, 2**31), (-1, 2**31 + 1)),
        (lambda v: Edit(truncation_psi=v), (-1e6, 1e6), (-1000001.0, 1000001.0)),
        (lambda v: Edit(strengths={1: v}), (-1e6, 1e6), (-1000001.0, 1000001.0)),
        (lambda v: Edit(strengths={1: 1}, layers={1: v}), ((0, 1), (999, 1000)), ((-1, 1), (0, 0), (999, 1001))),
        (with_name, (1 - 2**31, 2**31 - 1, "x" * 1000), (-(2**31), 2**31, "x" * 1001)),
        (lambda v: Latent((v,), bytes(4 * v)), (1, 2**20), (0, 2**20 + 1)),
        (lambda v: Latent(v, bytes(2**22)), ((2**10, 2**10),), ((2**10 + 1, 2**10),)),
    ],
)  # fmt: skip
def test_limits_are_where_they_are_said_to_be(make: Callable, last: tuple, refused: tuple) -> None:
    for value in last:
        make(value)
    for value in refused:
        with pytest.raises(EditError):
            make(value)


def test_an_edit_of_this_version_says_so_and_a_newer_one_is_refused() -> None:
    assert Edit().to_json() == {"version": 1}
    assert Edit.from_json({"version": 1}) == Edit.from_json({}) == Edit()
    with pytest.raises(EditError, match="version 3, this program reads up to 2"):
        Edit.from_json({"version": 3})


def nested(depth: int = 60) -> tuple:
    """Tuples that share their parts: 2**60 leaves in sixty objects, which nobody may print, compare or hash."""
    value: tuple = (1.0,)
    for _ in range(depth):
        value = (value, value)
    return value


FOREIGN = [
    nested(),
    [nested()],
    "x" * 10**7,
    10**5000,
    {"a": nested()},
    b"bytes",
    object(),
    float("nan"),
    ["y" * 10**6],
]


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize(
    "make",
    [
        lambda v: {"seed": v},
        lambda v: {"class_index": v},
        lambda v: {"truncation_psi": v},
        lambda v: {"noise_mode": v},
        lambda v: {"project": v},
        lambda v: {"version": v},
        lambda v: {"strengths": v},
        lambda v: {"strengths": [[v, 1]]},
        lambda v: {"strengths": [[1, v]]},
        lambda v: {"strengths": {1: 1}, "layers": {1: v}},
        lambda v: {"strengths": {1: 1}, "layers": {1: (v, v)}},
        lambda v: {"latent": v},
        lambda v: {"latent": {"shape": v, "data": "AAAA"}},
        lambda v: {"latent": {"shape": [v], "data": "AAAA"}},
        lambda v: {"latent": {"shape": [1], "data": v}},
        lambda v: v,
    ],
)  # fmt: skip
def test_a_foreign_value_is_refused_at_once_and_in_few_words(make: Callable, value: object) -> None:
    began = time.process_time()
    with pytest.raises(EditError) as error:
        Edit.from_json(make(value))
    assert len(str(error.value)) < 400
    assert time.process_time() - began < 1


def test_a_code_has_as_many_numbers_as_it_says() -> None:
    for shape in ((True,), (2.0,), (2**21,), (2**11, 2**11), (-1, -1), (0,), (1, 1, 1), "1"):
        with pytest.raises(EditError, match="latent"):
            Latent(shape, bytes(4))  # type: ignore[arg-type]
