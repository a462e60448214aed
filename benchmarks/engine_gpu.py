"""End to end on a GPU: images a second and latency of a 256 and a 1024 px generator, kernels off / on / on with graphs.

Run by `make bench-gpu`; `EXPLORER_KERNELS` is set a process, so each setting is a process of its own. Says so where
there is no GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import torch

SETTINGS = {"kernels off": ("off", False), "kernels on": ("require", False), "kernels on, graphs": ("require", True)}
SECONDS = 3.0  # of measuring each cell


def measure(resolution: int, batch: int, graphs: bool) -> str:
    """One cell: images a second, and for batch 1 the latency's p50 and p95 in ms, each call synchronised."""
    from benchmarks.engine import published_width
    from explorer.engine.synthesis import Synthesis

    generator = published_width(resolution).cuda()
    synthesis = Synthesis(generator, torch.float16, graphs=graphs)
    ws = generator.mapping(torch.randn(batch, generator.z_dim, device="cuda"))
    for _ in range(5):
        synthesis(ws)
    torch.cuda.synchronize()
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        synthesis(ws)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    times.sort()
    rate = f"{batch * len(times) / sum(times):.0f} images/s"
    if batch > 1:
        return rate
    return f"{rate}, p50 {1000 * times[len(times) // 2]:.2f} ms, p95 {1000 * times[int(len(times) * 0.95)]:.2f} ms"


@torch.inference_mode()
def worker(name: str) -> None:
    cells = [measure(px, batch, SETTINGS[name][1]) for px in (256, 1024) for batch in (1, 16)]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    print(
        "\n| fp16 | 256 px, batch 1 | 256 px, batch 16 | 1024 px, batch 1 | 1024 px, batch 16 |\n|---|---|---|---|---|"
    )
    for name, (kernels, _) in SETTINGS.items():
        if not torch.cuda.is_available():
            print(f"| {name} |" + " not measured (no GPU) |" * 4)
            continue
        command = [sys.executable, "-m", "benchmarks.engine_gpu", name]
        subprocess.run(command, env=os.environ | {"EXPLORER_KERNELS": kernels}, check=True)


if __name__ == "__main__":
    worker(sys.argv[1]) if len(sys.argv) > 1 else main()
