"""A session as one JSON file: the edits that the tabs show and the snapshots, of one generator.

Version 1 held one edit and bare edits as snapshots; it is still read. Knows neither tabs nor pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from explorer.edit import Edit
from explorer.foreign import brief
from explorer.keep.kept import KeepError, generator_name, json_object

VERSION = 2
MAX_BYTES = 32 * 2**20
MAX_SNAPSHOTS = 1000
MAX_TABS = 20
MAX_VALUES = 1_000_000  # of the JSON: a thousand snapshots that move 300 directions each
MAX_SECONDS = 60.0  # from a snapshot to the next
MAX_NAME, MAX_NOTE = 60, 1000  # letters
THUMB_START = ("data:image/jpeg;base64,", "data:image/png;base64,")


@dataclass(frozen=True)
class Snapshot:
    """An edit, its small picture as a data URI, what it is called and what was noted, empty where there is none.

    `seconds` are those to the next one in a film.
    """

    edit: Edit
    thumb: str = ""
    name: str = ""
    note: str = ""
    seconds: float | None = None  # as is usual

    @classmethod
    def from_json(cls, data: Any) -> Snapshot:
        """What is no picture, word or number of seconds is left out. Raises KeepError or EditError else."""
        if not isinstance(data, dict):
            raise KeepError("This session file is damaged: a snapshot is an edit and its small picture.")
        thumb, seconds = data.get("thumb"), data.get("seconds")
        if not isinstance(thumb, str) or not thumb.startswith(THUMB_START):
            thumb = ""
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= MAX_SECONDS
        name, note = (_words(data.get(key), most) for key, most in (("name", MAX_NAME), ("note", MAX_NOTE)))
        return cls(Edit.from_json(data.get("edit")), thumb, name, note, seconds if number else None)

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes."""
        told = {"name": self.name, "note": self.note, "seconds": self.seconds}
        return {"edit": self.edit.to_json(), "thumb": self.thumb} | {key: value for key, value in told.items() if value}


@dataclass(frozen=True)
class Session:
    """`edits` by tab, `snapshots` oldest first; both of the generator called `generator`."""

    generator: str
    edits: Mapping[str, Edit] = field(default_factory=dict)
    snapshots: Sequence[Snapshot] = ()

    def to_text(self) -> str:
        """JSON text of the current version."""
        data = {
            "version": VERSION,
            "generator": self.generator,
            "edits": {tab: edit.to_json() for tab, edit in self.edits.items()},
            "snapshots": [shot.to_json() for shot in self.snapshots],
        }
        return json.dumps(data, indent=1)

    @classmethod
    def from_text(cls, text: str | bytes) -> Session:
        """What this or an older version of the program wrote. Raises `KeepError` or `EditError` on anything else."""
        if len(text) > MAX_BYTES:
            raise KeepError(f"This session file is larger than {MAX_BYTES // 2**20} MB.")
        data = json_object(text, "this session file", MAX_VALUES)
        version = data.get("version")
        if not isinstance(version, int) or version not in (1, VERSION) or "snapshots" not in data:
            newer = isinstance(version, int) and version > VERSION
            raise KeepError(
                f"This session has version {brief(version)}, this program reads up to {VERSION}: update it."
                if newer
                else "This is no session file: choose one that was saved here."
            )
        return cls._read(_from_version_1(data) if version == 1 else data)

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Session:
        edits, shots = data.get("edits"), data.get("snapshots")
        if not isinstance(edits, dict) or not isinstance(shots, list) or len(edits) > MAX_TABS:
            raise KeepError("This session file is damaged: it needs a generator, edits and snapshots.")
        if len(shots) > MAX_SNAPSHOTS:
            raise KeepError(f"This session has {len(shots)} snapshots; at most {MAX_SNAPSHOTS} are read.")
        return cls(
            generator_name(data, "The edits of this session"),
            {tab: Edit.from_json(edit) for tab, edit in edits.items()},
            tuple(map(Snapshot.from_json, shots)),
        )


def _from_version_1(data: Mapping[str, Any]) -> dict[str, Any]:
    """`{generator, edit, snapshots: [edit, ...]}` as version 2."""
    shots = data["snapshots"] if isinstance(data["snapshots"], list) else []
    return {
        "generator": data.get("generator"),
        "edits": {"explore": data["edit"]} if "edit" in data else {},
        "snapshots": [{"edit": edit, "thumb": ""} for edit in shots],
    }


def _words(text: Any, most: int) -> str:
    """What somebody wrote, cut to what the page takes; empty for anything else."""
    return text[:most] if isinstance(text, str) else ""
