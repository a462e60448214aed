"""What an engine takes of memory, from the generator's sizes alone, and how much there is.

An estimate from above of what a process needs to load a generator and to show one picture; held against measured
engines in the tests. Knows no files.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from explorer.kernels import winograd
from explorer.networks import Generator

SAMPLES = 4096  # codes over which an engine measures W
COPIES = 2  # of the weights: as read, in the generator; and as the renderer lays them out
FEATURES = 3  # tensors of the size of the largest features that a picture needs at once
STACKS = 3  # of the style weights that the basis is made from
PICTURES = 20  # likewise of the picture itself, float32
BASE = 100_000_000  # whatever the generator
CGROUP = Path("/sys/fs/cgroup/memory.max")  # the limit of a container


def engine_bytes(generator: Generator) -> int:
    """Bytes of memory that an engine takes at its start or for one picture; the generator may be one without values."""
    codes, styles = generator.codes, sum(len(layer.weight) for layer in generator.style_layers() if layer.in_basis)
    samples = SAMPLES * ((codes.rows + 6) * codes.dim * 4 + generator.classes * 16)
    basis = 8 * (4 * codes.dim**2 + STACKS * styles * codes.dim)  # float64, while it is decomposed
    picture = 4 * (FEATURES * generator.features + PICTURES * generator.resolution**2 * max(generator.channels, 3))
    return BASE + held_bytes(generator) + max(samples + basis, picture)


def held_bytes(generator: Generator) -> int:
    """Bytes of memory that an engine keeps of a generator while nobody asks for pictures."""
    weights = list(generator.state_dict().values())
    laid_out = sum(value.numel() * (winograd.GROWTH if winograd.is_wide(value.shape) else 1) for value in weights)
    return 4 * (COPIES * sum(value.numel() for value in weights) + round(laid_out))


def machine_bytes() -> int:
    """Bytes of memory that are free on this machine, or in this container."""
    free = psutil.virtual_memory().available
    try:
        return min(free, int(CGROUP.read_text()) - psutil.Process().memory_info().rss)
    except (OSError, ValueError):  # no container, or one without a limit
        return free
