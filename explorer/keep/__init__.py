"""Edits that outlive the page: inside pictures, as links, and as session files. Knows no torch, no engine, no page."""

from explorer.keep.kept import KeepError, Kept
from explorer.keep.links import read_link, write_link
from explorer.keep.pictures import FORMATS, read_picture, write_picture
from explorer.keep.sessions import Session, Snapshot

__all__ = [
    "FORMATS",
    "KeepError",
    "Kept",
    "Session",
    "Snapshot",
    "read_link",
    "read_picture",
    "write_link",
    "write_picture",
]
