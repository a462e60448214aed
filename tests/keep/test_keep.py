"""What is kept comes back exactly; what is no edit is refused in one sentence."""

from __future__ import annotations

import base64
import io
import json
import math
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from explorer.edit import Edit, EditError, Latent
from explorer.keep import (
    FORMATS,
    KeepError,
    Kept,
    Session,
    Snapshot,
    read_link,
    read_picture,
    write_link,
    write_picture,
)
from explorer.keep.links import MAX_JSON, MAX_LINK
from explorer.keep.pictures import KEYWORD
from explorer.keep.sessions import MAX_BYTES

OLD_SESSION = Path(__file__).with_name("session_v1.json")
PICTURE = np.random.RandomState(0).randint(0, 256, (40, 40, 3), dtype=np.uint8)
PHOTO = Latent.of(np.random.RandomState(1).randn(10, 512))
EDIT = Edit(seed=2**32 - 1, truncation_psi=1 / 3, strengths={"café “noir”": 0.1 + 0.2, 7: -math.pi}, layers={7: (1, 4)})

numbers = st.floats(-4, 4, allow_nan=False)
edits = st.builds(
    Edit,
    seed=st.integers(0, 2**32 - 1),
    truncation_psi=numbers,
    rotate=numbers,
    shift_y=numbers,
    strengths=st.dictionaries(st.one_of(st.integers(0, 511), st.text(min_size=1, max_size=12)), numbers, max_size=6),
)


@settings(deadline=None, max_examples=40)
@given(edit=edits)
def test_a_link_brings_the_edit_back_exactly(edit: Edit) -> None:
    text = write_link(edit)
    assert read_link(text) == edit
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@settings(deadline=None, max_examples=40)
@given(edit=edits, kind=st.sampled_from(FORMATS))
def test_a_picture_brings_the_edit_back_exactly(edit: Edit, kind: str) -> None:
    kept = Kept(edit, "ñandú 64")
    assert read_picture(write_picture(PICTURE, kind, kept)) == kept


@pytest.mark.parametrize("kind", FORMATS)
def test_a_picture_holds_the_code_of_a_photo(kind: str) -> None:
    kept = Kept(Edit(latent=PHOTO, strengths={"zombie": 0.5}), "cats64")
    assert read_picture(write_picture(PICTURE, kind, kept)) == kept


def test_pixels_of_a_png_are_those_given_with_and_without_settings() -> None:
    for kept in (None, Kept(EDIT, "cats64")):
        with Image.open(io.BytesIO(write_picture(PICTURE, "png", kept))) as image:
            assert np.array_equal(np.asarray(image), PICTURE)


@pytest.mark.parametrize("kind", FORMATS)
def test_settings_can_be_left_out(kind: str) -> None:
    data = write_picture(PICTURE, kind)
    assert b"seed" not in data
    with pytest.raises(KeepError, match="carries no settings"):
        read_picture(data)


def with_text(text: str) -> bytes:
    buffer, info = io.BytesIO(), PngInfo()
    info.add_itxt(KEYWORD, text)
    Image.fromarray(PICTURE).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def huge_png() -> bytes:
    """A header that claims 2^30 pixels."""
    data = bytearray(write_picture(PICTURE))
    data[16:24] = (2**15).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


HOSTILE = {
    "empty": b"",
    "text": b"hello",
    "cut off in the header": write_picture(PICTURE, "png", Kept(EDIT, "g"))[:30],
    "jpeg with broken exif": write_picture(PICTURE, "jpeg", Kept(EDIT, "g")).replace(b"MM\0*", b"MM\0\xff"),
    "a GIF": b"GIF89a" + bytes(30),
    "decompression bomb": huge_png(),
    "not JSON": with_text("{"),
    "a list": with_text("[]"),
    "deep": with_text("[" * 100_000),
    "no version": with_text('{"generator": "g", "edit": {}}'),
    "from the future": with_text('{"version": 99, "generator": "g", "edit": {}}'),
    "no generator": with_text('{"version": 1, "edit": {}}'),
    "no edit": with_text('{"version": 1, "generator": "g"}'),
    "an infinite strength": with_text('{"version": 1, "generator": "g", "edit": {"strengths": [[1, Infinity]]}}'),
    "an unknown field": with_text('{"version": 1, "generator": "g", "edit": {"__class__": 1}}'),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_picture_without_a_valid_edit_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(EditError, match=r"\w+ \w+"):
        read_picture(data)


def test_a_picture_too_large_is_not_even_opened() -> None:
    with pytest.raises(KeepError, match="at most 20 MB"):
        read_picture(bytes(21 * 2**20))


def test_jpeg_says_when_it_has_no_room() -> None:
    large = Edit(latent=Latent.of(np.zeros((18, 1024), np.float32)))
    with pytest.raises(KeepError, match="save as PNG"):
        write_picture(PICTURE, "jpeg", Kept(large, "g"))
    assert read_picture(write_picture(PICTURE, "webp", Kept(large, "g"))).edit == large


def test_a_link_holds_a_photo_in_w_and_says_that_w_plus_is_too_long() -> None:
    one = Edit(latent=Latent.of(PHOTO.numpy()[0]))
    assert len(write_link(one)) < MAX_LINK
    assert read_link(write_link(one)) == one
    with pytest.raises(KeepError, match="send the picture"):
        write_link(Edit(latent=PHOTO))


@pytest.mark.parametrize("text", ["", "!", "z.", "z.AAAA", "A", "eyJ2ZXJzaW9u", write_link(EDIT)[:-9], "é" * 8, "gICA"])
def test_a_damaged_link_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(EditError, match=r"\w+ \w+"):
        read_link(text)


def test_a_link_cannot_unpack_to_more_than_an_edit() -> None:
    bomb = base64.urlsafe_b64encode(zlib.compress(b" " * 2**24)).decode()
    with pytest.raises(KeepError, match="damaged"):
        read_link(f"z.{bomb}")


def deflated(data: bytes) -> str:
    return f"z.{base64.urlsafe_b64encode(data).decode()}"


def test_the_text_of_a_link_is_whole_or_refused() -> None:
    """A cut at the end of deflated text leaves the JSON whole and takes its checksum."""
    data = zlib.compress(json.dumps(EDIT.to_json()).encode())
    assert read_link(deflated(data)) == EDIT
    with pytest.raises(KeepError, match="damaged"):
        read_link(deflated(data[:-4]))


def test_the_largest_edit_is_read_from_a_link_and_nothing_larger() -> None:
    """Spaces are JSON: without the limit both would be read."""
    text = json.dumps(EDIT.to_json()).encode()
    assert read_link(deflated(zlib.compress(text.ljust(MAX_JSON)))) == EDIT
    with pytest.raises(KeepError, match="damaged"):
        read_link(deflated(zlib.compress(text.ljust(MAX_JSON + 1))))
    with pytest.raises(KeepError, match="damaged"):
        read_link(base64.urlsafe_b64encode(text.ljust(2 * MAX_JSON)).decode())


def peak(work: Callable[[], object]) -> int:
    """Bytes of Python's memory that `work` takes at its most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_link_takes_no_more_memory_than_the_largest_edit() -> None:
    bomb = deflated(zlib.compress(b" " * 2**27, 9))

    def read() -> None:
        with pytest.raises(KeepError, match="damaged"):
            read_link(bomb)

    assert peak(read) < 4 * MAX_JSON


VALUES = '{"version": 2, "generator": "g", "edits": {}, "snapshots": [%s0]}'


@pytest.mark.parametrize("text", [VALUES % ("[0]," * 1_000_000), VALUES % ('{"a":' * 10_000), "[" * 10_000_000])
def test_a_session_takes_memory_in_proportion_to_what_sessions_hold(text: str) -> None:
    def read() -> None:
        with pytest.raises(KeepError, match="not JSON"):
            Session.from_text(text)

    assert peak(read) < 4 * 2**20


def test_a_session_names_a_generator_and_a_few_tabs() -> None:
    for session in (Session("g" * 1001), Session("g", {str(k): Edit() for k in range(21)})):
        with pytest.raises(KeepError, match="generator"):
            Session.from_text(session.to_text())
    with pytest.raises(KeepError, match="do not name their generator"):
        Kept.from_text(Kept(Edit(), "g" * 1001).to_text())


def test_colours_of_a_jpeg_are_as_fine_as_its_shapes() -> None:
    """Red beside blue at every second pixel: with colours at half the size both become violet."""
    stripes = np.zeros((16, 16, 3), np.uint8)
    stripes[:, ::2, 0] = stripes[:, 1::2, 2] = 255
    with Image.open(io.BytesIO(write_picture(stripes, "jpeg"))) as image:
        assert np.abs(np.asarray(image, int) - stripes).max() < 60


def test_a_session_too_large_is_not_even_looked_at() -> None:
    text = Session("g", {}, (Snapshot(EDIT),)).to_text()
    assert Session.from_text(text.ljust(MAX_BYTES)).snapshots
    with pytest.raises(KeepError, match="larger than 32 MB"):
        Session.from_text(text.ljust(MAX_BYTES + 1))


def test_the_largest_session_comes_back() -> None:
    edit = Edit(strengths={f"domain {k}": 0.5 for k in range(100)})
    session = Session("g", {"explore": edit}, (Snapshot(edit, "data:image/png;base64," + "A" * 9000),) * 1000)
    assert len(Session.from_text(session.to_text()).snapshots) == 1000


def test_what_older_systems_put_before_a_text_does_no_harm() -> None:
    """A byte order mark, as editors of Windows write it."""
    text = "\ufeff" + Session("g", {"explore": EDIT}).to_text()
    assert Session.from_text(text) == Session.from_text(text.encode()) == Session("g", {"explore": EDIT})


FOREIGN = [10**400, "x" * 10**6, [[1] * 1000] * 1000, {"a": {"b": [1] * 10_000}}, None, True, 1.5]


@pytest.mark.parametrize("value", FOREIGN, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("key", ["version", "generator", "edit", "edits", "snapshots"])
def test_foreign_values_are_refused_in_few_words(key: str, value: object) -> None:
    session = {"version": 2, "generator": "g", "edits": {"a": {"seed": -1}}, "snapshots": [3]} | {key: value}
    settings = {"version": 1, "generator": "g", "edit": {"seed": -1}} | {key: value}
    for read, data in ((Session.from_text, session), (Kept.from_text, settings)):
        with pytest.raises(EditError) as error:
            read(json.dumps(data))
        assert len(str(error.value)) < 300


def test_a_session_comes_back() -> None:
    thumb = "data:image/jpeg;base64,AAAA"
    shots = Snapshot(EDIT, thumb), Snapshot(Edit(), seconds=1.5), Snapshot(EDIT, "", "the one", "for the\nposter")
    session = Session("cats64", {"explore": EDIT, "compose": Edit(latent=PHOTO)}, shots)
    assert Session.from_text(session.to_text()) == session


@pytest.mark.parametrize("seconds", [0, -1, 10**400, True, "2", None, [1]])
def test_seconds_that_are_none_are_left_out(seconds: object) -> None:
    session = Session("g", {}, (Snapshot(EDIT, seconds=2.5),)).to_text()
    (shot,) = Session.from_text(session.replace("2.5", json.dumps(seconds))).snapshots
    assert shot == Snapshot(EDIT)


def test_words_about_a_snapshot_are_as_long_as_the_page_takes_them() -> None:
    shots = [{"edit": {}, "name": "x" * 99, "note": "y" * 9999}, {"edit": {}, "name": 3, "note": None}]
    text = json.dumps({"version": 2, "generator": "g", "edits": {}, "snapshots": shots})
    long, odd = Session.from_text(text).snapshots
    assert (len(long.name), len(long.note)) == (60, 1000)
    assert (odd.name, odd.note) == ("", "")


def test_a_session_of_version_1_still_loads() -> None:
    session = Session.from_text(OLD_SESSION.read_text())
    assert session.generator == "expanded32"
    assert session.edits == {"explore": Edit(seed=11, strengths={"zombie": 0.5})}
    second = Edit(seed=5, strengths={3: -1.25, "tolkien elf": 0.7}, layers={"tolkien elf": (2, 4)})
    assert [shot.edit for shot in session.snapshots] == [Edit(seed=4), second]


def test_a_session_shows_no_pictures_from_elsewhere() -> None:
    shot = {"edit": {}, "thumb": "https://example.org/x.png"}
    text = json.dumps({"version": 2, "generator": "g", "edits": {}, "snapshots": [shot]})
    assert Session.from_text(text).snapshots[0].thumb == ""


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"version": 3, "snapshots": []},
        {"version": 2, "snapshots": []},
        {"version": 1, "generator": "g", "snapshots": [1]},
        {"version": 2, "generator": "g", "edits": [], "snapshots": []},
        {"version": 2, "generator": "g", "edits": {}, "snapshots": [3]},
        {"version": 2, "generator": "g", "edits": {"explore": {"seed": -1}}, "snapshots": []},
        {"version": 2, "generator": "g", "edits": {}, "snapshots": [{"edit": {}}] * 1001},
        {"version": 1, "seed": 3},
    ],
    ids=str,
)
def test_what_is_no_session_is_refused_in_a_sentence(data: dict) -> None:
    with pytest.raises(EditError, match=r"\w+ \w+"):
        Session.from_text(json.dumps(data))
