"""Whoever closes the connection is worked for no more; and what a fault of ours looks like from outside."""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from explorer import Edit, Engine, load
from explorer.ui import Serving, build_ui
from explorer.ui.answers import OURS, answered
from explorer.ui.gate import GATE
from explorer.ui.pictures import answer
from explorer.ui.serve import start

EXPANDED = Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"
SOON = 60.0  # seconds until a test gives up
# Gradio's server leaves event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Counted(Engine):
    """An engine that counts what it renders."""

    count = 0

    def render(self, edit: Any, max_px: int | None = None) -> Any:
        Counted.count += 1 if isinstance(edit, Edit) else len(edit)
        return super().render(edit, max_px)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    page = build_ui(Counted(load(EXPANDED)), "expanded32")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    yield start(page, Serving(port=port))
    page.close(verbose=False)
    gc.collect()


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not wanted():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.02)


def test_a_film_that_nobody_waits_for_is_not_made_to_its_end(url: str) -> None:
    """By what Gradio's queue knows of a call: `active_jobs`, and `alive` of an event, both without a promise."""
    Counted.count = 0
    with httpx.Client(base_url=url, timeout=SOON) as http:
        data = [[{}, {"seed": 1}], 400, 25, True, 512, "mp4", "smooth", False]
        event = http.post("gradio_api/call/animate", json={"data": data}).json()["event_id"]
        with http.stream("GET", f"gradio_api/call/animate/{event}"):
            until(lambda: Counted.count > 0)
    until(lambda: not leftovers())
    assert Counted.count < 800


def leftovers() -> list[Path]:
    """What is being written."""
    import os

    return list(Path(os.environ["GRADIO_TEMP_DIR"]).glob("explorer-exports/*/.*"))


def test_a_picture_that_nobody_waits_for_is_not_made(url: str) -> None:
    """Twelve clients ask for the largest picture and leave: whoever waits at the gate then is never rendered for."""
    parts = httpx.get(f"{url}config", timeout=SOON).json()["components"]
    panel = next(part["id"] for part in parts if part["props"].get("elem_id") == "explore")
    request = {"edit": {}, "px": 4096, "format": "png"}
    body = {"data": request, "component_id": panel, "fn_name": "save_picture", "session_hash": "x"}
    Counted.count = 0
    sockets = []
    for _ in range(6):
        sockets.append(asked(url, body))
    until(lambda: len(GATE._waiting) >= 4)
    for one in sockets:
        one.close()
    until(lambda: not GATE._waiting and not GATE._inside)
    assert Counted.count <= 2


def asked(url: str, body: dict[str, Any]) -> socket.socket:
    """A client that asks and does not wait."""
    host, port = url.split("//")[1].strip("/").split(":")
    data = json.dumps(body).encode()
    one = socket.create_connection((host, int(port)), timeout=SOON)
    head = f"POST /gradio_api/component_server HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    one.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return one


def fails(_: dict[str, Any]) -> dict[str, Any]:
    raise KeyError("a fault")


def test_a_fault_is_said_to_be_ours_and_raised_for_whoever_looks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPLORER_DEBUG", raising=False)
    assert answered(fails, {}) == {"error": OURS}
    monkeypatch.setenv("EXPLORER_DEBUG", "1")
    with pytest.raises(KeyError, match="a fault"):
        answered(fails, {})
    engine: Any = None  # an engine that is none: a fault
    with pytest.raises(AttributeError):
        answer(engine, {"edits": [{}]})
    assert "JSON object" in answer(engine, {"edits": [3]})["error"], "what a visitor sends stays a sentence"


def test_a_visitors_mistake_is_one_sentence_with_capital_and_stop() -> None:
    from explorer.edit import EditError

    def refuses(_: dict[str, Any]) -> dict[str, Any]:
        raise EditError("write words")

    assert answered(refuses, None) == {"error": "Write words."}


def test_pictures_behind_the_gate_are_those_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a price as if they were large: a few at a time, all of them, in order."""
    from explorer.ui import pictures
    from explorer.ui.gate import NOBODY

    engine = Engine(load(EXPANDED), "cpu", "fp32")
    edits = [Edit(seed=seed) for seed in range(5)]
    monkeypatch.setattr(pictures, "FREE", 2 * engine.resolution**2)
    for found, expected in zip(pictures.render(engine, edits, None, NOBODY), engine.render(edits), strict=True):
        assert np.abs(found.astype(int) - expected).max() <= 1
