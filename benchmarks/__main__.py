"""All benchmarks for a machine without GPU, one after the other, each in a process of its own. `make bench`."""

from __future__ import annotations

import platform
import subprocess
import sys

import torch

PARTS = ("engine", "startup", "drag", "training")


def main() -> int:
    features = [
        name
        for name, there in [
            ("AVX-512", torch.backends.cpu.get_cpu_capability() == "AVX512"),
            ("AVX512-BF16", torch.cpu._is_avx512_bf16_supported()),
            ("AMX", torch.cpu._is_amx_tile_supported()),
        ]
        if there
    ]
    threads = f"{torch.get_num_threads()} threads"
    print(f"{platform.machine()}, {threads}, {', '.join(features) or 'no AVX-512'}, torch {torch.__version__}\n")
    failed = [part for part in PARTS if subprocess.run([sys.executable, "-m", f"benchmarks.{part}"]).returncode]
    for part in failed:
        print(f"benchmarks.{part} did not finish", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
