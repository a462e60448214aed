"""Building operator libraries: once, into a cache, and past everything that has stopped people elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from kernels import compile, toolchain

SOURCE = """
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
using torch::stable::Tensor;
Tensor twice(Tensor x) {
  Tensor y = torch::stable::clone(x);
  float* data = static_cast<float*>(y.mutable_data_ptr());
  for (int64_t i = 0; i < y.numel(); ++i) data[i] *= 2;
  return y;
}
STABLE_TORCH_LIBRARY_FRAGMENT(NAME, m) { m.def("twice(Tensor x) -> Tensor"); }
STABLE_TORCH_LIBRARY_IMPL(NAME, CPU, m) { m.impl("twice", TORCH_BOX(&twice)); }
"""

needs_compiler = pytest.mark.skipif(
    toolchain.cxx() is None or toolchain.ninja() is None, reason="no C++ compiler or no ninja: nothing can be built"
)


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache and a process that has tried nothing yet."""
    monkeypatch.setenv("EXPLORER_KERNEL_CACHE", str(tmp_path / "cache"))
    for name in ("_results", "_locks"):
        monkeypatch.setattr(compile, name, {})
    monkeypatch.setattr(compile, "_background", set())
    return tmp_path / "cache"


def write(folder: Path, name: str, text: str = SOURCE) -> Path:
    path = folder / f"{name}.cpp"
    path.write_text(text.replace("NAME", name))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return write(tmp_path, "broken", "int missing_semicolon = 1\nint next_line;")


@needs_compiler
def test_a_library_is_built_once_and_then_found(tmp_path: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a folder with spaces and a $"
    folder.mkdir()
    source = write(folder, "kernels_test_once")
    built = compile.load("once", [source])
    assert (built.ok, built.how, built.reason) == (True, "ninja", "")
    assert torch.ops.kernels_test_once.twice(torch.ones(2)).tolist() == [2, 2]
    assert compile.load("once", [source]) is built
    assert compile.is_loaded("once")
    assert [path.suffix for path in sorted(fresh.iterdir())] == [".lock", ".so"]

    monkeypatch.setattr(compile, "_results", {})  # another process
    monkeypatch.setattr(toolchain, "ninja", lambda: pytest.fail("the cache was not used"))
    assert compile.load("once", [source]).how == "cache"


@needs_compiler
def test_a_damaged_library_is_built_anew(tmp_path: Path, fresh: Path) -> None:
    source = write(tmp_path, "kernels_test_damaged")
    fresh.mkdir()
    (fresh / f"damaged-{compile.cache_key([source], False, ('-march=native',))}.so").write_bytes(b"not a library")
    assert compile.load("damaged", [source]).how == "ninja"


@needs_compiler
def test_a_failed_build_is_tried_once_and_shows_its_cause(
    broken: Path, fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    run = compile._run
    monkeypatch.setattr(compile, "_run", lambda *args: runs.append(args) or run(*args))
    results = [compile.load("broken", [broken]) for _ in range(3)]
    assert len(runs) == 1
    assert not results[0].ok
    assert "expected" in results[0].reason
    assert "missing_semicolon" in results[0].reason or "next_line" in results[0].reason
    assert len(results[0].reason.splitlines()) <= compile.SHOWN_LINES + 1
    assert compile.why_not("broken") == results[0].reason
    assert [path.suffix for path in fresh.iterdir()] == [".lock"]  # nothing half-made is left


def test_looking_only_in_the_cache_builds_nothing_and_is_not_held_against_it(broken: Path, fresh: Path) -> None:
    result = compile.load("broken", [broken], build=False)
    assert result.reason == "not in the cache"
    assert "broken" not in compile._results
    assert not fresh.exists()


def test_a_missing_tool_is_named_with_its_cure(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "ninja", lambda: None)
    assert "pip install ninja" in compile.load("without ninja", [broken]).reason
    monkeypatch.undo()
    monkeypatch.setattr(toolchain, "cxx", lambda: None)
    with pytest.raises(compile.BuildError, match=r"install g\+\+"):
        compile.ninja_file([broken], False, ())
    monkeypatch.undo()
    monkeypatch.setattr(toolchain, "cuda_home", lambda: None)
    with pytest.raises(compile.BuildError, match="CUDA_HOME"):
        compile.ninja_file([broken], True, ())


def test_a_cache_that_cannot_be_written_is_a_reason_not_a_crash(
    broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EXPLORER_KERNEL_CACHE", str(tmp_path / "file"))
    assert "Error" in compile.load("nowhere", [broken]).reason


@needs_compiler
def test_a_compiler_that_hangs_is_stopped(broken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("CXX", str(slow))
    monkeypatch.setattr(compile, "COMPILE_SECONDS", 0.5)
    begin = time.monotonic()
    assert "took over" in compile.load("slow", [broken]).reason
    assert time.monotonic() - begin < 10
    compiler = Path("/proc") / (tmp_path / "pid").read_text().strip() / "cmdline"
    for _ in range(100):  # the compiler goes too, not only ninja
        if not compiler.exists() or b"sleep" not in compiler.read_bytes():
            return
        time.sleep(0.05)
    pytest.fail("the compiler still runs")


@needs_compiler
def test_the_background_build_serves_when_it_is_done(tmp_path: Path) -> None:
    assert compile.why_not("background") == "nobody has asked for it"
    compile.load_in_background("background", [write(tmp_path, "kernels_test_background")])
    compile.load_in_background("background", [])
    assert compile.is_loaded("background") or compile.why_not("background") == "it is being built"
    assert compile.load("background", []).ok  # waits for the one under way
    assert compile.is_loaded("background")
    assert compile.why_not("background") == ""


# --- The lock -----------------------------------------------------------------------------------------------------


def test_a_lock_file_left_behind_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "left.lock"
    path.write_text("from a process long dead")
    with compile.locked(path, 0.0) as held:
        assert held


@pytest.mark.skipif(os.name == "nt", reason="no flock")
def test_a_lock_is_waited_for_then_ignored_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "live.lock"
    code = f"import fcntl, time; f = open({str(path)!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX);"
    code += "print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with compile.locked(path, 0.2) as held:
            assert not held
        holder.kill()
        holder.wait()
    with compile.locked(path, 5.0) as held:
        assert held


# --- The key ------------------------------------------------------------------------------------------------------


def test_the_cache_key_knows_everything_that_matters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, header = write(tmp_path, "keyed"), tmp_path / "keyed.h"
    monkeypatch.setattr(compile, "architecture", lambda: "90")
    keys = [compile.cache_key([source], True), compile.cache_key([source], False)]
    keys.append(compile.cache_key([source], True, ["-O1"]))
    for target, value in (
        ("torch.__version__", "9.9"),
        ("torch.version.cuda", "99.0"),
        ("kernels.compile.architecture", lambda: "80"),
        ("platform.machine", lambda: "riscv"),
        ("sys.platform", "plan9"),
        ("kernels.toolchain.cuda_home", lambda: Path("/elsewhere")),
        ("kernels.toolchain.cxx", lambda: "tcc"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(target, value)
            keys.append(compile.cache_key([source], True))
    header.write_text("// new")
    keys.append(compile.cache_key([source], True))
    source.write_text("// changed")
    keys.append(compile.cache_key([source], True))
    assert len(set(keys)) == len(keys)
    assert compile.cache_key([source], True) == keys[-1]


def test_a_library_for_the_cpu_is_of_one_processor_and_one_for_a_gpu_of_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-march=native`, in a home folder that different machines share."""
    source = write(tmp_path, "keyed")
    monkeypatch.setattr(compile, "architecture", lambda: "90")
    before = [compile.cache_key([source], cuda) for cuda in (False, True)]
    monkeypatch.setattr(compile, "_processor", lambda: "flags: another")
    after = [compile.cache_key([source], cuda) for cuda in (False, True)]
    assert before[0] != after[0]
    assert before[1] == after[1]
    monkeypatch.undo()
    assert len(compile._processor()) > 3


# --- Finding tools ------------------------------------------------------------------------------------------------


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def toolkit(home: Path) -> Path:
    executable(home / "bin" / "nvcc")
    (home / "include").mkdir()
    (home / "include" / "cuda_runtime.h").write_text("")
    return home


def test_ninja_is_found_in_an_inactive_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(executable(tmp_path / "venv" / "bin" / "python")))
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert toolchain.ninja() is None
    beside = executable(tmp_path / "venv" / "bin" / "ninja")
    assert toolchain.ninja() == beside


def test_a_wrapper_named_nvcc_makes_no_toolkit_of_its_folder(tmp_path: Path) -> None:
    environ = {"PATH": str(executable(tmp_path / "local" / "bin" / "nvcc").parent)}
    assert toolchain.cuda_home(environ, usual=[]) is None
    real = toolkit(tmp_path / "cuda")
    assert toolchain.cuda_home(environ, usual=[real]) == real


def test_the_toolkit_is_the_one_named_then_the_usual_then_the_one_on_the_path(tmp_path: Path) -> None:
    named, usual, path = (toolkit(tmp_path / name) for name in ("named", "usual", "path"))
    environ = {"PATH": str(path / "bin")}
    assert toolchain.cuda_home(environ, usual=[]) == path
    assert toolchain.cuda_home(environ, usual=[usual]) == usual
    assert toolchain.cuda_home({**environ, "CUDA_PATH": str(named)}, usual=[usual]) == named
    assert toolchain.cuda_home({**environ, "CUDA_HOME": str(tmp_path / "gone")}, usual=[usual]) == usual
    link = tmp_path / "links" / "nvcc"
    link.parent.mkdir()
    link.symlink_to(path / "bin" / "nvcc")
    assert toolchain.cuda_home({"PATH": str(link.parent)}, usual=[]) == path


def test_headers_that_only_the_pip_packages_have_are_found_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = toolkit(tmp_path / "cuda")
    monkeypatch.setattr(toolchain, "cuda_home", lambda: home)
    monkeypatch.setattr(toolchain, "TORCH", tmp_path / "site" / "torch")
    (tmp_path / "site" / "nvidia" / "cu13" / "include").mkdir(parents=True)
    monkeypatch.setattr(compile, "architecture", lambda: "90")
    monkeypatch.setattr(toolchain, "cxx", lambda: "g++")
    text = compile.ninja_file([Path("a.cpp"), Path("b.cu")], True, ())
    assert f"-isystem {home / 'include'}" in text
    assert f"-idirafter {tmp_path / 'site' / 'nvidia' / 'cu13' / 'include'}" in text
    assert "code=sm_90" in text


@needs_compiler
@pytest.mark.skipif(toolchain.cuda_home() is None, reason="no nvcc on this machine: the CUDA library is not linked")
def test_the_cuda_library_builds_and_loads_without_a_gpu(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch's CUDA build its symbols resolve anywhere; only the kernels need a device."""
    if torch.version.cuda is None:
        pytest.skip("PyTorch without CUDA")
    monkeypatch.setattr(compile, "architecture", lambda: "90")
    code = (
        "import torch, kernels; from kernels import build, compile; compile.architecture = lambda: '90';"
        "library = build.load('explorer_cuda', build.SOURCES, cuda=True);"
        "print(library.reason); assert library.how == 'ninja', library;"
        "has = torch._C._dispatch_has_kernel_for_dispatch_key;"
        "assert all(has('explorer::' + name, 'CUDA') for name in kernels.ops.DEFAULTS);"
        "assert kernels.bias_act(torch.ones(1, 2)).sum() == 2"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_kernels_builds_nothing_and_needs_no_page(tmp_path: Path) -> None:
    code = (
        "import sys, threading, kernels, kernels.build;"
        "assert threading.active_count() == 1;"
        "assert not {'gradio', 'open_clip', 'lpips', 'setuptools', 'triton'} & set(sys.modules)"
    )
    environ = {**os.environ, "EXPLORER_KERNELS": "nonsense", "EXPLORER_KERNEL_CACHE": str(tmp_path / "untouched")}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "untouched").exists()
