"""Photos of every kind open alike, what is no photo is refused in one sentence, faces are found, crops fit."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from odd_photos import encoded, exif, malformed, plain, readable
from PIL import Image
from skimage import data

from explorer.inversion.faces import Box, centre_box, crop, find_faces, find_upright, turned
from explorer.photos import MAX_BYTES, PhotoError, open_photo

READABLE, MALFORMED = readable(), malformed()


@pytest.mark.parametrize("name", READABLE)
def test_every_kind_of_photo_opens_as_rgb(name: str, tmp_path: Path) -> None:
    file, colour = READABLE[name]
    (tmp_path / "photo").write_bytes(file)
    for source in (file, tmp_path / "photo", str(tmp_path / "photo")):
        image = open_photo(source)
        assert (image.mode, image.size) == ("RGB", (40, 30))
        middle = np.asarray(image, int)[15, 20]
        assert np.abs(middle - np.array(colour)).max() <= 3, middle


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_photo_is_refused_in_one_sentence(name: str) -> None:
    file, word = MALFORMED[name]
    with pytest.raises(PhotoError, match=word) as caught:
        open_photo(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"cat\.jpg"):
        open_photo(tmp_path / "cat.jpg")
    with pytest.raises(PhotoError, match="folder"):
        open_photo(tmp_path)


MEASURE = """
import sys
from pathlib import Path
from explorer.photos import open_photo

def status(line):
    return next(int(row.split()[1]) * 1024 for row in open("/proc/self/status") if row.startswith(line))

for path in sys.argv[1:]:
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    photo = open_photo(Path(path))
    print(status("VmHWM") - before, *photo.size, *photo.getpixel((5, 5)))
    del photo
"""


def test_a_large_photo_is_decoded_within_a_budget(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((7000, 7000), 100 * 257, np.uint16))
    grey.save(tmp_path / "16bit.png", compress_level=1)
    plain("RGBA", (9, 9, 9, 9), size=(5000, 4000)).save(tmp_path / "alpha.png", compress_level=1)
    plain(size=(5000, 4000)).save(tmp_path / "photo.jpg")
    files = ["16bit.png", "alpha.png", "photo.jpg"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", MEASURE, *files]
    run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = dict(zip(files, ([int(n) for n in line.split()] for line in run.stdout.splitlines()), strict=True))
    assert max(taken for taken, *_ in lines.values()) < 400_000_000
    assert lines["16bit.png"][1:] == [3500, 3500, 100, 100, 100]
    assert lines["alpha.png"][1:3] == [2500, 2000]
    assert lines["photo.jpg"][1:3] == [2500, 2000]


def test_a_strip_is_as_good_as_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (61, 47, 4), np.uint8)
    for mode in ("RGBA", "RGB", "LA", "L", "P", "CMYK", "1"):
        file = encoded(Image.fromarray(noise).convert("RGB").convert(mode), "TIFF" if mode == "CMYK" else "PNG")
        whole = np.asarray(open_photo(file))
        with monkeypatch.context() as small:
            small.setattr("explorer.photos.STRIP", 100)
            assert np.array_equal(np.asarray(open_photo(file)), whole)
            small.setattr("explorer.photos.DETAIL", 1000)
            reduced = np.asarray(open_photo(file))
        assert np.array_equal(reduced, np.asarray(Image.fromarray(whole[:60, :46]).reduce(2)))


def test_a_file_is_looked_at_for_its_size_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)  # a file with a hole: nothing is written
    with pytest.raises(PhotoError, match="more than 200 MB"):
        open_photo(tmp_path / "large.png")


@pytest.mark.parametrize("kind", ["AVIF", "WEBP", "JPEG2000", "TIFF", "ICO", "TGA", "PPM"])
def test_damage_of_every_format_is_one_sentence(kind: str) -> None:
    whole = encoded(plain(size=(64, 64)), kind)
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 6):
            data[place] = rng.integers(0, 256)
        with contextlib.suppress(PhotoError):
            open_photo(bytes(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_cameras_rotation_is_undone(orientation: int) -> None:
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :12] = 255  # the upper left corner
    turned = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, 3),
    }[orientation]  # fmt: skip
    file = encoded(Image.fromarray(np.ascontiguousarray(turned)), "PNG", exif=exif(orientation))
    assert np.array_equal(np.asarray(open_photo(file)), upright)


def test_a_damaged_note_of_the_camera_is_ignored() -> None:
    file = encoded(plain(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 20)
    assert open_photo(file).size == (40, 30)


def test_the_cat_is_found_and_a_cup_is_no_face() -> None:
    (face, *_) = find_faces(Image.fromarray(data.chelsea()))
    for x, y in ((170, 115), (320, 137), (265, 245)):  # eyes and nose
        assert face.left < x < face.left + face.size
        assert face.top < y < face.top + face.size
    assert face.size < 420
    assert find_faces(Image.fromarray(data.coffee())) == []


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_a_face_is_found_in_the_same_place_however_large_the_photo_is(enlarged: int) -> None:
    photo = Image.fromarray(data.chelsea())
    (face,) = find_faces(photo.resize([enlarged * side for side in photo.size], Image.Resampling.LANCZOS))
    where = [value / enlarged for value in (face.left, face.top, face.size)]
    assert where == pytest.approx([70, -18, 342], abs=15)


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_photo_on_its_side_is_turned_and_its_face_is_that_of_the_upright_one(quarters: int) -> None:
    photo = Image.fromarray(data.chelsea())
    stands, turn, faces = find_upright(turned(photo, quarters))
    assert (turn + quarters) % 4 == 0
    assert np.array_equal(np.asarray(stands), np.asarray(photo))
    assert faces == find_faces(photo)


def test_nothing_is_turned_for_what_is_no_face() -> None:
    coins = Image.fromarray(data.coins()).convert("RGB")
    assert find_upright(coins) == (coins, 0, [])


def test_several_faces_come_largest_first_and_once_each() -> None:
    cat = Image.fromarray(data.chelsea())
    wide = Image.new("RGB", (900, 400), (128, 128, 128))
    wide.paste(cat, (20, 50))
    wide.paste(Image.fromarray(data.astronaut()).crop((130, 20, 320, 210)).resize((300, 300)), (560, 60))
    faces = find_faces(wide)
    assert len(faces) == 2
    assert all(a.size >= b.size for a, b in pairwise(faces))
    assert faces[0].left < 450 < faces[1].left


def test_the_middle_is_the_largest_square() -> None:
    assert centre_box(plain(size=(40, 30))) == Box(5, 0, 30)
    assert centre_box(plain(size=(30, 41))) == Box(0, 5, 30)


def test_a_crop_is_the_box_and_mirrors_beyond_the_border() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(crop(image, Box(3, 4, 16), 16), pixels[4:20, 3:19])
    assert np.array_equal(crop(image, None, 30), pixels[:, 5:35])
    over = crop(image, Box(-4, -4, 16), 16)
    assert np.array_equal(over[4:, 4:], pixels[:12, :12])
    assert np.array_equal(over[:4, 4:], pixels[3::-1, :12])
    far = crop(image, Box(-100, -100, 160), 160)
    assert np.array_equal(far[100:130, 100:140], pixels)
    assert crop(image, Box(0, 0, 20), 64).shape == (64, 64, 3)


@pytest.mark.parametrize("box", [Box(50, 0, 10), Box(0, -10, 10), Box(0, 0, 0), Box(0, 0, -3), Box(0, 0, 10**6)])
def test_a_box_beside_the_photo_is_refused(box: Box) -> None:
    with pytest.raises(PhotoError, match="square"):
        crop(plain(), box, 16)
