"""A generator with classes: they are chosen by name where its file has names, else by number."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from test_explore_stylegan3 import DROP, canvas, until

from explorer.weights import Checkpoint
from tests.generators import make_generator

NAMES = ["tabby", "tuxedo <b>&", "calico"]


def dropped(page: Page, folder: Path, **meta: Any) -> None:
    path = Checkpoint(make_generator(c_dim=3), meta=meta).save(folder / "classes.safetensors")
    page.get_by_role("tab", name="Model").click()
    page.wait_for_selector(".drop")
    page.evaluate(DROP, [".drop", path.name, base64.b64encode(path.read_bytes()).decode()])
    page.wait_for_url("**/m/**")
    page.wait_for_selector(".explore[data-painted]")


def test_classes_are_chosen_by_name(expanded_page: Page, tmp_path: Path) -> None:
    page = expanded_page
    dropped(page, tmp_path, classes=NAMES)
    menu = page.locator(".explore").get_by_role("combobox", name="Class", exact=True)
    assert menu.locator("option").all_text_contents() == NAMES
    first = canvas(page)
    menu.select_option(label="calico")
    until(page, ".explore", lambda edit: edit.class_index == 2)
    assert canvas(page) != first
    page.get_by_role("button", name="Undo", exact=True).first.click()
    until(page, ".explore", lambda edit: not edit.class_index)
    expect(menu).to_have_value("0")


@pytest.mark.parametrize("classes", [NAMES[:2], [1, 2, 3], "abc", None])
def test_names_that_do_not_fit_are_no_names(classes: Any, tmp_path: Path) -> None:
    assert Checkpoint(make_generator(c_dim=3), meta={"classes": classes}).class_names == ()


def test_classes_without_names_are_numbers(expanded_page: Page, tmp_path: Path) -> None:
    page = expanded_page
    dropped(page, tmp_path)
    number = page.locator(".explore").get_by_role("spinbutton", name="Class", exact=True)
    number.fill("1")
    page.keyboard.press("Enter")
    until(page, ".explore", lambda edit: edit.class_index == 1)
    assert json.loads(page.locator(".explore").get_attribute("data-painted") or "{}")["class_index"] == 1
