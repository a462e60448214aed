"""The whole way once, on the embedded default: a photo, two domains on it, and a friend who opens what was sent."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
from app_server import Server
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from skimage import data

from explorer import Edit, Engine, load

PATIENCE = 180_000  # ms for a short search on a very busy machine
STEPS = "6"
DOMAINS = {"pencil sketch": 0.6, "neon night": 0.6}
SEEN = """() => ({ edit: document.querySelector(".compose").dataset.painted,
  picture: document.querySelector(".compose canvas").toDataURL() })"""
DROP = """(text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "cat.png", { type: "image/png" }));
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(".compose").dispatchEvent(event);
}"""


def seen(page: Page, edit: Edit | None = None) -> tuple[Edit, str]:
    """What Compose shows once two looks are alike, and, where `edit` is given, once it shows that."""
    page.wait_for_selector(".compose[data-painted]")
    before = None
    for _ in range(100):
        page.wait_for_timeout(500)  # longer than the page waits before it asks for the exact picture
        now = page.evaluate(SEEN)
        shown = Edit.from_json(json.loads(now["edit"]))
        if now == before and edit in (None, shown):
            return shown, now["picture"]
        before = now
    raise AssertionError(f"the page does not come to rest on {edit}")


def test_a_friend_sees_the_photo_composed_with_two_domains(
    browser: Browser, page: Page, default_server: Server
) -> None:
    photo = io.BytesIO()
    Image.fromarray(data.chelsea()).save(photo, "PNG")
    page.set_default_timeout(PATIENCE)
    page.get_by_role("tab", name="Photo", exact=True).click()
    page.locator(".photo-file").set_input_files(
        {"name": "cat.png", "mimeType": "image/png", "buffer": photo.getvalue()}
    )
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps, value").fill(STEPS)
    page.get_by_label("Steps, value").press("Enter")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="To Compose").last.click()
    page.wait_for_selector(".compose[data-painted]")
    for domain in DOMAINS:
        page.locator(".compose").get_by_role("button", name=domain, exact=True).click()
    edit, picture = seen(page)
    assert edit.latent is not None
    assert dict(edit.strengths) == DOMAINS

    panel = page.locator(".compose")
    panel.get_by_role("button", name="Share and save").click()
    expect(panel.get_by_label("Link", exact=True)).to_have_value(re.compile("edit=.+"))
    link = panel.get_by_label("Link", exact=True).input_value()
    with page.expect_download() as download:
        panel.locator("dialog").get_by_role("button", name="Download").click()
    file = Path(download.value.path()).read_bytes()
    with Image.open(io.BytesIO(file)) as image:
        assert np.array_equal(np.asarray(image), Engine(load(default_server.checkpoint)).render(edit))

    friend = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    friend.set_default_timeout(PATIENCE)
    friend.goto(link)
    assert seen(friend, edit) == (edit, picture)
    friend.get_by_role("button", name="Clear", exact=True).click()
    assert not seen(friend, Edit(latent=edit.latent, project=edit.project))[0].strengths
    friend.evaluate(DROP, base64.b64encode(file).decode())
    assert seen(friend, edit) == (edit, picture)
    friend.context.close()
