"""Peak memory of loading a published checkpoint of a diffusion autoencoder, against its averaged weights and 300 MB.

The file has the layout and the size of `ffhq256`: weights, their average, and Adam's two moments, 2.7 GB in all; values
are zeros. It takes as much of the disk while this runs.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor

ROOM = 300 * 2**20  # bytes beside the averaged weights
SETTINGS = {"img_size": 256, "net_beatgans_attn_head": 1}


def published() -> dict[str, tuple[int, ...]]:
    """Names and shapes of `ffhq256`'s tensors, without those that an importer adds."""
    from explorer.networks import DiffAE, DiffAEConfig

    with torch.device("meta"):
        generator = DiffAE(DiffAEConfig(256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4)))
    ours = ("noise_const", "u_mean", "latent.")
    return {name: tuple(v.shape) for name, v in generator.state_dict().items() if not name.startswith(ours)}


def write(path: Path, folder: Path) -> int:
    """Such a file; the bytes of its averaged weights."""
    shapes, count = published(), 0

    def zeros(shape: tuple[int, ...]) -> Tensor:
        """On the disk, so that only the file that is measured takes memory."""
        nonlocal count
        count += 1
        size = max(int(torch.Size(shape).numel()), 1)
        return torch.from_file(str(folder / f"{count}.bin"), shared=True, size=size).view(shape)

    state = OrderedDict((f"{kind}.{name}", zeros(s)) for kind in ("model", "ema_model") for name, s in shapes.items())
    state["x_T"] = zeros((1, 3, 256, 256))
    moments = {i: {"step": 1, "exp_avg": zeros(s), "exp_avg_sq": zeros(s)} for i, s in enumerate(shapes.values())}
    contents = {"state_dict": state, "optimizer_states": [{"state": moments}], "hyper_parameters": SETTINGS}
    torch.save(contents, path)
    return sum(4 * torch.Size(shape).numel() for shape in shapes.values())


def peak() -> int:  # bytes; a process's own, which getrusage mixes with that of whoever started it
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def main() -> None:
    if len(sys.argv) > 1:  # the process that is measured
        from explorer.weights import load

        before, began = peak(), time.perf_counter()
        load(sys.argv[1])
        print(peak() - before, time.perf_counter() - began)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "last.ckpt"
        weights = write(path, Path(folder))
        command = [sys.executable, "-m", "benchmarks.loading", str(path)]
        took, seconds = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        more = (took - weights) / 2**20
        print(
            f"a file of {path.stat().st_size / 1e9:.2f} GB: its averaged weights of {weights / 2**20:.0f} MB and"
            f" {more:.0f} MB more, at most {ROOM / 2**20:.0f} wanted; {seconds:.0f} s"
        )


if __name__ == "__main__":
    main()
