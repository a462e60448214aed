"""Images per second of the GAN trainer in the shipped 64 px configuration, against the bar of the README, and of larger

pictures with the most memory that a process of its own takes: as it is, in parts, with checkpointing, with both. Random
pictures stand in for the data: a step costs the same whatever it sees. Lazy R1 is in the average at its share.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

import torch
from accelerate import Accelerator

from explorer.networks.hardware import tune_allocator
from explorer.recipes.gan import Config, Trainer

BAR = 60.0  # images/s on two idle cores
BATCHES = {128: 32, 256: 16}  # of larger pictures, by their side
SAVINGS = ((1, False), (4, False), (1, True), (4, True))  # accumulate, checkpointing
WARM_UP = 2  # rounds to compile and to warm the allocator


def seconds_per_step(trainer: Trainer, rounds: int, warm_up: int = WARM_UP) -> dict[str, tuple[float, float]]:
    """Median (wall, process CPU) seconds of a plain step and of one with R1."""
    config = trainer.config
    real = torch.randint(0, 256, (config.batch, 3, config.resolution, config.resolution), dtype=torch.uint8)
    labels = torch.zeros(config.batch, dtype=torch.int64)
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "with R1": []}
    for turn in range(rounds + warm_up):
        for name, step in (("plain", 16 * turn + 1), ("with R1", 16 * turn + 16)):
            trainer.step = step
            wall, cpu = time.perf_counter(), time.process_time()
            trainer.train_step(real, labels)
            if turn >= warm_up:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(wall for wall, _ in rows), statistics.median(cpu for _, cpu in rows))
        for name, rows in times.items()
    }


def mean_step(times: Mapping[str, tuple[float, float]], every: int) -> tuple[float, float]:
    """(wall, CPU) seconds of a step where one in `every` has R1."""
    wall, cpu = ((times["plain"][i] * (every - 1) + times["with R1"][i]) / every for i in range(2))
    return wall, cpu


def saving(px: int, accumulate: int, checkpointing: bool) -> None:
    """What `larger` reads: images per second, and the most memory in bytes, imports and all."""
    settings = {"resolution": px, "batch": BATCHES[px], "accumulate": accumulate, "checkpointing": checkpointing}
    config = Config(**settings)
    trainer = Trainer(config, (), Accelerator(cpu=True))
    wall, _ = mean_step(seconds_per_step(trainer, rounds=2, warm_up=1), config.r1_every)
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"rate": config.batch / wall, "peak": peak, "dtype": str(trainer.dtype).removeprefix("torch.")}))


def larger(sides: list[int], threads: int) -> None:
    print("\n| px, batch, numbers | accumulate | checkpointing | images/s | peak GB |\n|---|---|---|---|---|")
    for px in sides:
        for accumulate, checkpointing in SAVINGS:
            row = json.dumps([px, accumulate, checkpointing])
            command = [sys.executable, "-m", "benchmarks.training", "--threads", str(threads), "--row", row]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            name, again = f"{px}, {BATCHES[px]}, {found['dtype']}", "yes" if checkpointing else "no"
            figures = f"{found['rate']:.1f} | {found['peak'] / 1e9:.2f}"
            print(f"| {name} | {accumulate} | {again} | {figures} |", flush=True)


def shipped(rounds: int, threads: int) -> None:
    config = Config(style_decay=0.999, style_threshold=0.02)
    trainer = Trainer(config, (), Accelerator(cpu=True))
    times = seconds_per_step(trainer, rounds)
    wall, cpu = mean_step(times, config.r1_every)
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (trainer.G, trainer.D)]
    print(
        f"{config.resolution} px, batch {config.batch}, {trainer.dtype}, {threads} threads,"
        f" generator {millions[0]:.1f} M, discriminator {millions[1]:.1f} M parameters"
    )
    print("| step | wall ms | CPU ms |\n|---|---|---|")
    for name, (one, other) in times.items():
        print(f"| {name} | {1000 * one:.0f} | {1000 * other:.0f} |")
    rate = config.batch / wall
    verdict = "met" if rate >= BAR else "missed"
    print(f"\n{rate:.1f} images/s (bar {BAR:g}: {verdict}); {config.batch / cpu:.1f} a CPU second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--px", type=int, nargs="+", default=[64, *BATCHES], choices=[64, *BATCHES])
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tune_allocator()
    if args.row:
        saving(*args.row)
        return
    if 64 in args.px:
        shipped(args.rounds, args.threads)
    if sides := [px for px in args.px if px in BATCHES]:
        larger(sides, args.threads)


if __name__ == "__main__":
    main()
