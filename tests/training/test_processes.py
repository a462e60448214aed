"""A run on several processes ends with nothing of their group left over."""

from __future__ import annotations

import os
import subprocess
import sys

LEFT = """
import os, pathlib, sys, torch
from explorer.training.run import processes
with processes(cpu=True) as accelerator:
    weight = torch.zeros(3, requires_grad=True)
    optimiser = torch.optim.Adam([weight])  # imports what would keep the group
    weight.grad = accelerator.reduce(torch.ones(3), "mean")
    optimiser.step()
    during = len(list(pathlib.Path("/proc/self/task").iterdir()))
names = [path.read_text().strip() for path in pathlib.Path("/proc/self/task").glob("*/comm")]
assert during > len(names) and not [name for name in names if "gloo" in name], names
"""


def test_no_thread_of_the_group_outlives_the_run() -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, sys.executable, "-c", LEFT], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
