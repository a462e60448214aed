"""Pictures in a fixed order, the held-out split, and random numbers that follow from seed and step."""

from __future__ import annotations

import pickle
import zipfile
from itertools import islice
from pathlib import Path

import pytest
import torch
from PIL import Image

from explorer.training.data import DataError, Order, Pictures, is_held_out
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
    [("[", "dataset.json is not"), ('{"classes": ["a"], "labels": [["x.png", 3]]}', "outside its 1 classes")],
)
def test_broken_labels_are_refused(tmp_path: Path, text: str, words: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=words):
        Pictures(tmp_path, 8)


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pictures"):
        Pictures(tmp_path, 8)
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        Pictures(tmp_path / "nothing", 8)
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"bad\.png in .* is no picture: remove it"):
        Pictures(tmp_path, 8)[0]
