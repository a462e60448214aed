"""Journeys: projects are kept by themselves, opened again, deleted, brought back; the address says the tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from app_server import Server, serious_barriers
from playwright.sync_api import Browser, BrowserContext, Page, expect

KEPT = "document.documentElement.dataset.project === '{}'"
SLIDER = "sketch"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield context
    context.close()


def visit(context: BrowserContext, server: Server, query: str = "") -> Page:
    """A new window, which has no session yet."""
    page = context.new_page()
    page.goto(f"{server.url}{query}")
    page.wait_for_selector(".explore[data-painted], .invert[data-phase], .model[data-ready], .compose[data-painted]")
    return page


def move(page: Page, to: str) -> None:
    number = page.get_by_role("spinbutton", name=f"{SLIDER}, value")
    number.fill(to)
    number.press("Enter")


def at(page: Page, value: str) -> None:
    expect(page.get_by_role("slider", name=SLIDER, exact=True)).to_have_value(value)


def is_kept(page: Page, name: str = "Untitled") -> None:
    page.wait_for_function(KEPT.format(name))


def projects(page: Page) -> Any:
    page.get_by_role("button", name="Projects", exact=True).first.click()
    return page.get_by_role("dialog", name="Projects")


def test_the_next_visit_goes_on_where_the_last_one_ended(context: BrowserContext, expanded_server: Server) -> None:
    page = visit(context, expanded_server)
    move(page, "0.5")
    move(page, "0.8")
    page.locator(".explore").get_by_role("button", name="Snapshot", exact=True).click()
    page.get_by_role("button", name="Name and note of snapshot 1").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("the one")
    page.get_by_role("textbox", name="Note", exact=True).fill("for the poster")
    page.get_by_role("button", name="Done", exact=True).click()
    expect(page.get_by_role("button", name="Name and note of snapshot 1")).to_have_text("the one")
    is_kept(page)
    dialog = projects(page)
    assert serious_barriers(page, ".projects") == []
    dialog.get_by_role("textbox", name="Name of Untitled").fill("poster")
    dialog.get_by_role("textbox", name="Name of Untitled").press("Tab")
    is_kept(page, "poster")
    page.wait_for_timeout(600)  # what is kept late is kept by now
    page.close()

    page = visit(context, expanded_server)
    at(page, "0.8")
    page.wait_for_function("document.querySelector('.explore').dataset.painted.includes('0.8')")
    page.get_by_role("button", name="Undo", exact=True).first.click()
    at(page, "0.5")
    page.get_by_role("tab", name="Snapshots").click()
    expect(page.get_by_role("button", name="Name and note of snapshot 1")).to_have_text("the one")
    is_kept(page, "poster")


def test_projects_have_pictures_and_snapshots_of_their_own_and_come_back(
    context: BrowserContext, expanded_server: Server
) -> None:
    page = visit(context, expanded_server)
    move(page, "0.5")
    page.locator(".explore").get_by_role("button", name="Snapshot", exact=True).click()
    is_kept(page)
    dialog = projects(page)
    dialog.get_by_role("textbox", name="Name of Untitled").fill("first")
    dialog.get_by_role("textbox", name="Name of Untitled").press("Tab")
    is_kept(page, "first")
    with page.expect_navigation():
        dialog.get_by_role("button", name="New project").click()
    page.wait_for_selector(".explore[data-painted]")
    at(page, "0")
    expect(page.locator("#tab-snapshots .count")).to_have_text("")
    move(page, "-0.25")
    is_kept(page)
    with page.expect_navigation():
        projects(page).get_by_role("button", name="Open first").click()
    page.wait_for_selector(".explore[data-painted]")
    at(page, "0.5")
    expect(page.locator("#tab-snapshots .count")).to_have_text("1")
    dialog = projects(page)
    dialog.get_by_role("button", name="Delete Untitled").click()
    expect(dialog.get_by_role("button", name="Open Untitled")).to_have_count(0)
    dialog.get_by_role("button", name="Bring Untitled back").click()
    expect(dialog.get_by_role("button", name="Open Untitled")).to_be_visible()
    with page.expect_navigation():
        dialog.get_by_role("button", name="Delete first").click()  # the open one
    page.wait_for_selector(".explore[data-painted]")
    at(page, "0")
    dialog = projects(page)
    dialog.get_by_role("button", name="Bring first back").click()
    with page.expect_navigation():
        dialog.get_by_role("button", name="Open first").click()
    page.wait_for_selector(".explore[data-painted]")
    at(page, "0.5")
    expect(page.locator("#tab-snapshots .count")).to_have_text("1")


def test_two_windows_have_one_project_and_open_another_one_together(
    context: BrowserContext, expanded_server: Server
) -> None:
    page = visit(context, expanded_server)
    move(page, "0.5")
    is_kept(page)
    other = visit(context, expanded_server)
    at(other, "0.5")
    with other.expect_navigation(), page.expect_navigation():
        projects(page).get_by_role("button", name="New project").click()
    for window in (page, other):
        window.wait_for_selector(".explore[data-painted]")
        at(window, "0")
    move(other, "0.75")
    is_kept(other)
    is_kept(page)
    move(page, "0.3")
    page.wait_for_timeout(600)
    assert page.evaluate("domainExplorer.projects.all().then((all) => all.length)") == 2


def test_a_project_of_another_generator_is_not_this_ones(context: BrowserContext, expanded_server: Server) -> None:
    page = visit(context, expanded_server)
    move(page, "0.5")
    is_kept(page)
    page.evaluate("""async () => {
      const [project] = await domainExplorer.projects.all();
      await domainExplorer.projects.put({ ...project, key: "another" });
    }""")
    page.close()
    page = visit(context, expanded_server)
    projects(page)
    expect(page.get_by_text("Nothing is kept yet")).to_be_visible()


def test_a_snapshot_that_was_deleted_comes_back_to_its_place(context: BrowserContext, expanded_server: Server) -> None:
    page = visit(context, expanded_server)
    for value in ("0.2", "0.4"):
        move(page, value)
        page.wait_for_function(f"document.querySelector('.explore').dataset.painted.includes('{value}')")
        page.locator(".explore").get_by_role("button", name="Snapshot", exact=True).click()
    images = page.locator("#snapshots img")
    before = images.evaluate_all("images => images.map((image) => image.src)")
    page.get_by_role("button", name="Delete snapshot 1").click()
    expect(images).to_have_count(1)
    page.locator(".explore .way-out").click()
    expect(images).to_have_count(2)
    assert images.evaluate_all("images => images.map((image) => image.src)") == before


def test_the_address_says_which_tab_is_open(context: BrowserContext, expanded_server: Server) -> None:
    page = visit(context, expanded_server, "?tab=photo")
    expect(page.get_by_role("tab", name="Photo", exact=True)).to_have_attribute("aria-selected", "true")
    page.get_by_role("tab", name="Model", exact=True).click()
    page.wait_for_url("**/?tab=model")
    page.reload()
    expect(page.get_by_role("tab", name="Model", exact=True)).to_have_attribute("aria-selected", "true")
    page.wait_for_selector(".model[data-ready]")
    page.locator(".model select").select_option("cats128-source")
    page.locator(".model .open").click()
    page.wait_for_url("**/m/cats128-source/")
    page.wait_for_selector(".explore[data-painted]")
    page.go_back()
    page.wait_for_selector(".model[data-ready]")
    page.get_by_role("tab", name="Explore", exact=True).click()
    page.wait_for_url(expanded_server.url)


def test_without_a_database_the_page_works_without_projects(browser: Browser, expanded_server: Server) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(
        "Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    page.goto(expanded_server.url)
    page.wait_for_selector(".explore[data-painted]")
    move(page, "0.5")
    page.wait_for_function("document.querySelector('.explore').dataset.painted.includes('0.5')")
    page.wait_for_timeout(800)
    expect(page.get_by_role("button", name="Projects", exact=True)).to_have_count(0)
    assert errors == []
    page.close()
