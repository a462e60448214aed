"""Importer of the `.pt` files of rosinality's stylegan2-pytorch: `{"g_ema": state dict, "latent_avg": mean of w}`.

That implementation scales convolution weights by 1 / sqrt(fan in) at run time and keeps a leading axis of 1; ours
stores them ready for use. Everything else is a matter of names. Its discriminator is not read.
"""

from __future__ import annotations

import math
import re
from typing import Any

import torch

from explorer.latents.sampling import sample_z
from explorer.networks import StyleGAN2, StyleGAN2Config
from explorer.weights.checkpoint import Checkpoint, CheckpointError, Entry, build_generator
from explorer.weights.nvidia import resample_filter
from explorer.weights.storage import StoredTensor

LR_MULTIPLIER = 0.01  # of its mapping network; fixed in that implementation
MEAN_SAMPLES = 10_000


def is_rosinality(data: Any) -> bool:
    """Whether an unpickled object is such a file, or its bare state dict."""
    return isinstance(data, dict) and _is_state(data.get("g_ema", data.get("g", data)))


def read(data: dict[str, Any]) -> Checkpoint:
    """The checkpoint in an unpickled file. Raises CheckpointError where names or shapes are not that implementation's.

    Files without `latent_avg` (from training) get the mean of w over 10,000 samples, the same ones every time.
    """
    state = data.get("g_ema", data.get("g", data))
    entries = {name: value.entry() for name, value in state.items() if isinstance(value, StoredTensor)}
    renamed = _renamed(entries)
    mean = data.get("latent_avg")
    w_dim = renamed["mapping.fc0.bias"].shape[0] if "mapping.fc0.bias" in renamed else 0
    if isinstance(mean, StoredTensor) and mean.numel == w_dim:
        renamed["mapping.w_avg"] = mean.entry().reshaped((w_dim,))
    else:
        renamed["mapping.w_avg"] = Entry((w_dim,), lambda: torch.zeros(w_dim))
    generator = build_generator(_config(entries, renamed), renamed)
    meta: dict[str, Any] = {"source": {"format": "rosinality", "network": "g_ema" if "g_ema" in data else "g"}}
    if not isinstance(mean, StoredTensor):
        generator.mapping.w_avg.copy_(_mean_w(generator))
        meta["source"]["w_avg"] = f"estimated from {MEAN_SAMPLES:,} samples"
    return Checkpoint(generator, meta=meta)


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and "style.1.weight" in value and "conv1.conv.weight" in value


def _config(entries: dict[str, Entry], renamed: dict[str, Entry]) -> StyleGAN2Config:
    """Everything from shapes."""
    resolutions = [4]
    while f"synthesis.b{2 * resolutions[-1]}.conv1.weight" in renamed:
        resolutions.append(2 * resolutions[-1])
    try:
        return StyleGAN2Config(
            img_resolution=resolutions[-1],
            channels=tuple(renamed[f"synthesis.b{r}.conv1.weight"].shape[0] for r in resolutions),
            z_dim=renamed["mapping.fc0.weight"].shape[1],
            w_dim=renamed["mapping.fc0.weight"].shape[0],
            img_channels=renamed["synthesis.b4.torgb.weight"].shape[0],
            mapping_layers=sum(name.startswith("mapping.fc") and name.endswith(".weight") for name in renamed),
            mapping_lr_multiplier=LR_MULTIPLIER,
            resample_filter=_taps(entries),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise CheckpointError(f"its tensors do not make a StyleGAN2 ({error}): the file is incomplete") from None


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
    return generator.mapping(z)[:, 0].mean(dim=0)
