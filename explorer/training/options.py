"""A trainer's settings: a frozen dataclass whose fields are its command-line flags and its `config.json`.

Knows no trainer. A resumed run obeys its saved settings, except for the flags that are given again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Any, TypeVar, get_type_hints

Settings = TypeVar("Settings")


def option(default: Any, text: str) -> Any:
    """A field of a settings dataclass: str, int, float, bool or tuple of ints, with its help text."""
    return field(default=default, metadata={"help": text})


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


def check_counts(settings: Any, *names: str) -> None:
    """Raise ValueError unless these settings are 1 or more, and `kimg` is a length."""
    for name in names:
        if getattr(settings, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(settings, name)}")
    if not 0 <= settings.kimg < math.inf:
        raise ValueError(f"--kimg must be 0 or more, got {settings.kimg:g}")


def settings_from(settings: type[Settings], arguments: argparse.Namespace, saved: Mapping[str, Any]) -> Settings:
    """The settings of a run: defaults, then what it had `saved`, then the flags given.

    Raises ValueError where a run was saved by a version with other settings.
    """
    names = {entry.name for entry in fields(settings)}  # type: ignore[arg-type]
    if unknown := saved.keys() - names:
        raise ValueError(f"the run's config.json has settings that this version does not know: {', '.join(unknown)}")
    return settings(**{**saved, **{name: value for name, value in vars(arguments).items() if name in names}})
