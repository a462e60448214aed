"""Laws of the queue: one at a time, in order; nobody's Stop hits another; a closed page ends its work."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from explorer.ui.gate import Left
from explorer.ui.turns import HIDDEN_LEASE, KEPT, LEASE, MOST_EACH, MOST_WAITING, Turn, TurnError, Turns

SOON = 20.0  # seconds until a test gives up
FOREVER = 1000.0


class Steps:
    """Work that counts, and goes on only as the test lets it."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, stop: threading.Event) -> Iterator[int]:
        self.began.set()
        for step in range(10**6):
            yield step
            if stop.wait(0.001) or self.go.is_set():
                return


@pytest.fixture
def turns() -> Iterator[Turns[int]]:
    turns: Turns[int] = Turns(lease=FOREVER)
    yield turns
    turns.close()


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not wanted():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.005)


def test_they_come_in_order_and_one_at_a_time(turns: Turns[int]) -> None:
    works = [Steps() for _ in range(3)]
    joined = [turns.join(work) for work in works]
    assert works[0].began.wait(SOON)
    assert [turns.look(turn.id)[1] for turn in joined] == [0, 1, 2]
    for i, work in enumerate(works):
        assert work.began.wait(SOON)
        assert not any(later.began.is_set() for later in works[i + 1 :])
        work.go.set()
        until(lambda turn=joined[i]: turn.state == "done")


def test_a_stop_ends_its_own_work_only(turns: Turns[int]) -> None:
    first, second, third = (Steps() for _ in range(3))
    one, two, three = (turns.join(work) for work in (first, second, third))
    assert first.began.wait(SOON)
    turns.stop(two.id)  # it has not begun, and never will
    assert (one.state, two.state, three.state) == ("working", "stopped", "waiting")
    assert turns.look(three.id)[1] == 1
    turns.stop(one.id)
    assert third.began.wait(SOON)
    assert one.state == "stopped"
    assert one.latest is not None, "what it had is kept"
    assert not second.began.is_set()
    with pytest.raises(TurnError, match="no longer"):
        turns.stop("guessed")
    assert three.state == "working"


def test_work_whose_page_is_closed_ends_or_never_begins(turns: Turns[int]) -> None:
    left, never, stays = Steps(), Steps(), Steps()
    working, waiting = turns.join(left), turns.join(never)
    turns.join(stays)
    assert left.began.wait(SOON)
    waiting.until = working.until = 0.0  # the one that waits first: it is next as soon as the other ends
    assert stays.began.wait(SOON)
    assert not never.began.is_set()
    assert (working.state, waiting.state) == ("stopped", "stopped")


def test_work_ends_by_itself_when_nobody_looks_at_it() -> None:
    turns: Turns[int] = Turns(lease=0.05)
    turn = turns.join(Steps())
    until(lambda: turn.state == "stopped")


def test_a_look_keeps_work_alive_and_longer_for_a_page_in_the_background() -> None:
    turns: Turns[int] = Turns(lease=LEASE)
    turn = turns.join(Steps())
    for hidden, lease in ((False, LEASE), (True, HIDDEN_LEASE)):
        before = time.monotonic()
        turns.look(turn.id, hidden=hidden)
        assert before + lease <= turn.until <= time.monotonic() + lease
    turns.close()


@pytest.mark.parametrize(
    ("error", "said"), [(TurnError("Choose another."), "Choose another."), (KeyError("x"), "terminal")]
)
def test_a_failure_is_said_and_the_next_begins(turns: Turns[int], error: Exception, said: str) -> None:
    def fails(stop: threading.Event) -> Iterator[int]:
        yield 0
        raise error

    failing, after = turns.join(fails), Steps()
    turns.join(after)
    assert after.began.wait(SOON)
    assert failing.state == "failed"
    assert said in failing.error


def test_the_queue_has_an_end(turns: Turns[int]) -> None:
    first = Steps()
    turns.join(first)
    assert first.began.wait(SOON)
    for _ in range(MOST_WAITING):
        turns.join(Steps())
    with pytest.raises(TurnError, match="waiting"):
        turns.join(Steps())


def test_one_visitor_has_a_share_of_the_queue(turns: Turns[int]) -> None:
    first = Steps()
    turns.join(first, "ann")
    assert first.began.wait(SOON)
    for _ in range(MOST_EACH):
        turns.join(Steps(), "ann")
    with pytest.raises(TurnError, match="your work"):
        turns.join(Steps(), "ann")
    turns.join(Steps(), "bob")


def test_visitors_take_turns_whoever_came_with_more(turns: Turns[int]) -> None:
    """Ann has one at work and two waiting: Bob's first is before both, his second between them."""
    works = {name: Steps() for name in ("ann 1", "ann 2", "ann 3", "bob 1", "bob 2")}
    joined = {name: turns.join(work, name.split()[0]) for name, work in works.items()}
    order = ["ann 1", "bob 1", "ann 2", "bob 2", "ann 3"]
    assert works["ann 1"].began.wait(SOON)
    assert [turns.look(joined[name].id)[1] for name in order] == [0, 1, 2, 3, 4]
    works["ann 1"].go.set()
    assert works["bob 1"].began.wait(SOON)
    assert joined["ann 2"].state == "waiting"


def test_work_that_nobody_waits_for_any_more_is_stopped_without_an_error(turns: Turns[int]) -> None:
    def leaves(stop: threading.Event) -> Iterator[int]:
        yield 0
        raise Left

    turn = turns.join(leaves)
    until(lambda: turn.state == "stopped")
    assert not turn.error


def test_after_a_rest_work_begins_again(turns: Turns[int]) -> None:
    for _ in range(2):
        work = Steps()
        work.go.set()
        turn = turns.join(work)
        until(lambda turn=turn: turn.state == "done")
        until(lambda: turns._worker is None)


def done(turns: Turns[int]) -> Turn[int]:
    work = Steps()
    work.go.set()
    turn = turns.join(work)
    until(lambda: turn.state == "done")
    return turn


def test_what_has_ended_can_be_looked_at_for_a_while_and_not_for_ever(turns: Turns[int]) -> None:
    ended = done(turns)
    for age, there in ((KEPT - 30, True), (KEPT + 30, False)):
        ended.until = time.monotonic() - age
        done(turns)
        if there:
            assert turns.look(ended.id)[0] is ended
        else:
            with pytest.raises(TurnError, match="no longer"):
                turns.look(ended.id)


def test_what_has_ended_stays_as_it_ended() -> None:
    turns: Turns[int] = Turns(lease=FOREVER)
    ended, working, waiting = done(turns), Steps(), Steps()
    turns.stop(ended.id)
    assert ended.state == "done"
    at_work, queued = turns.join(working), turns.join(waiting)
    assert working.began.wait(SOON)
    turns.close()
    assert (ended.state, queued.state) == ("done", "stopped")
    assert not waiting.began.is_set()
    assert at_work.state == "stopped"
    assert at_work.stop.is_set()


def test_visitors_who_have_no_name_have_no_share(turns: Turns[int]) -> None:
    """They may be many."""
    first = Steps()
    turns.join(first)
    assert first.began.wait(SOON)
    for _ in range(MOST_EACH + 1):
        turns.join(Steps())
