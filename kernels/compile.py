"""Compiling a C++ or CUDA operator library once per machine, into a cache, without ever blocking anybody for good.

A library is named by everything that went into it, built by ninja in a folder of its own and moved into place when
whole, so that no process sees half of one. Processes wait for each other by a lock that dies with its holder. Each
library is tried once a process; the result, good or bad, is remembered. Knows nothing of particular operations.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from . import toolchain

SOURCES = Path(__file__).parent / "csrc"
TARGET = "0x020a000000000000"  # the stable ABI of PyTorch 2.10: what it links serves all later ones
COMPILE_SECONDS = 300  # a compiler that takes longer is stopped
LOCK_SECONDS = 120  # for another process's build of the same library; after that this one builds for itself
SHOWN_LINES = 12


@dataclass(frozen=True)
class Library:
    """What came of one library: where it lies, how it came to be ("cache" or "ninja"), or why there is none."""

    name: str
    path: Path | None
    how: str  # "cache", "ninja" or "failed"
    reason: str  # empty, or the cause with the compiler's last lines and what to install
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether its operations are registered."""
        return self.path is not None


class BuildError(Exception):
    """A library could not be built; the message says why and what to do."""


_results: dict[str, Library] = {}
_background: set[str] = set()
_locks: dict[str, threading.Lock] = {}
_guard = threading.Lock()


def cache_folder() -> Path:
    """`$EXPLORER_KERNEL_CACHE`, or `explorer-kernels` in the user's cache folder."""
    chosen = os.environ.get("EXPLORER_KERNEL_CACHE")
    base = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME")
    return Path(chosen) if chosen else (Path(base) if base else Path.home() / ".cache") / "explorer-kernels"


def load(
    name: str, sources: Sequence[Path | str], cuda: bool = False, flags: Sequence[str] | None = None, build: bool = True
) -> Library:
    """Build (or find in the cache) the operator library `name` from `sources` and load it, once per process.

    `sources` are `.cpp` (and, with `cuda`, `.cu`) files, relative names in `kernels/csrc`; they register their
    operators themselves, by `STABLE_TORCH_LIBRARY_FRAGMENT` or `_IMPL`. `flags` go to the C++ compiler beside -O3 and
    -std=c++17; by default -march=native without `cuda`. `build=False` only looks in the cache, and is not remembered.
    Never raises: see `Library.ok` and `.reason`. Safe to call from a thread; calls at the same time wait for the
    first.
    """
    with _guard:
        lock = _locks.setdefault(name, threading.Lock())
    with lock:
        if name in _results:
            return _results[name]
        start = time.monotonic()
        if flags is None:
            flags = () if cuda else ("-march=native",)
        try:
            path, how = _obtain(name, [SOURCES / source for source in sources], cuda, tuple(flags), build)
            result = Library(name, path, how, "", time.monotonic() - start)
        except Exception as error:  # whatever goes wrong here must end in the fallback, not in the caller's face
            reason = str(error) if isinstance(error, BuildError) else f"{type(error).__name__}: {error}"
            result = Library(name, None, "failed", reason, time.monotonic() - start)
        if result.ok or build:
            _results[name] = result
        return result


def load_in_background(
    name: str, sources: Sequence[Path | str], cuda: bool = False, flags: Sequence[str] | None = None
) -> None:
    """`load` in a thread of its own, once per process. `is_loaded` says when it is there."""
    with _guard:
        if name in _results or name in _background:
            return
        _background.add(name)
    threading.Thread(target=load, args=(name, sources, cuda, flags), name=f"build-{name}", daemon=True).start()


def is_loaded(name: str) -> bool:
    """Whether the library's operations are registered by now. Cheap: callers ask before every use."""
    return name in _results and _results[name].ok


def why_not(name: str) -> str:
    """Why the library is not loaded; empty when it is."""
    if name in _results:
        return _results[name].reason
    return "it is being built" if name in _background else "nobody has asked for it"


def _obtain(name: str, sources: list[Path], cuda: bool, flags: tuple[str, ...], build: bool) -> tuple[Path, str]:
    folder = cache_folder()
    target = folder / f"{name}-{cache_key(sources, cuda, flags)}{'.dll' if os.name == 'nt' else '.so'}"
    if target.exists():
        try:
            torch.ops.load_library(target)
            return target, "cache"
        except OSError:  # damaged: build it anew
            target.unlink(missing_ok=True)
    if not build:
        raise BuildError("not in the cache")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f"{target.stem}.lock"):
        how = "cache" if target.exists() else "ninja"  # another process may have built it meanwhile
        if how == "ninja":
            _build(sources, cuda, flags, target)
    torch.ops.load_library(target)
    return target, how


def cache_key(sources: Sequence[Path], cuda: bool, flags: Sequence[str] = ()) -> str:
    """A hash of everything the machine code depends on: texts, flags, PyTorch, CUDA, the processors, the platform."""
    parts = [torch.__version__, str(torch.version.cuda), platform.machine(), sys.platform, TARGET, *flags]
    parts += [f"sm{architecture()}", str(toolchain.cuda_home())] if cuda else [_processor()]
    digest = hashlib.sha256("\0".join([*parts, str(toolchain.cxx())]).encode())
    headers = {header for source in sources for header in source.parent.glob("*.h")}
    for path in [*sources, *sorted(headers)]:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]


def architecture() -> str:
    """The current GPU's architecture as nvcc writes it, like "90". Raises BuildError without a GPU."""
    if not torch.cuda.is_available():
        raise BuildError("no CUDA GPU")
    major, minor = torch.cuda.get_device_capability()
    return f"{major}{minor}"


def _processor() -> str:
    """What `-march=native` may depend on: the cache may lie in a home folder that different machines share."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


@contextmanager
def locked(path: Path, seconds: float | None = None) -> Iterator[bool]:
    """Hold the lock file `path` among processes; yields False where it could not be had in `seconds` (LOCK_SECONDS).

    The operating system frees the lock when its holder dies, so a file left behind means nothing. Without the lock the
    caller works all the same: it only does what another process may be doing too.
    """
    try:
        import fcntl
    except ImportError:  # not on this platform
        yield False
        return
    deadline = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
    with path.open("a") as file:
        held = False
        while not held:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held = True
            except OSError:
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.05)
        yield held  # closing the file frees it


def _build(sources: list[Path], cuda: bool, flags: tuple[str, ...], target: Path) -> None:
    """Run ninja in a folder beside `target` and move the result there. Raises BuildError."""
    tool = toolchain.ninja()
    if tool is None:
        raise BuildError("ninja was not found: pip install ninja")
    work = Path(tempfile.mkdtemp(prefix="build-", dir=target.parent))
    try:
        (work / "build.ninja").write_text(ninja_file(sources, cuda, flags))
        code, output = _run([str(tool)], work)
        if code:
            raise BuildError(f"the compiler failed:\n{last_lines(output)}")
        os.replace(work / "library", target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _run(command: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and output of ninja, which is stopped after COMPILE_SECONDS. Raises BuildError then."""
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        try:
            output, _ = process.communicate(timeout=COMPILE_SECONDS)
        except subprocess.TimeoutExpired:
            process.terminate()  # not kill: ninja then stops its compilers, which live in groups of their own
            output, _ = process.communicate()
            raise BuildError(f"the compiler took over {COMPILE_SECONDS} s\n{last_lines(output)}") from None
        return process.returncode, output


def last_lines(output: str) -> str:
    """The end of a compiler's output: the last lines hold the cause, or what leads to it."""
    return "\n".join(output.strip().splitlines()[-SHOWN_LINES:])


def ninja_file(sources: Sequence[Path], cuda: bool, flags: Sequence[str]) -> str:
    """The build file. Raises BuildError where a compiler is missing."""
    compiler = toolchain.cxx()
    if compiler is None:
        raise BuildError("no C++ compiler was found: install g++ (Debian: apt install g++)")
    includes = f"-isystem {_escape(toolchain.TORCH / 'include')} -I {_escape(SOURCES)}"
    libraries = f"-L{_escape(toolchain.TORCH / 'lib')} -ltorch_cpu -lc10"
    rules = ["ninja_required_version = 1.3"]
    if cuda:
        home = toolchain.cuda_home()
        if home is None:
            raise BuildError("no CUDA toolkit was found: install nvcc and set CUDA_HOME to its folder")
        arch = architecture()
        rules += [
            "rule nvcc",
            f"  command = {_escape(home / 'bin' / 'nvcc')} -std=c++17 -O3 -Xcompiler -fPIC "
            f"-gencode arch=compute_{arch},code=sm_{arch} -I {_escape(SOURCES)} -c $in -o $out",
        ]
        # The toolkit's own headers first; what only the pip packages have is found last.
        includes += f" -isystem {_escape(home / 'include')}"
        includes += "".join(f" -idirafter {_escape(folder)}" for folder in toolchain.wheel_folders("include"))
        # A static runtime works beside PyTorch's, whatever version that is: they share the driver's context.
        libraries += f" -ltorch_cuda -L{_escape(home / 'lib64')} -lcudart_static -ldl -lrt -lpthread"
    defines = f"-DTORCH_TARGET_VERSION={TARGET}" + (" -DUSE_CUDA" if cuda else "")
    options = f"-std=c++17 -O3 -fPIC {defines} {includes} {' '.join(flags)}"
    rules += ["rule cxx", f"  command = {_escape(compiler)} {options} -c $in -o $out"]
    rules += ["rule link", f"  command = {_escape(compiler)} -shared $in -o $out {' '.join(flags)} {libraries}"]
    objects = [f"{i}.o" for i in range(len(sources))]
    for source, built in zip(sources, objects, strict=True):
        rules.append(f"build {built}: {'nvcc' if source.suffix == '.cu' else 'cxx'} {_input(source)}")
    return "\n".join([*rules, f"build library: link {' '.join(objects)}", "default library", ""])


def _escape(path: Path | str) -> str:
    """A path in a command of a ninja file: quoted for the shell, dollars doubled for ninja."""
    return shlex.quote(str(path)).replace("$", "$$")


def _input(path: Path) -> str:
    """A path as an input of a ninja file, where spaces and colons separate."""
    return "".join(f"${character}" if character in "$ :" else character for character in str(path))
