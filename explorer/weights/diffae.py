"""Importer of Diffusion Autoencoders: checkpoints of pytorch-lightning, bare state dicts, statistics and attributes.

Sizes are taken from the tensors' shapes, which cannot lie; only the heads of the attention and the side of the pictures
are settings. Of a checkpoint the averaged weights alone are read, not the optimiser's, which are half of the file.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from explorer.foreign import brief
from explorer.networks.diffae import Attributes, DiffAE, DiffAEConfig
from explorer.weights.checkpoint import Checkpoint, CheckpointError, Entries, Entry, build_generator, read_finite
from explorer.weights.contents import Contents

GENERATOR = ("input_blocks.0.0.weight", "encoder.input_blocks.0.0.weight", "time_embed.time_embed.0.weight")
ATTENDING = 16  # px: where all published ones attend
NOISE_SEED = 0  # of the x_T that is shown where a file has none
SAMPLES = 10_000  # codes over which the mean of u is estimated
LATENT = "latent_net."
UNSURE = "codes_unknown"  # in meta's source, where nothing says how codes are spread
SPREAD_ALONE = "no model of random codes: they are drawn from their spread, encoded photos look better"
UNEVEN = "its blocks do not make whole levels: it is damaged, or of another architecture"
# Settings that would make another network of the same tensors, and their only values that are known.
EXPECTED = {"T": 1000, "beta_scheduler": "linear", "latent_beta_scheduler": "const0.008", "latent_znormalize": True}


def find(contents: Contents) -> list[str]:
    """The prefixes of generators."""
    return contents.prefixes(*GENERATOR)


def read(contents: Contents, prefix: str, limit: int | None) -> Checkpoint:
    """The generator behind `prefix`. Raises CheckpointError where names, shapes or settings are not that kind's."""
    settings = contents.beside(prefix, "hyper_parameters")
    settings = settings if isinstance(settings, dict) else {}
    entries = {
        name.replace(LATENT, "latent.", 1) if name.startswith(LATENT) else name: entry
        for name, entry in contents.below(prefix).entries.items()
        if ".cond_layers." not in name  # a second name of linear_emb
    }
    noise = contents.beside(prefix, "x_T")
    config = config_of(entries, settings, noise if isinstance(noise, Entry) else None)
    _check_settings(settings, config)
    source = {"format": "diffae", "network": prefix.removesuffix(".")}
    side, width = config.img_resolution, config.z_dim
    if isinstance(noise, Entry) and noise.shape[1:] == (3, side, side):
        entries["noise_const"] = Entry((3, side, side), lambda: noise.read()[0])
    else:
        rng = torch.Generator().manual_seed(NOISE_SEED)
        entries["noise_const"] = Entry((3, side, side), lambda: torch.randn(3, side, side, generator=rng))
        source["x_T"] = f"drawn with seed {NOISE_SEED}: the file has none"
    statistics = [contents.beside(prefix, f"conds_{name}") for name in ("mean", "std")]
    known = all(isinstance(entry, Entry) and math.prod(entry.shape) == width for entry in statistics)
    for name, entry, value in zip(("mean", "std"), statistics, (0.0, 1.0), strict=True):
        entries[f"latent.{name}"] = entry.reshaped((width,)) if known else _constant(width, value)
    entries["u_mean"] = _constant(width, 0.0)
    generator = build_generator(config, entries, limit, DiffAE)
    set_mean(generator)
    if not known:
        source[UNSURE] = "the file does not say how codes are spread: random ones look like nothing, encode photos"
    elif not config.latent_layers:
        source["codes"] = SPREAD_ALONE
    return Checkpoint(generator, meta={"source": source})


def _constant(width: int, value: float) -> Entry:
    return Entry((width,), lambda: torch.full((width,), value))


def _check_settings(settings: dict[Any, Any], config: DiffAEConfig) -> None:
    for name, expected in EXPECTED.items():
        matters = config.latent_layers or not name.startswith("latent_")
        if matters and name in settings and settings[name] != expected:
            raise CheckpointError(f"its setting {name} is {brief(settings[name])}, only {expected} is known")


def config_of(entries: Entries, settings: dict[Any, Any], noise: Entry | None) -> DiffAEConfig:
    """The configuration that shapes and settings tell. Raises CheckpointError where they do not fit together."""
    net_ch = _size(entries, "time_embed.time_embed.0.weight", 1)
    decoder_levels, decoder_blocks = _down(entries, "", net_ch)
    encoder_levels, encoder_blocks = _down(entries, "encoder.", net_ch)
    attending = [level for level, (_, attends) in enumerate(decoder_levels) if attends]
    side = _side(settings, noise, ATTENDING << attending[0] if attending else None)
    latent = [name for name in entries if name.startswith("latent.layers.") and name.endswith(".linear.weight")]
    hidden = _size(entries, "latent.layers.0.linear.weight", 0) if latent else 0
    z_dim = _size(entries, "encoder.out.3.weight", 0)
    widths = [_size(entries, f"latent.layers.{index}.linear.weight", 1) for index in range(len(latent))]
    heads = settings.get("net_beatgans_attn_head", 1)
    try:
        return DiffAEConfig(
            img_resolution=side,
            net_ch=net_ch,
            net_ch_mult=tuple(multiple for multiple, _ in decoder_levels),
            enc_ch_mult=tuple(multiple for multiple, _ in encoder_levels),
            res_blocks=decoder_blocks,
            enc_res_blocks=encoder_blocks,
            attention=tuple(side >> level for level in attending),
            enc_attention=tuple(side >> level for level, (_, attends) in enumerate(encoder_levels) if attends),
            heads=heads if isinstance(heads, int) else 0,
            embed_dim=_size(entries, "time_embed.time_embed.0.weight", 0),
            z_dim=z_dim,
            latent_layers=len(latent),
            latent_hidden=hidden or DiffAEConfig.latent_hidden,
            latent_skip=tuple(index for index, width in enumerate(widths) if index and width > hidden),
        )
    except ValueError as error:
        raise CheckpointError(f"its settings do not fit together: {brief(error, 200)}") from None


def _size(entries: Entries, name: str, axis: int) -> int:
    shape = entries[name].shape if name in entries else ()
    if axis >= len(shape) or not shape[axis]:
        raise CheckpointError(f"{name} is missing or has no shape that it could have: the file is incomplete")
    return shape[axis]


def _down(entries: Entries, prefix: str, net_ch: int) -> tuple[list[tuple[int, bool]], int]:
    """(multiple of `net_ch`, whether it attends) of every level, and blocks a level.

    Between two levels lies a block without a way around that keeps the width. Levels of one width look the same from
    their shapes; the decoder says how many there are by its blocks that double the size, the encoder by the number of
    blocks that every level of the decoder has.
    """
    inputs = f"{prefix}input_blocks."
    count = sum(name.startswith(inputs) and name.endswith(".in_layers.2.weight") for name in entries)
    outputs = len({name.split(".")[1] for name in entries if name.startswith("output_blocks.")})
    rising = sum(
        name.startswith("output_blocks.") and name.endswith(".in_layers.2.weight") and name.split(".")[2] != "0"
        for name in entries
    )
    if not outputs or outputs % (rising + 1) or outputs // (rising + 1) < 2:
        raise CheckpointError(
            "its decoder's blocks do not make whole levels: it is damaged, or of another architecture"
        )
    blocks = outputs // (rising + 1) - 1
    if (count + 1) % (blocks + 1):
        raise CheckpointError(UNEVEN)
    levels = []
    for level in range((count + 1) // (blocks + 1)):
        first = 1 + level * (blocks + 1)
        width = _size(entries, f"{inputs}{first}.0.in_layers.2.weight", 0)
        if width % net_ch:
            raise CheckpointError(f"a level has {width} channels, no multiple of {net_ch}: it is damaged")
        levels.append((width // net_ch, f"{inputs}{first}.1.qkv.weight" in entries))
    return levels, blocks


def _side(settings: dict[Any, Any], noise: Entry | None, attending: int | None) -> int:
    """The side of the pictures in pixels: of x_T, by the settings, or by where the features attend."""
    if noise is not None and len(noise.shape) == 4:
        return noise.shape[-1]
    side = settings.get("img_size", attending)
    if not isinstance(side, int):
        raise CheckpointError("nothing in it says how large its pictures are: bring its whole checkpoint (last.ckpt)")
    return side


def set_mean(generator: DiffAE, codes: Tensor | None = None) -> None:
    """The mean of u = SiLU(z), over `codes` or over normal ones of the spread that the generator knows, in place."""
    if codes is None:
        rng = torch.Generator().manual_seed(NOISE_SEED)
        codes = generator.latent.denormalized(torch.randn(SAMPLES, generator.config.z_dim, generator=rng))
    generator.u_mean.copy_(F.silu(codes).mean(dim=0))


def with_statistics(checkpoint: Checkpoint, contents: Contents) -> Checkpoint:
    """The same with the spread of codes from a `latent.pkl`; its generator is changed in place.

    Raises CheckpointError where that file is of another width.
    """
    generator = checkpoint.generator
    assert isinstance(generator, DiffAE)
    width = generator.config.z_dim
    for name, into in (("mean", generator.latent.mean), ("std", generator.latent.std)):
        into.copy_(_vector(contents, f"conds_{name}", width))
    codes = contents.entries.get("conds")
    usable = codes is not None and len(codes.shape) == 2 and codes.shape[1] == width
    set_mean(generator, read_finite("conds", codes) if codes is not None and usable else None)
    source = {name: value for name, value in checkpoint.meta["source"].items() if name != UNSURE}
    return replace(checkpoint, meta=checkpoint.meta | {"source": source | {"codes": SPREAD_ALONE}})


def _vector(contents: Contents, name: str, width: int) -> Tensor:
    entry = contents.entries.get(name)
    if entry is None or math.prod(entry.shape) != width:
        got = "nothing" if entry is None else brief(entry.shape)
        raise CheckpointError(f"{name} must be {width} numbers, got {got}: it belongs to another generator")
    return read_finite(name, entry).flatten()


def read_attributes(contents: Contents) -> Attributes:
    """The attributes that a file of linear classifiers knows. Raises CheckpointError where it is none."""
    (prefix,) = contents.prefixes("classifier.weight", "classifier.bias")[:1] or [None]
    if prefix is None:
        raise CheckpointError("it holds no classifier of attributes: bring the last.ckpt of a run of that kind")
    inside = contents.below(prefix)
    weight = read_finite("classifier.weight", inside.entries["classifier.weight"])
    if weight.ndim != 2:
        raise CheckpointError(f"classifier.weight must be [attributes, numbers], got {brief(tuple(weight.shape))}")
    mean, std = (_vector(inside, f"conds_{name}", weight.shape[1]) for name in ("mean", "std"))
    return Attributes(weight, mean, std)
