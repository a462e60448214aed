"""History, films and zips of snapshots: journeys in a real Chromium, and what the server refuses."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_server import ROOT
from PIL import Image
from playwright.sync_api import Page, expect

from explorer import Edit, Engine, load
from explorer.ui.answers import answered
from explorer.ui.making import Made, Workshop

PATIENCE = 120_000  # ms for a film on a busy machine
SOON = 60.0  # seconds until a test gives up


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"))


@pytest.fixture
def workshop(engine: Engine) -> Iterator[Workshop]:
    workshop = Workshop(engine, "tiny")
    yield workshop
    workshop.turns.close()


def show_seed(page: Page, seed: int) -> None:
    if not page.get_by_label("Seed", exact=True).first.is_visible():
        page.get_by_role("button", name="Where it starts").click()
    page.get_by_label("Seed", exact=True).first.fill(str(seed))
    page.keyboard.press("Enter")
    page.wait_for_function(f"JSON.parse(document.querySelector('.explore').dataset.painted).seed === {seed}")
    page.locator("body").click(position={"x": 1, "y": 1})


def test_the_history_shows_every_step_and_leads_back_and_forth(expanded_page: Page) -> None:
    page = expanded_page
    for seed in (5, 6, 7):
        show_seed(page, seed)
    page.get_by_role("tab", name="History").click()
    tiles = page.locator("#history .tile")
    expect(tiles).to_have_count(4)
    page.wait_for_function("[...document.querySelectorAll('#history img')].every(({src}) => src.length > 200)")
    assert len({tile.get_attribute("src") for tile in page.locator("#history img").all()}) == 4
    for step, seed in ((2, 5), (4, 7)):
        page.get_by_role("button", name=f"Step {step} of 4").click()
        expect(page.get_by_label("Seed", exact=True).first).to_have_value(str(seed))
        expect(tiles.nth(step - 1)).to_have_class("tile here")
    page.get_by_role("button", name="Undo").first.click()
    expect(tiles.nth(2)).to_have_class("tile here")


def test_snapshots_become_a_film_and_a_zip(expanded_page: Page, engine: Engine) -> None:
    page = expanded_page
    for seed in (5, 6):
        show_seed(page, seed)
        page.get_by_role("button", name="Snapshot", exact=True).click()
    page.get_by_role("button", name="Share and save").click()
    dialog = page.locator(".explore dialog.keep")
    dialog.get_by_role("button", name="Film").click()
    bar = page.locator(".explore .film-bar")
    bar.get_by_label("Kind of film").select_option("webp")
    with page.expect_download(timeout=PATIENCE) as download:
        bar.get_by_role("button", name="Save film").click()
    with Image.open(download.value.path()) as film:
        assert film.size == (512, 512)
        assert getattr(film, "n_frames", 1) > 50
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Share and save").click()
    dialog.get_by_label("Size").select_option("512")
    with page.expect_download(timeout=PATIENCE) as download:
        dialog.get_by_role("button", name="Zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("edits.csv").decode())))
        assert [Edit.from_json(row["edit"]) for row in rows] == [Edit(seed=5), Edit(seed=6)]
        assert Image.open(archive.open("001.png")).size == (512, 512)
        assert {"latents.npy", "directions.npz", "sheet.png"} <= set(archive.namelist())
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    with Image.open(download.value.path()) as picture:
        assert picture.size == (512, 512)
        assert json.loads(picture.info["domain-explorer"])["edit"]["seed"] == 6


def test_a_film_needs_two_snapshots(expanded_page: Page) -> None:
    expanded_page.get_by_role("button", name="Share and save").click()
    dialog = expanded_page.locator(".explore dialog.keep")
    expect(dialog.get_by_role("button", name="Film")).to_be_disabled()
    expect(dialog.get_by_text("Keep two pictures or more with Snapshot")).to_be_visible()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({}, "mp4"),
        ({"kind": "exe", "edits": []}, "mp4"),
        ({"kind": "zip", "edits": []}, "1 to"),
        ({"kind": "mp4", "edits": [{}]}, "2 to 64"),
        ({"kind": "mp4", "edits": [{}, {}], "frames": 10**9}, "frames"),
        ({"kind": "zip", "edits": [{"strengths": [["crayon", 1]]}]}, "crayon"),
        ({"kind": "gif", "edits": [{}, {"seed": 1}], "frames": 2, "px": 10**9}, "4096"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_sentence(
    workshop: Workshop, request_: dict[str, Any], words: str
) -> None:
    error = answered(workshop.make, request_)["error"]
    assert words in error
    assert error.endswith(".")


def until_over(workshop: Workshop, id_: str) -> dict[str, Any]:
    over = threading.Event()
    for _ in range(int(SOON / 0.05)):
        answer = answered(workshop.look, {"id": id_})
        if "error" in answer or answer["state"] not in ("waiting", "working"):
            return answer
        over.wait(0.05)
    raise AssertionError("it is never over")


def test_stop_ends_a_film_without_a_file(workshop: Workshop, engine: Engine) -> None:
    made = workshop.make({"kind": "mp4", "edits": [{}, {"seed": 1}], "frames": 400})
    workshop.stop(made)
    assert until_over(workshop, made["id"])["state"] == "stopped"
    assert "error" in answered(workshop.stop, {"id": "another's"})


def test_a_file_lies_on_the_disk_until_it_is_fetched(workshop: Workshop) -> None:
    made = workshop.make({"kind": "zip", "edits": [{}]})
    answer = until_over(workshop, made["id"])
    assert answer["name"] == "tiny-snapshots.zip"
    path = Path(answer["file"].removeprefix("gradio_api/file="))
    assert zipfile.is_zipfile(path)
    assert path.parent.stat().st_mode & 0o077 == 0, "others on this machine cannot look at it"


def test_a_file_is_handed_over_when_its_work_is_done_and_not_before(workshop: Workshop, tmp_path: Path) -> None:
    written, may_end = threading.Event(), threading.Event()

    def work(_: threading.Event) -> Iterator[Made]:
        yield Made(1.0, tmp_path / "film.mp4")
        written.set()
        may_end.wait(SOON)

    id_ = workshop.turns.join(work).id
    assert written.wait(SOON)
    assert "file" not in workshop.look({"id": id_})
    may_end.set()
    assert until_over(workshop, id_)["file"].endswith("film.mp4")
