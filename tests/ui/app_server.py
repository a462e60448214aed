"""The app as a user starts it, a process that can be killed and started again; its page, and axe-core's look at it."""

from __future__ import annotations

import asyncio
import atexit
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests" / "models"  # small generators that were truly trained
Result = TypeVar("Result")
READY_SECONDS = 300  # on a machine that may be busy
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


def serious_barriers(page: Page, of: str | None = None) -> list[tuple[str, str]]:
    """What axe-core calls serious or critical on the page, or within the selector `of`: rule and HTML of the first."""
    found = Axe().run(page, of).response["violations"]
    return [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]


class Server:
    """`python app.py` as a user starts it, on a free port; it can be killed and started again on the same port.

    What its user makes lies in `data`, by default in a folder of its own.
    """

    def __init__(self, checkpoint: Path, *flags: str, data: Path | None = None) -> None:
        self.checkpoint, self.flags = checkpoint, flags
        if data is None:
            data = Path(tempfile.mkdtemp())
            atexit.register(shutil.rmtree, data, ignore_errors=True)
        self.surroundings = dict(os.environ) | {"EXPLORER_DATA": str(data)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        command = [
            sys.executable,
            "app.py",
            "--checkpoint",
            str(self.checkpoint),
            "--port",
            str(self.port),
            *self.flags,
        ]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=self.surroundings
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


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """What asynchronous work returns, in a thread of its own: this one's loop belongs to the browser."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def open_page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page of its own profile with the first picture painted, as it was generated; console errors fail the test."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True).new_page()
    page.add_init_script("if (origin !== 'null') localStorage.setItem('explorer:sharp', '0')")  # about:blank has none
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    page.wait_for_selector(".explore[data-painted]")
    yield page
    page.context.close()
    assert not errors, errors
