"""Getting the CUDA kernels, by whichever way works on this machine, and saying which way that was.

A ladder: a finished library in the cache, then ninja and the compilers, then NVRTC, then plain PyTorch, which is no
way to fail. It starts with the first operation on a GPU, in the background, while plain PyTorch serves; it is climbed
once per process. `EXPLORER_KERNELS` picks: auto (all of it), ninja or nvrtc (that rung or plain PyTorch), off, or
require (wait for kernels, and raise where there are none). Knows nothing of networks.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from . import nvrtc, ops, tiles, toolchain
from .compile import BuildError, Library, cache_folder, is_loaded, load, load_in_background, why_not

__all__ = [
    "BuildError",
    "Library",
    "Report",
    "Status",
    "is_loaded",
    "load",
    "load_in_background",
    "report",
    "start",
    "wait",
    "why_not",
]

MODES = ("auto", "ninja", "nvrtc", "off", "require")
SOURCES = ("binding.cpp", "filtered_lrelu.cu", "pointwise.cu", "upfirdn2d.cu")

log = logging.getLogger("kernels")


@dataclass(frozen=True)
class Status:
    """Where the ladder stands. `rung`: "cache", "ninja", "nvrtc" (kernels are in use), "torch" (plain PyTorch, for
    good) or "building" (plain PyTorch for now); `reasons`: why each higher rung was not taken.
    """

    mode: str
    rung: str
    reasons: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ready(self) -> bool:
        """Whether CUDA kernels are registered."""
        return self.rung in ("cache", "ninja", "nvrtc")


class _Ladder:
    """The one climb of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.status: Status | None = None
        self.thread: threading.Thread | None = None
        self.registered: list[torch.library.Library] = []


_ladder = _Ladder()


def mode() -> str:
    """`EXPLORER_KERNELS`, "auto" when unset. Raises ValueError for anything else than the five."""
    chosen = os.environ.get("EXPLORER_KERNELS", "").strip().lower() or "auto"
    if chosen not in MODES:
        raise ValueError(f"EXPLORER_KERNELS must be one of {', '.join(MODES)}, got {chosen!r}")
    return chosen


def start() -> Status:
    """Begin the climb if nobody has, and say where it stands. Cheap once it is over.

    A library in the cache is loaded at once; everything slower goes to a thread, except with mode "require", which
    waits and raises RuntimeError where no rung above plain PyTorch holds.
    """
    status = _ladder.status
    if status is not None and (status.rung != "torch" or status.mode != "require"):
        return status
    with _ladder.lock:
        if _ladder.status is None:
            chosen = mode()
            found = _from_cache(chosen)
            _ladder.status = found or Status(chosen, "building")
            if found is None and chosen == "require":
                _climb(chosen)
            elif found is None:
                _ladder.thread = threading.Thread(target=_climb, args=(chosen,), name="kernels-build", daemon=True)
                _ladder.thread.start()
        status = _ladder.status
    if status.mode == "require" and not status.ready:
        raise RuntimeError("EXPLORER_KERNELS=require, but no CUDA kernels:\n" + "\n".join(status.reasons))
    return status


def wait(seconds: float | None = None) -> Status:
    """`start`, then wait for the background build: before capturing CUDA graphs, or before measuring."""
    status = start()
    if _ladder.thread is not None:
        _ladder.thread.join(seconds)
    return _ladder.status or status


def _from_cache(chosen: str) -> Status | None:
    """The rungs that take no time: a cached library, or none at all."""
    if chosen == "off":
        return Status(chosen, "torch", ("EXPLORER_KERNELS=off",))
    if not torch.cuda.is_available():
        return Status(chosen, "torch", (_no_gpu(),))
    if chosen == "nvrtc":
        return None
    begin = time.monotonic()
    rung, _ = _try_library(build=False)
    return Status(chosen, rung, (), time.monotonic() - begin) if rung else None


def _no_gpu() -> str:
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA: install the CUDA build from pytorch.org"
    return "no CUDA GPU: PyTorch finds no device or no driver"


def _climb(chosen: str) -> None:
    """Take the first rung that holds, and warn once where that is plain PyTorch though kernels were wanted."""
    begin, reasons, rung = time.monotonic(), [], None
    if chosen != "nvrtc":
        rung, reason = _try_library(build=True)
        reasons.append(f"ninja: {reason}")
    if rung is None and chosen != "ninja":
        rung, reason = _try_nvrtc()
        reasons.append(f"nvrtc: {reason}")
    if rung is None:
        # A library that loads but does not run has registered itself: put plain PyTorch in its place.
        _register(ops.DEFAULTS)
        log.warning("No CUDA kernels, plain PyTorch serves instead (slower, same results).\n%s", "\n".join(reasons))
    elif rung != "nvrtc":
        reasons.clear()
    else:
        reasons.pop()
    _ladder.status = Status(chosen, rung or "torch", tuple(reasons), time.monotonic() - begin)


def _try_library(build: bool) -> tuple[str | None, str]:
    """The compiled library: (rung, "") or (None, why not)."""
    library = load("explorer_cuda", SOURCES, cuda=True, build=build)
    if not library.ok:
        return None, library.reason
    if not torch._C._dispatch_has_kernel_for_dispatch_key("explorer::bias_act", "CUDA"):
        return None, f"{library.path} registers no kernels"
    try:
        _trial(torch.ops.explorer.bias_act)
    except Exception as error:  # another driver, another GPU: whatever it is, the next rung may hold
        return None, f"{library.path} loads but does not run: {error}"
    return library.how, ""


def _try_nvrtc() -> tuple[str | None, str]:
    """NVRTC: (rung, "") or (None, why not). Offers its kernels once one of them has run."""
    try:
        kernels = nvrtc.Operations()
        _trial(kernels.bias_act)
        _register({name: getattr(kernels, name) for name in ops.DEFAULTS})
    except Exception as error:  # the last rung needs nothing: no error may get past here
        return None, str(error)
    return "nvrtc", ""


def _trial(bias_act: Callable[..., torch.Tensor]) -> None:
    """Run one kernel on the GPU. Raises RuntimeError where its numbers are wrong, and whatever a launch raises."""
    x = torch.ones(8, device="cuda")
    if not torch.equal(bias_act(x, None, 0, 0, 0.0, 2.0, float("inf")), x * 2):
        raise RuntimeError("a kernel gave wrong numbers")


def _register(kernels: Mapping[str, Callable[..., torch.Tensor]]) -> None:
    library = torch.library.Library(ops.NAMESPACE, "IMPL")
    for name, kernel in kernels.items():
        library.impl(name, kernel, "CUDA", allow_override=True)
    _ladder.registered.append(library)


# --- What `doctor` prints -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SelfTest:
    """One operation in one number format against float64 on the CPU: the largest error relative to the largest
    value.
    """

    operation: str
    dtype: str
    error: float
    allowed: float

    @property
    def ok(self) -> bool:
        """NaN is not."""
        return self.error <= self.allowed


@dataclass(frozen=True)
class Report:
    """Everything there is to say about the kernels on this machine. `gpu` is None without one."""

    status: Status
    gpu: dict[str, str] | None
    toolkit: dict[str, str]  # tool -> where and which version, or "not found"
    cache: str
    tests: tuple[SelfTest, ...] = field(default=())


def report(device: torch.device | str | None = None, timeout: float | None = 120.0) -> Report:
    """Climb the ladder to its end (at most `timeout` seconds) and test every operation on `device`, the GPU if there
    is one.

    Never raises for what it finds: with mode "require" the reasons are in the status.
    """
    has_gpu = torch.cuda.is_available()
    device = torch.device(device or ("cuda" if has_gpu else "cpu"))
    try:
        status = wait(timeout)
    except RuntimeError:
        status = _ladder.status or Status(mode(), "torch")
    gpu = None
    if has_gpu:
        properties = torch.cuda.get_device_properties(0)
        gpu = {
            "name": properties.name,
            "compute capability": f"{properties.major}.{properties.minor}",
            "memory": f"{properties.total_memory / 2**30:.1f} GiB",
            "multiprocessors": str(properties.multi_processor_count),
        }
    tests = tuple(test for dtype in ops.DTYPES for test in self_test(device, dtype))
    return Report(status, gpu, _toolkit(), str(cache_folder()), tests)


def _toolkit() -> dict[str, str]:
    home = toolchain.cuda_home()
    try:
        nvrtc.compiler()
        runtime_compiler = "found"
    except BuildError as error:
        runtime_compiler = str(error)
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "CUDA of torch": torch.version.cuda or "none",
        "CUDA toolkit": str(home or "not found"),
        "C++ compiler": toolchain.cxx() or "not found",
        "ninja": str(toolchain.ninja() or "not found"),
        "NVRTC": runtime_compiler,
    }


def self_test(device: torch.device, dtype: torch.dtype) -> list[SelfTest]:
    """Run every operation on `device` in `dtype` and compare with the same in float64 on the CPU."""
    rng = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(2, 8, 16, 16, generator=rng).to(dtype) for _ in range(2))
    d, noise, b = (torch.randn(size, generator=rng) for size in ((2, 8), (1, 1, 16, 16), (8,)))
    f = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64
    window = torch.hann_window(12, periodic=False) / 5.5
    case = tiles.between(x, None, window, window, 2, 2, (9, 8, 9, 8), False, False)
    calls = {
        "filtered_lrelu_tiles": (x, None, b, *(case.arguments(8) or []), 2**0.5, 0.2, 2.0),
        "upfirdn2d": (x, f, 2, 2, 1, 1, 2, 1, 2, 1, False, 4.0),
        "bias_act": (x, b, 1, 2, 0.2, 2**0.5, 2.0),
        "bias_act_grad": (dy, x, None, 1, 2, 0.2, 2**0.5, 2.0),
        "demod_bias_act": (x, d, noise, b, 0.2, 2**0.5, 2.0),
    }
    allowed = {torch.float64: 1e-12, torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    tests = []
    for name, arguments in calls.items():
        op = getattr(torch.ops.explorer, name)
        exact = op(*(a.double() if isinstance(a, torch.Tensor) else a for a in arguments))
        try:
            given = op(*(a.to(device) if isinstance(a, torch.Tensor) else a for a in arguments)).cpu().double()
            error = ((given - exact).abs().max() / exact.abs().max()).item()
        except RuntimeError as failure:
            log.warning("%s in %s failed: %s", name, dtype, failure)
            error = float("nan")
        tests.append(SelfTest(name, str(dtype).removeprefix("torch."), error, allowed))
    return tests
