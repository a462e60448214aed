"""Images per second of the GAN trainer in the shipped 64 px configuration, against the bar of the README.

Random pictures stand in for the data: a step costs the same whatever it sees. Lazy R1 is in the average at its share.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from accelerate import Accelerator

from explorer.networks.hardware import tune_allocator
from explorer.recipes.gan import Config, Trainer

BAR = 60.0  # images/s on two idle cores


def seconds_per_step(trainer: Trainer, rounds: int) -> dict[str, tuple[float, float]]:
    """Median (wall, process CPU) seconds of a plain step and of one with R1."""
    config = trainer.config
    real = torch.randint(0, 256, (config.batch, 3, config.resolution, config.resolution), dtype=torch.uint8)
    labels = torch.zeros(config.batch, dtype=torch.int64)
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "with R1": []}
    for turn in range(rounds + 2):  # two to compile and to warm the allocator
        for name, step in (("plain", 16 * turn + 1), ("with R1", 16 * turn + 16)):
            trainer.step = step
            wall, cpu = time.perf_counter(), time.process_time()
            trainer.train_step(real, labels)
            if turn >= 2:
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(wall for wall, _ in rows), statistics.median(cpu for _, cpu in rows))
        for name, rows in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tune_allocator()
    config = Config(style_decay=0.999, style_threshold=0.02)
    trainer = Trainer(config, (), Accelerator(cpu=True))
    times = seconds_per_step(trainer, args.rounds)
    every = config.r1_every
    wall, cpu = ((times["plain"][i] * (every - 1) + times["with R1"][i]) / every for i in range(2))
    millions = [sum(p.numel() for p in network.parameters()) / 1e6 for network in (trainer.G, trainer.D)]
    print(
        f"{config.resolution} px, batch {config.batch}, {trainer.dtype}, {args.threads} threads,"
        f" generator {millions[0]:.1f} M, discriminator {millions[1]:.1f} M parameters"
    )
    print("| step | wall ms | CPU ms |\n|---|---|---|")
    for name, (one, other) in times.items():
        print(f"| {name} | {1000 * one:.0f} | {1000 * other:.0f} |")
    rate = config.batch / wall
    verdict = "met" if rate >= BAR else "missed"
    print(f"\n{rate:.1f} images/s (bar {BAR:g}: {verdict}); {config.batch / cpu:.1f} a CPU second")


if __name__ == "__main__":
    main()
