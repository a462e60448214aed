"""Files of the server's disk: what is offered of it, to whom, and what a user writes there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from app_server import ROOT

from explorer import DEFAULT, CheckpointError, Engine, load
from explorer.ui import Disk, Serving, Shelf, build_ui
from explorer.ui.disk import SHOWN, checkpoint_at, listing
from explorer.ui.tabs.model import offered, write_arranged
from explorer.weights.folder import meta_of

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
DOMAINS = ("sketch", "tolkien elf", "zombie")


def test_of_a_folder_folders_and_readable_checkpoints_are_shown(tmp_path: Path) -> None:
    for name in ("b", "A", ".hidden"):
        (tmp_path / name).mkdir()
    for name in ("x.pkl", "Y.safetensors", "notes.txt", ".z.pt", "empty.pt", "secret.ckpt"):
        (tmp_path / name).write_bytes(b"" if name == "empty.pt" else b"12345")
    (tmp_path / "secret.ckpt").chmod(0)
    os.mkfifo(tmp_path / "pipe.pkl")
    (tmp_path / "nowhere.pkl").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "linked").symlink_to(tmp_path / "A")
    found = listing(str(tmp_path))
    assert found["folders"] == ["A", "b", "linked"]
    names = [file["name"] for file in found["files"]]
    assert names == ["secret.ckpt"] * (os.geteuid() == 0) + ["x.pkl", "Y.safetensors"]  # root reads everything
    assert found["files"][-1] == {"name": "Y.safetensors", "bytes": 5}
    assert (found["path"], found["parent"], found["more"]) == (str(tmp_path), str(tmp_path.parent), 0)


def test_a_folder_is_shown_within_bounds(tmp_path: Path) -> None:
    for number in range(SHOWN + 3):
        (tmp_path / f"{number:04}.pt").write_bytes(b"x")
    found = listing(str(tmp_path))
    assert (len(found["files"]), found["more"]) == (SHOWN, 3)
    assert listing("/")["parent"] is None


@pytest.mark.parametrize("address", ["", "models", "a/../b", None, 3, ["/"], "/tmp\0", "/" * 5000, "~nobody-at-all/x"])
def test_what_is_no_address_is_refused(address: Any) -> None:
    with pytest.raises(CheckpointError):
        checkpoint_at(address)
    if address is not None:
        with pytest.raises(CheckpointError):
            listing(address)


def test_hidden_folders_are_not_shown_and_pipes_not_opened(tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for address in (tmp_path / ".hidden", tmp_path / "none", tmp_path / ".hidden" / ".." / ".hidden"):
        with pytest.raises(CheckpointError):
            listing(str(address))
    os.mkfifo(tmp_path / "pipe.pkl")
    for address in (tmp_path / "pipe.pkl", tmp_path, tmp_path / "none.pkl"):
        with pytest.raises(CheckpointError):
            checkpoint_at(str(address))


def test_an_address_may_stand_in_quotes_and_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    file = Path(shutil.copy(EXPANDED, tmp_path / "blob"))
    (tmp_path / "named.pkl").symlink_to(file)
    assert checkpoint_at(' "~/named.pkl" ') == tmp_path / "named.pkl", "a link keeps its name"
    assert listing()["path"] == str(tmp_path)


def test_what_was_opened_lately_is_known_to_the_next_server(tmp_path: Path) -> None:
    file = tmp_path / "data" / "opened.json"
    paths = [tmp_path / f"{number}.pkl" for number in range(12)]
    for path in paths:
        path.write_bytes(b"x")
        Disk(file).remember(path)
    Disk(file).remember(paths[-2])
    latest = Disk(file).latest()
    assert latest[:3] == [paths[-2], paths[-1], paths[-3]]
    assert len(latest) == 8
    paths[-2].unlink()
    assert Disk(file).latest()[0] == paths[-1]
    for damage in ("{", "3", "null", '[{"a": 1}]', "[1]"):
        file.write_text(damage)
        assert Disk(file).latest() == []


@pytest.mark.parametrize(
    ("changes", "private"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"share": True}, False),
        ({"auth": (("ann", "secret"),)}, False),
        ({"root_path": "/cats"}, False),
    ],
)
def test_files_of_the_disk_are_for_the_user_of_this_machine_alone(changes: dict[str, Any], private: bool) -> None:
    assert Serving(**changes).private is private


def test_a_page_for_others_offers_no_file_and_writes_none(tmp_path: Path) -> None:
    shelf = Shelf(build_ui, "cpu", "fp32", tmp_path)
    for call in (lambda: shelf.find(str(EXPANDED)), lambda: offered(shelf), lambda: offered(None)):
        with pytest.raises(CheckpointError, match="user alone"):
            call()
    engine = Engine(load(EXPANDED), "cpu", "fp32")
    with pytest.raises(CheckpointError, match="open to everybody"):
        write_arranged(engine, shelf, {"domains": [["sketch", "sketch"]], "file": "mine"})
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_disk_has_one_name_also_for_the_next_server(tmp_path: Path) -> None:
    file = Path(shutil.copy(EXPANDED, tmp_path))
    own = tmp_path / "models"

    def server() -> Shelf:
        return Shelf(build_ui, "cpu", "fp32", ROOT / "checkpoints", None, file, own, Disk(tmp_path / "opened.json"))

    name = server().find(str(file))
    assert name.startswith("expanded32~")
    assert server().first == name
    assert Disk(tmp_path / "opened.json").named(name) == file
    assert server().find(str(DEFAULT)) == DEFAULT.stem, "one of the list is that one"
    (tmp_path / "no.pkl").write_bytes(b"none")
    with pytest.raises(CheckpointError, match=r"no\.pkl"):
        server().find(str(tmp_path / "no.pkl"))
    assert Disk(tmp_path / "opened.json").latest() == [file]


def test_domains_are_written_under_other_names_in_another_order_without_some(tmp_path: Path) -> None:
    checkpoint = load(EXPANDED)
    assert checkpoint.expansion
    engine = Engine(checkpoint, "cpu", "fp32")
    shelf = Shelf(build_ui, "cpu", "fp32", tmp_path / "none", own=tmp_path / "models")
    assert set(checkpoint.expansion.domains) == set(DOMAINS)
    dims = {name: checkpoint.expansion.dim(name) for name in DOMAINS}
    name = write_arranged(engine, shelf, {"domains": [["zombie", "ghoul"], ["sketch", "sketch"]], "file": "mine"})
    assert (name, shelf.names()) == ("mine", ["mine"])
    written = load(tmp_path / "models" / "mine.safetensors")
    assert written.expansion
    assert written.expansion.domains == ("ghoul", "sketch")
    assert written.expansion.dims == (dims["zombie"], dims["sketch"])
    assert engine.checkpoint.expansion == checkpoint.expansion, "the generator on the page stays as it is"


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"domains": [], "file": "a"}, "keeps at least one"),
        ({"domains": [["sketch", "a"], ["zombie", "a"]], "file": "a"}, "same name"),
        ({"domains": [["dragon", "a"]], "file": "a"}, "not this generator's"),
        ({"domains": [["sketch", "12"]], "file": "a"}, "not a number"),
        ({"domains": [["sketch", ""]], "file": "a"}, "name"),
        ({"domains": [["sketch", ["x"]]], "file": "a"}, "name"),
        ({"domains": "sketch", "file": "a"}, "pairs"),
        ({"domains": [["sketch"]], "file": "a"}, "pairs"),
        ({"domains": [["sketch", "sketch"]], "file": "../a"}, "file name"),
        ({"domains": [["sketch", "sketch"]], "file": None}, "file name"),
        ({"domains": [["sketch", "sketch"]], "file": "there"}, "already"),
    ],
)
def test_what_cannot_be_written_is_refused(request_: dict[str, Any], why: str, tmp_path: Path) -> None:
    engine = Engine(load(EXPANDED), "cpu", "fp32")
    shelf = Shelf(build_ui, "cpu", "fp32", tmp_path / "none", own=tmp_path)
    load(EXPANDED).save(tmp_path / "there.safetensors")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=why):
        write_arranged(engine, shelf, request_)
    assert sorted(tmp_path.iterdir()) == before


def test_how_domains_were_learned_goes_with_them(tmp_path: Path) -> None:
    shipped = load(DEFAULT)
    changed = shipped.with_domains({"charcoal": "coal", "pencil sketch": "pencil"})
    assert [entry["name"] for entry in changed.meta["learned"]] == ["coal", "pencil"]
    before = {entry["name"]: entry["arguments"] for entry in shipped.meta["learned"]}
    assert [entry["arguments"] for entry in changed.meta["learned"]] == [before["charcoal"], before["pencil sketch"]]
    path = changed.save(tmp_path / "changed.safetensors")
    assert meta_of(path) == changed.meta
    assert meta_of(EXPANDED) == {}
