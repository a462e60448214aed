"""`Kept`: an edit and the name of the generator it belongs to, as JSON text. Knows neither files nor links."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.edit import MAX_NAME, Edit, EditError
from explorer.foreign import MAX_VALUES, brief, parse_json

VERSION = 1


class KeepError(EditError):
    """Something kept that cannot be written or read again; the message is one sentence."""


@dataclass(frozen=True)
class Kept:
    """An edit of the generator called `generator`; in a picture, whether that was `sharpened` afterwards."""

    edit: Edit
    generator: str
    sharpened: bool = False

    def to_text(self) -> str:
        """Compact ASCII JSON, so that every container of metadata takes it."""
        data = {"version": VERSION, "generator": self.generator, "edit": self.edit.to_json()}
        return json.dumps(data | ({"sharpened": True} if self.sharpened else {}), separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | bytes) -> Kept:
        """What `to_text` wrote. Raises `KeepError` or `EditError` on anything else."""
        data = json_object(text, "the settings")
        version = data.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise KeepError(f"these settings have version {brief(version)}, this program reads up to {VERSION}")
        name = generator_name(data, "these settings")
        return cls(Edit.from_json(data.get("edit")), name, data.get("sharpened") is True)


def generator_name(data: Mapping[str, Any], what: str) -> str:
    """The name under "generator". Raises `KeepError` that calls the data `what`."""
    name = data.get("generator")
    if not isinstance(name, str) or len(name) > MAX_NAME:
        raise KeepError(f"{what} do not name their generator")
    return name


def json_object(text: str | bytes, what: str, most: int = MAX_VALUES) -> Mapping[str, Any]:
    """The JSON object in `text`, of at most `most` values. Raises `KeepError` that calls it `what`."""
    try:
        data = parse_json(text, most)
    except ValueError:
        raise KeepError(f"{what} cannot be read: this is not JSON, or it is damaged") from None
    if not isinstance(data, dict):
        raise KeepError(f"{what} cannot be read: a JSON object was expected")
    return data
