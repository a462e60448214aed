"""What an engine takes of memory, from the generator's configuration alone, and how much there is.

An estimate from above of what a process needs to load a generator and to show one picture; held against measured
engines in the tests. Knows no files.
"""

from __future__ import annotations

from pathlib import Path

import psutil

from explorer.networks import StyleGAN2Config, StyleGAN3Config
from explorer.networks.stylegan3 import LayerShape, schedule

SAMPLES = 4096  # codes over which an engine measures W
COPIES = 3  # of the weights: as read, in the generator, as the renderer lays them out
FEATURES = 3  # tensors of the size of the largest features that a picture needs at once
PICTURES = 20  # likewise of the picture itself, float32
BASE = 100_000_000  # whatever the generator
CGROUP = Path("/sys/fs/cgroup/memory.max")  # the limit of a container


GeneratorConfig = StyleGAN2Config | StyleGAN3Config


def engine_bytes(config: GeneratorConfig) -> int:
    """Bytes of memory that an engine for a generator of `config` takes at its start or for one picture."""
    codes = SAMPLES * ((config.num_ws + 6) * config.w_dim * 4 + config.c_dim * 16)
    basis = 8 * (4 * config.w_dim**2 + 6 * sum(config.channels) * config.w_dim)  # float64, while it is decomposed
    features = max(_features(config))
    picture = 4 * (FEATURES * features + PICTURES * config.img_resolution**2 * max(config.img_channels, 3))
    return BASE + 4 * COPIES * parameters(config) + max(codes + basis, picture)


def _features(config: GeneratorConfig) -> list[int]:
    """Numbers of the features that each layer makes. A StyleGAN3's rectifiers work on a few of its channels at once."""
    if isinstance(config, StyleGAN3Config):
        return [max(s.in_channels * s.before.size**2, s.out_channels * s.out.size**2) for s in schedule(config)]
    return [c * r**2 for c, r in zip(config.channels, config.resolutions, strict=True)]


def parameters(config: GeneratorConfig) -> int:
    """Numbers in the tensors of a generator, noise maps included."""
    return _parameters3(config) if isinstance(config, StyleGAN3Config) else _parameters2(config)


def _parameters3(config: StyleGAN3Config) -> int:
    shapes, w = schedule(config), config.w_dim
    labels = config.c_dim * (w + config.table) + config.z_dim * (config.table + 1) + w
    mapping = w * (2 * max(config.z_dim, w) + (config.mapping_layers + 1) * (w + 1)) + labels
    return (
        mapping
        + shapes[0].in_channels * (shapes[0].in_channels + 4)
        + 4 * w
        + 20
        + sum(_layer(shape) + shape.in_channels * (w + 1) for shape in shapes)
    )


def _layer(shape: LayerShape) -> int:
    taps = shape.up_taps + shape.down_taps ** (2 if shape.radial else 1)
    return shape.in_channels * shape.out_channels * shape.kernel**2 + shape.out_channels + taps + 2


def _parameters2(config: StyleGAN2Config) -> int:
    widths = config.channels
    label = 0 if not config.c_dim else config.z_dim if config.label_concat else config.w_dim
    layers = config.z_dim + label + (config.mapping_layers - 1) * config.w_dim + config.mapping_layers
    mapping = config.w_dim * (layers + 2) + label * config.c_dim
    first = 9 * widths[0] ** 2 + widths[0] * (2 * config.w_dim + 19 + config.img_channels) + 20
    blocks = sum(
        9 * (before + width) * width + (before + 2 * width) * (config.w_dim + 3 + config.img_channels) + 2 * r**2 + 5
        for before, width, r in zip(widths, widths[1:], config.resolutions[1:], strict=False)
    )
    return mapping + first + blocks


def machine_bytes() -> int:
    """Bytes of memory that are free on this machine, or in this container."""
    free = psutil.virtual_memory().available
    try:
        return min(free, int(CGROUP.read_text()) - psutil.Process().memory_info().rss)
    except (OSError, ValueError):  # no container, or one without a limit
        return free
