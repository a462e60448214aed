"""The ladder to the CUDA kernels always ends well, says where it ended and why, and is climbed once."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from kernels import build, ops


class Climb:
    """A ladder whose rungs are pretended: which hold, and which were tried."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.library: str | None = None
        self.nvrtc: str | None = None
        self.tried: list[str] = []
        self.registered: list[set[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        monkeypatch.setattr(build, "_ladder", build._Ladder())
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(build, "_try_library", self.try_library)
        monkeypatch.setattr(build, "_try_nvrtc", self.try_nvrtc)
        monkeypatch.setattr(build, "_register", lambda kernels: self.registered.append(set(kernels)))

    def try_library(self, build: bool) -> tuple[str | None, str]:
        if not build:
            return ("cache", "") if self.library == "cache" else (None, "not in the cache")
        self.gate.wait(10)
        self.tried.append("ninja")
        return (self.library, "") if self.library else (None, "error: expected ';'")

    def try_nvrtc(self) -> tuple[str | None, str]:
        self.tried.append("nvrtc")
        return (self.nvrtc, "") if self.nvrtc else (None, "libnvrtc was not found: pip install it")


@pytest.fixture
def climb(monkeypatch: pytest.MonkeyPatch) -> Climb:
    monkeypatch.delenv("EXPLORER_KERNELS", raising=False)
    return Climb(monkeypatch)


def test_a_cached_library_is_taken_at_once(climb: Climb) -> None:
    climb.library = "cache"
    status = build.start()
    assert (status.rung, status.ready, status.reasons) == ("cache", True, ())
    assert climb.tried == []


def test_the_compilers_come_before_nvrtc(climb: Climb) -> None:
    climb.library = climb.nvrtc = "ninja"
    assert build.wait().rung == "ninja"
    assert climb.tried == ["ninja"]


def test_nvrtc_serves_where_the_compilers_fail_and_the_cause_is_kept(climb: Climb) -> None:
    climb.nvrtc = "nvrtc"
    status = build.wait()
    assert (status.rung, status.reasons) == ("nvrtc", ("ninja: error: expected ';'",))


def test_plain_pytorch_is_the_end_with_one_warning_and_no_second_try(
    climb: Climb, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="kernels"):
        answers = [build.wait() for _ in range(3)]
    assert [(status.rung, status.ready) for status in answers] == 3 * [("torch", False)]
    assert climb.tried == ["ninja", "nvrtc"]
    assert len(caplog.records) == 1
    assert "expected ';'" in caplog.text
    assert "pip install it" in caplog.text
    assert climb.registered == [set(ops.DEFAULTS)]  # in place of a library that may have registered itself


def test_the_build_runs_in_the_background_while_the_reference_serves(climb: Climb) -> None:
    climb.library = "ninja"
    climb.gate.clear()
    assert build.start().rung == "building"
    assert not build.start().ready
    climb.gate.set()
    assert build.wait(10).ready
    assert climb.tried == ["ninja"]


@pytest.mark.parametrize(
    ("mode", "tried"), [("auto", ["ninja", "nvrtc"]), ("ninja", ["ninja"]), ("nvrtc", ["nvrtc"]), ("off", [])]
)
def test_the_mode_chooses_the_rungs(climb: Climb, monkeypatch: pytest.MonkeyPatch, mode: str, tried: list[str]) -> None:
    monkeypatch.setenv("EXPLORER_KERNELS", mode)
    status = build.wait()
    assert (status.mode, status.rung) == (mode, "torch")
    assert climb.tried == tried


def test_nvrtc_mode_ignores_the_cache(climb: Climb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_KERNELS", "nvrtc")
    climb.library, climb.nvrtc = "cache", "nvrtc"
    assert build.wait().rung == "nvrtc"


def test_require_waits_for_kernels_or_raises_with_the_reasons(climb: Climb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_KERNELS", "require")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="expected ';'"):
            build.start()
    assert climb.tried == ["ninja", "nvrtc"]
    monkeypatch.setattr(build, "_ladder", build._Ladder())
    climb.nvrtc = "nvrtc"
    assert build.start().ready


def test_an_unknown_mode_is_named(climb: Climb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_KERNELS", "fast")
    with pytest.raises(ValueError, match="auto, ninja, nvrtc, off, require"):
        build.start()


def test_a_library_that_loads_but_does_not_run_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no kernel image is available")

    made = build.Library("explorer_cuda", Path("made.so"), "cache", "", 0.0)
    monkeypatch.setattr(build, "load", lambda *args, **kwargs: made)
    monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda *args: True)
    monkeypatch.setattr(build, "_trial", fail)
    rung, reason = build._try_library(build=True)
    assert rung is None
    assert "made.so loads but does not run: no kernel image" in reason


def test_nvrtcs_kernels_take_the_schemas_over_and_give_them_back() -> None:
    """In a process of its own: registrations stay."""
    code = (
        "import kernels; from kernels import build, nvrtc, ops; import torch;"
        "has = lambda: torch._C._dispatch_has_kernel_for_dispatch_key('explorer::upfirdn2d', 'CUDA');"
        "before = has(); made = nvrtc.Operations();"
        "build._register({name: getattr(made, name) for name in ops.DEFAULTS});"
        "build._register(ops.DEFAULTS); print(before, has())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_without_a_gpu_the_report_says_so_and_every_operation_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "_ladder", build._Ladder())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for mode in ("auto", "require"):
        monkeypatch.setenv("EXPLORER_KERNELS", mode)
        report = build.report()
        assert report.gpu is None
        assert report.status.rung == "torch"
        assert "CUDA" in report.status.reasons[0]
        assert {test.operation for test in report.tests} == set(ops.DEFAULTS)
        assert len(report.tests) == len(ops.DEFAULTS) * len(ops.DTYPES)
        assert all(test.ok for test in report.tests)
        assert {"torch", "CUDA toolkit", "C++ compiler", "ninja", "NVRTC"} <= set(report.toolkit)


def test_a_self_test_notices_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not build.SelfTest("upfirdn2d", "float32", float("nan"), 1e-5).ok
    assert not build.SelfTest("upfirdn2d", "float32", 1e-4, 1e-5).ok


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: which rung holds there is not tested")
def test_on_a_gpu_kernels_are_ready_and_pass() -> None:
    report = build.report("cuda", timeout=300)
    assert report.status.ready, report.status.reasons
    assert all(test.ok for test in report.tests)
