"""Every control can be reached at every width: none is cut off, and the page never scrolls sideways."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

WIDTHS = (320, 390, 600, 768, 801, 900, 1024, 1100, 1225, 1241, 1366, 1920, 2560)
# Controls that reach beyond the window or a box that hides what does; what scrolls sideways shows them in the end.
# Gradio keeps invisible copies of the tabs, by which it measures how many fit.
CUT_OFF = """() => [...document.querySelectorAll('button, input, select, textarea, a, summary, [tabindex="0"]')]
  .filter((control) => {
    const box = control.getBoundingClientRect();
    if (!box.width || control.closest("[aria-hidden=true], .visually-hidden")) return false;
    let [left, right] = [0, innerWidth];
    for (let around = control.parentElement; around; around = around.parentElement) {
      const overflow = getComputedStyle(around).overflowX;
      if (overflow === "auto" || overflow === "scroll") return false;
      if (overflow === "visible") continue;
      const frame = around.getBoundingClientRect();
      [left, right] = [Math.max(left, frame.left), Math.min(right, frame.right)];
    }
    return box.left < left - 1 || box.right > right + 1;
  })
  .map((control) => control.id || control.dataset.do || control.className || control.textContent)"""


@pytest.mark.parametrize("tab", ["Explore", "Compose", "Photo", "Teach", "Model"])
def test_every_control_can_be_reached_at_every_width(page: Page, tab: str) -> None:
    page.get_by_role("tab", name=tab, exact=True).click()
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(150)
        assert page.evaluate(CUT_OFF) == [], f"cut off at {width} px"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
