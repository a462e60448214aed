"""What this processor multiplies in, and how the C allocator should behave."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache

import torch


@cache
def cpu_multiplies_bf16() -> bool:
    """Whether this CPU has AVX512-BF16 or AMX-BF16."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@cache
def tune_allocator() -> None:
    """Let glibc keep freed memory: page faults cost up to 1.9x at 1024 px. `EXPLORER_MALLOC=default` opts out."""
    if platform.libc_ver()[0] != "glibc" or os.environ.get("EXPLORER_MALLOC") == "default":
        return
    libc = ctypes.CDLL(None)
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4  # malloc.h
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 1 << 30)
    libc.mallopt(m_top_pad, 64 << 20)
