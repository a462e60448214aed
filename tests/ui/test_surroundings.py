"""What the page stands in may be unkind: frames without storage, fingers that scroll, users without a home, IPv6."""

from __future__ import annotations

import gc
import os
import pwd
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import ROOT, Server
from playwright.sync_api import Browser

from explorer import Engine, load
from explorer.folders import cache_home, data_home, passing
from explorer.ui import Serving, Shelf, build_ui
from explorer.ui.serve import ServeError, start

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
# What a frame of another site sees where third-party data is blocked.
NO_STORAGE = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { get() { throw new DOMException("no", "SecurityError"); } });"""
# Gradio's server and client leave event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


def test_without_storage_the_page_works_as_long_as_it_is_open(browser: Browser, expanded_server: Server) -> None:
    page = browser.new_context().new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(NO_STORAGE)
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    page.evaluate("localStorage.setItem('a', 1); sessionStorage.setItem('b', 2)")
    assert page.evaluate("[localStorage.getItem('a'), localStorage.length, sessionStorage.getItem('b')]")[0] == "1"
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate("localStorage.getItem('explorer:theme')") in ("dark", "light")
    assert errors == []
    page.context.close()


def test_a_finger_that_scrolls_moves_no_slider(browser: Browser, expanded_server: Server) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 664}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    slider = page.locator("#explore .slider").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    before, top = slider.input_value(), page.evaluate("scrollY")
    touch = context.new_cdp_session(page)
    x, y = box["x"] + 0.7 * box["width"], box["y"] + box["height"] / 2

    def send(kind: str, *points: dict[str, float]) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x, "y": y})
    for move in range(1, 13):
        send("touchMove", {"x": x, "y": y - 15 * move})
    send("touchEnd")
    page.wait_for_function(f"scrollY !== {top}")
    page.wait_for_timeout(300)
    assert slider.input_value() == before
    context.close()


def serve(folder: Path, **changes: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shelf = Shelf(partial(build_ui, max_px=None), "cpu", "fp32", folder)
    page = build_ui(Engine(load(EXPANDED), "cpu", "fp32"), "expanded32", None, shelf)
    yield start(page, Serving(port=port, **changes), shelf)
    page.close(verbose=False)


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine knows no IPv6")
def test_an_address_of_ipv6_is_served(tmp_path: Path) -> None:
    for url in serve(tmp_path, host="::1"):
        assert url.startswith("http://[::1]:")
        assert httpx.get(f"{url}config").status_code == 200
    assert not Serving(host="[::1]").public


def test_the_path_of_a_proxy_is_taken_from_the_environment_and_may_stay_in_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(EXPANDED).save(tmp_path / "first.safetensors")
    monkeypatch.setenv("GRADIO_ROOT_PATH", "/cats/")
    assert Serving().root_path == "/cats"
    assert Serving().public  # behind it there are others, who start no lessons
    for url in serve(tmp_path):
        for path in ("", "cats/"):
            assert httpx.get(f"{url}{path}config").json()["root"].endswith("/cats")
            first = httpx.get(f"{url}{path}m/first/config", timeout=120)
            assert first.json()["root"].endswith("/cats/m/first")
    monkeypatch.setenv("GRADIO_ROOT_PATH", "cats")
    with pytest.raises(ServeError, match="--root-path"):
        Serving()


def test_without_a_home_there_is_a_folder_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_home() == data_home() == passing()
    assert passing().stat().st_mode & 0o77 == 0
    assert os.access(passing(), os.W_OK)
