"""What all tabs share, in a real Chromium: reachable on a phone, without barriers, hints, keys, one language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from app_server import ROOT, Server, serious_barriers
from playwright.sync_api import Browser, Page, expect

from explorer import load
from explorer.weights.folder import generators

TABS = ("Explore", "Photo", "Compose", "Teach", "Model")
READY = {
    "Explore": ".explore[data-painted]",
    "Photo": ".invert[data-phase=empty]",
    "Compose": ".compose[data-painted]",
    "Teach": ".teach:not([data-state=loading])",
    "Model": ".model[data-ready]",
}


def open_tab(page: Page, tab: str) -> None:
    page.locator("#tabs > .tab-wrapper").get_by_role("tab", name=tab, exact=True).click()
    page.wait_for_selector(READY[tab])


def opened(browser: Browser, server: Server, width: int, scheme: Literal["light", "dark"] = "light") -> Iterator[Page]:
    size: Any = {"width": width, "height": 844}
    page = browser.new_context(viewport=size, color_scheme=scheme).new_page()
    page.goto(server.url)
    page.wait_for_selector(READY["Explore"])
    yield page
    page.context.close()


@pytest.fixture(params=[390, 1280])
def sized_page(request: pytest.FixtureRequest, browser: Browser, expanded_server: Server) -> Iterator[Page]:
    yield from opened(browser, expanded_server, request.param)


@pytest.fixture(params=["light", "dark"])
def coloured_page(request: pytest.FixtureRequest, browser: Browser, expanded_server: Server) -> Iterator[Page]:
    yield from opened(browser, expanded_server, 1280, request.param)


def test_every_tab_is_reached_and_fits_the_window(sized_page: Page) -> None:
    page = sized_page
    for tab in TABS:
        open_tab(page, tab)
        needs, has = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert needs <= has, f"{tab} scrolls sideways"
    width = page.evaluate("document.documentElement.clientWidth")
    for button in page.locator("#tabs > .tab-wrapper").get_by_role("tab").all():
        box = button.bounding_box()
        assert box
        assert 0 <= box["x"] <= width - box["width"]


def test_no_tab_has_serious_barriers(coloured_page: Page) -> None:
    found: dict[str, list] = {}
    for tab in TABS:
        open_tab(coloured_page, tab)
        found[tab] = serious_barriers(coloured_page)
    assert not any(found.values()), found


def test_dialogs_have_no_serious_barriers(coloured_page: Page) -> None:
    page = coloured_page
    page.keyboard.press("?")
    assert serious_barriers(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Share and save").click()
    assert serious_barriers(page) == []


def test_each_tab_has_a_hint_until_it_was_read_or_left(expanded_page: Page) -> None:
    page, hint = expanded_page, expanded_page.locator("#header .first")
    said = []
    for tab in TABS:
        open_tab(page, tab)
        expect(hint).to_be_visible()
        said.append(hint.locator("span").inner_text())
    assert len(set(said)) == len(TABS)
    hint.get_by_role("button", name="Got it").click()
    expect(hint).to_be_hidden()
    open_tab(page, "Explore")
    expect(hint).to_be_hidden()
    page.reload()
    page.wait_for_selector(READY["Explore"])
    expect(hint).to_be_hidden()


def test_on_a_phone_the_hint_covers_nothing(expanded_page: Page) -> None:
    page, hint = expanded_page, expanded_page.locator("#header .first")
    page.set_viewport_size({"width": 390, "height": 844})
    for tab in TABS:
        open_tab(page, tab)
        line, bar = hint.bounding_box(), page.locator("#tabs > .tab-wrapper").bounding_box()
        panel = page.locator("#tabs [role=tabpanel]:visible").first.bounding_box()
        assert line
        assert bar
        assert panel
        assert bar["y"] + bar["height"] <= line["y"] + 1
        assert line["y"] + line["height"] <= panel["y"] + 1


def test_another_generator_is_one_choice_away_and_so_is_the_way_back(page: Page, default_server: Server) -> None:
    choice = page.get_by_role("combobox", name="Generator")
    listed = ["cats64", *sorted(path.stem for path in generators(ROOT / "checkpoints"))]
    assert choice.locator("option").all_inner_texts() == listed
    expect(choice).to_have_value("cats64")
    choice.select_option("cats128-source")
    page.wait_for_url("**/m/cats128-source/")
    page.wait_for_selector(READY["Explore"])
    choice = page.get_by_role("combobox", name="Generator")
    expect(choice).to_have_value("cats128-source")
    choice.click()  # under a real pointer, beside tabs and a hint
    expect(choice.locator("option img")).to_have_count(2)
    page.keyboard.press("Escape")
    choice.select_option("cats64")
    page.wait_for_url(default_server.url)


@pytest.mark.parametrize("width", [1241, 1280])
def test_beside_a_long_name_the_hint_lies_right_of_the_tabs(expanded_page: Page, width: int) -> None:
    page, hint = expanded_page, expanded_page.locator("#header .first")
    page.set_viewport_size({"width": width, "height": 844})
    page.evaluate("document.querySelector('#header .generator option').text = 'stylegan2-ffhq-expanded'")
    tab = page.locator("#tabs > .tab-wrapper").get_by_role("tab").last.bounding_box()
    line, keys = hint.bounding_box(), page.get_by_role("button", name="Help").bounding_box()
    assert tab
    assert line
    assert keys
    assert tab["x"] + tab["width"] <= line["x"]
    assert line["x"] + line["width"] <= keys["x"]
    assert line["y"] == pytest.approx((52 - line["height"]) / 2, abs=1)  # in the bar


def test_a_file_dropped_beside_the_panels_is_not_opened_by_the_browser(expanded_page: Page) -> None:
    cancelled = """(selector) => ["dragover", "drop"].map((name) => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["{}"], "notes.txt"));
      const event = new DragEvent(name, { dataTransfer, bubbles: true, cancelable: true });
      return !document.querySelector(selector).dispatchEvent(event);
    })"""
    for selector in ("body", "#tabs > .tab-wrapper"):
        assert expanded_page.evaluate(cancelled, selector) == [True, True]


def test_the_list_of_keys_opens_in_every_tab(expanded_page: Page) -> None:
    page = expanded_page
    for tab in TABS:
        open_tab(page, tab)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Help")).to_be_visible()
        page.keyboard.press("r")  # the page behind it stays as it is
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
    open_tab(page, "Explore")
    expect(page.get_by_label("Seed", exact=True).first).to_have_value("0")


def test_the_typeface_comes_with_the_page(expanded_page: Page) -> None:
    expanded_page.evaluate("document.fonts.ready")
    loaded = expanded_page.evaluate(
        "[...document.fonts].filter(f => f.family === 'Inter' && f.status === 'loaded').map(f => f.weight)"
    )
    assert {"400", "600"} <= set(loaded)
    for selector in ("#header", ".explore .row-label", ".explore input.number"):
        family = expanded_page.locator(selector).first.evaluate("node => getComputedStyle(node).fontFamily")
        assert family.startswith("Inter"), selector


def test_a_tip_says_in_words_what_a_control_is(expanded_page: Page) -> None:
    expanded_page.get_by_role("button", name="Neighbours", exact=True).hover()
    expect(expanded_page.get_by_role("tooltip")).to_contain_text("Nine pictures close to this one")


def test_a_finger_that_rests_is_told_what_it_rests_on_and_does_nothing_else(
    browser: Browser, expanded_server: Server
) -> None:
    page = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True).new_page()
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    snapshot, tip = page.get_by_role("button", name="Snapshot", exact=True), page.locator(".explore .tip")
    kept = page.locator("#tab-snapshots .count")
    box = snapshot.bounding_box()
    assert box
    touch = page.context.new_cdp_session(page)

    def press(milliseconds: int) -> None:
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        page.wait_for_timeout(milliseconds)
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    press(50)  # a tap is a tap
    expect(kept).to_have_text("1")
    expect(tip).to_be_hidden()
    press(1200)
    expect(tip).to_contain_text("Keep this picture below")
    page.wait_for_timeout(300)
    expect(tip).to_be_visible()  # after the finger was lifted, to be read
    expect(kept).to_have_text("1")
    press(50)
    expect(kept).to_have_text("2")
    expect(tip).to_be_hidden()
    page.context.close()


def test_the_keyboard_goes_past_the_header_from_tab_to_tab_and_puts_sliders_back(expanded_page: Page) -> None:
    page = expanded_page
    page.keyboard.press("Tab")
    skip = page.get_by_role("button", name="To the controls")
    expect(skip).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".explore .controls")).to_be_focused()

    page.get_by_role("tab", name="Explore", exact=True).focus()
    for key, tab in (
        ("ArrowRight", "Photo"),
        ("ArrowLeft", "Explore"),
        ("ArrowLeft", "Model"),
        ("ArrowRight", "Explore"),
        ("End", "Model"),
    ):
        page.keyboard.press(key)
        chosen = page.get_by_role("tab", name=tab, exact=True)
        expect(chosen).to_be_focused()
        expect(chosen).to_have_attribute("aria-selected", "true")
    skip.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.closest('.model') !== null"), "the panel of the open tab"
    page.get_by_role("tab", name="Explore", exact=True).click()

    slider = page.get_by_role("slider", name="tolkien elf", exact=True)
    slider.focus()
    for key in ("Delete", "Backspace"):
        page.keyboard.press("End")
        expect(page.locator(".explore")).to_have_attribute("data-painted", re.compile("strengths"))
        page.keyboard.press(key)
        expect(slider).to_have_value("0")
        expect(slider).to_be_focused()


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page that strangers can open, with a second checkpoint to compare with."""
    expanded = ROOT / "tests" / "fixtures" / "expanded32.pkl"
    other = load(expanded)
    for parameter in other.generator.learnable().values():
        parameter.mul_(1.5)
    file = other.save(tmp_path_factory.mktemp("vs") / "other.safetensors")
    server = Server(expanded, "--host", "0.0.0.0", "--vs", str(file))
    yield server
    server.kill()


def test_on_a_page_open_to_everybody_nobody_teaches(browser: Browser, open_server: Server) -> None:
    for page in opened(browser, open_server, 1280):
        open_tab(page, "Teach")
        expect(page.get_by_text("This page is open to everybody, so lessons cannot be started here.")).to_be_visible()
        expect(page.get_by_role("button", name="Teach", exact=True)).to_be_hidden()


def test_blended_networks_are_shown_where_the_app_knows_two_checkpoints(
    browser: Browser, open_server: Server, expanded_server: Server
) -> None:
    for server, names in ((open_server, 3), (expanded_server, 2)):
        for page in opened(browser, server, 1280):
            open_tab(page, "Compose")
            for domain in ("sketch", "zombie"):
                page.locator(".chips").get_by_role("button", name=domain, exact=True).click()
            page.get_by_role("tab", name="Other ways").click()
            images = page.locator(".board img")
            expect(images).to_have_count(names)
            assert len({image.get_attribute("src") for image in images.all()}) == names
            expect(page.get_by_text("Blended networks", exact=True)).to_have_count(names - 2)
            expect(page.get_by_text("app is started with --vs")).to_have_count(3 - names)
