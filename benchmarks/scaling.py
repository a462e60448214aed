"""What more domains cost: one small generator expanded by 1, 5, 10 and 30 domains, CPU time a step and figures of each.

Every row is a run of the loop of `python -m explorer expand` with the same steps, batch and teacher: a warm-up, then
FULL steps of the whole loop, with replay and the source's GAN loss. Then it is measured on the domains that the judge
knows. Time is the process's own on one thread, so that other programs on the machine do not count.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import mean, median

import torch
from accelerate import Accelerator

from explorer.expansion import run
from explorer.expansion.config import config_from
from explorer.networks.hardware import tune_allocator
from explorer.recipes import figures
from explorer.recipes.captions import PHRASES
from explorer.styles import STYLES
from explorer.training.run import Folder
from explorer.weights import DEFAULT, load

# The styles come first; what follows has no class in the judge and is there to fill directions.
DOMAINS = {name: PHRASES[name][0].format("cat") for name in STYLES} | {
    kind: f"a {kind} cat" for kind in ("green", "purple", "snow-covered", "wooden", "golden")
}
COUNTS = (1, 5, 10, 30)
FULL = 12  # steps of the whole loop at the end
SOURCE = DEFAULT.with_name("cats128-source.safetensors")
JUDGE = DEFAULT.with_name("cats128-judge.safetensors")


def expand(folder: Path, count: int, arguments: argparse.Namespace) -> tuple[float, float]:
    """Expand by the first `count` domains; median CPU milliseconds of a step of warm-up, and of the whole loop."""
    domains = [
        {"name": name, "type": "nada", "source": "photo", "target": target}
        for name, target in list(DOMAINS.items())[:count]
    ]
    settings = {"steps": arguments.steps + FULL, "warmup": arguments.steps, "batch": arguments.batch, "domain": domains}
    accelerator = Accelerator(cpu=True)
    config = run.new_run(folder, arguments.source, config_from(settings), {}, accelerator)
    trainer = run.prepare(Folder(folder), config, accelerator)
    spent: tuple[list[float], list[float]] = ([], [])
    while trainer.step < config.steps:
        whole, start = not trainer.warming, time.process_time()
        trainer.train_step()
        spent[whole].append(1000 * (time.process_time() - start))
    run.export(folder, trainer)
    return median(spent[0]), median(spent[1])


def row(folder: Path, count: int, arguments: argparse.Namespace) -> str:
    """One line of the table: means over the domains, and the worst that one slider does to another domain."""
    costs = expand(folder, count, arguments)
    found = figures.measure(
        load(folder / run.NETWORK),
        load(arguments.source),
        domains=[name for name in list(DOMAINS)[:count] if name in STYLES],
        judge=arguments.judge,
        count=arguments.count,
    )
    arrivals, separation = found["arrival"]["judge"].values(), found["separation"]["judge"]
    leaks = [abs(value) for a, line in separation.items() for b, value in line.items() if a != b]
    together = found["composition"]["judge"].values()
    text = " | ".join(f"{cost:.0f}" for cost in costs) + f" | {found['replay']['psnr']:.1f}"
    for values in ([a["at 1"] for a in arrivals], found["diversity"].values()):
        text += f" | {mean(values):.2f}"
    worst = f"{max(leaks):.2f} | {mean(together):.2f}" if leaks else "none | none"
    return f"| {count} | {text} | {worst} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=str(SOURCE))
    parser.add_argument("--judge", type=Path, default=JUDGE, help="made by `python -m explorer.recipes.judge`")
    parser.add_argument("--out", type=Path, help="keep the runs in this folder")
    parser.add_argument("--domains", type=int, nargs="+", default=COUNTS, help=f"at most {len(DOMAINS)} each")
    parser.add_argument("--steps", type=int, default=50, help="of warm-up in each row")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--count", type=int, default=24, help="samples to measure on")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tune_allocator()
    print(f"{arguments.steps} + {FULL} steps of {arguments.batch} samples; judged on {arguments.count} samples\n")
    print("| domains | warm-up, ms | whole loop, ms | replay PSNR | arrival | diversity | worst leak | composition |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for count in arguments.domains:
            print(row((arguments.out or Path(place)) / f"{count}-domains", count, arguments), flush=True)
    print(f"\nCPU time {time.process_time() / 60:.1f} minutes")


if __name__ == "__main__":
    main()
