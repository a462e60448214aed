"""Journeys through the Compose tab and through what is kept, in a real Chromium against a real server."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from app_server import ROOT, Server, serious_barriers
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from skimage import data

from explorer import Edit, Engine, Latent, load
from explorer.keep import Kept, read_picture, write_link, write_picture
from explorer.ui.tabs.compose import equal_strengths

QUIET_MS = 400  # longer than the page waits before it asks for the exact picture of an edit at rest
EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
OLD_SESSION = ROOT / "tests" / "keep" / "session_v1.json"

DROP = """([selector, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, { type }));
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}"""

ALL_IN_VIEW = """() => {
  const board = document.querySelector(".board").getBoundingClientRect();
  return [...document.querySelectorAll(".board .cell")].every((cell) => {
    const { left, right, top, bottom } = cell.getBoundingClientRect();
    const seen = left < board.right && right > board.left && top < board.bottom && bottom > board.top;
    return !seen || cell.querySelector("img").src;
  });
}"""

CUT = """(spans) => spans.filter(({ scrollWidth, clientWidth, scrollHeight, clientHeight }) =>
  scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1).map((span) => span.textContent)"""


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(EXPANDED))


@pytest.fixture
def page(expanded_page: Page) -> Page:
    """The Compose tab with its first picture painted."""
    to_tab(expanded_page, "Compose")
    expanded_page.wait_for_selector(".compose[data-painted]")
    return expanded_page


def to_tab(page: Page, name: str) -> None:
    page.locator("#tabs").get_by_role("tab", name=name, exact=True).first.click()


def until(page: Page, wanted: Callable[[Edit], bool], of: str = ".compose") -> Edit:
    """Wait until the edit of the last picture painted in the panel `of` is as wanted, and all is quiet."""
    edit = Edit()
    for _ in range(200):
        edit = Edit.from_json(json.loads(page.locator(of).get_attribute("data-painted") or "{}"))
        if wanted(edit):
            page.wait_for_timeout(QUIET_MS)
            return edit
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture on the page stays that of {edit}")


def canvas(page: Page, of: str = ".compose") -> str:
    return page.evaluate("of => document.querySelector(`${of} canvas`).toDataURL()", of)


def frames(page: Page) -> int:
    return int(page.locator(".compose").get_attribute("data-frames") or 0)


def weight(page: Page, label: str) -> Locator:
    return page.get_by_role("slider", name=f"{label}, weight", exact=True)


def pick(page: Page, *labels: str) -> None:
    for label in labels:
        page.get_by_role("button", name=label, exact=True).click()
    until(page, lambda edit: dict(edit.strengths).keys() >= set(labels))


def drag(page: Page, handle: Locator, to: float) -> None:
    box = handle.bounding_box()
    assert box
    low, high, value = (float(handle.evaluate(f"e => e.{key}")) for key in ("min", "max", "value"))
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * (value - low) / (high - low), y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * to, y, steps=25)
    page.mouse.up()


def drop(page: Page, onto: str, data: bytes, name: str = "cat.png", kind: str = "image/png") -> None:
    page.evaluate(DROP, [onto, name, kind, base64.b64encode(data).decode()])


def test_the_sum_follows_the_drag_and_can_be_undone(page: Page) -> None:
    bare = canvas(page)
    pick(page, "sketch", "zombie")
    two, before = canvas(page), frames(page)
    assert two != bare
    drag(page, weight(page, "sketch"), 0.8)
    until(page, lambda edit: dict(edit.strengths)["sketch"] > 0.9)
    assert canvas(page) != two
    assert frames(page) >= before + 4, "it did not follow the drag"
    page.keyboard.press("Control+z")
    until(page, lambda edit: dict(edit.strengths) == {"sketch": 0.6, "zombie": 0.6})
    assert canvas(page) == two
    page.keyboard.press("Control+z")
    expect(page.locator(".compose .row")).to_have_count(1)
    page.get_by_role("button", name="Redo").last.click()
    until(page, lambda edit: dict(edit.strengths) == {"sketch": 0.6, "zombie": 0.6})
    page.get_by_role("button", name="Take out sketch").click()
    until(page, lambda edit: dict(edit.strengths) == {"zombie": 0.6})


def test_three_domains_are_blended_on_a_pad(page: Page) -> None:
    """Weights add up to one, are those of a corner at a corner, and the puck lies at their mean."""
    pad, chips = page.locator(".pad"), page.locator(".chips button")
    names = chips.all_inner_texts()
    for chip in (chips.nth(0), chips.nth(1)):
        chip.click()
    expect(pad).to_be_hidden()
    chips.nth(2).click()
    expect(pad.locator(".corner[data-edit] img")).to_have_count(3)
    assert len(set(pad.locator(".corner img").evaluate_all("all => all.map(({ src }) => src)"))) == 3
    assert not serious_barriers(page, ".compose")
    box = pad.locator(".disc").bounding_box()
    assert box

    def to(x: float, y: float) -> None:
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=4)

    def weights(edit: Edit) -> list[float]:
        return [dict(edit.strengths).get(name, 0.0) for name in names]

    to(0.5, 0.5)
    page.mouse.down()
    until(page, lambda edit: weights(edit) == pytest.approx([1 / 3] * 3, abs=0.02))
    to(0.55, 0.3)
    blended = until(page, lambda edit: weights(edit)[0] == pytest.approx(0.6, abs=0.015))
    corners = [(0.5, 0.0), (0.5 + 0.75**0.5 / 2, 0.75), (0.5 - 0.75**0.5 / 2, 0.75)]
    for axis, wanted in ((0, 0.55), (1, 0.3)):
        assert sum(w * c[axis] for w, c in zip(weights(blended), corners, strict=True)) == pytest.approx(
            wanted, abs=0.02
        )
    assert sum(weights(blended)) == pytest.approx(1, abs=0.002)
    to(0.5, 0.95)  # out of the triangle, in the circle: on the side next to it
    side = until(page, lambda edit: weights(edit)[0] == 0)
    assert weights(side)[1:] == pytest.approx([0.5, 0.5], abs=0.02)
    page.mouse.up()
    page.get_by_role("button", name="Undo", exact=True).last.click()
    until(page, lambda edit: weights(edit) == [0.6] * 3)  # the whole way was one step

    pad.get_by_role("button", name=f"All {names[1]}").click()
    until(page, lambda edit: weights(edit) == [0, 1, 0])
    puck = pad.get_by_role("slider", name="Blend")
    expect(puck).to_have_attribute("aria-valuetext", f"{names[1]} 100 %")
    puck.focus()
    page.keyboard.press("ArrowLeft")
    until(page, lambda edit: 0 < weights(edit)[2] < 0.1 < weights(edit)[1] < 1)
    number = page.locator(".compose").get_by_label(f"{names[0]}, value")
    number.fill("1")
    page.keyboard.press("Enter")
    before = puck.bounding_box()
    number.fill("0")
    page.keyboard.press("Enter")
    after = puck.bounding_box()
    assert before
    assert after
    assert before["y"] < after["y"], "the puck follows the sliders"


def test_a_step_of_the_history_brings_its_weights_back(page: Page) -> None:
    pick(page, "sketch", "zombie")
    page.get_by_role("button", name="History").last.click()
    tiles = page.locator(".compose .past img")
    expect(tiles).to_have_count(3)
    page.wait_for_function("[...document.querySelectorAll('.past img')].every(({src}) => src.length > 200)")
    assert len({tile.get_attribute("src") for tile in tiles.all()}) == 3
    for step, picked in ((2, {"sketch": 0.6}), (3, {"sketch": 0.6, "zombie": 0.6})):
        page.get_by_role("button", name=f"Step {step} of 3").click()
        until(page, lambda edit, picked=picked: dict(edit.strengths) == picked)
    page.get_by_role("button", name="History").last.click()
    expect(tiles.first).to_be_hidden()


def test_a_factor_joins_the_sum_and_layers_limit_a_domain(page: Page) -> None:
    pick(page, "zombie")
    page.get_by_label("Add a factor").select_option("4")
    until(page, lambda edit: dict(edit.strengths) == {4: 1.0, "zombie": 0.6})
    everywhere = canvas(page)
    page.get_by_role("button", name="Layers of zombie").click()
    page.get_by_role("slider", name="zombie, last layer").fill("3")
    edit = until(page, lambda edit: bool(edit.layers))
    assert dict(edit.layers) == {"zombie": (0, 3)}
    assert canvas(page) != everywhere


def test_several_seeds_show_the_same_sum(page: Page) -> None:
    pick(page, "zombie")
    page.locator(".compose").get_by_text("4", exact=True).click()
    expect(page.locator(".compose canvas")).to_have_count(4)
    pictures = page.evaluate("[...document.querySelectorAll('.compose canvas')].map((each) => each.toDataURL())")
    assert len(set(pictures)) == 4


def test_two_directions_span_a_grid_and_three_a_set_of_grids(page: Page) -> None:
    page.get_by_role("tab", name="Grid").click()
    expect(page.get_by_text("Pick two domains or factors")).to_be_visible()
    pick(page, "sketch", "zombie")
    expect(page.locator(".board .cell")).to_have_count(25)
    page.wait_for_function("[...document.querySelectorAll('.board img')].every((image) => image.naturalWidth > 0)")
    assert len({image.get_attribute("src") for image in page.locator(".board img").all()}) == 25
    page.get_by_role("button", name="sketch 0.25, zombie 0.75", exact=True).click()
    until(page, lambda edit: dict(edit.strengths) == {"sketch": 0.25, "zombie": 0.75})
    pick(page, "tolkien elf")
    expect(page.locator(".board .cell")).to_have_count(75)
    expect(page.locator(".board figure")).to_have_count(3)


def test_all_pairs_become_a_contact_sheet(page: Page) -> None:
    page.get_by_role("tab", name="All pairs").click()
    expect(page.locator(".board .cell")).to_have_count(6)  # three alone, and each pair once
    page.wait_for_function("[...document.querySelectorAll('.board img')].every((image) => image.naturalWidth > 0)")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save sheet").click()
    with Image.open(download.value.path()) as image:
        assert image.width > 3 * 256
    page.get_by_role("button", name="sketch and zombie").first.click()
    until(page, lambda edit: dict(edit.strengths) == {"sketch": 0.7, "zombie": 0.7})


def test_of_all_pairs_only_those_in_view_are_made(browser: Browser, default_server: Server) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 844}).new_page()
    page.goto(default_server.url)
    to_tab(page, "Compose")
    page.wait_for_selector(".compose[data-painted]")
    page.get_by_role("tab", name="All pairs").click()
    images = page.locator(".board .cell img")
    expect(images.first).to_have_attribute("src", re.compile("^data:"))
    page.wait_for_function(ALL_IN_VIEW)
    made = page.locator(".board .cell img[src]").count()
    assert 0 < made < images.count(), "pictures that nobody sees are made"
    images.last.scroll_into_view_if_needed()
    expect(images.last).to_have_attribute("src", re.compile("^data:"))
    before = images.first.get_attribute("src")
    images.last.click()
    expect(page.locator(".board .cell.here img")).to_have_attribute("src", re.compile("^data:"))
    assert images.first.get_attribute("src") == before, "a board that stays as it is is made again"
    page.context.close()


def test_all_pairs_have_heads_that_stay_and_nothing_is_cut(browser: Browser, default_server: Server) -> None:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(default_server.url)
    to_tab(page, "Compose")
    page.wait_for_selector(".compose[data-painted]")
    page.get_by_role("tab", name="All pairs").click()
    expect(page.locator(".board .cell")).to_have_count(14 * 15 // 2)
    captions = [cell.get_attribute("aria-label") or "" for cell in page.locator(".board .cell").all()]
    assert len({frozenset(caption.split(" and ")) for caption in captions}) == len(captions)
    for width, height in ((1280, 800), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)
        assert page.locator(".pairs .side, .pairs .head").evaluate_all(CUT) == []
        board = page.locator(".board").bounding_box()
        assert board
        page.locator(".board").evaluate("(board) => board.scrollTo(150, 250)")
        head, side = page.locator(".pairs .head").last.bounding_box(), page.locator(".pairs .side").last.bounding_box()
        assert head
        assert side
        assert head["y"] == pytest.approx(board["y"], abs=1), "heads scroll away"
        assert side["x"] >= board["x"] - 1, "names of lines scroll away"
    assert serious_barriers(page) == []
    page.context.close()


def test_the_other_ways_are_shown_beside_the_sum(page: Page, engine: Engine) -> None:
    pick(page, "sketch", "zombie")
    page.get_by_role("tab", name="Other ways").click()
    expect(page.get_by_text("Sum of directions")).to_be_visible()
    shown = []
    for image in page.locator(".board img").all():
        data = base64.b64decode((image.get_attribute("src") or "").split(",")[1])
        with Image.open(io.BytesIO(data)) as opened:
            shown.append(np.asarray(opened.convert("RGB")).astype(float))
    edit = Edit(strengths={"sketch": 0.6, "zombie": 0.6})
    alone = engine.render([Edit(strengths={"sketch": 0.6}), Edit(strengths={"zombie": 0.6})])
    for picture, expected in ((shown[0], engine.render(edit)), (shown[1], np.mean(alone, axis=0))):
        difference = np.abs(picture - expected)  # in bf16, batches of another size round differently
        assert difference.max() <= 6
        assert difference.mean() <= 1


def test_equalised_weights_change_the_picture_equally(page: Page, engine: Engine) -> None:
    base = engine.render(Edit()).astype(float)

    def changes(edit: Edit) -> list[float]:
        alone = [engine.render(Edit(strengths={id_: weight})) for id_, weight in dict(edit.strengths).items()]
        return [float(np.sqrt(((picture - base) ** 2).mean())) for picture in alone]

    unequal = Edit(strengths={"sketch": 0.2, "tolkien elf": -0.4, 3: 2})
    equal = Edit(strengths=equal_strengths(engine, unequal))
    assert max(changes(unequal)) > 1.5 * min(changes(unequal))
    assert max(changes(equal)) < 1.15 * min(changes(equal))
    assert dict(equal.strengths)["tolkien elf"] < 0
    pick(page, "sketch", "zombie")
    page.get_by_role("button", name="Equalise").click()
    expected = equal_strengths(engine, Edit(strengths={"sketch": 0.6, "zombie": 0.6}))
    until(page, lambda edit: dict(edit.strengths) == pytest.approx(expected, abs=0.02))


def test_equalise_never_ends_above_its_own_warning(page: Page, engine: Engine) -> None:
    three: dict[str | int, float] = dict.fromkeys(("sketch", "zombie", "tolkien elf"), 0.8)
    equal = dict(equal_strengths(engine, Edit(strengths=three)))
    assert 1 < sum(equal.values()) <= 1.5
    assert max(dict(equal_strengths(engine, Edit(strengths=three | {"zombie": 1.5, "sketch": 1.5}))).values()) <= 1
    pick(page, "sketch", "zombie", "tolkien elf")
    warning = page.locator(".compose .warning")
    expect(warning).to_contain_text("Together the weights reach 1.8")
    page.get_by_role("button", name="Equalise").click()
    expect(warning).to_be_hidden()


def test_leaving_the_range_of_training_is_said(page: Page) -> None:
    warning = page.locator(".compose .warning")
    pick(page, "sketch", "zombie")
    expect(warning).to_be_hidden()
    page.locator(".compose").get_by_label("zombie, value").fill("1.2")
    expect(warning).to_contain_text("zombie is at 1.2")
    expect(warning).to_contain_text("reach 1.8")
    page.locator(".compose").get_by_label("zombie, value").fill("0.9")
    expect(warning).to_be_hidden()


def test_an_edit_goes_from_tab_to_tab_and_back(expanded_page: Page) -> None:
    page = expanded_page
    page.get_by_label("tolkien elf, value").fill("0.5")
    page.keyboard.press("Tab")
    until(page, lambda edit: bool(edit.strengths), ".explore")
    page.get_by_role("button", name="To Compose").click()
    until(page, lambda edit: dict(edit.strengths) == {"tolkien elf": 0.5})
    pick(page, "zombie")
    page.get_by_role("button", name="To Explore").click()
    until(page, lambda edit: dict(edit.strengths) == {"tolkien elf": 0.5, "zombie": 0.6}, ".explore")


def test_a_photo_handed_over_can_be_composed(expanded_page: Page, engine: Engine) -> None:
    page = expanded_page
    photo = Edit(latent=Latent.of(engine.ws(Edit(seed=99))[0].cpu()))
    page.evaluate("edit => window.domainExplorer.openEdit('compose', edit)", photo.to_json())
    until(page, lambda edit: edit.latent == photo.latent)
    pick(page, "zombie")
    assert until(page, lambda edit: edit.latent == photo.latent and bool(edit.strengths))
    expect(page.get_by_text("from a photo").last).to_be_visible()


@pytest.mark.parametrize("kind", ["png", "webp", "jpeg"])
def test_a_saved_picture_restores_every_slider(page: Page, engine: Engine, kind: str) -> None:
    pick(page, "sketch", "tolkien elf")
    page.get_by_label("Seed", exact=True).last.fill("23")
    page.keyboard.press("Enter")
    edit = until(page, lambda edit: edit.seed == 23)
    shown = canvas(page)
    page.locator(".compose").get_by_role("button", name="Share and save").click()
    page.locator(".compose").get_by_label("Kind of picture").select_option(kind)
    with page.expect_download() as download:
        page.locator(".compose dialog").get_by_role("button", name="Download").click()
    data = Path(download.value.path()).read_bytes()
    page.keyboard.press("Escape")
    kept = read_picture(data)
    assert (kept.edit, kept.generator) == (edit, "expanded32")
    if kind == "png":
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image), engine.render(edit))
    page.get_by_role("button", name="Clear", exact=True).click()
    until(page, lambda edit: not edit.strengths)
    drop(page, ".compose", data, f"cat.{kind}", f"image/{kind}")
    assert until(page, lambda now: now == edit) == edit
    assert canvas(page) == shown


def test_explore_restores_a_dropped_picture_and_says_why_not(expanded_page: Page, engine: Engine) -> None:
    page = expanded_page
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picture").click()
    data = Path(download.value.path()).read_bytes()
    page.get_by_label("zombie, value").fill("0.5")
    page.keyboard.press("Tab")
    until(page, lambda edit: bool(edit.strengths), ".explore")
    alert = page.locator(".explore .message")
    drop(page, ".explore", write_picture(engine.render(Edit())))
    expect(alert).to_contain_text("carries no settings")
    drop(page, ".explore", write_picture(engine.render(Edit()), kept=Kept(Edit(), "another")))
    expect(alert).to_contain_text("belongs to the generator “another”")
    drop(page, ".explore", b"no picture")
    expect(alert).to_contain_text("no PNG, WebP or JPEG")
    drop(page, ".explore", data)
    until(page, lambda edit: edit == Edit(), ".explore")


def test_settings_can_be_left_out_of_the_picture(expanded_page: Page) -> None:
    page = expanded_page
    page.get_by_role("button", name="Share and save").click()
    page.get_by_text("Include settings in the picture").click()
    with page.expect_download() as download:
        page.locator(".explore dialog").get_by_role("button", name="Download").click()
    assert b"seed" not in Path(download.value.path()).read_bytes()
    assert b"expanded32" not in Path(download.value.path()).read_bytes()


@pytest.mark.parametrize("tab", ["explore", "compose"])
def test_a_copied_link_opens_the_same_edit(browser: Browser, expanded_page: Page, tab: str) -> None:
    page = expanded_page
    panel = page.locator(f".{tab}")
    page.get_by_label("tolkien elf, value").fill("0.35")
    page.keyboard.press("Tab")
    edit = until(page, lambda edit: bool(edit.strengths), ".explore")
    if tab == "compose":
        page.get_by_role("button", name="To Compose").click()
        until(page, lambda now: now == edit)
    panel.get_by_role("button", name="Share and save").click()
    expect(panel.get_by_label("Link", exact=True)).to_have_value(re.compile("edit=.+"))
    link = panel.get_by_label("Link", exact=True).input_value()
    friend = browser.new_context().new_page()
    friend.goto(link)
    until(friend, lambda now: now == edit, f".{tab}")
    assert "edit=" not in friend.url, "a reload must keep what is changed from here"
    friend.context.close()


def test_a_link_of_a_photo_or_a_damaged_one_is_answered_in_words(
    browser: Browser, expanded_server: Server, engine: Engine
) -> None:
    photo = Edit(latent=Latent.of(engine.ws(Edit(seed=99))[0].cpu()), strengths={"zombie": 0.5})
    page = browser.new_context().new_page()
    page.goto(f"{expanded_server.url}?edit={write_link(photo)}&tab=compose")
    until(page, lambda now: now == photo)
    page.goto(f"{expanded_server.url}?edit=eyJ2ZXJzaW9u")
    expect(page.locator(".explore .message")).to_contain_text("Link is damaged", ignore_case=True)
    page.goto(f"{expanded_server.url}?edit={write_link(Edit(strengths={'crayon': 1}))}")
    expect(page.locator(".explore .message")).to_contain_text("no direction 'crayon'")
    page.context.close()


def test_a_session_brings_snapshots_and_both_tabs_back(
    browser: Browser, expanded_page: Page, expanded_server: Server
) -> None:
    page = expanded_page
    page.get_by_role("button", name="Snapshot", exact=True).click()
    page.get_by_role("button", name="To Compose").click()
    page.wait_for_selector(".compose[data-painted]")
    pick(page, "sketch", "zombie")
    page.locator(".compose").get_by_role("button", name="Share and save").click()
    with page.expect_download() as download:
        page.locator(".compose").get_by_role("button", name="Save session").click()
    other = browser.new_context().new_page()
    other.goto(expanded_server.url)
    other.wait_for_selector(".explore[data-painted]")
    other.locator(".explore [type=file]").set_input_files(download.value.path())
    expect(other.locator("#tab-snapshots .count")).to_have_text("1")
    to_tab(other, "Compose")
    until(other, lambda edit: dict(edit.strengths) == {"sketch": 0.6, "zombie": 0.6})
    other.context.close()


def test_a_snapshot_is_seen_to_happen_and_keeps_all_seeds(page: Page) -> None:
    pick(page, "zombie")
    page.locator(".compose .count").get_by_text("4", exact=True).click()
    expect(page.locator(".canvases canvas")).to_have_count(4)
    page.locator(".compose").get_by_role("button", name="Snapshot", exact=True).click()
    kept = page.locator(".compose .kept")
    expect(kept).to_contain_text("All 4 kept")
    kept.get_by_role("button", name="See them").click()
    page.wait_for_selector(".explore[data-painted]")
    page.locator(".explore").get_by_role("tab", name="Snapshots").click()
    seeds = [tile.inner_text() for tile in page.locator("#snapshots .shot .caption").all()]
    assert seeds == ["seed 0", "seed 1", "seed 2", "seed 3"]
    page.get_by_role("button", name="Restore snapshot 3").click()
    until(page, lambda edit: edit == Edit(seed=2, strengths={"zombie": 0.6}), ".explore")


def test_a_contact_sheet_has_captions_of_as_many_lines_as_they_take(page: Page, tmp_path: Path) -> None:
    """The more domains, the more text: it is neither squeezed nor cut, so the sheet grows."""

    def height() -> int:
        with page.expect_download() as download:
            page.locator(".explore").get_by_role("button", name="Contact sheet").click()
        with Image.open(download.value.path()) as image:
            return image.height

    to_tab(page, "Explore")
    page.keyboard.press("s")
    short = height()
    page.get_by_role("button", name="Delete snapshot 1").click(force=True)
    for name in ("zombie", "sketch", "tolkien elf"):
        page.locator(".explore").get_by_label(f"{name}, value").fill("0.55")
    until(page, lambda edit: len(dict(edit.strengths)) == 3, ".explore")
    page.keyboard.press("Tab")
    page.locator(".explore").get_by_role("button", name="Snapshot", exact=True).click()
    assert height() >= short + 20


def test_messages_go_when_their_cause_is_gone(expanded_page: Page, engine: Engine) -> None:
    page, alert = expanded_page, expanded_page.locator(".explore .message")
    drop(page, ".explore", write_picture(engine.render(Edit())))
    expect(alert).to_contain_text("carries no settings")
    page.keyboard.press("r")
    expect(alert).to_be_hidden()
    full = "[...Array(60)].map((_, seed) => ({ edit: { version: 1, seed: seed + 5 }, thumb: '' }))"
    edit_key = page.evaluate("Object.keys(sessionStorage).find((key) => key.endsWith(':edit'))")
    key = edit_key.replace(":edit", ":snapshots")
    page.evaluate(f"localStorage.setItem('{key}', JSON.stringify({full}))")
    page.evaluate(f"document.dispatchEvent(new CustomEvent('{key}'))")
    page.keyboard.press("s")
    expect(alert).to_contain_text("no room for more snapshots")
    page.get_by_role("button", name="Delete snapshot 1", exact=True).click(force=True)
    expect(alert.locator("span")).to_have_text("Snapshot 1 is deleted.")
    page.keyboard.press("r")
    expect(alert).to_be_hidden()


def test_a_photo_dropped_on_explore_is_offered_to_the_tab_photo(expanded_page: Page) -> None:
    page = expanded_page
    buffer = io.BytesIO()
    Image.fromarray(data.astronaut()).save(buffer, "PNG")
    drop(page, ".explore", buffer.getvalue(), "me.png")
    expect(page.locator(".explore .message")).to_contain_text("carries no settings")
    assert serious_barriers(page) == []
    page.get_by_role("button", name="Open it in Photo").click()
    expect(page.locator(".invert")).to_have_attribute("data-phase", "photo", timeout=180_000)
    expect(page.locator(".faces")).to_contain_text("One face was found")


def test_snapshots_of_compose_appear_in_explore(page: Page) -> None:
    page.locator(".compose").get_by_role("button", name="Snapshot", exact=True).click()
    expect(page.locator("#tab-snapshots .count")).to_have_text("1")
    drop(page, ".compose", OLD_SESSION.read_bytes(), "cats-session.json", "application/json")
    expect(page.locator("#tab-snapshots .count")).to_have_text("3")
    to_tab(page, "Explore")
    page.get_by_role("tab", name="Snapshots").click()
    expect(page.get_by_role("button", name=re.compile("Restore snapshot"))).to_have_count(3)


def test_a_session_of_an_older_version_still_opens(expanded_page: Page) -> None:
    page = expanded_page
    page.locator(".explore [type=file]").set_input_files(OLD_SESSION)
    until(page, lambda edit: edit == Edit(seed=11, strengths={"zombie": 0.5}), ".explore")
    expect(page.locator("#tab-snapshots .count")).to_have_text("2")


def test_without_domains_compose_says_what_to_do(plain_page: Page) -> None:
    page = plain_page
    to_tab(page, "Compose")
    expect(page.get_by_text("There are no domains to add up yet")).to_be_visible()
    page.get_by_role("button", name="Try two").click()
    until(page, lambda edit: len(dict(edit.strengths)) == 2)
