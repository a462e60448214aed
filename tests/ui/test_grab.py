"""The hand on the picture: a drag moves two directions, wheel and pinch zoom, a drag then pans; in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from app_server import Server, serious_barriers
from playwright.sync_api import Browser, Page, expect


def strengths(page: Page) -> dict[str | int, float]:
    painted = json.loads(page.locator(".explore").get_attribute("data-painted") or "{}")
    return dict(painted.get("strengths", []))


def until(page: Page, wanted: dict[str | int, float]) -> None:
    for _ in range(100):
        if strengths(page) == pytest.approx(wanted, abs=0.06):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{strengths(page)} in place of {wanted}")


def drag(page: Page, across: float, up: float) -> None:
    """From the middle, in parts of the stage."""
    box = page.locator(".explore canvas").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across * box["width"], y - up * box["height"], steps=6)
    page.mouse.up()


def span(page: Page, label: str) -> float:
    slider = page.get_by_role("slider", name=label, exact=True)
    return float(slider.get_attribute("max") or 0) - float(slider.get_attribute("min") or 0)


def canvas(page: Page) -> str:
    return page.evaluate("document.querySelector('.explore canvas').toDataURL()")


def test_a_drag_on_the_picture_moves_two_directions_as_one_step(expanded_page: Page) -> None:
    page = expanded_page
    drag(page, 0.2, 0.1)
    until(page, {0: 0.1 * span(page, "Factor 0"), 1: 0.05 * span(page, "Factor 1")})
    drag(page, 0.0, -0.1)
    until(page, {0: 0.1 * span(page, "Factor 0")})
    assert float(page.get_by_role("slider", name="Factor 0", exact=True).input_value()) > 0
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    until(page, {})
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_a_row_says_what_a_drag_moves_also_after_a_reload(expanded_page: Page) -> None:
    page = expanded_page
    row = page.locator(".row", has=page.get_by_role("slider", name="zombie", exact=True))
    row.get_by_role("button", name="More about zombie").click()
    row.get_by_role("button", name="Drag ↕").click()
    expect(row.get_by_role("button", name="Drag ↕")).to_have_attribute("aria-pressed", "true")
    assert not serious_barriers(page, ".explore")
    page.reload()
    page.wait_for_selector(".explore[data-painted]")
    drag(page, 0.0, 0.25)
    until(page, {"zombie": 0.125 * span(page, "zombie")})


def test_the_wheel_zooms_a_drag_then_pans_and_one_click_leads_back(expanded_page: Page) -> None:
    page = expanded_page
    whole = canvas(page)
    page.locator(".explore canvas").hover()
    page.mouse.wheel(0, -500)
    zoom = page.get_by_role("button", name="Back to the whole picture")
    expect(zoom).to_have_text("2×")
    near = canvas(page)
    assert near != whole
    drag(page, 0.2, 0.1)
    assert canvas(page) not in (near, whole)
    page.wait_for_timeout(200)
    assert strengths(page) == {}
    drag(page, -0.2, -0.1)
    assert canvas(page) == near, "there and back"
    zoom.click()
    expect(zoom).to_be_hidden()
    assert canvas(page) == whole
    page.mouse.wheel(0, 500)
    assert canvas(page) == whole, "never smaller"


@pytest.fixture
def phone(browser: Browser, expanded_server: Server) -> Page:
    page = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True).new_page()
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    return page


def touching(page: Page) -> Callable[..., None]:
    """Fingers on the stage, at parts of it: `touch("touchMove", (0.4, 0.5))`."""
    session = page.context.new_cdp_session(page)
    box = page.locator(".explore canvas").bounding_box()
    assert box

    def touch(kind: str, *points: tuple[float, float]) -> None:
        where = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(points)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": where})

    return touch


def test_two_fingers_zoom_and_one_scrolls_the_page_or_moves_sideways(phone: Page) -> None:
    touch = touching(phone)
    touch("touchStart", (0.4, 0.5))
    touch("touchStart", (0.4, 0.5), (0.6, 0.5))
    for part in (0.05, 0.1, 0.2):
        touch("touchMove", (0.4 - part, 0.5), (0.6 + part, 0.5))
    touch("touchEnd")
    zoom = phone.get_by_role("button", name="Back to the whole picture")
    expect(zoom).to_have_text("3×")
    zoom.tap()
    expect(zoom).to_be_hidden()
    assert strengths(phone) == {}
    touch("touchStart", (0.3, 0.5))
    for part in (0.1, 0.2, 0.3):
        touch("touchMove", (0.3 + part, 0.5))
    touch("touchEnd")
    until(phone, {0: 0.15 * span(phone, "Factor 0")})
    touch("touchStart", (0.5, 0.9))
    for part in (0.1, 0.2, 0.4):
        touch("touchMove", (0.5, 0.9 - part))
    touch("touchEnd")
    phone.wait_for_function("document.scrollingElement.scrollTop > 20")
    assert set(strengths(phone)) == {0}, "what scrolls moves nothing"
    phone.context.close()
