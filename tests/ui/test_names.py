"""Journeys: directions that are called otherwise, starred, hidden, made and brought; a real server, a real Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_server import ROOT, Server, open_page
from playwright.sync_api import Browser, Locator, Page, expect

from explorer import DEFAULT, Edit, EditError, Engine, load
from explorer.edit import Caption
from explorer.engine.own import read_directions
from explorer.ui.naming import Naming, identity

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Of its own: names are kept for everybody who opens its generator."""
    checkpoint = tmp_path_factory.mktemp("names") / "expanded32.pkl"
    shutil.copyfile(EXPANDED, checkpoint)
    engine = Engine(load(checkpoint), "cpu", "fp32")
    engine.measure_effects()  # captions are kept with the effects
    engine.caption({3: Caption("fur: dark to light", 0.75)})
    server = Server(checkpoint)
    yield server
    server.kill()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    yield from open_page(browser, server)


def slider(page: Page, name: str) -> Locator:
    return page.get_by_role("slider", name=name, exact=True)


def unfold(page: Page, name: str) -> Locator:
    """What unfolds from a row."""
    page.get_by_role("button", name=f"More about {name}", exact=True).click()
    return page.locator(".row.open").filter(has=slider(page, name))


def painted(page: Page) -> str:
    return page.locator(".explore canvas").first.evaluate("canvas => canvas.toDataURL()")


def own(page: Page) -> Locator:
    group = page.locator('.group[data-group="own"]')
    if "open" not in (group.get_attribute("class") or ""):
        group.locator(".group-head").click()
    return group


def bring(page: Page, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        own(page).get_by_role("button", name="From a file").click()
    chooser.value.set_files(file)


def first_labels(page: Page, group: str, count: int) -> list[str]:
    return page.locator(f'.group[data-group="{group}"] .row:visible .row-label').all_inner_texts()[:count]


def test_directions_are_called_otherwise_starred_and_hidden_for_good(page: Page, server: Server) -> None:
    row = unfold(page, "Factor 5")
    row.get_by_role("textbox", name="Name of Factor 5").fill("nose")
    row.get_by_role("textbox", name="Name of Factor 5").press("Enter")
    row = page.locator(".row.open").filter(has=slider(page, "nose"))
    row.get_by_role("button", name="Star", exact=True).click()
    assert first_labels(page, "factors", 2) == ["nose", "Factor 0"]
    unfold(page, "Factor 1").get_by_role("button", name="Hide", exact=True).click()
    page.get_by_role("button", name="More about Factor 1", exact=True).click()
    expect(slider(page, "Factor 1")).to_be_hidden()
    assert first_labels(page, "factors", 3) == ["nose", "Factor 0", "Factor 2"]

    page.goto("about:blank")  # what is open would complain
    server.kill()
    server.start()
    page.goto(server.url)
    page.wait_for_selector(".explore[data-painted]")
    assert first_labels(page, "factors", 3) == ["nose", "Factor 0", "Factor 2"]
    search = page.get_by_role("searchbox", name="Search directions")
    search.fill("factor 1")
    expect(slider(page, "Factor 1")).to_be_visible()
    search.fill("factor 5")
    expect(slider(page, "nose")).to_be_visible()
    search.fill("")
    page.get_by_role("button", name="Show 1 hidden").click()
    expect(slider(page, "Factor 1")).to_be_visible()
    unfold(page, "Factor 1").get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("button", name="Show 1 hidden")).to_be_hidden()
    row = unfold(page, "nose")
    row.get_by_role("button", name="Unstar").click()
    row.get_by_role("textbox", name="Name of Factor 5").fill("")
    row.get_by_role("textbox", name="Name of Factor 5").press("Enter")
    expect(slider(page, "Factor 5")).to_be_visible()
    page.get_by_role("tab", name="Compose", exact=True).click()
    expect(page.locator(".add option", has_text="Factor 5").first).to_be_attached()


def test_a_search_finds_what_a_direction_does(page: Page) -> None:
    search = page.get_by_role("searchbox", name="Search directions")
    search.fill("fur light")
    expect(page.locator(".row:visible")).to_have_count(1)
    row = page.locator(".row").filter(has=slider(page, "Factor 3"))
    expect(row.locator(".row-caption")).to_have_text("fur: dark to light")
    row.locator(".row-name").hover()
    expect(page.locator(".tip")).to_contain_text("fur: dark to light, in 75 % of pictures")
    search.fill("eye")
    expect(page.locator(".row:visible")).to_have_count(0)
    search.fill("")
    expect(page.locator(".row-caption:visible")).to_have_count(1)


def test_what_sliders_do_becomes_a_direction_that_is_saved_deleted_and_brought_back(
    page: Page, server: Server, tmp_path: Path
) -> None:
    for name, key in (("sketch", "End"), ("Factor 3", "Home")):
        slider(page, name).focus()
        slider(page, name).press(key)
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).strengths?.length === 2")
    page.wait_for_timeout(300)
    before = painted(page)
    own(page).get_by_role("button", name="From these sliders").click()
    own(page).get_by_role("textbox", name="Name of the direction").fill("ghost")
    own(page).get_by_role("button", name="Keep").click()
    expect(slider(page, "ghost")).to_have_value("1")
    expect(slider(page, "sketch")).to_have_value("0")
    page.wait_for_selector(".explore[data-painted*=ghost]")
    assert painted(page) == before, "one slider does what both did"

    page.get_by_role("tab", name="Compose", exact=True).click()
    page.get_by_role("combobox", name="Add a factor").select_option("ghost")
    expect(slider(page, "ghost, weight")).to_have_value("0.6")
    page.get_by_role("tab", name="Explore", exact=True).click()

    row = unfold(page, "ghost")
    with page.expect_download() as download:
        row.get_by_role("button", name="Save as file").click()
    download.value.save_as(tmp_path / "ghost.safetensors")
    engine = Engine(load(EXPANDED), "cpu", "fp32")
    (read,) = read_directions((tmp_path / "ghost.safetensors").read_bytes(), "", engine.generator)
    assert read.name == "ghost"
    row.get_by_role("button", name="Delete", exact=True).click()
    expect(slider(page, "ghost")).to_be_hidden()
    page.get_by_role("button", name="Bring it back").click()
    expect(slider(page, "ghost")).to_be_visible()

    page.goto("about:blank")  # what is open would complain
    server.kill()
    server.start()
    page.goto(server.url)
    page.wait_for_selector(".explore[data-painted]")
    expect(slider(page, "ghost")).to_be_visible()
    unfold(page, "ghost").get_by_role("button", name="Delete", exact=True).click()
    expect(slider(page, "ghost")).to_be_hidden()
    bring(page, tmp_path / "ghost.safetensors")
    expect(slider(page, "ghost")).to_be_visible()


def test_a_vector_of_other_programs_is_a_slider(page: Page, tmp_path: Path) -> None:
    dim = load(EXPANDED).generator.codes.dim
    np.save(tmp_path / "smile.npy", np.eye(dim)[2])
    np.save(tmp_path / "wrong.npy", np.ones(dim + 1))
    bring(page, tmp_path / "wrong.npy")
    expect(page.locator(".message span")).to_contain_text(f"[{dim}]")
    bring(page, tmp_path / "smile.npy")
    expect(slider(page, "smile")).to_be_visible()
    bring(page, tmp_path / "smile.npy")
    expect(page.locator(".message span")).to_contain_text("already")
    slider(page, "smile").focus()
    before = painted(page)
    slider(page, "smile").press("End")
    page.wait_for_selector(".explore[data-painted*=smile]")
    assert painted(page) != before


def test_on_a_page_open_to_everybody_names_stay_in_the_browser(browser: Browser, server: Server) -> None:
    public = Server(server.checkpoint, "--host", "0.0.0.0")
    for page in open_page(browser, public):
        expect(page.locator('.group[data-group="own"]')).to_have_count(0)
        row = unfold(page, "Factor 5")
        row.get_by_role("textbox", name="Name of Factor 5").fill("nose")
        row.get_by_role("textbox", name="Name of Factor 5").press("Enter")
        page.reload()
        page.wait_for_selector(".explore[data-painted]")
        expect(slider(page, "nose")).to_be_visible()
        answer = page.evaluate("() => fetch('config').then((r) => r.text()).then((t) => t.includes('nose'))")
        assert answer is False
    public.kill()


def naming(folder: Path | None) -> Naming:
    return Naming(Engine(load(EXPANDED), "cpu", "fp32"), folder)


SLIDERS = Edit(strengths={2: 1.0}).to_json()
MARKS: dict[str, Any] = {"names": [[5, "nose"], ["sketch", "pencil"]], "stars": [5], "hidden": ["zombie"]}


def test_names_are_kept_under_what_the_generator_is(tmp_path: Path) -> None:
    """Whatever its file is called, and whatever it was taught since."""
    first = naming(tmp_path)
    assert first.mark(MARKS) == {"note": ""}
    assert first.make_direction({"edit": SLIDERS, "name": "mine"}) == {"ids": ["mine"], "note": ""}
    taught = load(EXPANDED).with_domains({"sketch": "drawing"})
    other = Naming(Engine(taught, "cpu", "fp32"), tmp_path)
    assert other.marks == MARKS
    assert [direction.name for direction in other.engine.own] == ["mine"]
    assert identity(Engine(load(DEFAULT), "cpu", "fp32")) != identity(first.engine)
    first.remove_direction({"id": "mine"})
    assert naming(tmp_path).engine.own == ()


def test_where_nothing_can_be_written_it_lasts_for_the_session_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    session = naming(tmp_path / "file")
    assert "until the app is restarted" in session.mark(MARKS)["note"]
    answer = session.make_direction({"edit": SLIDERS, "name": "mine"})
    assert answer["ids"] == ["mine"]
    assert "until the app is restarted" in answer["note"]
    assert session.describe()["marks"] == MARKS
    assert session.engine.direction("mine").group == "own"


def test_strangers_make_and_mark_nothing(tmp_path: Path) -> None:
    public = naming(None)
    for call in (
        lambda: public.mark(MARKS),
        lambda: public.make_direction({"edit": SLIDERS, "name": "mine"}),
        lambda: public.bring_direction({"name": "a.npy", "data": ""}),
        lambda: public.remove_direction({"id": "mine"}),
    ):
        with pytest.raises(EditError, match="open to everybody"):
            call()
    assert public.engine.own == ()


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"names": [], "stars": [], "hidden": 3},
        {"names": [[5]], "stars": [], "hidden": []},
        {"names": [[5, ""]], "stars": [], "hidden": []},
        {"names": [[5, 7]], "stars": [], "hidden": []},
        {"names": [[[5], "a"]], "stars": [], "hidden": []},
        {"names": [], "stars": [None], "hidden": []},
        {"names": [], "stars": [True], "hidden": []},
        {"names": [], "stars": ["x" * 2000], "hidden": []},
        {"names": [], "stars": [5] * 5000, "hidden": []},
    ],
)
def test_damaged_marks_are_refused_and_damaged_files_passed_over(marks: Any, tmp_path: Path) -> None:
    session = naming(tmp_path)
    with pytest.raises(EditError):
        session.mark(marks)
    assert list(tmp_path.iterdir()) == []
    for file in (session.file, session.file.with_suffix(".safetensors")):
        file.write_bytes(b"\x80damaged")
    assert naming(tmp_path).marks == {"names": [], "stars": [], "hidden": []}


@pytest.mark.parametrize("name", ["", "sketch", "Sketch ", "12", "x" * 61, None, "a\nb\x00"])
def test_a_direction_has_a_name_of_its_own(name: Any, tmp_path: Path) -> None:
    with pytest.raises(EditError):
        naming(tmp_path).make_direction({"edit": SLIDERS, "name": name})
