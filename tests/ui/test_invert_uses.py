"""Journeys through what the Photo tab does with a found photo: domains, blends, words, other pictures, fitting."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from app_server import Server
from invert_tab import FEW, SEARCH_MS, at_work, begin, found, open_tab, painted, phase, pixels, png, stop, trouble
from playwright.sync_api import Page, expect
from skimage import data

from explorer import Edit, Engine, load


def test_a_photo_is_shown_in_every_domain(expanded_page: Page, tmp_path: Path, expanded_server: Server) -> None:
    """From a saved code, so that it needs no search."""
    page = open_tab(expanded_page)
    engine = Engine(load(expanded_server.checkpoint))
    code = tmp_path / "code.npy"
    np.save(code, engine.ws(Edit(seed=5)).cpu().numpy()[0])
    page.locator(".latent-file").set_input_files(code)
    phase(page, "result")
    tiles = page.locator(".every .tile img[src]")
    expect(tiles).to_have_count(3)
    assert len({tile.get_attribute("src") for tile in tiles.all()}) == 3
    page.get_by_role("button", name="Your photo as zombie, open in Explore").click()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).latent")
    assert dict(painted(page).strengths) == {"zombie": 1.0}


def test_two_results_are_blended(expanded_page: Page, tmp_path: Path, expanded_server: Server) -> None:
    """A code in W and one in W+; the ends of the strip are the two results."""
    page = open_tab(expanded_page)
    engine = Engine(load(expanded_server.checkpoint))
    for seed, rows in ((5, 0), (6, slice(None))):
        code = tmp_path / f"{seed}.npy"
        np.save(code, engine.ws(Edit(seed=seed)).cpu().numpy()[rows])
        page.locator(".latent-file").set_input_files(code)
        expect(page.locator(".outcome .note")).to_have_text(f"Loaded from {seed}.npy.")
    page.get_by_role("button", name="Blend with another").click()
    tiles = page.locator(".uses .tile img[src]")
    expect(tiles).to_have_count(7)
    shown = [pixels(tile.get_attribute("src") or "") for tile in tiles.all()]
    kept = [pixels(tile.get_attribute("src") or "") for tile in page.locator(".past .tile img").all()]
    for end, result in ((shown[0], kept[0]), (shown[-1], kept[1])):  # rendered in a batch: rounding may differ
        assert np.abs(end.astype(int) - result).max() <= 1
    assert len({picture.tobytes() for picture in shown}) == 7
    with page.expect_download() as download:
        page.locator(".uses").get_by_role("button", name="Film").click()
    assert b"ftyp" in download.value.path().read_bytes()[:12]
    page.get_by_role("button", name="Mix styles").click()
    expect(tiles).to_have_count(3)
    page.get_by_label("First layer").fill("1")
    page.get_by_label("First layer").press("Tab")
    expect(page.get_by_role("button", name="Layers 1 to 8, open in Explore").locator("img[src]")).to_be_visible()
    this, mixed, that = (pixels(tile.get_attribute("src") or "") for tile in tiles.all())
    assert (mixed == that).all(), "all layers of the other photo are the other photo"
    assert (this != that).any()
    np.save(code, engine.ws(Edit(seed=7)).cpu().numpy()[0])
    page.locator(".latent-file").set_input_files(code)
    page.get_by_role("button", name="Blend with another").click()
    for number in (3, 2):
        page.get_by_role("button", name=f"With result {number}").click()
        end = page.get_by_role("button", name="100 %, open in Explore").locator("img")
        expect(end).to_have_attribute("src", re.compile("^data"))
        kept = page.locator(".past .tile img").nth(number - 1).get_attribute("src") or ""
        assert np.abs(pixels(end.get_attribute("src") or "").astype(int) - pixels(kept)).max() <= 1


def test_a_photo_is_changed_by_words_and_by_a_file(
    expanded_page: Page, tmp_path: Path, expanded_server: Server
) -> None:
    page = open_tab(expanded_page)
    engine = Engine(load(expanded_server.checkpoint))
    code, file = tmp_path / "code.npy", tmp_path / "direction.npy"
    np.save(code, engine.ws(Edit(seed=5)).cpu().numpy()[0])
    np.save(file, np.eye(engine.generator.codes.dim)[:2])
    page.locator(".latent-file").set_input_files(code)
    page.get_by_role("button", name="Change by words").click()
    page.get_by_role("button", name="Show", exact=True).click()
    expect(trouble(page)).to_contain_text("both words", timeout=SEARCH_MS)
    page.get_by_role("textbox", name="More like").fill("a white cat")
    page.get_by_role("textbox", name="Less like").fill("a black cat")
    page.get_by_role("textbox", name="Less like").press("Enter")
    tiles = page.locator(".uses .tile img[src]")
    expect(tiles).to_have_count(7, timeout=SEARCH_MS)
    shown = [pixels(tile.get_attribute("src") or "") for tile in tiles.all()]
    assert len({picture.tobytes() for picture in shown}) == 7
    page.locator(".boundary-file").set_input_files(file)
    expect(page.get_by_label("Direction, of 2")).to_be_visible(timeout=SEARCH_MS)
    expect(tiles).to_have_count(7, timeout=SEARCH_MS)
    page.get_by_role("button", name="+2, open in Explore").click()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).latent")
    latent = painted(page).latent
    assert latent is not None
    moved = latent.numpy() - engine.ws(Edit(seed=5)).cpu().numpy()
    assert moved[:, 1:] == pytest.approx(0, abs=1e-5)
    assert (moved[:, 0] > 0).all()


def test_a_photo_is_set_into_another_and_fitted_closer(expanded_page: Page, expanded_server: Server) -> None:
    page = open_tab(expanded_page)
    begin(page, FEW)
    phase(page, "result")
    page.get_by_role("button", name="Into another picture").click()
    page.locator(".context-file").set_input_files(
        {"name": "coffee.png", "mimeType": "image/png", "buffer": png(data.coffee())}
    )
    expect(page.locator(".past .tile")).to_have_count(2, timeout=SEARCH_MS)
    page.get_by_role("button", name="Fit closer").click()
    page.get_by_role("button", name="Fit", exact=True).click()
    expect(page.locator(".course .steps")).to_contain_text("of 200", timeout=SEARCH_MS)
    at_work(page)
    stop(page)
    expect(page.locator(".past .tile")).to_have_count(3, timeout=SEARCH_MS)
    fitted, switch = found(page), page.get_by_role("switch", name="Fitted copy")
    expect(switch).to_be_checked()
    expect(switch).to_have_css("width", "32px")  # the page's own switch: Gradio shows a tick in white on white
    leaves, to_explore = page.locator(".leaves"), page.get_by_role("button", name="To Explore")
    expect(leaves).to_contain_text("The copy stays here")
    expect(to_explore).to_have_accessible_description(re.compile("looks like this"))
    plain = leaves.locator("img").get_attribute("src") or ""
    assert (pixels(plain) != pixels(fitted)).any()
    expect(page.get_by_role("button", name="Your photo as zombie, open in Explore without the copy")).to_be_visible()
    switch.uncheck()
    expect(page.locator(".invert .found")).not_to_have_attribute("src", fitted)
    expect(leaves).to_be_hidden()
    switch.check()
    expect(page.locator(".invert .found")).to_have_attribute("src", fitted)
    to_explore.click()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).latent")
    engine = Engine(load(expanded_server.checkpoint))
    assert (engine.render(painted(page)) == pixels(plain)).all(), "Explore shows another picture than was said"
