"""Films: snapshots in an order, seed walks and ways of the puck, played live and saved; journeys in a real Chromium."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_server import ROOT, Server, serious_barriers
from PIL import Image, ImageSequence
from playwright.sync_api import Browser, Locator, Page, expect

from explorer import Edit, Engine, Latent, load
from explorer.actions import Animate, run
from explorer.export import along
from explorer.ui.pictures import answer

PATIENCE = 120_000  # ms for a film on a busy machine
EDITS = (Edit(seed=5), Edit(seed=6, strengths={"zombie": 1}), Edit(seed=7))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"))


@pytest.fixture
def page(expanded_page: Page) -> Page:
    """Explore with three snapshots."""
    keep(expanded_page)
    return expanded_page


def keep(page: Page) -> None:
    for edit in EDITS:
        page.evaluate("(edit) => window.domainExplorer.openEdit('explore', edit)", edit.to_json())
        page.wait_for_function(
            "(seed) => JSON.parse(document.querySelector('.explore').dataset.painted).seed === seed", arg=edit.seed
        )
        page.keyboard.press("s")
    expect(page.locator("#snapshots .shot")).to_have_count(len(EDITS))


def seeds(page: Page) -> list[str]:
    return page.locator("#snapshots .shot .caption").all_inner_texts()


def frame(page: Page, of: str = ".explore") -> int:
    return int(page.locator(of).get_attribute("data-film") or -1)


SMALL = """() => {
  const small = Object.assign(document.createElement("canvas"), { width: 32, height: 32 }).getContext("2d");
  small.imageSmoothingQuality = "high";
  small.drawImage(document.querySelector(".explore canvas"), 0, 0, 32, 32);
  return [...small.getImageData(0, 0, 32, 32).data];
}"""


def canvas(page: Page) -> np.ndarray:
    """The stage in the generator's size: it gives way to the controls of a film, so that pixels differ a little."""
    return np.array(page.evaluate(SMALL))


def alike(one: np.ndarray, other: np.ndarray) -> bool:
    return float(np.abs(one - other).mean()) < 6


def film_bar(page: Page, of: str = ".explore") -> Locator:
    return page.locator(f"{of} .film-bar")


def settled(page: Page, number: int) -> np.ndarray:
    """The canvas, once this frame itself is there and no blend stands in for it."""
    film_bar(page).get_by_label("Place in the film").fill(str(number))
    expect(page.locator(".explore")).to_have_attribute("data-film", str(number))
    expect(page.locator(".explore .preview-tag")).to_be_hidden()
    return canvas(page)


def until_frame(page: Page, at_least: int, of: str = ".explore") -> None:
    page.wait_for_function(
        "([of, least]) => Number(document.querySelector(of).dataset.film) >= least", arg=[of, at_least]
    )


def test_snapshots_play_in_the_stage_until_somebody_touches_a_slider(page: Page) -> None:
    still = canvas(page)
    page.keyboard.press("p")
    until_frame(page, 10)
    assert not alike(canvas(page), still)
    expect(page.locator(".explore .toolbar")).to_be_hidden()
    assert not serious_barriers(page, ".explore")
    page.keyboard.press("p")
    paused = frame(page)
    page.wait_for_timeout(300)
    assert frame(page) == paused
    assert alike(settled(page, 100), still), "the third snapshot"
    assert not alike(settled(page, 0), still)
    page.keyboard.press("p")
    until_frame(page, 5)
    page.get_by_role("slider", name="Factor 1", exact=True).press("ArrowRight")
    expect(film_bar(page)).to_be_hidden()
    expect(page.locator(".explore .toolbar")).to_be_visible()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).strengths")
    page.keyboard.press("p")
    until_frame(page, 1)
    page.keyboard.press("Escape")
    expect(film_bar(page)).to_be_hidden()


def test_a_film_loops_or_ends_on_its_last_picture(page: Page) -> None:
    for leg in page.get_by_label("Seconds from snapshot").all():
        leg.fill("0.2")
        leg.press("Enter")
    page.get_by_role("button", name="Play film").click()
    bar = film_bar(page)
    expect(bar.locator(".film-time")).to_contain_text("of 0.6 s")
    seen: set[int] = set()
    for _ in range(400):
        now = frame(page)
        if seen and now < max(seen):
            break
        seen.add(now)
        page.wait_for_timeout(20)
    else:
        raise AssertionError("it never began again")
    bar.get_by_text("Loop").click()
    expect(bar.get_by_role("button", name="Play", exact=True)).to_be_visible()
    expect(page.locator(".explore")).to_have_attribute("data-film", "10")  # once that picture is there
    expect(bar.locator(".film-time")).to_contain_text("0.4 of 0.4 s")


def test_snapshots_are_put_in_order_by_dragging_and_by_keys(page: Page) -> None:
    tiles = page.locator("#snapshots .tile")
    first, last = tiles.first.bounding_box(), tiles.last.bounding_box()
    assert first
    assert last
    page.mouse.move(first["x"] + 20, first["y"] + 20)
    page.mouse.down()
    page.mouse.move(last["x"] + last["width"], last["y"] + 20, steps=8)
    page.mouse.up()
    assert seeds(page) == ["seed 6", "seed 7", "seed 5"]
    assert json.loads(page.locator(".explore").get_attribute("data-painted") or "")["seed"] == 7, "no click"
    tiles.nth(2).focus()
    page.keyboard.press("Shift+ArrowLeft")
    assert seeds(page) == ["seed 6", "seed 5", "seed 7"]
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowLeft")  # there is no further place
    assert seeds(page) == ["seed 5", "seed 6", "seed 7"]
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    page.get_by_role("tab", name="Snapshots").click()
    assert seeds(page) == ["seed 5", "seed 6", "seed 7"]
    tiles.first.click()
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).seed === 5")


def test_a_finger_that_rests_on_a_snapshot_picks_it_up(browser: Browser, expanded_server: Server) -> None:
    phone = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).new_page()
    phone.goto(expanded_server.url)
    phone.wait_for_selector(".explore[data-painted]")
    keep(phone)
    session = phone.context.new_cdp_session(phone)
    phone.locator("#snapshots").scroll_into_view_if_needed()
    phone.evaluate("document.querySelector('#snapshots').scrollLeft = 0")
    first, second = (phone.locator("#snapshots .shot").nth(number).bounding_box() for number in (0, 1))
    assert first
    assert second

    def touch(kind: str, *x: float) -> None:
        points = [{"x": at, "y": first["y"] + 30} for at in x]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", first["x"] + 20)
    expect(phone.locator("#snapshots .shot.moving")).to_have_count(1)
    for part in (0.3, 0.6, 1.0):
        touch("touchMove", first["x"] + 20 + part * (second["x"] + second["width"] - first["x"] - 20))
    touch("touchEnd")
    assert seeds(phone) == ["seed 6", "seed 5", "seed 7"]
    phone.context.close()


def saved(page: Page, of: str = ".explore") -> np.ndarray:
    bar = film_bar(page, of)
    bar.get_by_label("Kind of film").select_option("webp")
    with page.expect_download(timeout=PATIENCE) as download:
        bar.get_by_role("button", name="Save film").click()
    return frames_of(download.value.path())


def test_what_is_saved_is_what_was_played(page: Page, engine: Engine, tmp_path: Path) -> None:
    """Its legs, its motion and its order, at 512 px unless something else is chosen."""
    for index, seconds in enumerate(("0.2", "0.4", "0.3")):
        leg = page.locator("#snapshots .leg input").nth(index)
        leg.fill(seconds)
        leg.press("Enter")
    page.get_by_role("button", name="Play film").click()
    bar = film_bar(page)
    bar.get_by_label("Motion").select_option("linear")
    expect(bar.get_by_role("status")).to_contain_text("512 px, enlarged from 32 by Lanczos")
    film = saved(page)
    wanted = Animate(EDITS, (5, 10, 8), px=512, easing="linear")
    expected = frames_of(run(wanted, engine, tmp_path / "film.webp").file)
    assert film.shape == (23, 512, 512, 3)
    assert np.abs(film.astype(int) - expected).max() <= 2
    expect(bar).to_be_visible()


def frames_of(file: Path) -> np.ndarray:  # uint8 [N, H, W, 3]
    with Image.open(file) as film:
        return np.stack([np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(film)])


def pictures(engine: Engine, edits: list[Any]) -> list[np.ndarray]:
    uris = answer(engine, {"edits": edits, "exact": True})["pictures"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in uris]


@pytest.mark.parametrize("easing", ["smooth", "linear"])
def test_a_frame_that_is_asked_for_is_that_of_the_film(engine: Engine, easing: Any) -> None:
    legs = (4, 8, 4)
    ends = [edit.to_json() for edit in EDITS]
    asked = [
        {"from": ends[leg], "to": ends[(leg + 1) % 3], "part": number / frames, "easing": easing}
        for leg, frames in enumerate(legs)
        for number in range(frames)
    ]
    film = along(EDITS, lambda edits: [engine.ws(edit).numpy() for edit in edits], legs, easing=easing)
    shown, expected = np.stack(pictures(engine, asked)), np.stack(engine.render(list(film)))
    assert np.abs(shown.astype(int) - expected).max() <= 1
    assert np.abs(shown[4].astype(int) - engine.render(EDITS[1])).max() <= 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"part": 1.5}, "0 to 1"),
        ({"part": "x"}, "0 to 1"),
        ({"part": True}, "0 to 1"),
        ({"to": 3}, "JSON object"),
        ({"easing": "bouncy"}, "smooth or linear"),
        ({"to": {"strengths": [["crayon", 1]]}}, "crayon"),
    ],
)
def test_a_frame_that_cannot_be_is_refused(engine: Engine, changes: dict[str, Any], words: str) -> None:
    error = answer(engine, {"edits": [{"from": {}, "to": {"seed": 1}, "part": 0.5} | changes]})["error"]
    assert words in error


def test_a_seed_walk_is_one_click(page: Page) -> None:
    page.get_by_role("button", name="Seed walk").click()
    until_frame(page, 3)
    bar = film_bar(page)
    expect(bar.get_by_role("status")).to_contain_text("6 pictures, 12.0 s")
    bar.get_by_label("Seeds").fill("3")
    bar.get_by_label("Seeds").press("Enter")
    expect(bar.get_by_role("status")).to_contain_text("3 pictures, 6.0 s")
    bar.get_by_role("button", name="Pause").click()
    played = settled(page, 0)
    bar.get_by_role("button", name="Done").click()
    assert alike(canvas(page), played), "it begins with the picture of now"
    assert len(seeds(page)) == 3, "it is no snapshot"


def test_results_of_photos_are_the_pictures_of_a_film(expanded_page: Page, engine: Engine, tmp_path: Path) -> None:
    """From saved codes, so that nothing is searched for: one in W, one in W+."""
    page = expanded_page
    expected = []
    for seed, rows in ((5, 0), (6, slice(None))):
        code = engine.ws(Edit(seed=seed)).cpu().numpy()[rows]
        np.save(tmp_path / f"{seed}.npy", code)
        picture = Image.fromarray(engine.render(Edit(latent=Latent.of(code)))).convert("RGBA")
        expected.append(np.array(picture.resize((32, 32))).ravel().astype(float))
        page.get_by_role("tab", name="Photo", exact=True).click()
        expect(page.get_by_role("button", name="Film of them")).to_be_hidden()
        page.locator(".latent-file").set_input_files(tmp_path / f"{seed}.npy")
        expect(page.locator(".outcome .note")).to_have_text(f"Loaded from {seed}.npy.")
    page.get_by_role("button", name="Film of them").click()
    until_frame(page, 10)
    page.keyboard.press("p")
    assert page.evaluate("document.querySelector('.explore').dataset.painted").find("latent") < 0, "the own edit stays"
    stops = [settled(page, number) for number in (0, 50)]  # smoothed, so that they are not the very pixels
    far = [[float(np.abs(stop - other).mean()) for other in expected] for stop in stops]
    assert far[0][0] * 2 < far[0][1], "the oldest first"
    assert far[1][1] * 2 < far[1][0]
    page.keyboard.press("Escape")
    expect(film_bar(page)).to_be_hidden()


def test_a_way_of_the_puck_is_recorded_as_a_film(expanded_page: Page) -> None:
    page = expanded_page
    page.locator("#tabs").get_by_role("tab", name="Compose", exact=True).first.click()
    page.wait_for_selector(".compose[data-painted]")
    for chip in page.locator(".chips button").all():
        chip.click()
    pad = page.locator(".pad")
    pad.get_by_role("button", name="Record").click()
    expect(pad.get_by_role("button", name="Drag the puck")).to_have_attribute("aria-pressed", "true")
    box = pad.locator(".disc").bounding_box()
    assert box
    for index, (x, y) in enumerate(((0.5, 0.5), (0.5, 0.2), (0.65, 0.6), (0.35, 0.6))):
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y, steps=6)
        if not index:
            page.mouse.down()
        page.wait_for_timeout(250)
    page.mouse.up()
    until_frame(page, 3, ".compose")
    bar = film_bar(page, ".compose")
    expect(bar.get_by_label("Motion")).to_have_value("linear")
    assert not serious_barriers(page, ".compose")
    film = saved(page, ".compose")
    assert film.shape[1:] == (512, 512, 3)
    changes = np.abs(np.diff(film.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert changes.max() > 0.5, "the picture moves"
    page.keyboard.press("Escape")
    expect(bar).to_be_hidden()
    page.get_by_role("button", name="Undo", exact=True).last.click()  # the way itself is one step
