"""To show around: a surprise, a picture that wanders, the whole screen, knobs; in a real Chromium."""

from __future__ import annotations

import json
from typing import Any

import pytest
from app_server import Server
from playwright.sync_api import Browser, Page, expect

# No controller can be plugged into the browser of a test, and none be made: one input that the test turns.
CONTROLLER = """
window.controller = { type: "input" };
navigator.requestMIDIAccess = async () => ({ inputs: new Map([["a", controller]]), addEventListener() {} });
window.turn = (control, value) => controller.onmidimessage({ data: [0xb2, control, value] });
"""
GAMEPAD = """
delete Navigator.prototype.requestMIDIAccess;
window.stick = 0;
navigator.getGamepads = () => [null, { index: 1, axes: [0, stick] }];
"""


def painted(page: Page) -> dict[str, Any]:
    return json.loads(page.locator(".explore").get_attribute("data-painted") or "{}")


def wait_for_another(page: Page, before: dict[str, Any]) -> dict[str, Any]:
    for _ in range(100):
        if (now := painted(page)) != before:
            return now
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture stays that of {before}")


def test_a_surprise_is_another_picture_in_a_domain_and_one_step_of_the_history(expanded_page: Page) -> None:
    page = expanded_page
    before = painted(page)
    page.get_by_role("button", name="Surprise me").click()
    now = wait_for_another(page, before)
    assert now["seed"] != before.get("seed", 0)
    assert all(isinstance(name, str) and 0 < value <= 1 for name, value in now["strengths"])
    page.keyboard.press("Control+z")
    assert wait_for_another(page, now) == before
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_a_picture_wanders_until_a_key_is_pressed_and_comes_back(expanded_page: Page) -> None:
    page = expanded_page
    before = painted(page)
    page.keyboard.press("w")
    seen = [wait_for_another(page, before)]
    seen.append(wait_for_another(page, seen[0]))
    assert all(edit["strengths"] for edit in seen)
    page.keyboard.press("w")  # wakes it, and does not set out again
    page.wait_for_timeout(300)
    assert painted(page) == before
    page.wait_for_timeout(300)
    assert painted(page) == before
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    expect(page.get_by_role("button", name="Let the picture wander")).to_have_attribute("aria-pressed", "false")


def test_the_picture_has_the_whole_screen_and_the_controls_come_back(expanded_page: Page) -> None:
    page = expanded_page
    controls, stage = page.locator("#explore .controls"), page.locator("#explore .stage")
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement?.matches('.explore')")
    expect(controls).to_be_hidden()
    box = stage.bounding_box()
    assert box
    assert max(box["width"], box["height"]) == pytest.approx(page.evaluate("Math.min(innerWidth, innerHeight)"), abs=1)
    page.keyboard.press("h")
    expect(controls).to_be_visible()
    page.keyboard.press("f")
    page.wait_for_function("!document.fullscreenElement")
    expect(controls).to_be_visible()
    page.keyboard.press("h")
    expect(controls).to_be_hidden()
    page.keyboard.press("h")


def learn(page: Page, label: str) -> None:
    row = page.locator(".row", has=page.get_by_role("slider", name=label, exact=True))
    row.get_by_role("button", name=f"More about {label}").click()
    row.get_by_role("button", name="Learn a knob").click()
    expect(row.get_by_role("button", name="Turn a knob now")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(
    ("device", "turns", "name"),
    [
        (CONTROLLER, ("turn(7, 0)", "turn(7, 127)"), "On knob 7, channel 3"),
        (GAMEPAD, ("stick = -1", "stick = 1"), "On gamepad 2, axis 2"),
    ],
)
def test_a_knob_moves_the_slider_that_it_has_learned_also_after_a_reload(
    browser: Browser, expanded_server: Server, device: str, turns: tuple[str, str], name: str
) -> None:
    page = browser.new_context().new_page()
    page.add_init_script(device)
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    slider = page.get_by_role("slider", name="Factor 1", exact=True)
    learn(page, "Factor 1")
    page.wait_for_timeout(100)
    page.evaluate(turns[0])
    expect(page.get_by_role("button", name=name)).to_be_visible()
    expect(slider).to_have_value(slider.get_attribute("min") or "")
    page.evaluate(turns[1])
    expect(slider).to_have_value(slider.get_attribute("max") or "")
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    page.wait_for_timeout(100)
    page.evaluate(turns[0])
    expect(slider).to_have_value(slider.get_attribute("min") or "")
    page.context.close()
