"""A real server process and a real Chromium for the journeys."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
READY_SECONDS = 90


class Server:
    """`python app.py` as a user starts it, on a free port; it can be killed and started again on the same port."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        command = [sys.executable, "app.py", "--checkpoint", str(self.checkpoint), "--port", str(self.port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
        )
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}config", timeout=5):
                    return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    assert self.process.stderr
                    raise RuntimeError(f"the server did not start: {self.process.stderr.read()}") from None
                time.sleep(0.1)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: these tests must run in CI")
        pytest.skip("no Chromium on this machine: install it with your system's packages")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def default_server() -> Iterator[Server]:
    """The embedded default: 512 directions, no domains yet."""
    server = Server(ROOT / "checkpoints" / "cats64.safetensors")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def expanded_server() -> Iterator[Server]:
    """A tiny generator with three domains."""
    server = Server(ROOT / "tests" / "fixtures" / "expanded32.pkl")
    yield server
    server.kill()


def open_page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of its own profile with the first picture painted; console errors fail the test."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True).new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    page.wait_for_selector(".explore[data-painted]")
    yield page
    page.context.close()
    assert not errors


@pytest.fixture
def page(browser: Browser, default_server: Server) -> Iterator[Page]:
    yield from open_page(browser, default_server)


@pytest.fixture
def expanded_page(browser: Browser, expanded_server: Server) -> Iterator[Page]:
    yield from open_page(browser, expanded_server)
