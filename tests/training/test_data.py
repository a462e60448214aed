"""Pictures in a fixed order, the held-out split, and random numbers that follow from seed and step."""

from __future__ import annotations

import contextlib
import pickle
import tracemalloc
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from explorer.photos import MAX_BYTES
from explorer.training.data import MAX_LABELS, DataError, Order, Pictures, is_held_out
from explorer.training.draws import Draws, share
from tests.training.tiny import COUNT, write_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("data") / "pictures.zip")


def test_a_folder_and_a_zip_give_the_same_pictures(data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(data) as archive:
        archive.extractall(tmp_path)
    packed, unpacked = Pictures(data, 16), Pictures(tmp_path, 16)
    assert packed.names == unpacked.names
    assert packed.classes == unpacked.classes == ("a", "b", "c")
    for i in range(COUNT):
        (a, label), (b, other) = packed[i], unpacked[i]
        assert torch.equal(a, b)
        assert label == other
        assert a.shape == (3, 16, 16)
        assert a.dtype == torch.uint8
    assert [packed[i][1] for i in range(4)] == [0, 1, 2, 0]


def test_pictures_survive_being_sent_to_a_worker(data: Path) -> None:
    pictures = Pictures(data, 16)
    copy = pickle.loads(pickle.dumps(pictures))
    assert torch.equal(copy[3][0], pictures[3][0])


def test_other_sizes_are_cropped_to_the_middle(tmp_path: Path) -> None:
    wide = Image.new("RGB", (40, 20), (0, 0, 255))
    wide.paste((255, 0, 0), (10, 0, 30, 20))
    wide.save(tmp_path / "wide.png")
    picture, label = Pictures(tmp_path, 8)[0]
    assert label == -1
    assert picture[0].min() > 230
    assert picture[2].max() < 25


def test_the_held_out_split_follows_from_names_alone(data: Path) -> None:
    rest, held = Pictures(data, 16, 0.25), Pictures(data, 16, 0.25, held_out=True)
    assert not set(rest.names) & set(held.names)
    assert len(rest) + len(held) == COUNT
    assert set(Pictures(data, 16, 0.1, held_out=True).names) <= set(held.names)
    names = [f"{i:02}/{i:05}.jpg" for i in range(20_000)]
    assert sum(is_held_out(name, 0.05) for name in names) == pytest.approx(1000, abs=100)
    assert [name for name in names[:60] if is_held_out(name, 0.05)] == ["12/00012.jpg", "58/00058.jpg"]


def test_every_epoch_shows_every_picture_once_in_an_order_of_its_own() -> None:
    order = Order(count=10, batch=4, seed=3)
    shown = torch.cat([order.at(step) for step in range(5)])  # 20 positions: two epochs, a batch across the border
    assert shown[:10].sort().values.tolist() == shown[10:].sort().values.tolist() == list(range(10))
    assert shown[:10].tolist() != shown[10:].tolist()
    assert order.at(1).tolist() == Order(10, 4, 3).at(1).tolist()
    assert order.at(1).tolist() != Order(10, 4, 4).at(1).tolist()


def test_the_order_starts_anywhere_and_shares_make_the_whole() -> None:
    later = list(islice(Order(10, 8, 0, start=2), 3))
    assert later == list(islice(Order(10, 8, 0), 5))[2:]
    parts = [next(iter(Order(10, 8, 0, share=share(8, rank, 2, 4)))) for rank in range(2)]
    assert sorted(parts[0] + parts[1]) == sorted(Order(10, 8, 0).at(0).tolist())


def test_shares_keep_the_groups_of_minibatch_statistics_whole() -> None:
    groups = {frozenset(group) for group in torch.arange(16).reshape(4, 4).t().tolist()}
    for rank in range(2):
        mine = share(16, rank, 2, 4)
        assert {frozenset(group) for group in mine.reshape(4, 2).t().tolist()} <= groups
    with pytest.raises(ValueError, match="cannot be cut"):
        share(12, 0, 2, 4)


def test_draws_follow_from_seed_step_and_sample() -> None:
    def numbers(seed: int, step: int, part: torch.Tensor) -> torch.Tensor:
        draws = Draws(seed, step, 8, part)
        return torch.cat([draws.normal(3), draws.uniform(2), draws.noise(0, 4).flatten(1)], dim=1)

    whole = numbers(0, 5, torch.arange(8))
    assert torch.equal(whole, numbers(0, 5, torch.arange(8)))
    for rank in range(2):
        part = share(8, rank, 2, 4)
        assert torch.equal(numbers(0, 5, part), whole[part])
    assert not torch.equal(whole, numbers(0, 6, torch.arange(8)))
    assert not torch.equal(whole, numbers(1, 5, torch.arange(8)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "dataset.json is not"),
        ("[]", "dataset.json is not"),
        ("[" * 200_000, "dataset.json is not"),
        ('{"labels": ' * 5_000, "nests too deeply|dataset.json is not"),
        ('{"labels": 5}', "dataset.json is not"),
        ('{"classes": 5}', "dataset.json is not"),
        ('{"classes": ["a"], "labels": [["x.png", 3]]}', "outside its 1 classes"),
        ('{"labels": [["x.png", 1e308]]}', "an index from 0 to 99,999"),
        ('{"labels": [["other.png", 1e308]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", NaN]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", 100000]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", -1]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", true]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", "1"]]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", [[[]]]]]}', "an index from 0 to 99,999"),
        ('{"labels": [[["x.png"], 1]]}', "an index from 0 to 99,999"),
        ('{"labels": ["ab"]}', "an index from 0 to 99,999"),
        ('{"labels": [["x.png", 0]], "classes": [[1]]}', "a class in dataset.json is a name"),
        (f'{{"labels": [["x.png", 0]], "classes": ["{"x" * 2000}"]}}', "a class in dataset.json is a name"),
    ],
    ids=lambda text: text[:40],
)
def test_broken_labels_are_refused(tmp_path: Path, text: str, words: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=words) as error:
        Pictures(tmp_path, 8)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("member", ["dataset.json", "large.png"])
def test_members_of_a_zip_are_looked_at_for_their_size_before_they_grow(tmp_path: Path, member: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive, archive.open(member, "w") as file:
        for _ in range(MAX_LABELS // 2**22 + 1):
            file.write(bytes(2**22))
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        if member == "dataset.json":
            archive.writestr("x.png", b"")
    tracemalloc.start()
    with pytest.raises(DataError, match=r"at most|none of the 1"):
        Pictures(tmp_path / "a.zip", 8)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_large_file_beside_the_pictures_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="none of the 1 pictures"):
        Pictures(tmp_path, 8)[0]


def test_a_damaged_zip_is_refused_in_one_sentence(tmp_path: Path, data: Path) -> None:
    whole = data.read_bytes()
    for at in range(whole.rindex(b"PK\x01\x02"), len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0xFF
        (tmp_path / "a.zip").write_bytes(damaged)
        with contextlib.suppress(DataError):
            Pictures(tmp_path / "a.zip", 16)[COUNT - 1]


def test_labels_of_other_programs_are_whole_numbers_in_any_spelling(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "dataset.json").write_bytes(b'\xef\xbb\xbf{"labels": [["x.png", 2.0]]}')
    pictures = Pictures(tmp_path, 8)
    assert (pictures[0][1], pictures.classes) == (2, ("0", "1", "2"))


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        Pictures(tmp_path, 8)
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        Pictures(tmp_path / "nothing", 8)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 1 pictures"):
        Pictures(tmp_path, 8)[0]


def test_pictures_look_as_photos_do_elsewhere(tmp_path: Path) -> None:
    """Clear areas are white and 16 bits are scaled, as the Photo tab shows them."""
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((8, 8), 32_896, np.uint16)).save(tmp_path / "grey.png")
    pictures = Pictures(tmp_path, 8)
    assert pictures[0][0].min() == 255
    assert pictures[1][0].unique().tolist() == [128]


def test_a_damaged_picture_is_passed_over_for_the_next_and_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(3):
        Image.new("RGB", (8, 8), (80 * i, 0, 0)).save(tmp_path / f"{i}.png")
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    pictures = Pictures(tmp_path, 8)
    for _ in range(2):
        assert [int(pictures[i][0].max()) for i in range(3)] == [0, 160, 160]
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "1.png" in told
    for i in range(1500):  # more than Python nests calls
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1500 pictures"):
        Pictures(tmp_path, 8)[2]


def test_a_damaged_entry_of_a_zip_is_passed_over(data: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(data) as archive:
        first = archive.getinfo("000.png")
    content = bytearray(data.read_bytes())
    content[first.header_offset + 60] ^= 255  # within the stored picture: its checksum fails
    broken.write_bytes(content)
    assert torch.equal(Pictures(broken, 16)[0][0], Pictures(data, 16)[1][0])


def test_what_systems_leave_beside_pictures_is_none(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.gif")
    (tmp_path / "notes.txt").write_text("words")
    for name in (".DS_Store", "._cat.png", "__MACOSX/._cat.png", ".hidden/cat.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    pictures = Pictures(tmp_path, 8)
    assert pictures.names == ["cat.gif"]
    assert str(pictures) == f"1 pictures of {tmp_path}, 1 files passed over (notes.txt)"


def test_labels_are_found_in_the_folder_that_a_zip_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "cats" / "in").mkdir(parents=True)
    for name in ("in/a.png", "in/b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / "cats" / name)
    (tmp_path / "cats" / "dataset.json").write_text('{"labels": [["in\\\\a.png", 0], ["in/b.png", 1]]}')
    assert Pictures(tmp_path, 8).labels == {"cats/in/a.png": 0, "cats/in/b.png": 1}


def test_pictures_without_a_label_are_left_out_only_where_labels_count(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "dataset.json").write_text('{"classes": ["cat"], "labels": [["b.png", 0]]}')
    assert [label for _, label in (Pictures(tmp_path, 8)[i] for i in range(3))] == [-1, 0, -1]
    assert Pictures(tmp_path, 8, labelled=True).names == ["b.png"]


def test_folders_are_classes_where_labels_count(tmp_path: Path) -> None:
    for name in ("white/a.png", "black/b.png", "white/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    pictures = Pictures(tmp_path, 8, labelled=True)
    assert pictures.classes == ("black", "white")
    assert [pictures[i][1] for i in range(3)] == [0, 1, 1]
    assert Pictures(tmp_path, 8).classes == ()
    with pytest.raises(DataError, match="by folders"):
        Pictures(tmp_path / "white", 8, labelled=True)


def test_a_fraction_that_leaves_nothing_is_named(data: Path) -> None:
    for fraction, held_out in ((1.0, False), (0.0, True)):
        with pytest.raises(DataError, match=f"--held-out than {fraction}"):
            Pictures(data, 16, fraction, held_out=held_out)
