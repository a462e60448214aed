"""Journeys through the Photo tab in a real Chromium: from a photo to its sliders, Stop, two visitors, bad files."""

from __future__ import annotations

import base64
import io
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_server import ROOT, Server, serious_barriers
from invert_tab import (
    CAT,
    FEW,
    MANY,
    SEARCH_MS,
    at_work,
    begin,
    choose,
    found,
    open_tab,
    painted,
    phase,
    pixels,
    png,
    set_steps,
    stop,
    trouble,
)
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from skimage import data

from explorer import Edit, Engine, Latent, load
from explorer.ui.answers import answered
from explorer.ui.tabs import invert
from explorer.ui.tabs.invert import MAX_BYTES, Studio


@pytest.fixture
def studio_page(page: Page) -> Page:
    return open_tab(page)


@pytest.fixture
def other_page(browser: Browser, default_server: Server) -> Iterator[Page]:
    """A second visitor, with a browser profile of their own."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(default_server.url)
    yield open_tab(page)
    context.close()


def test_a_photo_becomes_an_edit_on_which_sliders_work(studio_page: Page, default_server: Server) -> None:
    page = studio_page
    begin(page, FEW)
    phase(page, "result")
    assert pixels(page.locator(".invert .target").get_attribute("src") or "").shape == (64, 64, 3)
    figures = page.locator(".figures")
    expect(figures).to_be_hidden()  # for who asks
    page.locator(".details summary").click()
    expect(figures).to_be_visible()
    for name in ("Difference to the eye", "PSNR", "MSE", "CLIP", "From the average"):
        expect(figures).to_contain_text(name)
    expect(figures).to_contain_text("cats64-clip")  # which perceptual network
    expect(page.locator(".details .plots")).to_contain_text("All together")
    picture = pixels(found(page))
    page.get_by_role("button", name="To Explore").click()
    expect(page.locator(".explore .drawer-sum")).to_contain_text("a photo")
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).latent")
    edit = painted(page)
    assert (Engine(load(default_server.checkpoint)).render(edit) == picture).all(), "Explore shows another picture"
    page.get_by_label("Factor 1, value").fill("3")
    page.get_by_label("Factor 1, value").press("Enter")
    page.wait_for_function("JSON.parse(document.querySelector('.explore').dataset.painted).strengths")
    assert painted(page) == edit.with_strength(1, 3.0)


def test_a_result_fits_one_screen_with_its_uses_as_cards(studio_page: Page) -> None:
    page = studio_page
    begin(page, FEW)
    phase(page, "result")
    expect(page.locator(".every .tile img[src]")).to_have_count(14, timeout=SEARCH_MS)
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    for selector in (".compare", ".every", ".outcome", ".past", ".details summary"):
        box = page.locator(f".invert {selector}").bounding_box()
        assert box
        assert box["y"] + box["height"] <= 800, f"{selector} is below the window"
    for card in page.locator(".use").all():
        expect(card.locator("small")).not_to_be_empty()  # what it does, before it is opened
    expect(page.locator(".settings")).to_be_hidden()
    assert serious_barriers(page) == []
    page.get_by_role("button", name="Again").click()
    expect(page.locator(".settings")).to_be_visible()


def test_a_search_goes_on_behind_another_tab_and_stop_keeps_the_best_so_far(studio_page: Page) -> None:
    page = studio_page
    begin(page, MANY)
    at_work(page)
    page.get_by_role("tab", name="Explore").click()
    expect(page.locator(".invert")).to_be_hidden()
    page.get_by_role("tab", name="Photo", exact=True).click()
    phase(page, "working")
    expect(page.locator(".course .left")).to_contain_text("left")
    stop(page)
    phase(page, "result")
    expect(page.locator(".outcome .note")).to_contain_text(f"of {MANY}. This is the best until then")
    assert pixels(found(page)).shape == (64, 64, 3)
    expect(page.locator(".past .tile")).to_have_count(1)


def test_two_visitors_queue_and_stop_only_their_own(studio_page: Page, other_page: Page) -> None:
    begin(studio_page, MANY)
    at_work(studio_page)
    begin(other_page, MANY)
    expect(other_page.locator(".course b")).to_have_text("Waiting: one photo is before yours")
    stop(other_page)
    phase(other_page, "photo")
    phase(studio_page, "working")
    other_page.get_by_role("button", name="Start", exact=True).click()
    expect(other_page.locator(".course b")).to_have_text("Waiting: one photo is before yours")
    stop(studio_page)
    phase(studio_page, "result")
    at_work(other_page)
    stop(other_page)
    phase(other_page, "result")


def test_the_frame_lies_on_the_face_and_can_be_moved(studio_page: Page) -> None:
    page = studio_page
    choose(page, png(data.astronaut()), "astronaut.png")
    phase(page, "photo")
    expect(page.locator(".faces")).to_contain_text("face")
    expect(page.locator(".faces")).not_to_contain_text("No face")
    frame = page.locator(".frame")

    def box() -> Any:
        return frame.bounding_box()

    first = box()
    page.mouse.move(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    page.mouse.down()
    page.mouse.move(first["x"] + first["width"] / 2 + 40, first["y"] + first["height"] / 2 + 25, steps=4)
    page.mouse.up()
    moved = box()
    assert [moved["x"] - first["x"], moved["y"] - first["y"]] == pytest.approx([40, 25], abs=2)
    assert moved["width"] == pytest.approx(first["width"], abs=2)
    page.mouse.move(moved["x"] + moved["width"], moved["y"] + moved["height"])
    page.mouse.down()
    page.mouse.move(moved["x"] + moved["width"] + 30, moved["y"] + moved["height"] + 30, steps=4)
    page.mouse.up()
    assert box()["width"] == pytest.approx(moved["width"] + 30, abs=2)
    assert box()["x"] == pytest.approx(moved["x"], abs=2), "the opposite corner stays"
    frame.press("ArrowLeft")
    assert box()["x"] < moved["x"]
    page.get_by_role("button", name="Use as is").click()
    photo = page.locator(".photo img").bounding_box()
    assert photo
    assert box()["width"] == pytest.approx(photo["height"], abs=2)


def test_a_frame_larger_than_the_photo_has_handles_in_view_and_shrinks(studio_page: Page) -> None:
    page = studio_page
    page.get_by_role("button", name="Try the example").click()
    phase(page, "photo")
    expect(page.locator(".faces")).to_contain_text("One face was found")
    frame, photo = page.locator(".frame"), page.locator(".photo img").bounding_box()
    assert photo
    first = frame.bounding_box()
    assert first
    page.mouse.move(photo["x"] + photo["width"] / 2, photo["y"] + photo["height"] / 2)
    page.mouse.wheel(0, 300)
    shrunk = frame.bounding_box()
    assert shrunk
    assert shrunk["width"] < 0.8 * first["width"]
    for _ in range(8):
        page.mouse.wheel(0, -600)
    large = frame.bounding_box()
    assert large
    assert large["width"] > photo["width"]
    handles = [handle.bounding_box() for handle in page.locator(".frame i").all()]
    for box in handles:
        assert box
        assert photo["x"] - 1 <= box["x"] <= photo["x"] + photo["width"] - box["width"] + 1
        assert photo["y"] - 1 <= box["y"] <= photo["y"] + photo["height"] - box["height"] + 1
    corner = handles[3]
    assert corner
    page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
    page.mouse.down()
    page.mouse.move(corner["x"] - 90, corner["y"] - 90, steps=4)
    page.mouse.up()
    small = frame.bounding_box()
    assert small
    assert small["width"] < large["width"] - 80


def test_a_photo_on_its_side_is_turned_and_a_button_turns_it_on(studio_page: Page) -> None:
    page = studio_page
    choose(page, png(np.rot90(data.astronaut()[:, 40:360])), "side.png")
    phase(page, "photo")
    expect(page.locator(".faces")).to_contain_text("turned so that it stands. One face")
    shape = pixels(page.locator(".photo img").get_attribute("src") or "").shape
    assert shape == (512, 320, 3)
    page.get_by_role("button", name="Turn the photo").click()
    expect(page.locator(".faces")).not_to_contain_text("turned", timeout=30_000)
    assert pixels(page.locator(".photo img").get_attribute("src") or "").shape == (320, 512, 3)
    page.get_by_role("button", name="Turn the photo").click()
    page.wait_for_function("document.querySelector('.photo img').naturalHeight > 320")


def test_two_fingers_size_the_frame(browser: Browser, expanded_server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(expanded_server.url)
    open_tab(page)
    choose(page, png(data.coffee()), "coffee.png")
    phase(page, "photo")
    frame = page.locator(".frame")
    before = frame.bounding_box()
    assert before
    touch = context.new_cdp_session(page)
    x, y = before["x"] + before["width"] / 2, before["y"] + before["height"] / 2

    def fingers(kind: str, apart: float | None = None) -> None:
        points = [] if apart is None else [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 60)
    for apart in (55, 45, 35, 30):
        fingers("touchMove", apart)
    fingers("touchEnd")
    after = frame.bounding_box()
    assert after
    assert after["width"] == pytest.approx(before["width"] / 2, rel=0.1)
    assert after["x"] + after["width"] / 2 == pytest.approx(x, abs=4)
    context.close()


def test_a_photo_without_a_face_says_so_and_goes_on(studio_page: Page) -> None:
    choose(studio_page, png(data.coffee()), "coffee.png")
    phase(studio_page, "photo")
    expect(studio_page.locator(".faces")).to_contain_text("No face was found, so the middle of the photo is used")
    expect(studio_page.get_by_role("button", name="Start", exact=True)).to_be_enabled()


def test_what_the_generator_does_not_make_is_told_before_and_after(studio_page: Page) -> None:
    page = studio_page
    strange = page.locator(".framing .strange")
    choose(page, png(data.coffee()), "coffee.png")
    phase(page, "photo")
    expect(strange).to_contain_text("not look like what this generator makes", timeout=SEARCH_MS)
    assert serious_barriers(page) == []
    page.get_by_role("radio", name="At once").check(force=True)
    page.get_by_role("button", name="Start", exact=True).click()
    phase(page, "result")
    expect(page.locator(".outcome .note")).to_contain_text("not look like what this generator makes")
    page.locator(".details summary").click()
    expect(page.locator(".figures")).to_contain_text("Like its own pictures")
    choose(page)
    phase(page, "photo")
    with page.expect_response(lambda response: "component_server" in response.url):
        page.locator(".frame").press("ArrowLeft")  # judged anew
    page.wait_for_timeout(500)
    expect(strange).to_be_hidden()


def test_bad_files_are_refused_in_one_sentence(studio_page: Page, tmp_path: Path) -> None:
    files = {
        "notes.jpg": (b"these are words, not pixels", "not a picture"),
        "empty.png": (b"", "empty"),
        "half.png": (CAT[: len(CAT) // 2], "damaged"),
        "page.jpg": (b"<!doctype html><p>404", "web page"),
        "huge.png": (bytes(MAX_BYTES + 1), "at most 20 MB"),
        "code.npy": (b"\x93NUMPY broken", "damaged"),
    }
    for name, (content, words) in files.items():
        file = tmp_path / name
        file.write_bytes(content)
        studio_page.locator(".photo-file").set_input_files(file)
        expect(trouble(studio_page)).to_contain_text(words)
        phase(studio_page, "empty")
    choose(studio_page)
    phase(studio_page, "photo")
    expect(trouble(studio_page)).to_be_hidden()


def test_a_dropped_and_a_pasted_photo_are_taken(studio_page: Page) -> None:
    give = """([target, event, property, photo]) => {
      const bytes = Uint8Array.from(atob(photo), (letter) => letter.charCodeAt(0));
      const data = new DataTransfer();
      data.items.add(new File([bytes], "cat.png", {type: "image/png"}));
      const init = {bubbles: true, cancelable: true, [property]: data};
      const made = event === "drop" ? new DragEvent(event, init) : new ClipboardEvent(event, init);
      document.querySelector(target).dispatchEvent(made);
    }"""
    shown = ""
    gives = ((".welcome", "drop", "dataTransfer", CAT), ("body", "paste", "clipboardData", png(data.coffee())))
    for target, event, property_, photo in gives:
        studio_page.evaluate(give, [target, event, property_, base64.b64encode(photo).decode()])
        expect(studio_page.locator(".photo img")).not_to_have_attribute("src", shown, timeout=SEARCH_MS)
        phase(studio_page, "photo")
        shown = studio_page.locator(".photo img").get_attribute("src") or ""


def test_the_latent_is_saved_and_loaded_and_results_are_kept(studio_page: Page, tmp_path: Path) -> None:
    page = studio_page
    begin(page, FEW)
    phase(page, "result")
    first = found(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Latent", exact=True).click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    with page.expect_download() as download:
        page.get_by_role("button", name="Picture", exact=True).click()
    assert (np.asarray(Image.open(download.value.path())) == pixels(first)).all()
    page.get_by_role("button", name="Again").click()
    set_steps(page, 2 * FEW)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator(".past .tile")).to_have_count(2, timeout=SEARCH_MS)
    assert found(page) != first
    page.locator(".latent-file").set_input_files(file)
    expect(page.locator(".outcome .note")).to_contain_text("Loaded from")
    assert (pixels(found(page)) == pixels(first)).all()
    page.reload()
    open_tab(page)
    expect(page.locator(".past .tile")).to_have_count(3)
    page.get_by_role("button", name=re.compile("^Result 3")).click()
    phase(page, "result")
    assert found(page) == first
    page.get_by_role("button", name="Remove result 3").click()
    expect(page.locator(".past .tile")).to_have_count(2)


def test_settings_are_the_published_ones_until_moved(studio_page: Page) -> None:
    page = studio_page
    set_steps(page, 40)
    expect(page.get_by_role("button", name="Back to the published values")).to_be_visible()
    page.get_by_role("button", name="Back to the published values").click()
    for method, steps in (("By meaning", "300"), ("Balanced", "100")):
        page.get_by_label(method).check()
        expect(page.get_by_label("Steps, value")).to_have_value(steps)
    expect(page.get_by_label("Weight of the words, value")).to_be_hidden()
    page.get_by_label("Words that help").fill("a smiling cat")
    expect(page.get_by_label("Weight of the words, value")).to_be_visible()
    expect(page.get_by_label("Keep layers together, value")).to_be_hidden()
    page.get_by_label("A bit of both").check()
    expect(page.get_by_label("Keep layers together, value")).to_be_visible()


def test_no_serious_barriers(studio_page: Page) -> None:
    page = studio_page
    page.get_by_text("Settings", exact=True).click()

    def check() -> None:
        assert serious_barriers(page, ".invert") == []

    check()
    begin(page, MANY)
    page.get_by_role("button", name="Stop", exact=True).wait_for()
    at_work(page)
    check()
    stop(page)
    phase(page, "result")
    check()
    page.get_by_role("button", name="Again").click()
    phase(page, "photo")
    check()


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32"))


GOOD = f"data:image/png;base64,{base64.b64encode(CAT).decode()}"
BOX = {"left": 10, "top": 10, "size": 200}


@pytest.mark.parametrize(
    ("method", "request_", "words"),
    [
        ("photo", {"photo": "https://example.org/cat.png"}, "Choose a photo"),
        ("photo", {"photo": "data:image/png;base64,!!!"}, "arrived damaged"),
        ("photo", {"photo": 5}, "Choose a photo"),
        ("start", {"photo": GOOD, "box": BOX, "settings": {"method": "magic"}}, "Method must be"),
        ("start", {"photo": GOOD, "box": BOX, "settings": {"space": "z"}}, "Space must be"),
        ("start", {"photo": GOOD, "box": BOX, "settings": {"steps": 10**9}}, "whole number"),
        ("start", {"photo": GOOD, "box": BOX, "settings": {"steps": 2001}}, "at most 2000 steps"),
        ("start", {"photo": GOOD, "box": BOX, "settings": {"lambda_pixel": "1"}}, "number"),
        ("start", {"photo": GOOD, "box": None}, "frame"),
        ("start", {"photo": GOOD, "box": {**BOX, "size": 10**9}}, "frame"),
        ("start", {"photo": GOOD, "box": {**BOX, "left": float("nan")}}, "frame"),
        ("start", {"photo": GOOD, "box": {**BOX, "left": 1500}}, "square"),
        ("look", {"id": "another's"}, "no longer"),
        ("stop", {}, "no longer"),
        ("directions", {"more": "a cat", "less": " "}, "both words"),
        ("directions", {"data": GOOD}, "array is damaged"),
        ("film", {"edits": [{}]}, "from one photo to another"),
        ("render", {"edits": [{}], "tuned": "../../etc/passwd"}, "no longer here"),
        ("start", {"photo": GOOD, "box": BOX, "fit": {}}, "no photo"),
        ("start", {"photo": GOOD, "box": BOX, "context": "x"}, "Choose a photo"),
        ("load_latent", {"name": "x.npy", "data": GOOD}, "no such file"),
        ("save_latent", {"edit": {}}, "no photo"),
        ("save_latent", {"edit": {"latent": 3}}, "latent"),
    ],
)
def test_a_bad_request_is_one_sentence(studio: Studio, method: str, request_: dict[str, Any], words: str) -> None:
    answer = answered(getattr(studio, method), request_)
    assert words in answer["error"]
    assert answer["error"][0].isupper()
    assert answer["error"].endswith(".")


def test_a_latent_of_another_generator_is_refused(studio: Studio) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(7, np.float32))
    uri = f"data:application/octet-stream;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    assert (
        "a latent of this generator is" in answered(studio.load_latent, {"name": "x.npy", "data": uri})["error"].lower()
    )


@pytest.mark.parametrize("public", [True, False])
def test_copies_fitted_on_a_public_page_do_not_lie_beside_the_checkpoint(
    public: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invert, "FIT_STEPS", 1)
    shutil.copyfile(ROOT / "tests" / "fixtures" / "expanded32.pkl", tmp_path / "tiny.pkl")
    engine = Engine(load(tmp_path / "tiny.pkl"), "cpu", "fp32")
    studio = Studio(engine, public=public)
    code = Edit(latent=Latent.of(engine.ws(Edit(seed=1)).numpy()), project=False).to_json()
    photo = f"data:image/png;base64,{base64.b64encode(png(engine.render(Edit(seed=2)))).decode()}"
    id_ = studio.start({"photo": photo, "box": {"left": 0, "top": 0, "size": 32}, "fit": code})["id"]
    while (answer := studio.look({"id": id_}))["state"] in ("waiting", "working"):
        time.sleep(0.02)
    name = answer["result"]["tuned"]
    assert (studio.copies / name).is_file()
    assert (tmp_path / "tiny-tuned" / name).exists() != public
    assert "pictures" in studio.render({"edits": [code], "tuned": name})
    studio.turns.close()
