"""Journeys through the Explore tab in a real Chromium, against a real server on real generators."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable

import numpy as np
import pytest
from app_server import MODELS, Server, serious_barriers
from PIL import Image
from playwright.sync_api import Browser, Download, Locator, Page, expect

from explorer import Edit, Engine, Latent, load

CATS = MODELS / "cats64.safetensors"
QUIET_MS = 400  # longer than the page waits before it asks for the exact picture of an edit at rest

EXPECTED_PIXELS = """async (uri) => {
  const image = new Image(); image.src = uri; await image.decode();
  const shown = document.querySelector(".explore canvas");
  const canvas = document.createElement("canvas"); canvas.width = shown.width; canvas.height = shown.height;
  const context = canvas.getContext("2d"); context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  const read = (c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  const a = read(shown), b = read(canvas);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}"""


def painted(page: Page) -> Edit:
    return Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or "{}"))


def until(page: Page, wanted: Callable[[Edit], bool]) -> Edit:
    """Wait until the edit of the last painted picture is as wanted, and all is quiet."""
    for _ in range(100):
        if wanted(painted(page)):
            page.wait_for_timeout(QUIET_MS)
            edit = painted(page)
            assert wanted(edit)
            return edit
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture on the page stays that of {painted(page)}")


def canvas(page: Page) -> str:
    return page.evaluate("document.querySelector('.explore canvas').toDataURL()")


def open_drawer(page: Page) -> None:
    page.get_by_role("button", name="Where it starts").click()


def slider(page: Page, label: str) -> Locator:
    return page.get_by_role("slider", name=label, exact=True)


def drag(page: Page, handle: Locator, to: float, steps: int = 30) -> None:
    """Drag a slider's thumb from where it is to a fraction of its width."""
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    assert box
    low, high, value = (float(handle.evaluate(f"e => e.{key}")) for key in ("min", "max", "value"))
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * (value - low) / (high - low), y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * to, y, steps=steps)
    page.mouse.up()


def picture(download: Download) -> np.ndarray:
    with Image.open(download.path()) as image:
        return np.asarray(image.convert("RGB"))


def test_the_picture_follows_the_slider_and_comes_back(page: Page) -> None:
    until(page, lambda edit: edit == Edit())
    first, frames = canvas(page), int(page.locator(".explore").get_attribute("data-frames") or 0)
    drag(page, slider(page, "Factor 1"), 0.2)
    until(page, lambda edit: bool(edit.strengths))
    assert canvas(page) != first
    assert int(page.locator(".explore").get_attribute("data-frames") or 0) >= frames + 5, "it did not follow the drag"
    slider(page, "Factor 1").dblclick()
    until(page, lambda edit: edit == Edit())
    assert canvas(page) == first


def test_after_a_fast_drag_the_picture_is_that_of_the_sliders_value(page: Page, default_server: Server) -> None:
    for to in (0.9, 0.15, 0.7):
        drag(page, slider(page, "Factor 3"), to, steps=60)
    value = float(slider(page, "Factor 3").input_value())
    edit = until(page, lambda edit: dict(edit.strengths).get(3) == pytest.approx(value))
    engine = Engine(load(default_server.checkpoint))  # the same number format as the server's
    buffer = io.BytesIO()
    Image.fromarray(engine.render(edit)).save(buffer, "PNG")
    uri = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    assert page.evaluate(EXPECTED_PIXELS, uri) <= 3
    page.get_by_label("Factor 3, value").fill("0.5")
    until(page, lambda edit: dict(edit.strengths) == {3: 0.5})
    assert page.evaluate(EXPECTED_PIXELS, uri) > 20


def test_of_changes_that_come_at_once_the_last_counts(page: Page) -> None:
    slider(page, "Factor 3").evaluate("""slider => {
      for (const value of [1, 2, -1, 3]) {
        slider.value = value;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
      }
      slider.dispatchEvent(new Event("change", {bubbles: true}));
    }""")
    until(page, lambda edit: dict(edit.strengths) == {3: 3.0})


def test_a_number_box_takes_exact_values(page: Page) -> None:
    box = page.get_by_label("Factor 2, value")
    box.fill("1.25")
    box.press("Enter")
    until(page, lambda edit: dict(edit.strengths) == {2: 1.25})
    assert float(slider(page, "Factor 2").input_value()) == 1.25


def test_a_number_box_follows_undo_but_is_left_alone_while_typing(page: Page) -> None:
    open_drawer(page)
    for name in ("Factor 2, value", "Truncation, value"):
        box = page.get_by_label(name)
        before = box.input_value()
        box.fill("")
        box.press_sequentially("0.90")
        page.wait_for_timeout(QUIET_MS)
        expect(box).to_have_value("0.90")
        box.press("Enter")
        expect(box).to_have_value("0.9")
        box.press("Control+z")
        expect(box).to_have_value(before)


def test_search_finds_directions_in_every_group(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("dormant 400")
    expect(slider(page, "Dormant 400")).to_be_visible()
    expect(slider(page, "Factor 0")).to_be_hidden()
    drag(page, slider(page, "Dormant 400"), 0.9)
    until(page, lambda edit: 400 in dict(edit.strengths))
    page.get_by_label("Search directions").fill("nothing like it")
    expect(page.locator(".row:visible")).to_have_count(0)
    page.get_by_label("Search directions").press("Escape")
    expect(slider(page, "Factor 0")).to_be_visible()


def test_undo_and_redo_walk_through_the_edits_at_rest(page: Page) -> None:
    drag(page, slider(page, "Factor 0"), 0.6)
    one = until(page, lambda edit: 0 in dict(edit.strengths))
    drag(page, slider(page, "Factor 1"), 0.4)
    both = until(page, lambda edit: 1 in dict(edit.strengths))
    page.keyboard.press("Control+z")
    assert until(page, lambda edit: edit == one) == one
    page.keyboard.press("Control+z")
    until(page, lambda edit: edit == Edit())
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("Control+Shift+Z")
    page.get_by_role("button", name="Redo").click()
    until(page, lambda edit: edit == both)
    page.get_by_role("button", name="Reset all").click()
    until(page, lambda edit: edit == Edit())


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.press("r")
    edit = until(page, lambda edit: edit.seed != 0)
    slider(page, "Factor 0").focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    until(page, lambda now: now.seed == edit.seed and dict(now.strengths).get(0, 0) > 0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_scrolling_over_sliders_changes_nothing(page: Page) -> None:
    box = page.get_by_label("Factor 2, value")
    box.fill("1")
    until(page, lambda edit: dict(edit.strengths) == {2: 1.0})
    for place in (box, slider(page, "Factor 2")):
        place.hover()
        place.focus()
        page.mouse.wheel(0, 50)
        page.wait_for_timeout(QUIET_MS)
    assert page.locator(".directions").evaluate("e => e.scrollTop") > 0
    until(page, lambda edit: dict(edit.strengths) == {2: 1.0})


def test_a_reload_keeps_the_sliders_and_the_history(page: Page) -> None:
    open_drawer(page)
    page.get_by_label("Seed", exact=True).last.fill("7")
    page.keyboard.press("Enter")
    drag(page, slider(page, "Factor 4"), 0.8)
    edit = until(page, lambda edit: edit.seed == 7 and 4 in dict(edit.strengths))
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    assert until(page, lambda now: now == edit) == edit
    page.get_by_role("button", name="Undo").click()
    until(page, lambda now: now == Edit(seed=7))


def test_truncation_and_noise_reach_the_picture(page: Page) -> None:
    open_drawer(page)
    page.get_by_label("Truncation, value").fill("1")
    page.keyboard.press("Enter")
    until(page, lambda edit: edit.truncation_psi == 1)
    page.get_by_text("Off", exact=True).click()
    until(page, lambda edit: edit.noise_mode == "none")
    page.get_by_role("button", name="Draw new noise").click()
    until(page, lambda edit: edit.noise_mode == "random")


def test_what_a_picture_starts_from_stands_below_the_directions_in_a_drawer(page: Page) -> None:
    opener = page.get_by_role("button", name="Where it starts")
    expect(opener).to_contain_text("seed 0, truncation 0.7")
    expect(page.get_by_label("Truncation, value")).to_be_hidden()
    domain, closed = slider(page, "pencil sketch").bounding_box(), opener.bounding_box()
    assert domain
    assert closed
    assert domain["y"] < closed["y"]
    page.locator(".drawer").get_by_role("button", name="Random seed").click()  # without opening it
    edit = until(page, lambda edit: edit.seed != 0)
    expect(opener).to_contain_text(f"seed {edit.seed}")
    opener.click()
    for name in ("Seed", "Truncation", "Noise", "Base"):
        field = page.locator(".drawer .field:visible").filter(has_text=name).first
        expect(field.locator("small")).not_to_be_empty()  # in a word, what it does
    assert serious_barriers(page) == []
    page.reload()
    expect(page.get_by_label("Truncation, value")).to_be_visible()  # as it was left


def test_truncation_is_off_on_a_photo_and_says_why(page: Page, default_server: Server) -> None:
    open_drawer(page)
    code = Engine(load(default_server.checkpoint), "cpu", "fp32").ws(Edit(seed=5)).numpy()
    photo = Edit(latent=Latent.of(code), project=False).to_json()
    page.evaluate("(edit) => window.domainExplorer.openEdit('explore', edit)", photo)
    until(page, lambda edit: edit.latent is not None)
    for name in ("Truncation", "Truncation, value"):
        expect(page.get_by_label(name, exact=True)).to_be_disabled()
    expect(page.get_by_text("a photo has a code of its own")).to_be_visible()
    page.keyboard.press("r")
    until(page, lambda edit: edit.latent is None)
    expect(page.get_by_label("Truncation, value")).to_be_enabled()
    expect(page.get_by_text("a photo has a code of its own")).to_be_hidden()


def test_compare_shows_the_same_seed_without_sliders(page: Page) -> None:
    first = canvas(page)
    drag(page, slider(page, "Factor 1"), 0.2)
    until(page, lambda edit: bool(edit.strengths))
    after = canvas(page)
    page.keyboard.down("b")
    page.wait_for_timeout(QUIET_MS)
    assert canvas(page) == first
    page.keyboard.up("b")
    assert canvas(page) == after
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_text("Before", exact=True)).to_be_visible()
    half = canvas(page)
    assert half not in (first, after)
    page.get_by_label("Border between before and after").fill("0.1")
    assert canvas(page) not in (first, after, half)


def test_every_domain_is_seen_before_it_is_dragged(page: Page) -> None:
    """First of all below the picture: pointing at a domain shows it and moves nothing, a click goes there."""
    expansion = load(CATS).expansion
    assert expansion
    tiles = page.locator("#gallery .tile")
    assert tiles.all_inner_texts() == list(expansion.domains)
    made = page.locator("#gallery .tile[data-edit] img")
    expect(made).not_to_have_count(0)
    page.wait_for_function("[...document.querySelectorAll('#gallery .tile.stale')].every(t => t.offsetLeft > 700)")
    in_view = made.evaluate_all("images => images.map((image) => image.src)")
    assert len(set(in_view)) == len(in_view) < len(expansion.domains), "what is out of view is not made"

    drag(page, slider(page, "Factor 1"), 0.6)
    factor = dict(until(page, lambda edit: 1 in dict(edit.strengths)).strengths)[1]
    page.wait_for_function("!document.querySelector('#gallery .tile').classList.contains('stale')")
    before, first, second = canvas(page), *expansion.domains[:2]
    tiles.first.hover()
    expect(page.locator(".peek-tag")).to_have_text(first)
    assert canvas(page) != before
    assert dict(painted(page).strengths) == {1: factor}
    page.mouse.move(5, 5)
    expect(page.locator(".peek-tag")).to_be_hidden()
    assert canvas(page) == before

    tiles.first.click()
    until(page, lambda edit: dict(edit.strengths) == {1: factor, first: 1.0})
    expect(tiles.first).to_have_class("tile here")
    tiles.nth(1).click()
    until(page, lambda edit: dict(edit.strengths) == {1: factor, second: 1.0})
    page.get_by_role("button", name="Undo", exact=True).first.click()
    page.get_by_role("button", name="Undo", exact=True).first.click()
    until(page, lambda edit: dict(edit.strengths) == {1: factor})


def test_a_look_takes_the_place_of_all_domains(page: Page) -> None:
    drag(page, slider(page, "pencil sketch"), 0.7)
    drag(page, slider(page, "Factor 1"), 0.6)
    factor = dict(until(page, lambda edit: len(list(edit.strengths)) == 2).strengths)[1]
    page.get_by_role("tab", name="Looks").click()
    tiles = page.locator("#looks .tile")
    expect(tiles).to_have_count(8)
    expect(page.locator("#looks .tile[data-edit]:not(.stale)")).to_have_count(8)
    tile = page.get_by_role("button", name="In cyanotype")
    tile.click()
    until(page, lambda edit: dict(edit.strengths) == {1: factor, "blueprint": 0.8, "charcoal": 0.4})
    expect(tile).to_have_class("tile here")
    page.keyboard.press("Control+z")
    until(page, lambda edit: "pencil sketch" in dict(edit.strengths))


def test_without_looks_beside_the_checkpoint_none_are_offered(expanded_page: Page) -> None:
    expect(expanded_page.get_by_role("tab", name="Domains")).to_be_visible()
    expect(expanded_page.get_by_role("tab", name="Looks")).to_be_hidden()


def test_domains_out_of_view_are_made_when_they_come_into_it(page: Page) -> None:
    last = page.locator("#gallery .tile").last
    page.wait_for_selector("#gallery .tile[data-edit]")
    assert last.get_attribute("data-edit") is None
    page.locator("#gallery").evaluate("box => { box.scrollLeft = box.scrollWidth; }")
    expect(last).to_have_attribute("data-edit", re.compile("thermal camera"))


def test_a_generator_that_was_taught_nothing_begins_with_a_strip(plain_page: Page) -> None:
    expect(plain_page.get_by_role("tab", name="Domains", exact=True)).to_be_hidden()
    expect(plain_page.locator("#strip")).to_be_visible()


def test_rows_show_what_their_direction_does_to_this_picture(page: Page) -> None:
    """At their ends, in view only, made anew when another direction has moved; a click goes there."""
    end = page.get_by_role("button", name="charcoal at 1", exact=True)
    expect(end).to_have_attribute("data-edit", '{"version":1,"strengths":[["charcoal",1]]}')
    ends = page.locator(".row .end[data-edit] img")
    page.wait_for_timeout(1500)
    sources = ends.evaluate_all("images => images.map((image) => image.src)")
    assert len(set(sources)) == len(sources) < 100, "of 78 rows with up to two ends those in view"
    before = end.locator("img").get_attribute("src")
    drag(page, slider(page, "charcoal"), 0.7)
    until(page, lambda edit: bool(edit.strengths))
    page.wait_for_timeout(1000)
    assert end.locator("img").get_attribute("src") == before, "its own strength changes nothing"

    low = page.get_by_role("button", name="Factor 1 at −2", exact=True)
    low.scroll_into_view_if_needed()
    expect(low).to_have_attribute("data-edit", re.compile(r"\[1,-2\].*charcoal"))
    low.click()
    until(page, lambda edit: dict(edit.strengths).get(1) == -2.0)
    end.scroll_into_view_if_needed()
    expect(end).to_have_attribute("data-edit", re.compile(r"\[1,-2\],\[\"charcoal\",1\]"))
    assert end.locator("img").get_attribute("src") != before
    end.click()
    until(page, lambda edit: dict(edit.strengths) == {1: -2.0, "charcoal": 1.0})


def test_where_rows_have_no_room_for_their_ends_none_are_made(page: Page) -> None:
    page.set_viewport_size({"width": 1000, "height": 800})
    page.reload()
    page.wait_for_selector("#gallery .tile[data-edit]")
    page.wait_for_timeout(1500)  # longer than the page waits before it makes them
    expect(page.locator(".row .end[data-edit]")).to_have_count(0)
    page.set_viewport_size({"width": 1280, "height": 800})
    slider(page, "charcoal").press("ArrowRight")
    expect(page.locator(".row .end[data-edit]")).not_to_have_count(0)


def test_the_strip_shows_the_direction_last_touched_over_its_range(page: Page) -> None:
    drag(page, slider(page, "Factor 2"), 0.6)
    until(page, lambda edit: 2 in dict(edit.strengths))
    page.get_by_role("tab", name="Strip", exact=True).click()
    expect(page.locator(".strip-title")).to_contain_text("Factor 2")
    tiles = page.locator("#strip .tile")
    expect(tiles).to_have_count(7)
    page.wait_for_function("[...document.querySelectorAll('#strip img')].every(i => i.naturalWidth > 0)")
    assert len({image.get_attribute("src") for image in page.locator("#strip img").all()}) == 7
    tiles.first.click()
    until(page, lambda edit: dict(edit.strengths)[2] == -4.0)


def test_snapshots_restore_and_become_a_contact_sheet(page: Page) -> None:
    page.keyboard.press("s")
    drag(page, slider(page, "Factor 1"), 0.2)
    moved = until(page, lambda edit: bool(edit.strengths))
    page.get_by_role("button", name="Snapshot", exact=True).click()
    page.get_by_role("button", name="Restore snapshot 1").click()
    until(page, lambda edit: edit == Edit())
    page.get_by_role("button", name="Restore snapshot 2").click()
    until(page, lambda edit: edit == moved)
    with page.expect_download() as download:
        page.get_by_role("button", name="Contact sheet").click()
    sheet = picture(download.value)
    assert sheet.shape[1] > 2 * 256
    assert np.abs(sheet[12:268, 12:268].astype(int) - sheet[12:268, 280:536]).mean() > 5, "two different pictures"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download picture").click()
    assert picture(download.value).shape == (64, 64, 3)


def test_two_windows_share_the_snapshots(page: Page) -> None:
    open_drawer(page)
    for count in (1, 2, 3):
        page.get_by_role("button", name="Next seed").click()
        until(page, lambda edit, seed=count: edit.seed == seed)
        page.keyboard.press("s")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("tab", name="Snapshots").click()
    shelf = other.locator("#snapshots .caption")
    expect(shelf).to_have_text(["seed 1", "seed 2", "seed 3"])
    page.get_by_role("button", name="Delete snapshot 1").click()
    expect(shelf).to_have_text(["seed 2", "seed 3"])
    key = other.evaluate("Object.keys(localStorage).find((key) => key.endsWith(':snapshots'))")
    other.evaluate("key => localStorage.setItem(key, JSON.stringify(JSON.parse(localStorage[key]).slice(1)))", key)
    other.get_by_role("button", name="Delete snapshot 1").click()
    expect(shelf).to_have_text(["seed 3"])


def test_a_snapshot_too_many_is_refused(page: Page) -> None:
    page.keyboard.press("s")
    page.evaluate("""() => {
      const key = Object.keys(localStorage).find((key) => key.endsWith(":snapshots"));
      const [{ thumb }] = JSON.parse(localStorage[key]);
      localStorage[key] = JSON.stringify(Array.from({ length: 60 }, (_, seed) => ({ edit: { seed }, thumb })));
    }""")
    page.keyboard.press("s")
    expect(page.locator(".explore .message")).to_contain_text("no room for more snapshots")
    page.reload()
    expect(page.locator("#tab-snapshots .count")).to_have_text("60")
    expect(page.locator("#snapshots .caption").first).to_have_text("seed 0")


def test_a_neighbour_is_an_edit_that_can_be_undone(page: Page) -> None:
    page.get_by_role("button", name="Neighbours").click()
    expect(page.locator(".near-tile")).to_have_count(9)
    page.wait_for_function("[...document.querySelectorAll('.near-tile img')].every(i => i.naturalWidth > 0)")
    page.get_by_role("button", name="Neighbour 1").click()
    until(page, lambda edit: edit.seed == 0 and len(list(edit.strengths)) > 3)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+z")
    until(page, lambda edit: edit == Edit())


def test_layers_limit_what_a_direction_moves(page: Page) -> None:
    drag(page, slider(page, "Factor 1"), 0.2)
    until(page, lambda edit: bool(edit.strengths))
    everywhere = canvas(page)
    page.get_by_role("button", name="More about Factor 1", exact=True).click()
    page.get_by_role("slider", name="Factor 1, first layer").fill("7")
    edit = until(page, lambda edit: bool(edit.layers))
    assert dict(edit.layers) == {1: (6, 10)}
    assert canvas(page) != everywhere


def frames_of_a_drag(page: Page, to: float) -> int:
    """Pictures painted during a drag of Factor 0, which ends at rest on its value."""
    before = int(page.locator(".explore").get_attribute("data-frames") or 0)
    drag(page, slider(page, "Factor 0"), to, steps=40)
    value = float(slider(page, "Factor 0").input_value())
    until(page, lambda edit: dict(edit.strengths) == {0: pytest.approx(value)})
    return int(page.locator(".explore").get_attribute("data-frames") or 0) - before


def test_all_512_directions_open_at_once_still_follow(page: Page) -> None:
    few = frames_of_a_drag(page, 0.7)
    page.locator("[data-group=dormant] .group-head").click()
    expect(page.locator(".row")).to_have_count(512)
    assert frames_of_a_drag(page, 0.3) > few / 2
    page.get_by_label("Order of directions").select_option("effect")
    first = page.locator("[data-group=factors] .row-label").first.text_content()
    checkpoint = load(CATS)
    measured = json.loads(CATS.with_suffix(".effects.json").read_text())["effects"]
    assert checkpoint.expansion is not None
    untaught = (i for i in range(len(measured)) if i not in checkpoint.expansion.dims)
    assert first == f"Factor {max(untaught, key=lambda i: measured[i])}", "the strongest by measurement"


def test_what_the_server_refuses_is_said_in_the_page(page: Page) -> None:
    page.evaluate("domainExplorer.openEdit('explore', {version: 1, strengths: [['crayon', 1]]})")
    expect(page.get_by_role("alert")).to_contain_text("no direction 'crayon'")
    page.get_by_role("button", name="Reset all").click()
    until(page, lambda edit: edit == Edit())
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_generator_without_domains_says_so(plain_page: Page) -> None:
    page = plain_page
    expect(page.get_by_text("This generator has not been taught any domain yet.")).to_be_visible()
    open_drawer(page)
    expect(page.get_by_label("Start from the base")).to_be_hidden()


def test_domains_have_sliders_by_their_names(expanded_page: Page) -> None:
    page = expanded_page
    expect(page.get_by_label("Start from the base")).to_be_checked()
    drag(page, slider(page, "tolkien elf"), 0.75)
    value = float(slider(page, "tolkien elf").input_value())
    until(page, lambda edit: dict(edit.strengths) == {"tolkien elf": pytest.approx(value)})
    open_drawer(page)
    page.get_by_text("Start from the base").click()
    until(page, lambda edit: not edit.project)


def test_a_lost_server_is_said_and_found_again(browser: Browser, expanded_server: Server) -> None:
    page = browser.new_page()  # of its own: here the browser's complaints about the lost connection are no fault
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    expanded_server.kill()
    try:
        drag(page, slider(page, "tolkien elf"), 0.75)
        expect(page.get_by_text("Connection lost, retrying")).to_be_visible(timeout=15_000)
    finally:
        expanded_server.start()
    expect(page.get_by_text("Connection lost, retrying")).to_be_hidden(timeout=15_000)
    value = float(slider(page, "tolkien elf").input_value())
    until(page, lambda edit: dict(edit.strengths) == {"tolkien elf": pytest.approx(value)})
