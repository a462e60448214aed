"""The Photo tab as a visitor works it: choose a photo, set the steps, start, stop, look at what was found."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect
from skimage import data

from explorer import Edit

SEARCH_MS = 180_000  # a short search on a very busy machine
FEW, MANY = 6, 1900  # steps: over at once, and never over by itself


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


CAT = png(data.chelsea())


def pixels(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def open_tab(page: Page) -> Page:
    page.set_default_timeout(SEARCH_MS)
    page.get_by_role("tab", name="Photo", exact=True).click()
    page.wait_for_selector(".invert[data-phase=empty]")
    return page


def phase(page: Page, name: str) -> None:
    expect(page.locator(".invert")).to_have_attribute("data-phase", name, timeout=SEARCH_MS)


def choose(page: Page, photo: bytes = CAT, name: str = "cat.png") -> None:
    page.locator(".photo-file").set_input_files({"name": name, "mimeType": "image/png", "buffer": photo})


def trouble(page: Page) -> Any:
    return page.locator(".invert .trouble")


def set_steps(page: Page, steps: int) -> None:
    if not page.get_by_label("Steps, value").is_visible():
        page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps, value").fill(str(steps))
    page.get_by_label("Steps, value").press("Enter")


def begin(page: Page, steps: int) -> None:
    """Choose the cat and start a search of that many steps."""
    choose(page)
    phase(page, "photo")
    set_steps(page, steps)
    page.get_by_role("button", name="Start", exact=True).click()
    phase(page, "working")


def stop(page: Page) -> None:
    page.get_by_role("button", name="Stop", exact=True).click()


def at_work(page: Page) -> None:
    expect(page.locator(".course .steps")).to_have_text(re.compile(r"step [1-9]"), timeout=SEARCH_MS)


def found(page: Page) -> str:
    return page.locator(".invert .found").get_attribute("src") or ""


def painted(page: Page) -> Edit:
    return Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or "{}"))
