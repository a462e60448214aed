"""Whatever bytes a reader gets, it gives a result or its own error: in one short line, soon, and in bounded memory.

`make fuzz MINUTES=30` goes on for as long and writes what fails, made as small as it can be, into `corpus/`. What was
mended stays there and is tried again by every test run.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mutations import Change, changes, mutated
from targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
MINUTES = float(os.environ.get("FUZZ_MINUTES") or 0)
EXAMPLES = 150  # of a target in an ordinary run; they take about 20 seconds
SECONDS, MEGABYTES = 2.0, 200  # that one small file may cost
ROUND = 500  # examples between two looks at the clock


def check(target: Target, data: bytes) -> None:
    """Fails where the reader does anything else than promised."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        target.read(data)
    except target.error as error:
        message = str(error)
        assert len(message) < 500, f"{len(message)} letters: {message[:300]}"
        assert "\n" not in message
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 2**10


def fuzz(name: str, examples: int, start: int | None = None) -> None:
    """Damage the target's tiny files in `examples` ways."""
    target = TARGETS[name]
    seeds = target.seeds()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
        phases=[Phase.generate, Phase.shrink],
    )
    @given(kind=st.sampled_from(sorted(seeds)), steps=changes)
    def damage(kind: str, steps: list[Change]) -> None:
        content, wrap = seeds[kind]
        data = wrap(mutated(content, steps))
        try:
            check(target, data)
        except Exception:
            if MINUTES:  # the last one that is written is the smallest that fails
                (CORPUS / f"{name}-{kind}-new".replace(" ", "_")).write_bytes(data)
            raise

    (damage if start is None else seed(start)(damage))()


@pytest.mark.parametrize("name", TARGETS)
def test_the_undamaged_files_are_read(name: str) -> None:
    for content, wrap in TARGETS[name].seeds().values():
        TARGETS[name].read(wrap(content))


@pytest.mark.skipif(bool(MINUTES), reason="make fuzz runs the long one")
@pytest.mark.parametrize("name", TARGETS)
def test_damage_of_any_kind_ends_in_a_result_or_in_one_sentence(name: str) -> None:
    fuzz(name, max(int(EXAMPLES * TARGETS[name].share), 5))


@pytest.mark.skipif(not MINUTES, reason="takes MINUTES: make fuzz")
@pytest.mark.parametrize("name", TARGETS)
def test_damage_of_any_kind_for_a_long_time(name: str) -> None:
    share = TARGETS[name].share / sum(target.share for target in TARGETS.values())
    end, start = time.monotonic() + 60 * MINUTES * share, time.time_ns()
    while time.monotonic() < end:
        fuzz(name, max(int(ROUND * TARGETS[name].share), 20), start := start + 1)


@pytest.mark.parametrize("path", sorted(CORPUS.glob("[!.]*")), ids=lambda path: path.name)
def test_what_once_failed_does_so_no_more(path: Path) -> None:
    """Files are called as their target, then as what was wrong."""
    check(TARGETS[path.name.partition("-")[0].replace("_", " ")], path.read_bytes())
