"""Laws of the gate: a price of one picture at a time, cheap ones never wait, and nobody works for those who left."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from explorer.ui import gate
from explorer.ui.gate import (
    BACKGROUND,
    FREE,
    MOST,
    MOST_EACH,
    MOST_WAITING,
    ROOM,
    Gate,
    GateError,
    Left,
    Visitor,
    check,
)
from explorer.ui.turns import Turns

SOON = 20.0  # seconds until a test gives up
LARGE = ROOM // 2 + 1  # pixels: two of them do not fit


def until(wanted: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not wanted():
        assert time.monotonic() < deadline, "this never happened"
        time.sleep(0.005)


class Inside:
    """A step of a visitor in a thread of its own, which stays inside until the test lets it out."""

    def __init__(self, of: Gate, pixels: int, name: str = "") -> None:
        self.out, self.entered, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.error: Exception | None = None

        def work() -> None:
            try:
                with of.step(pixels, Visitor(name, self.gone.is_set)):
                    self.entered.set()
                    self.out.wait(SOON)
            except Exception as error:
                self.error = error

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()

    def waits(self, of: Gate, count: int) -> Inside:
        until(lambda: len(of._waiting) == count)
        assert not self.entered.is_set()
        return self


@pytest.fixture
def full() -> Iterator[tuple[Gate, Inside]]:
    of = Gate()
    first = Inside(of, LARGE)
    assert first.entered.wait(SOON)
    yield of, first
    first.out.set()


def test_steps_wait_for_room_in_the_order_they_came(full: tuple[Gate, Inside]) -> None:
    of, first = full
    second, third = Inside(of, LARGE).waits(of, 1), Inside(of, LARGE).waits(of, 2)
    first.out.set()
    assert second.entered.wait(SOON)
    assert not third.entered.is_set()
    second.out.set()
    assert third.entered.wait(SOON)
    third.out.set()


def test_cheap_steps_never_wait(full: tuple[Gate, Inside]) -> None:
    of, _ = full
    Inside(of, LARGE).waits(of, 1)
    drag = Inside(of, FREE)
    assert drag.entered.wait(SOON)
    drag.out.set()


def test_what_fits_goes_on_side_by_side_and_what_never_fits_goes_alone() -> None:
    of = Gate()
    pair = [Inside(of, ROOM // 2), Inside(of, ROOM // 2)]
    assert all(one.entered.wait(SOON) for one in pair)
    huge = Inside(of, 10 * ROOM).waits(of, 1)
    for one in pair:
        one.out.set()
    assert huge.entered.wait(SOON)
    huge.out.set()


def test_of_small_costly_steps_two_go_on_side_by_side() -> None:
    of = Gate()
    pair = [Inside(of, FREE + 1), Inside(of, FREE + 1)]
    assert all(one.entered.wait(SOON) for one in pair)
    third = Inside(of, FREE + 1).waits(of, 1)
    pair[0].out.set()
    assert third.entered.wait(SOON)
    for one in (pair[1], third):
        one.out.set()


def test_one_visitor_has_one_step_inside_and_others_pass_by() -> None:
    of = Gate()
    first = Inside(of, FREE + 1, "ann")
    assert first.entered.wait(SOON)
    second = Inside(of, FREE + 1, "ann").waits(of, 1)
    other = Inside(of, FREE + 1, "bob")
    assert other.entered.wait(SOON)
    assert not second.entered.is_set()
    first.out.set()
    assert second.entered.wait(SOON)
    for one in (second, other):
        one.out.set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is a process's")
def test_the_work_of_turns_gives_way_and_the_server_does_not() -> None:
    niceness: list[int] = []

    def work(_: threading.Event) -> Iterator[None]:
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        yield

    before = os.getpriority(os.PRIO_PROCESS, 0)
    Turns().join(work)
    until(lambda: bool(niceness))
    assert niceness == [BACKGROUND]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere niceness is a process's")
def test_costly_steps_give_way_and_cheap_ones_do_not() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def work() -> Iterator[None]:
        yield
        return niceness()

    of, here = Gate(), niceness()
    assert of.do(niceness, FREE, Visitor()) == here
    assert of.do(niceness, FREE + 1, Visitor()) == BACKGROUND
    assert of.run(work(), FREE + 1, Visitor()) == BACKGROUND  # type: ignore[arg-type]
    assert niceness() == here


def test_an_error_of_a_costly_step_is_its_callers_and_its_room_is_free_again() -> None:
    of = Gate()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            of.do(lambda: 1 // 0, LARGE, Visitor())
    assert not of._inside


def test_whoever_leaves_waits_no_more(full: tuple[Gate, Inside]) -> None:
    of, first = full
    second, third = Inside(of, LARGE).waits(of, 1), Inside(of, LARGE).waits(of, 2)
    second.gone.set()
    until(lambda: isinstance(second.error, Left))
    first.out.set()
    assert third.entered.wait(SOON)
    third.out.set()


def test_one_visitor_and_all_together_have_a_limit(full: tuple[Gate, Inside]) -> None:
    of, _ = full
    waiting = [Inside(of, LARGE, "ann") for _ in range(MOST_EACH)]
    until(lambda: len(of._waiting) == MOST_EACH)
    with pytest.raises(GateError, match="waiting"), of.step(LARGE, Visitor("ann")):
        pass
    waiting += [Inside(of, LARGE, str(i)) for i in range(MOST_WAITING - MOST_EACH)]
    until(lambda: len(of._waiting) == MOST_WAITING)
    with pytest.raises(GateError, match="waiting"), of.step(LARGE, Visitor("bob")):
        pass
    for one in waiting:
        one.gone.set()
    until(lambda: not of._waiting)


def test_long_work_lets_others_in_between_its_steps_and_is_closed_for_those_who_left() -> None:
    of, left, closed = Gate(), threading.Event(), threading.Event()

    def film() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    steps = of.paced(film(), LARGE, Visitor("ann", left.is_set))  # type: ignore[arg-type]
    assert next(steps) == 0
    between = Inside(of, LARGE)
    assert between.entered.wait(SOON)
    between.out.set()
    assert next(steps) == 1
    left.set()
    with pytest.raises(Left):
        next(steps)
    assert closed.is_set()


def test_a_request_beyond_all_measure_is_refused() -> None:
    check(MOST // 2**20, 2**20)
    with pytest.raises(GateError, match="fewer or smaller"):
        check(MOST // 2**20 + 1, 2**20)


def test_the_result_of_work_comes_through() -> None:
    def work() -> Iterator[int]:
        yield 1
        return "film"

    assert gate.GATE.run(work(), LARGE, Visitor()) == "film"  # type: ignore[arg-type]
