"""A small generator's resting picture is shown sharpened, says so, and gives way to the truth on a click."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import pytest
from app_server import Server, serious_barriers
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from explorer.keep import read_picture

PATIENCE = 60_000  # ms, on a machine that may be busy
CANVAS = "document.querySelector('.explore canvas').toDataURL()"
NOTE_LABELS = """window.labelled = []; new MutationObserver(() => window.labelled.push(
  !document.querySelector(".explore .sharp-tag").hidden
)).observe(document.querySelector(".explore"), { attributes: true, attributeFilter: ["data-frames"] })"""


@pytest.fixture
def sharp_page(browser: Browser, default_server: Server) -> Iterator[Page]:
    """The page as a new visitor finds it; the other journeys look at the truth."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True).new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(default_server.url)
    yield page
    page.context.close()
    assert not errors


def says(label: Locator, text: str) -> None:
    expect(label).to_be_visible(timeout=PATIENCE)
    expect(label).to_have_text(text, timeout=PATIENCE)


def pixels(page: Page) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(page.evaluate(CANVAS).partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_what_rests_is_sharpened_and_a_click_shows_the_truth(sharp_page: Page) -> None:
    page = sharp_page
    label = page.locator(".explore .sharp-tag")
    says(label, "Sharpened")
    assert serious_barriers(page, ".explore .stage") == []
    sharp = pixels(page)
    label.click()
    says(label, "As generated")
    truth = pixels(page)
    assert np.abs(truth - sharp).mean() > 0.2
    label.click()
    says(label, "Sharpened")
    assert np.array_equal(pixels(page), sharp)

    # A drag shows the generator's pictures; what it ends at is sharpened again.
    box = page.locator(".explore .slider").first.bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    page.evaluate(NOTE_LABELS)
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.9 * box["width"], middle, steps=20)
    page.mouse.up()
    says(label, "Sharpened")
    labelled = page.evaluate("window.labelled")
    assert not labelled[0]  # the first picture of a change is plain
    assert labelled[-1]

    # Beside another picture and pixel by pixel there is the truth alone.
    for name in ("Compare", "Show pixels"):
        tool = page.get_by_role("button", name=name, exact=True)
        tool.click()
        expect(label).to_be_hidden()
        tool.click()
        says(label, "Sharpened")

    # The choice is remembered.
    label.click()
    page.reload()
    says(label, "As generated")
    label.click()
    says(label, "Sharpened")
    page.reload()
    says(label, "Sharpened")

    # Files are sharpened where that is asked for, and say so.
    page.get_by_role("button", name="Share and save").first.click()
    for sharpen, side in ((False, 64), (True, 128)):
        page.get_by_role("switch", name="Sharpened").first.set_checked(sharpen)
        with page.expect_download() as download:
            page.locator(".explore .keep [data-do=download]").click()
        data = download.value.path().read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            assert image.size == (side, side)
        assert read_picture(data).sharpened == sharpen
