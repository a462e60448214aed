"""Several seeds of one edit at once, in a real Chromium: they follow the sliders, are taken, kept and exported."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest
from app_server import serious_barriers
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from explorer import Edit

PATIENCE = 120_000  # ms for a zip on a busy machine


@pytest.fixture
def page(expanded_page: Page) -> Page:
    """Explore with nine seeds in the place of its picture."""
    expanded_page.keyboard.press("g")
    loaded(expanded_page, 9)
    return expanded_page


def loaded(page: Page, count: int) -> None:
    """Wait until so many pictures are there, each another one."""
    page.wait_for_function(
        """(count) => {
          const images = [...document.querySelectorAll(".batch img")].map(({ src }) => src);
          return images.length === count && images.every(Boolean) && new Set(images).size === count;
        }""",
        arg=count,
    )


def painted(page: Page) -> Edit:
    return Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or "{}"))


def sources(page: Page) -> list[str]:
    return page.locator(".batch img").evaluate_all("images => images.map(({ src }) => src)")


def slider(page: Page) -> Locator:
    return page.get_by_role("slider", name="zombie", exact=True)


def test_several_seeds_follow_the_sliders_and_one_is_taken(page: Page) -> None:
    assert not serious_barriers(page, ".explore")
    before = sources(page)
    slider(page).fill("1")
    page.wait_for_function("(before) => document.querySelectorAll('.batch img')[8].src !== before", arg=before[8])
    assert not set(sources(page)) & set(before), "all of them moved"
    page.get_by_text("16", exact=True).click()
    loaded(page, 16)
    page.get_by_role("button", name="Take seed 11").click()
    expect(page.locator(".batch")).to_be_hidden()
    expect(page.locator(".explore .toolbar")).to_be_visible()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).seed === 11")
    assert dict(painted(page).strengths) == {"zombie": 1.0}
    page.keyboard.press("Control+z")
    page.wait_for_function("!JSON.parse(document.querySelector('.explore').dataset.painted).seed")


def test_a_star_keeps_a_seed_as_a_snapshot_and_lets_it_go(page: Page) -> None:
    star = page.get_by_role("button", name="Keep seed 3")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#tab-snapshots .count")).to_have_text("1")
    expect(page.get_by_role("button", name="Keep seed 4")).to_have_attribute("aria-pressed", "false")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#tab-snapshots .count")).to_have_text("")


def test_all_of_them_are_exported(page: Page) -> None:
    page.get_by_role("radiogroup", name="How many seeds").get_by_text("4", exact=True).click()
    loaded(page, 4)
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("button", name="Export all").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("edits.csv").decode())))
        assert [Edit.from_json(row["edit"]) for row in rows] == [Edit(seed=seed) for seed in range(4)]
    with page.expect_download() as download:
        page.locator(".batch-bar").get_by_role("button", name="Contact sheet").click()
    with Image.open(download.value.path()) as sheet:
        assert sheet.width == sheet.height - 2 * 30 == 2 * 256 + 3 * 12
    page.keyboard.press("Escape")
    expect(page.locator(".batch")).to_be_hidden()
