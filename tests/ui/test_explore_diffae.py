"""A diffusion autoencoder in the page: what it has is there, what it has not is hidden, and its sliders move it."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from app_server import ROOT, Server, open_page, serious_barriers
from generators import make_diffae
from invert_tab import CAT, SEARCH_MS, choose, open_tab, phase
from invert_tab import pixels as pixels_of
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
    page.wait_for_function("document.querySelector('.explore').dataset.draft === ''")
    return Edit.from_json(json.loads(page.locator(".explore").get_attribute("data-painted") or ""))


def test_several_seeds_of_a_slow_generator_are_made_once_it_rests(diffae_page: Page) -> None:
    page = diffae_page
    page.keyboard.press("g")
    images = page.locator(".batch img[src]")
    expect(images).to_have_count(9, timeout=60_000)
    before = images.nth(8).get_attribute("src")
    page.get_by_role("slider", name="Factor 0", exact=True).fill("2")
    expect(images.nth(8)).not_to_have_attribute("src", before or "", timeout=60_000)
    page.get_by_role("button", name="Take seed 8").click()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).seed === 8")


def test_few_steps_while_a_slider_moves_and_all_at_rest(diffae_page: Page) -> None:
    page = diffae_page
    settled(page)
    page.evaluate(
        """() => {
          const panel = document.querySelector(".explore");
          window.seen = [];
          const observer = new MutationObserver(() => window.seen.push(panel.dataset.draft));
          observer.observe(panel, { attributes: true, attributeFilter: ["data-frames"] });
        }"""
    )
    page.locator(".explore").get_by_role("slider", name="Factor 0", exact=True).fill("2")
    page.wait_for_function("window.seen.at(-1) === ''")
    assert page.evaluate("window.seen") == ["0", "1", ""]

    number = page.locator(".explore").get_by_label("Number of steps")
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


DROP = """(text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], "saved.png", { type: "image/png" }));
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(".explore").dispatchEvent(event);
}"""


def canvas(page: Page) -> str:
    return page.evaluate("document.querySelector('.explore canvas').toDataURL()")


def test_a_photo_is_rebuilt_moved_saved_and_dropped_back(diffae_page: Page) -> None:
    page = open_tab(diffae_page)
    choose(page, CAT)
    expect(page.get_by_role("radio", name="Nearly exact")).to_be_visible()
    expect(page.get_by_role("radio", name="By meaning")).to_have_count(0)  # nothing is searched for
    page.get_by_role("button", name="Start", exact=True).click()
    phase(page, "result")
    assert not serious_barriers(page, ".invert")
    photo, rebuilt = (
        pixels_of(page.locator(f".compare .{name}").get_attribute("src") or "") for name in ("target", "found")
    )
    assert np.abs(photo.astype(float) - rebuilt).mean() < 12
    expect(page.get_by_role("button", name="Fit closer")).to_be_hidden()
    expect(page.get_by_role("button", name="Mix styles")).to_be_hidden()

    page.get_by_role("button", name="To Explore").click()
    page.wait_for_function(
        "JSON.parse(document.querySelector('.explore')?.dataset.painted || '{}').noise_mode === 'photo'"
    )
    assert np.array_equal(Engine(load(FILE)).render(settled(page)), rebuilt)
    explore = page.locator(".explore")
    expect(explore.get_by_role("radio", name="The photo's")).to_be_checked()
    explore.get_by_role("slider", name="Factor 0", exact=True).fill("2")
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).strengths?.length === 1")
    edit, picture = settled(page), canvas(page)
    with page.expect_download() as download:
        explore.get_by_role("button", name="Download picture").click()
    saved = download.value.path().read_bytes()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(saved))), Engine(load(FILE)).render(edit))

    explore.get_by_role("button", name="Random seed").click()
    page.wait_for_function("!JSON.parse(document.querySelector('.explore').dataset.painted).latent")
    assert settled(page).noise is None
    expect(explore.get_by_role("radio", name="The photo's")).to_be_hidden()
    expect(explore.get_by_role("radio", name="Fixed")).to_be_checked()
    page.evaluate(DROP, base64.b64encode(saved).decode())
    page.wait_for_function("'noise' in JSON.parse(document.querySelector('.explore').dataset.painted)")
    assert settled(page) == edit
    page.wait_for_timeout(300)
    assert canvas(page) == picture
    stored = page.evaluate("sessionStorage.getItem(Object.keys(sessionStorage).find((key) => key.endsWith(':edit')))")
    assert stored.count(json.dumps(edit.to_json()["noise"]["data"])[1:-1]) == 1  # however long the history
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    assert settled(page) == edit
    explore.get_by_role("button", name="Undo").click()
    page.wait_for_function("!('noise' in JSON.parse(document.querySelector('.explore').dataset.painted))")
    explore.get_by_role("button", name="Redo").click()
    page.wait_for_function("'noise' in JSON.parse(document.querySelector('.explore').dataset.painted)")
    explore.get_by_role("button", name="Share and save").click()
    expect(page.get_by_text("noise image, which is too long for a link")).to_be_visible(timeout=SEARCH_MS)


def test_without_random_codes_the_page_says_why_and_offers_a_photo(browser: Browser, tmp_path: Path) -> None:
    apart = ("noise_const", "u_mean", "latent.")
    state = make_diffae(latent_layers=0, attention=(16,)).state_dict()
    torch.save({name: value for name, value in state.items() if not name.startswith(apart)}, tmp_path / "bare.pt")
    shutil.copyfile(FILE.with_name("diffae16_cls.ckpt"), tmp_path / "bare_cls.ckpt")
    server = Server(tmp_path / "bare.pt")
    for page in open_page(browser, server):
        explore = page.locator(".explore")
        expect(explore.get_by_text("does not say how codes are spread")).to_be_visible()
        expect(explore.get_by_role("button", name="Random seed")).to_be_disabled()
        expect(explore.get_by_role("slider", name="Smiling", exact=True)).to_be_visible()
        assert not serious_barriers(page, ".explore")
        explore.get_by_role("button", name="Bring a photo").click()
        expect(page.get_by_role("button", name="Choose a photo")).to_be_visible()
    server.kill()
