"""What more domains cost: one small generator expanded by 1, 5, 10 and 30 domains, time a step and figures of each.

Every row is a run of `python -m explorer expand` of its own with the same steps, batch and teacher, then measured on
the domains that the judge knows. `python -m benchmarks.scaling --data PICTURES --judge FILE` takes a while: the steps
times the number of rows, and measuring. Finished runs in `--out` are not repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean, median

from explorer.training import figures
from explorer.training.captions import PHRASES
from explorer.training.styles import STYLES
from explorer.weights import DEFAULT, load

# The styles come first; what follows has no class in the judge and is there to fill directions.
DOMAINS = {name: PHRASES[name][0].format("cat") for name in STYLES} | {
    kind: f"a {kind} cat" for kind in ("green", "purple", "snow-covered", "wooden", "golden")
}
COUNTS = (1, 5, 10, 30)


def config(count: int, steps: int, batch: int, data: str) -> str:
    """domains.toml for the first `count` domains."""
    lines = [f"steps = {steps}", f"batch = {batch}", f"data = {json.dumps(data)}", "lambda_src = 0.0"]
    for name, target in list(DOMAINS.items())[:count]:
        lines += ["", "[[domain]]", f'name = "{name}"', 'type = "nada"']
        lines += ['source = "photo"', f'target = "{target}"']
    return "\n".join(lines) + "\n"


def expand(folder: Path, count: int, arguments: argparse.Namespace) -> float:
    """Train one row, unless it is there; median milliseconds a step, as the run reports them every few seconds."""
    cost = folder / "cost.json"
    if cost.is_file():
        return json.loads(cost.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder.with_suffix(".toml")
    wanted.write_text(config(count, arguments.steps, arguments.batch, arguments.data))
    command = [sys.executable, "-m", "explorer", "expand", arguments.source, "--config", str(wanted)]
    rates = []
    with subprocess.Popen([*command, "--out", str(folder)]) as process:
        while process.poll() is None:
            time.sleep(1)
            with contextlib.suppress(OSError):  # the run has not reported yet
                rates.append(json.loads((folder / "progress.json").read_text())["images_per_second"])
    if process.returncode:
        raise SystemExit(f"the run in {folder} failed")
    found = 1000 * arguments.batch / median(rate for rate in rates if rate)
    cost.write_text(json.dumps(found))
    return found


def row(folder: Path, count: int, cost: float, arguments: argparse.Namespace) -> str:
    """One line of the table: means over the domains, and the worst that one slider does to another domain."""
    found = figures.measure(
        load(folder / "network.safetensors"),
        load(arguments.source),
        domains=[name for name in list(DOMAINS)[:count] if name in STYLES],
        judge=arguments.judge,
        count=arguments.count,
    )
    (judge, arrivals), separation = next(iter(found["arrival"].items())), found["separation"]
    leaks = [abs(value) for a, line in separation[judge].items() for b, value in line.items() if a != b]
    together = found["composition"][judge].values()
    values = [
        mean(each["at 1"] for each in arrivals.values()),
        max(each["at 0"] for each in arrivals.values()),
        mean(found["diversity"].values()),
        max(leaks, default=0.0),
        mean(together) if together else float("nan"),
    ]
    text = " | ".join(f"{value:.2f}" for value in values)
    return f"| {count} | {cost:.0f} | {found['replay']['psnr']:.1f} | {text} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=str(DEFAULT))
    parser.add_argument("--data", required=True, help="pictures that the source was trained on")
    parser.add_argument("--judge", type=Path, required=True, help="made by `python -m explorer.training.judge`")
    parser.add_argument("--out", type=Path, default=Path("runs/scaling"))
    parser.add_argument("--domains", type=int, nargs="+", default=COUNTS, help=f"at most {len(DOMAINS)} each")
    parser.add_argument("--steps", type=int, default=400, help="of each row")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--count", type=int, default=128, help="samples to measure on")
    arguments = parser.parse_args()
    print(f"{arguments.steps} steps of {arguments.batch} samples; figures by the judge on {arguments.count} samples\n")
    print("| domains | ms a step | replay PSNR | at 1 | at 0, worst | diversity | separation, worst | composition |")
    print("|---|---|---|---|---|---|---|---|")
    for count in arguments.domains:
        folder = arguments.out / f"{count}-domains"
        print(row(folder, count, expand(folder, count, arguments), arguments), flush=True)


if __name__ == "__main__":
    main()
