"""A StyleGAN3 is dropped on the page: its sliders move, and turn and shift its pictures."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

from app_server import ROOT, serious_barriers
from playwright.sync_api import Page, expect

from explorer import Edit

FILE = ROOT / "tests" / "fixtures" / "sg3t32.pkl"
DROP = """([selector, name, data]) => {
  const dataTransfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  dataTransfer.items.add(new File([bytes], name));
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(event);
}"""


def until(page: Page, panel: str, wanted: Callable[[Edit], bool]) -> Edit:
    """Wait until the last painted picture is that of a wanted edit."""
    edit = Edit()
    for _ in range(200):
        edit = Edit.from_json(json.loads(page.locator(panel).get_attribute("data-painted") or "{}"))
        if wanted(edit):
            return edit
        page.wait_for_timeout(50)
    raise AssertionError(f"the picture stays that of {edit}")


def canvas(page: Page) -> str:
    return page.evaluate("document.querySelector('.explore canvas').toDataURL()")


def test_a_dropped_stylegan3_turns_and_shifts(expanded_page: Page) -> None:
    page = expanded_page
    turn = page.locator(".explore").get_by_role("slider", name="Turn", exact=True)
    page.get_by_role("button", name="Where it starts").click()
    expect(turn).to_be_hidden()  # a StyleGAN2 cannot
    expect(page.locator(".explore").get_by_label("Number of steps")).to_be_hidden()
    expect(page.locator(".explore").get_by_role("radio", name="Fixed")).to_be_visible()
    page.evaluate("localStorage.removeItem('explorer:drawer')")  # of a StyleGAN3 it is open from the start
    page.get_by_role("tab", name="Model").click()
    page.wait_for_selector(".drop")
    page.evaluate(DROP, [".drop", FILE.name, base64.b64encode(FILE.read_bytes()).decode()])
    page.wait_for_url("**/m/**")
    page.wait_for_selector(".explore[data-painted]")
    expect(turn).to_be_visible()
    expect(page.locator(".explore .field.noise")).to_be_hidden()  # it has none
    assert not serious_barriers(page, ".explore")

    first = canvas(page)
    page.get_by_label("Turn, value").fill("30")
    page.keyboard.press("Enter")
    until(page, ".explore", lambda edit: edit.rotate == 30)
    assert canvas(page) != first
    shift = page.locator(".explore").get_by_role("slider", name="Shift right", exact=True)
    shift.focus()
    page.keyboard.press("ArrowRight")
    until(page, ".explore", lambda edit: edit.shift_x > 0)
    page.get_by_role("button", name="Undo").first.click()
    until(page, ".explore", lambda edit: edit.pose == (30, 0, 0))
    factor = page.get_by_role("slider", name="Factor 5", exact=True)
    factor.focus()
    page.keyboard.press("ArrowRight")
    moved = until(page, ".explore", lambda edit: bool(edit.strengths))
    assert moved.pose == (30, 0, 0)

    page.get_by_role("button", name="To Compose").click()
    until(page, ".compose", lambda edit: edit == moved)
    page.locator(".compose").get_by_label("Shift down, value").fill("0.1")
    page.keyboard.press("Enter")
    until(page, ".compose", lambda edit: edit.pose == (30, 0, 0.1))
