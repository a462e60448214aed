"""`Kept`: an edit and the name of the generator it belongs to, as JSON text. Knows neither files nor links."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from explorer.edit import Edit, EditError

VERSION = 1


class KeepError(EditError):
    """Something kept that cannot be written or read again; the message is one sentence."""


@dataclass(frozen=True)
class Kept:
    """An edit of the generator called `generator`."""

    edit: Edit
    generator: str

    def to_text(self) -> str:
        """Compact ASCII JSON, so that every container of metadata takes it."""
        data = {"version": VERSION, "generator": self.generator, "edit": self.edit.to_json()}
        return json.dumps(data, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | bytes) -> Kept:
        """What `to_text` wrote. Raises `KeepError` or `EditError` on anything else."""
        data = json_object(text, "the settings")
        if not isinstance(data.get("version"), int) or data["version"] > VERSION:
            raise KeepError(f"these settings have version {data.get('version')!r}, this program reads up to {VERSION}")
        if not isinstance(data.get("generator"), str):
            raise KeepError("these settings do not name their generator")
        return cls(Edit.from_json(data.get("edit")), data["generator"])


def json_object(text: str | bytes, what: str) -> Mapping[str, Any]:
    """The JSON object in `text`. Raises `KeepError` that calls it `what`."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise KeepError(f"{what} cannot be read: this is not JSON, or it is damaged") from None
    if not isinstance(data, dict):
        raise KeepError(f"{what} cannot be read: a JSON object was expected")
    return data
