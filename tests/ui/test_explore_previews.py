"""A generator that is too slow to follow the hand: what is painted while a slider moves, and once it rests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from app_server import Server, open_page, serious_barriers
from generators import make_generator
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from explorer import Edit, Engine, latents, load
from explorer.latents import Expansion
from explorer.weights import Checkpoint

# Every picture that is painted: its draft, whether the tag says so, and the strength that it is of.
WATCH = """() => {
  const panel = document.querySelector(".explore");
  window.seen = [];
  new MutationObserver(() => window.seen.push([
    panel.dataset.draft,
    !panel.querySelector(".preview-tag").hidden,
    JSON.parse(panel.dataset.painted).strengths?.[0]?.[1] ?? 0,
  ])).observe(panel, { attributes: true, attributeFilter: ["data-frames"] });
}"""


@pytest.fixture
def slow_file(tmp_path: Path) -> Path:
    """128 px, two domains."""
    generator = make_generator(img_resolution=128, channels=(16,) * 6)
    expansion = Expansion(latents.factorize(generator), (23, 20), 4.0, ("sketch", "bronze"), generator.mean)
    return Checkpoint(generator, expansion=expansion).save(tmp_path / "slow.safetensors")


@pytest.fixture
def slow_page(browser: Browser, slow_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """To its server every picture takes too long."""
    monkeypatch.setenv("EXPLORER_PREVIEW_SECONDS", "0")
    server = Server(slow_file)
    yield from open_page(browser, server)
    server.kill()


def settled(page: Page, strength: float) -> None:
    page.wait_for_function(
        """(strength) => {
          const { draft, painted } = document.querySelector(".explore").dataset;
          return draft === "" && (JSON.parse(painted).strengths?.[0]?.[1] ?? 0) === strength;
        }""",
        arg=strength,
    )


def move(page: Page, strengths: list[float]) -> None:
    """What a hand does to the slider of "sketch": values one after the other, each as soon as the last is seen."""
    slider = page.locator(".explore").get_by_role("slider", name="sketch", exact=True)
    for strength in strengths:
        slider.evaluate(
            "(e, value) => { e.value = value; e.dispatchEvent(new Event('input', { bubbles: true })) }", strength
        )
        page.wait_for_function(
            "(value) => JSON.parse(document.querySelector('.explore').dataset.painted).strengths?.[0]?.[1] === value",
            arg=strength,
        )
    slider.evaluate("(e) => e.dispatchEvent(new Event('change', { bubbles: true }))")


def test_previews_follow_the_hand_and_give_way_to_the_picture(slow_page: Page, slow_file: Path) -> None:
    page = slow_page
    settled(page, 0)
    page.wait_for_timeout(1500)  # the tiles of the tray are there
    page.evaluate(WATCH)
    move(page, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.7])
    settled(page, 0.7)
    seen = page.evaluate("window.seen")
    previews = [strength for draft, _, strength in seen if draft == "0"]
    assert len(previews) >= 3
    assert all(tagged == (draft != "") for draft, tagged, _ in seen)
    assert seen[-1] == ["", False, 0.7]
    expect(page.locator(".explore .preview-tag")).to_be_hidden()
    assert not serious_barriers(page, ".explore")

    engine = Engine(load(slow_file))
    edit = Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or ""))
    assert edit == Edit(strengths={"sketch": 0.7})
    with page.expect_download() as download:
        page.locator(".explore").get_by_role("button", name="Download picture").click()
    assert np.array_equal(np.asarray(Image.open(download.value.path())), engine.render(edit))
