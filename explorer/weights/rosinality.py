"""Importer of the tensor names of rosinality's stylegan2-pytorch: `g_ema`, and `latent_avg`, the mean of w, beside it.

That implementation scales convolution weights by 1 / sqrt(fan in) at run time and keeps a leading axis of 1; ours
stores them ready for use. Everything else is a matter of names. Its discriminator is not read.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from explorer.foreign import brief
from explorer.latents.sampling import sample_z
from explorer.networks import StyleGAN2, StyleGAN2Config
from explorer.weights.checkpoint import Checkpoint, CheckpointError, Entry, build_generator
from explorer.weights.contents import Contents
from explorer.weights.nvidia import resample_filter

LR_MULTIPLIER = 0.01  # of its mapping network; fixed in that implementation
MEAN_SAMPLES = 10_000
NOISE_SEED = 0
MAX_ROWS = 100  # of a mean that is repeated for every row of W+
GENERATOR = ("style.1.weight", "conv1.conv.weight")  # by what it is found
PARTS = ("style.", "input.", "conv1.", "convs.", "to_rgb1.", "to_rgbs.", "noises.")


def find(contents: Contents) -> list[str]:
    """The prefixes of generators."""
    return contents.prefixes(*GENERATOR)


def read(contents: Contents, prefix: str, limit: int | None) -> Checkpoint:
    """The generator behind `prefix`. Raises CheckpointError where names or shapes are not that implementation's.

    What such files may lack is made, the same every time, and `meta` says so: noise maps (files of 2020 have none), and
    `latent_avg`, the mean of w (files from training).
    """
    network = contents.below(prefix)
    entries = {name: entry for name, entry in network.entries.items() if name.startswith(PARTS)}
    renamed = _renamed(entries)
    config = _config(entries, renamed)
    source = {"format": "rosinality", "network": prefix.removesuffix(".")}
    if not any(name.endswith("noise_const") for name in renamed):
        renamed |= _drawn_noise(config)
        source["noise"] = f"drawn with seed {NOISE_SEED}: the file has no noise maps"
    average = contents.beside(prefix, "latent_avg")
    mean = _mean_of(average, config.w_dim)
    renamed["mapping.w_avg"] = mean or Entry((config.w_dim,), lambda: torch.zeros(config.w_dim))
    generator = build_generator(config, renamed, limit)
    if mean is None:
        generator.mapping.w_avg.copy_(_mean_w(generator))
        why = "" if average is None else ": its latent_avg is no mean of w"
        source["w_avg"] = f"estimated from {MEAN_SAMPLES:,} samples{why}"
    return Checkpoint(generator, meta={"source": source})


def _mean_of(average: Any, w_dim: int) -> Entry | None:
    """The mean of w as `[w_dim]`, also where a file repeats it for every row of W+; None for anything else."""
    shape = average.shape if isinstance(average, Entry) else ()
    if not shape or shape[-1] != w_dim or math.prod(shape) > MAX_ROWS * w_dim:
        return None
    if math.prod(shape) == w_dim:
        return average.reshaped((w_dim,))
    rows = average.read().to(torch.float32).reshape(-1, w_dim)
    return Entry((w_dim,), lambda: rows[0]) if torch.allclose(rows, rows[:1], atol=1e-6) else None


def _drawn_noise(config: StyleGAN2Config) -> dict[str, Entry]:
    """A map of noise for every convolution, as training draws them."""
    rng = torch.Generator().manual_seed(NOISE_SEED)
    layers = [("b4.conv1", 4), *((f"b{r}.conv{i}", r) for r in config.resolutions[1:] for i in range(2))]
    return {
        f"synthesis.{name}.noise_const": Entry((side, side), lambda side=side: torch.randn(side, side, generator=rng))
        for name, side in layers
    }


def _config(entries: dict[str, Entry], renamed: dict[str, Entry]) -> StyleGAN2Config:
    """Everything from shapes."""
    resolutions = [4]
    while f"synthesis.b{2 * resolutions[-1]}.conv1.weight" in renamed:
        resolutions.append(2 * resolutions[-1])

    def size(name: str, axis: int) -> int:
        if name not in renamed or len(renamed[name].shape) <= axis:
            raise CheckpointError(f"its {name} is missing or misshapen: the file is incomplete or no StyleGAN2")
        return renamed[name].shape[axis]

    try:
        return StyleGAN2Config(
            img_resolution=resolutions[-1],
            channels=tuple(size(f"synthesis.b{r}.conv1.weight", 0) for r in resolutions),
            z_dim=size("mapping.fc0.weight", 1),
            w_dim=size("mapping.fc0.weight", 0),
            img_channels=size("synthesis.b4.torgb.weight", 0),
            mapping_layers=sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in renamed),
            mapping_lr_multiplier=LR_MULTIPLIER,
            resample_filter=_taps(entries),
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"its sizes do not fit together: {brief(error, 200)}") from None


def _taps(entries: dict[str, Entry]) -> tuple[float, ...]:
    """Its blur kernels hold the low-pass filter times the gain of up-sampling, 4."""
    names = [name for name in entries if name.endswith((".blur.kernel", ".upsample.kernel"))]
    return resample_filter({name: entries[name].reshaped(entries[name].shape, 0.25) for name in names}, names)


def _renamed(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Our names and storage. Unknown names stay, so that the gate reports them."""
    renamed: dict[str, Entry] = {}
    for name, entry in entries.items():
        if not name.endswith((".blur.kernel", ".upsample.kernel")):
            new = _name(name)
            renamed[new] = _stored(new, entry)
    return renamed


def _stored(name: str, entry: Entry) -> Entry:
    """The values as our networks hold them: no leading axis, convolution weights scaled, noise strength a scalar."""
    shape = entry.shape
    if name.endswith("noise_strength") and shape == (1,):
        return entry.reshaped(())
    if name.endswith(("noise_const", "const")) and len(shape) == 4:
        return entry.reshaped(shape[2:] if name.endswith("noise_const") else shape[1:])
    if name.endswith("torgb.bias") and len(shape) == 4:
        return entry.reshaped(shape[1:2])
    if len(shape) == 5:
        fan_in = 1 if "torgb" in name else math.prod(shape[2:])  # ToRGB scales at run time here as well
        return entry.reshaped(shape[1:], 1 / math.sqrt(max(fan_in, 1)))
    return entry


LAYER_PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def _name(name: str) -> str:
    """`convs.3.conv.weight` -> `synthesis.b16.conv1.weight`: two convolutions a resolution, from 8 px."""
    if match := re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if name == "input.input":
        return "synthesis.b4.const"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{_layer(int(match[1]) - 1)}.noise_const"
    if match := re.fullmatch(r"(conv1|to_rgb1|convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.+)", name):
        head, part = match[1], LAYER_PARTS.get(match[2], match[2])
        kind, _, index = head.partition(".")
        layers = {"conv1": lambda: _layer(-1), "to_rgb1": lambda: "b4.torgb", "convs": lambda: _layer(int(index))}
        return f"synthesis.{layers[kind]() if kind in layers else f'b{8 << int(index)}.torgb'}.{part}"
    return name


def _layer(index: int) -> str:
    """Convolution `index` of `convs`; -1 is the one at 4 px."""
    return "b4.conv1" if index < 0 else f"b{8 << index // 2}.conv{index % 2}"


@torch.no_grad()
def _mean_w(generator: StyleGAN2) -> torch.Tensor:  # [w_dim]
    z = sample_z(MEAN_SAMPLES, generator.z_dim, seed=0)
    return torch.stack([generator.mapping(part)[:, 0].mean(dim=0) for part in z.split(MEAN_SAMPLES // 10)]).mean(dim=0)
