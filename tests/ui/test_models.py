"""Journeys through the Model tab: files of the disk, uploads, domains called anew; a real server, a real Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_server import ROOT, Server, open_page
from generators import make_generator
from playwright.sync_api import Browser, Page, expect

from explorer import load
from explorer.weights import Checkpoint

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
MEGABYTE = 2**20
PATIENCE = 120_000  # ms


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a few checkpoints in it, and a folder for what passes."""
    home = tmp_path_factory.mktemp("home")
    for folder in ("models", ".hidden", "passing"):
        (home / folder).mkdir()
    load(EXPANDED).save(home / "models" / "faces.safetensors")
    (home / "models" / "broken.pkl").write_bytes(b"<html>not found</html>")
    (home / "models" / "notes.txt").write_text("no checkpoint")
    Checkpoint(make_generator(channels=(1536, 1024, 512))).save(home / "large.safetensors")
    assert (home / "large.safetensors").stat().st_size > 65 * MEGABYTE
    return home


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("TMPDIR", str(home / "passing"))
        server = Server(Path(shutil.copy(EXPANDED, home / "first.pkl")), data=home / "data")
    yield server
    server.kill()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    for page in open_page(browser, server):
        page.set_default_timeout(PATIENCE)
        open_model(page)
        yield page


def open_model(page: Page) -> None:
    page.wait_for_selector(
        ".explore[data-painted]:visible, .model[data-ready]:visible"
    )  # the address may say which tab is open
    page.locator("#tabs > .tab-wrapper").get_by_role("tab", name="Model", exact=True).click()
    page.wait_for_selector(".model[data-ready]")


def test_a_file_of_the_disk_is_opened_by_its_address_and_found_again(page: Page, server: Server, home: Path) -> None:
    address = page.get_by_role("textbox", name="Address of a checkpoint file")
    trouble = page.locator(".model .others > .trouble")
    for text, why in (
        ("models/faces.safetensors", "no full path"),
        ("~/models", "is a folder"),
        ("~/models/broken.pkl", "web page"),
    ):
        address.fill(text)
        page.get_by_role("button", name="Open file").click()
        expect(trouble).to_contain_text(why)
    address.fill("~/models/faces.safetensors")
    page.get_by_role("button", name="Open file").click()
    page.wait_for_url("**/m/faces~*/")
    open_model(page)
    expect(page.locator(".model h2").first).to_have_text("faces")
    latest = page.locator(".latest").get_by_role("button")
    expect(latest).to_contain_text(["faces.safetensors", "first.pkl"])
    url = page.url
    page.goto("about:blank")  # what is open would complain
    server.kill()
    server.start()
    page.goto(url)
    open_model(page)
    expect(page.locator(".model h2").first).to_have_text("faces")
    page.get_by_role("combobox", name="Generator", exact=True).first.select_option(label="first")
    page.wait_for_url(server.url)


def test_folders_lead_to_a_file(page: Page, home: Path) -> None:
    page.get_by_role("button", name="Browse").click()
    entries = page.locator(".folder li button span")
    expect(page.locator(".folder .place")).to_have_text(str(home))
    assert "models" in entries.all_inner_texts()
    assert ".hidden" not in entries.all_inner_texts()
    page.locator(".folder").get_by_role("button", name="models").click()
    expect(entries).to_have_text(["broken.pkl", "faces.safetensors"])
    page.get_by_role("button", name="To the folder above").click()
    expect(page.locator(".folder .place")).to_have_text(str(home))
    page.locator(".folder").get_by_role("button", name="models").click()
    page.locator(".folder").get_by_role("button", name="faces.safetensors").click()
    page.wait_for_url("**/m/faces~*/")


def test_a_file_far_beyond_64_mb_is_sent(page: Page, home: Path) -> None:
    page.get_by_label("Checkpoint file", exact=True).set_input_files(home / "large.safetensors")
    page.wait_for_url("**/m/large~*/")
    open_model(page)
    expect(page.locator(".model h2").first).to_have_text("large")


def passing(home: Path) -> list[Path]:
    """Files of some size in the server's folder of what passes."""
    return [path for path in (home / "passing").rglob("*") if path.is_file() and path.stat().st_size > MEGABYTE]


def test_an_upload_that_is_cancelled_leaves_nothing(page: Page, home: Path) -> None:
    before = passing(home)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4 * MEGABYTE}
    network.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Checkpoint file", exact=True).set_input_files(home / "large.safetensors")
    expect(page.locator(".sending [role=status]")).to_contain_text("MB of", timeout=PATIENCE)
    deadline = time.monotonic() + 60
    while len(passing(home)) == len(before) and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert len(passing(home)) > len(before), "it is written while it comes"
    page.get_by_role("button", name="Cancel").locator("visible=true").click()
    expect(page.locator(".drop")).to_be_visible()
    while passing(home) != before and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    assert passing(home) == before
    expect(page.locator(".model .others > .trouble")).to_be_hidden()


def test_domains_are_called_anew_and_the_generator_is_in_the_list(page: Page, server: Server, home: Path) -> None:
    page.get_by_role("button", name="Rename, reorder, remove").click()
    page.get_by_role("textbox", name="Name of zombie").fill("ghoul")
    page.get_by_role("button", name="Leave out tolkien elf").click()
    names = page.locator(".arrange li:not(.out) input")
    order = names.evaluate_all("inputs => inputs.map((input) => input.value)")
    page.get_by_role("button", name="Move down sketch").click()
    page.get_by_role("button", name="Move down sketch").click()
    moved = names.evaluate_all("inputs => inputs.map((input) => input.value)")
    assert moved == [*[name for name in order if name != "sketch"], "sketch"]
    page.get_by_role("textbox", name="Name of the new generator").fill("faces64")
    page.get_by_role("button", name="Save as new").click()
    page.wait_for_url("**/m/faces64/")
    open_model(page)
    expect(page.locator(".domains figcaption")).to_have_text(["ghoul", "sketch"])
    written = load(home / "data" / "models" / "faces64.safetensors").expansion
    assert written
    assert written.domains == ("ghoul", "sketch")
    page.goto("about:blank")  # what is open would complain
    server.kill()
    server.start()
    page.goto(server.url)
    page.wait_for_selector(".explore[data-painted]")
    assert "faces64" in page.get_by_role("combobox", name="Generator").first.locator("option").all_inner_texts()
