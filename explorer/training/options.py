"""A trainer's settings: a frozen dataclass whose fields are its command-line flags and its `config.json`.

Knows no trainer. A resumed run obeys its saved settings, except for the flags that are given again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from explorer.refused import Refused

Settings = TypeVar("Settings")


def option(default: Any, text: str, *, fixed: bool = False, path: bool = False) -> Any:
    """A field of a settings dataclass: str, int, float, bool or tuple of ints, with its help text.

    A `fixed` one cannot change when a run is resumed. A `path` is taken from the working folder, if something is there,
    and is saved as one that holds from everywhere.
    """
    return field(default=default, metadata={"help": text, "fixed": fixed, "path": path})


def add_options(parser: argparse.ArgumentParser, settings: type) -> None:
    """One flag a field; only flags that were given appear in the namespace."""
    hints = get_type_hints(settings)
    for entry in fields(settings):
        kind: dict[str, Any] = {"type": hints[entry.name], "metavar": hints[entry.name].__name__.upper()}
        if kind["type"] is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        elif isinstance(entry.default, tuple):
            kind = {"type": int, "nargs": "+", "metavar": "N"}
        text = f"{entry.metadata['help']} (default: {entry.default})".replace("%", "%%")
        parser.add_argument(f"--{entry.name.replace('_', '-')}", default=argparse.SUPPRESS, help=text, **kind)


def check_numbers(settings: Any, *counts: str) -> None:
    """Raise ValueError unless the settings named are 1 or more, and every one with a fraction is a number from 0 up."""
    for entry in fields(settings):
        flag, value = f"--{entry.name.replace('_', '-')}", getattr(settings, entry.name)
        if entry.name in counts and value < 1:
            raise Refused(f"{flag} must be 1 or more, got {value}")
        if isinstance(value, float) and not 0 <= value < math.inf:
            raise Refused(f"{flag} must be a number of 0 or more, got {value:g}")


def doubling(resolution: int, most: int, last: int = 32) -> tuple[int, ...]:
    """Widths from 4 px up: `last` at the resolution, before it twice as wide each, up to `most`."""
    blocks = max(resolution.bit_length() - 2, 1)
    return tuple(min(most, last << (blocks - 1 - i)) for i in range(blocks))


def check_widths(name: str, widths: tuple[int, ...], resolution: int) -> None:
    """Raise ValueError unless there is one width, 1 or more, for every resolution from 4 px up."""
    flag, blocks = f"--{name.replace('_', '-')}", resolution.bit_length() - 2
    if resolution < 4 or resolution & (resolution - 1):
        raise Refused(f"a resolution is a power of two, 4 px or more, got {resolution}")
    if len(widths) != blocks or min(widths) < 1:
        raise Refused(f"{flag} needs {blocks} widths of 1 or more for {resolution} px, got {widths}")


def settings_from(settings: type[Settings], arguments: argparse.Namespace, saved: Mapping[str, Any]) -> Settings:
    """The settings of a run: defaults, then what it had `saved`, then the flags given.

    Raises ValueError where a run was saved by a version with other settings, or its file was damaged, and for a flag
    that would change what is fixed.
    """
    hints = get_type_hints(settings)
    if unknown := saved.keys() - hints.keys():
        raise Refused(f"the run's config.json has settings that this version does not know: {', '.join(unknown)}")
    if wrong := [name for name, value in saved.items() if not _is(value, hints[name])]:
        raise Refused(f"the run's config.json is damaged: {wrong[0]} cannot be {saved[wrong[0]]!r}")
    given = {name: value for name, value in vars(arguments).items() if name in hints}
    for entry in fields(settings):  # type: ignore[arg-type]
        name, kind = entry.name, entry.metadata
        if name in given and kind["path"] and Path(given[name]).exists():
            given[name] = str(Path(given[name]).absolute())
        if name in given and name in saved and kind["fixed"] and given[name] != saved[name]:
            flag = f"--{name.replace('_', '-')}"
            raise Refused(f"{flag} stays {saved[name]} as this run was begun, got {given[name]}: begin another run")
    return settings(**{**saved, **given})


def _is(value: Any, hint: Any) -> bool:
    """Whether a value read from JSON is of a setting's type: there, tuples are lists, and 2.0 may be 2."""
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(type(entry) is int for entry in value)
    return type(value) in ((int, float) if hint is float else (hint,))
