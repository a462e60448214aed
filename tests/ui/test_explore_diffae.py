"""A diffusion autoencoder in the page: what it has is there, what it has not is hidden, and its sliders move it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from app_server import ROOT, Server, serious_barriers
from conftest import open_page
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from explorer import Edit, Engine, load

FILE = ROOT / "tests" / "fixtures" / "diffae16_latent.ckpt"


@pytest.fixture
def diffae_page(browser: Browser) -> Iterator[Page]:
    server = Server(FILE)
    yield from open_page(browser, server)
    server.kill()


def test_a_diffusion_autoencoder_is_explored(diffae_page: Page) -> None:
    page = diffae_page
    explore = page.locator(".explore")
    expect(explore.get_by_role("radio", name="Fixed")).to_be_visible()
    expect(explore.get_by_role("radio", name="Off")).to_be_hidden()  # without noise there is nothing to begin with
    expect(explore.get_by_role("slider", name="Turn", exact=True)).to_be_hidden()
    before = page.evaluate("document.querySelector('.explore canvas').toDataURL()")
    explore.get_by_role("radio", name="Random").check(force=True)
    page.wait_for_function("(before) => document.querySelector('.explore canvas').toDataURL() !== before", arg=before)
    noisy = page.evaluate("document.querySelector('.explore canvas').toDataURL()")
    explore.get_by_role("slider", name="Factor 0", exact=True).fill("3")
    page.wait_for_function("(before) => document.querySelector('.explore canvas').toDataURL() !== before", arg=noisy)


def settled(page: Page) -> Edit:
    """The edit that the page shows once it has all of its steps."""
    page.wait_for_function("document.querySelector('.explore').dataset.steps === ''")
    return Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or ""))


def test_few_steps_while_a_slider_moves_and_all_at_rest(diffae_page: Page) -> None:
    page = diffae_page
    settled(page)
    page.evaluate(
        """() => {
          const panel = document.querySelector(".explore");
          window.seen = [];
          const observer = new MutationObserver(() => window.seen.push(panel.dataset.steps));
          observer.observe(panel, { attributes: true, attributeFilter: ["data-frames"] });
        }"""
    )
    page.locator(".explore").get_by_role("slider", name="Factor 0", exact=True).fill("2")
    page.wait_for_function("window.seen.at(-1) === ''")
    assert page.evaluate("window.seen") == ["5", "10", ""]

    number = page.locator(".explore").get_by_label("Steps, value")
    expect(number).to_have_value("20")
    number.fill("40")
    page.keyboard.press("Enter")
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).steps === 40")
    edit = settled(page)
    assert edit == Edit(steps=40, strengths={0: 2})
    assert not serious_barriers(page, ".explore")
    with page.expect_download() as download:
        page.locator(".explore").get_by_role("button", name="Download picture").click()
    saved = np.asarray(Image.open(download.value.path()))
    assert np.array_equal(saved, Engine(load(FILE)).render(edit))
    page.locator(".explore").get_by_role("slider", name="Steps", exact=True).dblclick()
    page.wait_for_function("!('steps' in JSON.parse(document.querySelector('.explore').dataset.painted))")
