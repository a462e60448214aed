"""A generator of real size: 1024 px, published widths, a hundred domains. What it takes of memory and time, and how near
a preview is to the picture that it stands for.

The files are made here, with random weights: one as NVIDIA's and Adobe's programs pickle them (G, D, G_ema, basis), one
of our own format. Memory is that of a process of its own. Times are CPU times of one thread, and ratios of one process.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from explorer.latents import Expansion, factorize
from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN2Config
from explorer.networks.stylegan2 import channels_from_base
from explorer.weights import Checkpoint

SIDE, DOMAINS = 1024, 100
RESIDENT, PEAK = 1.4e9, 1.2e9  # bars, bytes
MB = 1e6


def published(side: int = SIDE) -> Checkpoint:
    """Published widths (base 32768, at most 512), 8 mapping layers, domains on the last directions of the basis."""
    torch.manual_seed(0)
    channels = channels_from_base(side, 32768, 512)
    generator = StyleGAN2(StyleGAN2Config(side, channels)).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    critic = Discriminator(DiscriminatorConfig(side, channels)).eval().requires_grad_(False)
    dims = tuple(range(511, 511 - DOMAINS, -1))
    names = tuple(f"domain {number}" for number in range(DOMAINS))
    expansion = Expansion(factorize(generator), dims, 20.0, names, generator.mean.clone())
    return Checkpoint(generator, critic, expansion, {"name": "large"})


class Persistent:
    """A module as `torch_utils.persistence` pickles it: its state as data, made again by a function of that program."""

    def __init__(self, module: nn.Module, **attributes: Any) -> None:
        parts = {name: Persistent(part) for name, part in module.named_children()}
        self.state = attributes | {
            "_parameters": dict(module.named_parameters(recurse=False)),
            "_buffers": dict(module.named_buffers(recurse=False)),
            "_modules": parts,
        }

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        function = sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj  # type: ignore[attr-defined]
        return function, ({"type": "class", "version": 6, "class_name": "Network", "state": self.state},)


def write_pickle(checkpoint: Checkpoint, path: Path) -> None:
    """As published: a generator, its discriminator, the generator's average, and the expansion beside them."""
    for name in ("torch_utils", "torch_utils.persistence"):
        sys.modules[name] = types.ModuleType(name)

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None: ...

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    expansion, critic = checkpoint.expansion, checkpoint.discriminator
    assert expansion is not None
    assert critic is not None
    tasks = [
        {"dimension": d, "args": {"target_text": n}} for d, n in zip(expansion.dims, expansion.domains, strict=True)
    ]
    plain = StyleGAN2(checkpoint.generator.config)  # before it was averaged: values of its own
    contents = {
        "G": Persistent(plain),
        "D": Persistent(critic),
        "G_ema": Persistent(checkpoint.generator),
        "latent_basis": expansion.basis,
        "repurposed_dims": list(expansion.dims),
        "subspace_distance": expansion.distance,
        "expansion_cfg": {"tasks": tasks},
    }
    with path.open("wb") as file:
        pickle.dump(contents, file, protocol=4)
    del sys.modules["torch_utils.persistence"], sys.modules["torch_utils"]


def status(name: str) -> int:  # bytes
    return 1024 * int(re.findall(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def measured_memory(path: Path) -> dict[str, float]:
    """In a process of its own: bytes after the imports, the most that reading took, and what an engine holds."""
    command = [sys.executable, "-m", "benchmarks.large", "--memory-of", str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def memory_of(path: str) -> None:
    import ctypes

    from explorer import Edit, Engine, load

    def reset() -> None:
        Path("/proc/self/clear_refs").write_text("5")

    def trimmed() -> int:
        ctypes.CDLL(None).malloc_trim(0)
        return status("VmRSS")

    found: dict[str, float] = {"start": status("VmRSS")}
    reset()
    began = time.process_time()
    checkpoint = load(path)
    found["reading, seconds"] = time.process_time() - began
    found["reading, peak"] = status("VmHWM")
    found["read"] = trimmed()
    reset()
    engine = Engine(checkpoint)
    del checkpoint
    engine.render(Edit())
    found["engine, peak"] = status("VmHWM")
    found["shown"] = status("VmRSS")
    found["at rest"] = trimmed()
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        return memory_of(args.memory_of)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = published()
        native, pickled = Path(folder) / "large.safetensors", Path(folder) / "large.pkl"
        checkpoint.save(native)
        write_pickle(checkpoint, pickled)
        del checkpoint
        for path in (pickled, native):
            print(path.name, f"{path.stat().st_size / MB:.0f} MB:", measured_memory(path), flush=True)


if __name__ == "__main__":
    main()
