"""Where the compilers, ninja and the CUDA toolkit are on this machine. Only looks: it runs and builds nothing.

Virtual environments are often used without being activated, and `nvcc` on the PATH is often a script that stands for
the real one elsewhere; both are looked through here.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

TORCH = Path(torch.__file__).parent


def ninja(path: str | None = None) -> Path | None:
    """The ninja executable: beside this Python (pip's, in an inactive environment too), from pip's package, or on the
    PATH.
    """
    beside = Path(sys.executable).parent / ("ninja.exe" if os.name == "nt" else "ninja")
    if os.access(beside, os.X_OK):
        return beside
    try:
        from ninja import BIN_DIR  # type: ignore[import-not-found, unused-ignore]

        packaged = Path(BIN_DIR) / beside.name
        if os.access(packaged, os.X_OK):
            return packaged
    except ImportError:
        pass
    found = shutil.which("ninja", path=path)
    return Path(found) if found else None


def cxx(environ: Mapping[str, str] | None = None) -> str | None:
    """The C++ compiler: $CXX, g++, c++ or clang++."""
    environ = os.environ if environ is None else environ
    for name in (environ.get("CXX"), "g++", "c++", "clang++"):
        found = shutil.which(name, path=environ.get("PATH")) if name else None
        if found:
            return found
    return None


def cuda_home(
    environ: Mapping[str, str] | None = None, usual: Sequence[Path] = (Path("/usr/local/cuda"),)
) -> Path | None:
    """The CUDA toolkit: $CUDA_HOME, $CUDA_PATH, the usual place, and only then what `nvcc` on the PATH leads to.

    A folder counts where both the compiler and its headers lie in it, so that a wrapper script in /usr/local/bin does
    not make a toolkit of /usr/local.
    """
    environ = os.environ if environ is None else environ
    candidates = [Path(environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if environ.get(name)]
    candidates += usual
    nvcc = shutil.which("nvcc", path=environ.get("PATH"))
    if nvcc:
        candidates.append(Path(nvcc).resolve().parent.parent)
    for home in candidates:
        if os.access(home / "bin" / "nvcc", os.X_OK) and (home / "include" / "cuda_runtime.h").exists():
            return home
    return None


def wheel_folders(kind: str) -> list[Path]:
    """The `include` or `lib` folders of NVIDIA's pip packages: some headers and libraries are nowhere else."""
    return sorted(TORCH.parent.glob(f"nvidia/cu*/{kind}")) + sorted(TORCH.parent.glob(f"nvidia/cuda_*/{kind}"))
