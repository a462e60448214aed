"""The tour of twenty seconds: offered once, skipped for ever, in the help again, and never over a picture alone."""

from __future__ import annotations

import pytest
from app_server import serious_barriers
from playwright.sync_api import Locator, Page, expect

A_STOP_MS = 20_000  # of patience for one that takes four seconds


@pytest.fixture
def tour(expanded_page: Page) -> Locator:
    return expanded_page.get_by_role("dialog", name="Tour")


def test_the_tour_goes_on_by_itself_and_ends(expanded_page: Page, tour: Locator) -> None:
    page = expanded_page
    expect(tour).to_be_hidden()
    page.get_by_role("button", name="Tour, 20 s").click()
    expect(tour).to_contain_text("1 of 5")
    assert not serious_barriers(page)
    page.mouse.move(5, 400)
    expect(tour).to_contain_text("2 of 5", timeout=A_STOP_MS)
    for _ in range(3):
        tour.get_by_role("button", name="Next").click()
        expect(tour).to_be_in_viewport(ratio=1)
    tour.get_by_role("button", name="Done").click()
    expect(tour).to_be_hidden()
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    expect(page.get_by_text("Drag a slider: the picture follows.")).to_be_hidden()
    page.keyboard.press("?")
    page.get_by_role("button", name="Take the tour, 20 s").click()
    expect(tour).to_contain_text("1 of 5")
    page.keyboard.press("Escape")
    expect(tour).to_be_hidden()


def test_a_tour_that_is_not_wanted_is_never_offered_again(expanded_page: Page, tour: Locator) -> None:
    page = expanded_page
    page.get_by_role("button", name="Got it").click()
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    expect(page.locator("#tabs").get_by_role("tab", name="Photo").first).to_be_visible()
    expect(page.get_by_role("button", name="Tour, 20 s")).to_have_count(0)
    expect(page.get_by_role("button", name="Got it")).to_be_hidden()
    expect(tour).to_be_hidden()


def test_on_a_phone_the_tour_is_found_again_and_the_tools_are_one_line(expanded_page: Page, tour: Locator) -> None:
    page = expanded_page
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Got it").click()
    page.get_by_role("button", name="Help", exact=True).click()
    dialog = page.get_by_role("dialog", name="Help")
    dark = page.evaluate("document.body.classList.contains('dark')")
    dialog.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("document.body.classList.contains('dark')") is not dark
    dialog.get_by_role("button", name="Take the tour, 20 s").click()
    expect(tour).to_contain_text("1 of 5")
    page.keyboard.press("Escape")
    for width in (320, 390, 800):
        page.set_viewport_size({"width": width, "height": 844})
        tools = page.locator(".explore .toolbar button:visible")
        tops = tools.evaluate_all("buttons => buttons.map((button) => button.getBoundingClientRect().top)")
        assert len(tops) > 9
        assert len(set(tops)) == 1, f"one line at {width} px"
        assert min(tools.evaluate_all("buttons => buttons.map((button) => button.offsetWidth)")) >= 24


@pytest.mark.parametrize("key", ["w", "f"])
def test_no_tour_lies_over_a_picture_that_is_shown_around(expanded_page: Page, tour: Locator, key: str) -> None:
    page = expanded_page
    page.get_by_role("button", name="Tour, 20 s").click()
    expect(tour).to_be_visible()
    page.keyboard.press(key)
    expect(tour).to_be_hidden()
    page.keyboard.press(key)
