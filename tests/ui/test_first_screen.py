"""The first screen: what somebody sees who starts the program without a word."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app_server import Server, open_page
from playwright.sync_api import Browser, Page, expect

from explorer import DEFAULT, load


@pytest.fixture
def first(browser: Browser) -> Iterator[Page]:
    server = Server(DEFAULT)
    yield from open_page(browser, server)
    server.kill()


def test_every_domain_has_a_sentence_a_slider_to_drag_and_a_picture(first: Page) -> None:
    expansion = load(DEFAULT).expansion
    assert expansion is not None
    rows = first.locator('.group[data-group="domains"] .row')
    expect(rows).to_have_count(len(expansion.domains))
    expect(first.locator('.group[data-group="domains"] .row-caption:not([hidden])')).to_have_count(
        len(expansion.domains)
    )
    for width in (390, 1920, 1280):
        first.set_viewport_size({"width": width, "height": 900})
        for row in (rows.first, rows.last):
            row.scroll_into_view_if_needed()
            slider = row.get_by_role("slider").bounding_box()
            assert slider is not None
            assert slider["width"] > 90, width
    expect(first.locator(".end img[src]").first).to_be_visible()
    first.get_by_role("tab", name="Looks").click()
    expect(first.get_by_role("button", name="Golden lion")).to_be_visible()
