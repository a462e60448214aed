"""Laws of patience: mistakes of a page cost nothing, and whoever is refused on and on waits, alone."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from app_server import finished
from test_guard import CALL, answer

from explorer.edit import EditError
from explorer.ui import guard, patience, visitors
from explorer.ui.guard import Guard
from explorer.ui.patience import CREDIT, MOST, REFUSAL, Patience
from explorer.ui.visitors import served

FREE = int(CREDIT / REFUSAL)  # refusals


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long whoever is let wait would have waited: recorded instead."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(patience, "asyncio", SimpleNamespace(sleep=sleep))
    return found


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Patience:
    """The patience of this process, for one test."""
    fresh = Patience()
    monkeypatch.setattr(guard, "PATIENCE", fresh)
    monkeypatch.setattr(visitors, "PATIENCE", fresh)
    return fresh


async def ask(of: Patience, visitor: str = "ann", refused: bool = False) -> None:
    async with of.turn(visitor):
        if refused:
            of.refused(visitor)


def test_an_ordinary_page_never_waits_whatever_it_does_wrong(waits: list[float]) -> None:
    async def work() -> None:
        of = Patience()
        for number in range(1000):
            await ask(of, refused=number < FREE)

    finished(work())
    assert not waits


def test_whoever_is_refused_on_and_on_waits_and_nobody_else(waits: list[float]) -> None:
    async def work() -> None:
        of = Patience()
        for _ in range(FREE + 4):
            await ask(of, refused=True)
        waits.clear()
        await ask(of, "bob")
        assert not waits
        await ask(of)
        await ask(of)

    finished(work())
    first, second = waits
    assert 0 < second <= first <= 4 * REFUSAL + 0.01, "an answer that is no refusal does not make it longer"


def test_beyond_the_credit_connections_of_one_visitor_take_turns(waits: list[float]) -> None:
    async def work() -> None:
        of = Patience()
        for _ in range(FREE + 4):
            of.refused("ann")
        turns = [of.turn("ann") for _ in range(8)]
        for turn in turns:
            await turn.__aenter__()
        for turn in turns:
            await turn.__aexit__(None, None, None)

    finished(work())
    assert len(waits) == 8
    assert all(later - earlier > REFUSAL / 2 for earlier, later in pairwise(waits))


def test_refusals_are_forgotten(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: now[0]))
    of = Patience()
    for _ in range(2 * FREE):
        of.refused("ann")
    now[0] += CREDIT + 0.01
    finished(ask(of))
    assert not waits


def test_only_so_many_visitors_are_remembered_and_the_worst_of_them() -> None:
    of = Patience()
    for _ in range(FREE):
        of.refused("worst")
    for number in range(3 * MOST):
        of.refused(str(number))
    assert len(of._forgotten) <= MOST
    assert "worst" in of._forgotten


@pytest.mark.parametrize(("headers", "status"), [({"host": "a"}, 500), ({"host": "a", "origin": "http://b"}, 403)])
@pytest.mark.usefixtures("shared")
def test_the_guard_counts_what_the_app_refuses_and_what_it_refuses_itself(
    waits: list[float], headers: dict[str, str], status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def work() -> None:
        of = Guard(app, frozenset(), True)
        for _ in range(FREE):
            assert await answer(of, CALL, headers) == status
        assert not waits
        for _ in range(4):
            await answer(of, CALL, headers)
        assert waits

    finished(work())


def test_an_error_that_a_panel_is_told_is_a_refusal_and_a_picture_is_none(shared: Patience) -> None:
    class Http:
        client = SimpleNamespace(host="10.1.1.1")

        async def is_disconnected(self) -> bool:
            return False

    def work(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("wrong"):
            raise EditError("this is wrong")
        return {"picture": "", "error": ""}

    function = served(work)
    assert finished(function({}, Http()))["error"] == ""
    assert not shared._forgotten
    assert finished(function({"wrong": True}, Http()))["error"]
    assert "10.1.1.1" in shared._forgotten
