"""Named looks in a file beside a checkpoint: those that come with the default, and what is left out or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer import DEFAULT, Engine, load
from explorer.edit import EditError
from explorer.engine import looks
from explorer.engine.looks import Look

DIRECTIONS = ("sketch", "zombie", 7)


def write(tmp_path: Path, text: str) -> Path:
    (path := tmp_path / "x.looks.toml").write_text(text)
    return path


def test_the_default_generator_has_eight_looks_of_several_domains() -> None:
    engine = Engine(load(DEFAULT))
    found = looks.load(looks.path_beside(DEFAULT), [direction.id for direction in engine.directions])
    assert len({look.name for look in found}) == 8
    assert all(len(look.strengths) > 1 for look in found)


def test_looks_are_strengths_by_name_or_number(tmp_path: Path) -> None:
    path = write(tmp_path, '[[look]]\nname = "old film"\nstrengths = { "sketch" = 0.5, "7" = -1 }')
    assert looks.load(path, DIRECTIONS) == (Look("old film", ((7, -1.0), ("sketch", 0.5))),)


def test_without_a_file_there_are_none_and_without_its_domain_a_look_is_left_out(tmp_path: Path) -> None:
    assert looks.load(tmp_path / "none.looks.toml", DIRECTIONS) == ()
    path = write(
        tmp_path, "".join(f'[[look]]\nname = "{n}"\nstrengths = {{ "{n}" = 1 }}\n' for n in ("zombie", "gone"))
    )
    assert [look.name for look in looks.load(path, DIRECTIONS)] == ["zombie"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[look", "x.looks.toml"),
        ("look = 3", "begins with"),
        ("[[look]]", "has a name"),
        ('[[look]]\nname = "a"\nstrengths = 3', "strengths by direction"),
        ('[[look]]\nname = "a"\nstrengths = { "sketch" = "much" }', "a: the strength of 'sketch'"),
        ('[[look]]\nname = "a"\nstrengths = { "sketch" = inf }', "a: the strength of 'sketch'"),
        (f'[[look]]\nname = "{"a" * 61}"\nstrengths = {{}}', "has a name"),
        ("#" * 2**21, "larger than any file of looks"),
    ],
)
def test_a_file_that_holds_no_looks_is_refused_in_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(EditError, match=words):
        looks.load(write(tmp_path, text), DIRECTIONS)
