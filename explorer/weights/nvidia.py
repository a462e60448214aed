"""Importer of NVIDIA's tensor names: StyleGAN2-ADA, StyleGAN3, StyleGAN-XL, domain-expanded ones, and our own.

Sizes are taken from the tensors' shapes, which cannot lie, and only what shapes do not show (clamping, learning-rate
multipliers, group sizes) from attributes of pickled modules; a bare state dict has none. The source text that NVIDIA's
pickles carry is ignored. `explorer.weights.stylegan3` reads the alias-free generators.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from explorer.foreign import brief
from explorer.latents import Expansion
from explorer.networks import DiscriminatorConfig, Generator, StyleGAN2, StyleGAN2Config, StyleGAN3
from explorer.networks.stylegan2 import Architecture
from explorer.weights import stylegan3
from explorer.weights.builders import Record
from explorer.weights.checkpoint import (
    Checkpoint,
    CheckpointError,
    Entries,
    Entry,
    StoredDiscriminator,
    build_expansion,
    build_generator,
    stored_discriminator,
)
from explorer.weights.contents import Contents
from explorer.weights.plain import plain

MAX_DIMS = 10_000  # numbers of a list that is read as such
MAX_NAME = 200  # characters of a domain's name
FILTERS = "resample_filter"
GENERATOR, CRITIC = "synthesis.b4.conv1.weight", ("b4.out.weight", "b4.conv.weight")  # by what they are found
EMBED = "mapping.embed.weight"
ALIAS_FREE = "synthesis.input.freqs"


def find(contents: Contents) -> list[str]:
    """The prefixes of generators."""
    return contents.prefixes(GENERATOR) + contents.prefixes(ALIAS_FREE)


def read(contents: Contents, prefix: str, limit: int | None) -> Checkpoint:
    """The generator behind `prefix`, and what lies beside it: discriminator, expansion, settings of its training.

    A discriminator that is of another make, or had diverged, does not keep the generator from its users: it is left
    out, and `meta` says why. Raises CheckpointError where the generator is not a StyleGAN2 or 3.
    """
    generator = read_generator(contents.below(prefix), limit)
    meta: dict[str, Any] = {"source": {"format": "nvidia", "network": prefix.removesuffix(".")}}
    discriminator = None
    if (critic := find_critic(contents, prefix, *CRITIC)) is not None:
        try:
            discriminator = read_discriminator(contents.below(critic), generator)
        except CheckpointError as error:
            record = contents.values.get(critic.removesuffix("."))
            made = record.args[0] if isinstance(record, Record) and record.args else None
            meta["source"]["discriminator"] = f"not read: {f'it is a {made} of another make' if made else error}"
    for key in ("training_set_kwargs", "expansion_cfg"):
        if (value := contents.beside(prefix, key)) is not None:
            meta[key] = plain(value)
    return Checkpoint(generator, discriminator, read_expansion(contents, prefix, generator), meta)


def find_critic(contents: Contents, generator: str, *names: str) -> str | None:
    """The prefix of the discriminator that belongs to the generator behind a prefix: by these names, or as "D"."""
    outside = generator.rpartition(".")[0].rpartition(".")[0]
    named = f"{outside}.D" if outside else "D"
    others = [f"{named}."] if contents.values.get(named) is not None else []
    found = contents.prefixes(*names) or others
    return min(found, key=lambda prefix: not prefix.startswith(outside), default=None)


def read_generator(network: Contents, limit: int | None = None) -> StyleGAN2 | StyleGAN3:
    """The generator in a network's own contents. What is neither mapping nor synthesis is left alone."""
    parts = {name: entry for name, entry in network.entries.items() if name.startswith(("mapping.", "synthesis."))}
    if ALIAS_FREE in parts:
        return stylegan3.read_generator(Contents(parts, network.values), limit)
    return build_generator(generator_config(network), without_filters(parts), limit)


def read_discriminator(network: Contents, generator: Generator) -> StoredDiscriminator:
    """The discriminator in a network's own contents. Raises CheckpointError where it does not see such pictures."""
    config = discriminator_config(network)
    if (config.img_resolution, config.img_channels) != (generator.resolution, generator.channels):
        raise CheckpointError(f"it looks at pictures of {config.img_resolution} px and {config.img_channels} channels")
    return stored_discriminator(config, without_filters(network.entries))


def without_filters(entries: Entries) -> dict[str, Entry]:
    """Without the resampling filters, which NVIDIA's networks store and ours derive from the configuration."""
    return {name: entry for name, entry in entries.items() if name.rpartition(".")[2] != FILTERS}


def generator_config(module: Contents) -> StyleGAN2Config:
    """Sizes from shapes; clamping, noise and learning rate of the mapping network from attributes."""
    entries = module.entries
    resolutions = _resolutions(entries, "synthesis.b{}.conv1.weight")
    conditional = EMBED in entries
    w_dim = _size(entries, "synthesis.b4.conv1.affine.weight", 1)
    top = resolutions[-1]
    return _config(
        StyleGAN2Config,
        img_resolution=top,
        channels=tuple(_size(entries, f"synthesis.b{r}.conv1.weight", 0) for r in resolutions),
        z_dim=_size(entries, "mapping.fc0.weight", 1) - (_size(entries, EMBED, 0) if conditional else 0),
        c_dim=_size(entries, EMBED, 1) if conditional else 0,
        w_dim=w_dim,
        img_channels=_size(entries, f"synthesis.b{top}.torgb.weight", 0),
        mapping_layers=_mapping_layers(entries),
        mapping_lr_multiplier=_number(module.attribute("mapping.fc0", "bias_gain", 0.01)),
        architecture=_architecture(f"synthesis.b{top}.skip.weight", "synthesis.b4.torgb.weight", entries),
        conv_clamp=_clamp(module.attribute("synthesis.b4.conv1", "conv_clamp", None)),
        resample_filter=resample_filter(entries, [f"synthesis.b{r}.{FILTERS}" for r in resolutions]),
        use_noise="synthesis.b4.conv1.noise_strength" in entries,
        label_concat=conditional and "mapping.embed.bias" not in entries,
    )


def discriminator_config(module: Contents) -> DiscriminatorConfig:
    """Sizes from shapes; clamping and the minibatch group from attributes."""
    entries = module.entries
    resolutions = [4, *_resolutions(entries, "b{}.conv0.weight", first=8)]
    top = resolutions[-1]
    conditional = EMBED in entries
    last = _size(entries, "b4.conv.weight", 0)
    group = module.attribute("b4.mbstd", "group_size", 4)
    return _config(
        DiscriminatorConfig,
        img_resolution=top,
        channels=(last, *(_size(entries, f"b{r}.conv0.weight", 0) for r in resolutions[1:])),
        c_dim=_size(entries, EMBED, 1) if conditional else 0,
        img_channels=_size(entries, f"b{top}.fromrgb.weight", 1),
        architecture=_architecture(f"b{top}.skip.weight", "b4.fromrgb.weight", entries),
        conv_clamp=_clamp(module.attribute("b4.conv", "conv_clamp", None)),
        resample_filter=resample_filter(entries, [f"b{r}.{FILTERS}" for r in resolutions]),
        cmap_dim=_size(entries, "b4.out.weight", 0) if conditional else 0,
        mapping_layers=_mapping_layers(entries) if conditional else 8,
        mapping_lr_multiplier=_number(module.attribute("mapping.fc0", "bias_gain", 0.01)),
        mbstd_group_size=None if group is None else int(_number(group)),
        mbstd_num_channels=_size(entries, "b4.conv.weight", 1) - last,
    )


def resample_filter(entries: Entries, names: list[str]) -> tuple[float, ...]:
    """The taps of the low-pass filter from its stored, normalised outer product, scaled so that the smallest is 1."""
    stored = [entries[name] for name in names if name in entries]
    if not stored:
        return (1.0, 3.0, 3.0, 1.0)
    if any(entry.shape not in ((n := (entry.shape or (0,))[0], n), (n,)) or n > 64 for entry in stored):
        raise CheckpointError("its resampling filters are not square")
    filters = [entry.read().double().numpy() for entry in stored]
    kernel = filters[0]
    taps = kernel if kernel.ndim == 1 else kernel.sum(axis=1)
    if not all(np.isfinite(f).all() for f in filters) or abs(taps.sum()) < 1e-6:
        raise CheckpointError("its resampling filters hold no usable numbers: it is damaged")
    rebuilt = taps if kernel.ndim == 1 else np.outer(taps, taps) / taps.sum()
    if not all(f.shape == kernel.shape and np.allclose(f, rebuilt, atol=1e-5) for f in filters):
        raise CheckpointError("its resampling filters differ or are not separable; only one separable filter is read")
    taps = taps / np.abs(taps[taps != 0]).min()
    return tuple(float(tap) for tap in np.where(np.abs(taps - taps.round()) < 1e-4, taps.round(), taps))


def read_expansion(contents: Contents, prefix: str, generator: Generator) -> Expansion | None:
    """Basis, repurposed directions, distance and domain names of a domain-expanded pickle; None for a plain one."""
    basis = contents.beside(prefix, "latent_basis")
    if basis is None:
        return None
    if not isinstance(basis, Entry):
        raise CheckpointError("its latent_basis is no tensor: the file is damaged")
    dims = [int(_number(dim)) for dim in _values(contents.beside(prefix, "repurposed_dims"))]
    (distance,) = _values(contents.beside(prefix, "subspace_distance"))[:1] or [20]
    config = plain(contents.beside(prefix, "expansion_cfg"))
    tasks = config.get("tasks") if isinstance(config, dict) else None
    names = domain_names(tasks if isinstance(tasks, list) else [], dims)
    return build_expansion(generator, basis, dims, _number(distance), names)


def domain_names(tasks: list[Any], dims: list[int]) -> list[str]:
    """A distinct name for every repurposed direction: the target text, the person, or the task's type and number."""
    described = {
        task["dimension"]: task for task in tasks if isinstance(task, dict) and _is_whole(task.get("dimension"))
    }
    names: list[str] = []
    for dim in dims:
        task = described.get(dim, {})
        args = task.get("args")
        args = args if isinstance(args, dict) else {}
        texts = (args.get("target_text"), args.get("person_name"), task.get("type"))
        target, person, kind = (text[:MAX_NAME] if isinstance(text, str) else "" for text in texts)
        name = target or person or f"{kind or 'domain'} {dim}"
        names.append(f"{name} ({dim})" if name in names else name)
    return names


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _resolutions(entries: Entries, pattern: str, first: int = 4) -> list[int]:
    found: list[int] = []
    while pattern.format(first << len(found)) in entries:
        found.append(first << len(found))
    if not found:
        raise CheckpointError(f"it has no {pattern.format(first)}: expected a StyleGAN2 with NVIDIA's tensor names")
    return found


def _size(entries: Entries, name: str, axis: int) -> int:
    if name not in entries or len(entries[name].shape) <= axis:
        raise CheckpointError(f"it has no {name} of the expected rank: it is incomplete or no StyleGAN2")
    return entries[name].shape[axis]


def _mapping_layers(entries: Entries) -> int:
    count = 0
    while f"mapping.fc{count}.weight" in entries:
        count += 1
    return count


def _architecture(resnet: str, skip: str, entries: Entries) -> Architecture:
    return "resnet" if resnet in entries else "skip" if skip in entries else "orig"


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise CheckpointError("a number was expected among its settings: the file is damaged")
    return value


def _clamp(value: Any) -> float | None:
    return None if value is None else float(_number(value))


def _values(value: Any) -> list[Any]:
    """Numbers of a tensor, a list or a single number."""
    many = isinstance(value, (list, tuple))
    if (math.prod(value.shape) if isinstance(value, Entry) else len(value) if many else 1) > MAX_DIMS:
        raise CheckpointError("a list of numbers among its settings is far too long: the file is damaged")
    if isinstance(value, Entry):
        return value.read().flatten().tolist()
    return list(value) if many else [] if value is None else [value]


def _config(kind: Any, **sizes: Any) -> Any:
    try:
        return kind(**sizes)
    except ValueError as error:
        raise CheckpointError(f"its sizes do not fit together: {brief(error, 200)}") from None
