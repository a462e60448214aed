"""A real server process and a real Chromium for the journeys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from app_server import CHROMIUM, FLAGS, MODELS, ROOT, Server, open_page
from playwright.sync_api import Browser, Page, sync_playwright


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
    """A small generator that was truly trained: 512 directions, fourteen of them domains, an encoder, a judge."""
    server = Server(MODELS / "cats64.safetensors")
    yield server
    server.kill()


@pytest.fixture(scope="session")
def expanded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A tiny generator with three domains, in a folder of its own, for fitted copies are saved beside it."""
    checkpoint = tmp_path_factory.mktemp("checkpoints") / "expanded32.pkl"
    shutil.copyfile(ROOT / "tests" / "fixtures" / "expanded32.pkl", checkpoint)
    server = Server(checkpoint)
    yield server
    server.kill()


@pytest.fixture
def page(browser: Browser, default_server: Server) -> Iterator[Page]:
    yield from open_page(browser, default_server)


@pytest.fixture
def plain_page(browser: Browser) -> Iterator[Page]:
    """A generator that was taught nothing."""
    server = Server(MODELS / "cats64-source.safetensors")
    yield from open_page(browser, server)
    server.kill()


@pytest.fixture
def expanded_page(browser: Browser, expanded_server: Server) -> Iterator[Page]:
    yield from open_page(browser, expanded_server)
