"""The last that is read and the first that is not, and which sentence says so."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from explorer.edit import Edit, EditError, Latent
from explorer.keep import KeepError, Kept, Session, read_link, read_picture, write_link, write_picture

PICTURE = np.random.RandomState(0).randint(0, 256, (16, 16, 3), dtype=np.uint8)


def session(**changes: Any) -> Session:
    return Session.from_text(json.dumps({"version": 2, "generator": "g", "edits": {}, "snapshots": []} | changes))


def settings(**changes: Any) -> Kept:
    return Kept.from_text(json.dumps({"version": 1, "generator": "g", "edit": {}} | changes))


def test_as_many_tabs_and_snapshots_are_read_as_are_said() -> None:
    assert len(session(edits={str(i): {} for i in range(20)}).edits) == 20
    assert len(session(snapshots=[{"edit": {}}] * 1000).snapshots) == 1000
    with pytest.raises(KeepError, match="damaged"):
        session(edits={str(i): {} for i in range(21)})
    with pytest.raises(KeepError, match="1001 snapshots; at most 1000"):
        session(snapshots=[{"edit": {}}] * 1001)


@pytest.mark.parametrize("read", [session, settings])
def test_a_generators_name_is_as_long_as_a_directions(read: Any) -> None:
    assert read(generator="x" * 1000).generator == "x" * 1000
    for name in ("x" * 1001, 3, None):
        with pytest.raises(KeepError, match="do not name their generator"):
            read(generator=name)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (3, "version 3, this program reads up to 2"),
        (0, "no session file"),
        (-1, "no session file"),
        ("2", "no session"),
    ],
)
def test_a_session_of_another_version_says_what_to_do(version: object, words: str) -> None:
    with pytest.raises(KeepError, match=words):
        session(version=version)


@pytest.mark.parametrize("version", [2, None, "1", 1.0])
def test_settings_of_another_version_are_refused(version: object) -> None:
    with pytest.raises(KeepError, match="this program reads up to 1"):
        settings(version=version)
    assert settings(version=1).edit == Edit()


def test_what_older_programs_called_version_0_is_read_as_version_1() -> None:
    """Nobody has written one; a version is refused for being newer alone."""
    assert settings(version=0).edit == Edit()


def test_snapshots_keep_small_pictures_of_two_kinds() -> None:
    thumbs = ["data:image/jpeg;base64,AA", "data:image/png;base64,AA", "data:image/svg+xml;base64,AA", 3, None]
    shots = session(snapshots=[{"edit": {}, "thumb": thumb} for thumb in thumbs]).snapshots
    assert [shot.thumb for shot in shots] == [*thumbs[:2], "", "", ""]


def test_a_session_of_version_1_may_lack_an_edit_and_its_snapshots_may_be_none() -> None:
    old = session(version=1)
    assert (old.edits, old.snapshots) == ({}, ())
    assert session(version=1, edit={"seed": 3}, snapshots=None).edits == {"explore": Edit(seed=3)}


def test_a_link_too_long_says_what_makes_it_so() -> None:
    photo = Edit(latent=Latent.of(np.random.RandomState(1).randn(10, 512)))
    with pytest.raises(KeepError, match="holds a photo"):
        write_link(photo)
    with pytest.raises(KeepError, match="too many directions"):
        write_link(Edit(strengths=dict.fromkeys(range(1000), 0.123456789)))


def test_a_link_is_as_long_as_proxies_let_through() -> None:
    names = {f"{i:03}{'x' * 40}": 1.0 for i in range(200)}
    lengths = []
    for count in range(200):
        try:
            lengths.append(len(write_link(Edit(strengths=dict(list(names.items())[:count])))))
        except KeepError:
            break
    step = lengths[-1] - lengths[-2]
    assert 6000 - step - 4 <= lengths[-1] <= 6000


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("padding", ["=", "=="])
def test_a_link_with_padding_and_one_without_are_one(length: int, padding: str) -> None:
    edit = Edit(strengths={"x" * length: 1.0})
    assert read_link(write_link(edit) + padding) == edit
    assert "=" not in write_link(edit)


def test_a_picture_of_20_mb_is_looked_at() -> None:
    """Zeros behind a PNG's end are no part of it."""
    data = write_picture(PICTURE, "png", Kept(Edit(seed=9), "g"))
    assert read_picture(data.ljust(20 * 2**20, b"\0")).edit == Edit(seed=9)
    with pytest.raises(KeepError, match="has 20 MB; at most 20 MB"):
        read_picture(data.ljust(20 * 2**20 + 1, b"\0"))


@pytest.mark.parametrize(("kind", "error"), [("webp", 6.0), ("jpeg", 6.0)])
def test_pictures_of_smooth_colours_lose_little(kind: str, error: float) -> None:
    ramp = np.stack(np.broadcast_arrays(*np.ogrid[0:256:4, 0:256:4], 128), axis=2).astype(np.uint8)
    shown = np.asarray(Image.open(io.BytesIO(write_picture(ramp, kind))).convert("RGB")).astype(int)
    assert np.abs(shown - ramp).mean() < error
    assert len(write_picture(PICTURE, kind)) > 400, "the quality of photos"


@pytest.mark.parametrize("text", ["hello", "[]", '{"a": 1}'])
def test_a_photos_own_description_is_no_damaged_edit(text: str) -> None:
    exif = Image.Exif()
    exif[270] = text
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "jpeg", exif=exif)
    words = "carries no settings" if not text.startswith("{") else "version"
    with pytest.raises(EditError, match=words):
        read_picture(buffer.getvalue())
