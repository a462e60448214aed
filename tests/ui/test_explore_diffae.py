"""A diffusion autoencoder in the page: what it has is there, what it has not is hidden, and its sliders move it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from app_server import ROOT, Server
from conftest import open_page
from playwright.sync_api import Browser, Page, expect


@pytest.fixture
def diffae_page(browser: Browser) -> Iterator[Page]:
    server = Server(ROOT / "tests" / "fixtures" / "diffae16_latent.ckpt")
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
