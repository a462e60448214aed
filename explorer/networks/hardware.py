"""Which device and number format to compute in, and how the C allocator should behave."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from functools import cache

import torch

from explorer.refused import Refused

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@cache
def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has AVX512-BF16 or AMX-BF16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def choose_device(name: str) -> torch.device:
    """The device of this name; "auto" is CUDA where there is one, else the CPU. ValueError where it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise Refused(f"device {name!r} cannot be used here (try auto or cpu): {error}".splitlines()[0]) from None
    return device


def choose_precision(name: str, device: torch.device) -> str:
    """ "fp32", "bf16" or "fp16"; "auto" takes what the device multiplies natively. ValueError for another name."""
    if name in DTYPES:
        return name
    if name != "auto":
        raise Refused(f"precision must be auto, {', '.join(DTYPES)}, got {name!r}")
    if device.type == "cuda":
        return "fp16"
    return "bf16" if device.type == "cpu" and cpu_multiplies_bf16() else "fp32"


@cache
def tune_allocator() -> None:
    """Let glibc keep freed memory: page faults cost up to 1.9x at 1024 px. `EXPLORER_MALLOC=default` opts out.

    All threads share one heap: each would keep as much as its largest picture took, and only the main one keeps pieces
    of more than 64 MB, as the features of 1024 px are.
    """
    if platform.libc_ver()[0] != "glibc" or os.environ.get("EXPLORER_MALLOC") == "default":
        return
    libc = ctypes.CDLL(None)
    m_trim_threshold, m_top_pad, m_mmap_max, m_arena_max = -1, -2, -4, -8  # malloc.h
    libc.mallopt(m_arena_max, 1)
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 1 << 30)
    libc.mallopt(m_top_pad, 64 << 20)


def return_memory() -> None:
    """Give what the allocator keeps of freed memory back to the system: worth it after a large file was read."""
    if platform.libc_ver()[0] == "glibc":
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
