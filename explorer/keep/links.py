"""An edit as the text behind `?edit=`: base64url of its compact JSON, deflated where it holds a latent.

A deflated text begins with `z.`; a dot is no base64url, so the two cannot be confused. Knows no address.
"""

from __future__ import annotations

import base64
import json
import zlib

from explorer.edit import Edit
from explorer.foreign import parse_json
from explorer.keep.kept import KeepError

DEFLATED = "z."
MAX_LINK = 6000  # characters; chat programs and proxies cut longer addresses
MAX_JSON = 2**20  # bytes that a link may unpack to


def write_link(edit: Edit) -> str:
    """The text of an edit, letters that an address takes as they are. Raises `KeepError` where it would be too long."""
    data = json.dumps(edit.to_json(), separators=(",", ":")).encode()
    if edit.noise is not None:
        raise KeepError(
            "This edit holds a photo's own noise image, which is too long for a link: send the picture instead, it"
            " carries all settings."
        )
    text = _base64(data) if edit.latent is None else DEFLATED + _base64(zlib.compress(data, 9))
    if len(text) > MAX_LINK:
        raise KeepError(
            "This edit holds a photo, which is too long for a link: send the picture instead, it carries all settings."
            if edit.latent is not None
            else "This edit moves too many directions for a link: send the picture instead, it carries all settings."
        )
    return text


def read_link(text: str) -> Edit:
    """The edit of a link's text. Raises `KeepError` on a damaged one, `EditError` where it holds no edit."""
    deflated = text.startswith(DEFLATED)
    try:
        if len(text) > 2 * MAX_JSON:
            raise ValueError("longer than any edit")
        body = text.removeprefix(DEFLATED).rstrip("=")
        data = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        edit = parse_json(_inflate(data) if deflated else data)
    except (zlib.error, ValueError):
        raise KeepError("This link is damaged or cut off: ask for it again, or for the picture.") from None
    return Edit.from_json(edit)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _inflate(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, MAX_JSON)
    if not unpacker.eof:
        raise ValueError("cut off, or larger than any edit")
    return out
