"""Importer of NVIDIA's PyTorch pickles (StyleGAN2-ADA, StyleGAN3, StyleGAN-XL), domain-expanded ones included.

Such a pickle stores every module as its `__dict__`. Sizes are taken from the tensors' shapes, which cannot lie, and
only what shapes do not show (clamping, learning-rate multipliers, group sizes) from attributes. The source text that
these pickles carry is ignored. `explorer.weights.stylegan3` reads the alias-free generators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from explorer.foreign import brief
from explorer.latents import Expansion
from explorer.networks import Discriminator, DiscriminatorConfig, Generator, StyleGAN2, StyleGAN2Config, StyleGAN3
from explorer.networks.stylegan2 import Architecture
from explorer.weights import stylegan3
from explorer.weights.builders import MODULE, Record
from explorer.weights.checkpoint import (
    Checkpoint,
    CheckpointError,
    Entries,
    Entry,
    build_discriminator,
    build_expansion,
    build_generator,
)
from explorer.weights.plain import plain
from explorer.weights.storage import StoredTensor

MAX_MODULES = 10_000
MAX_DIMS = 10_000  # numbers of a list that is read as such
MAX_NAME = 200  # characters of a domain's name
FILTERS = "resample_filter"
ATTRIBUTES = (bool, int, float, str, list, dict, np.ndarray)  # whoever uses one looks at its type


@dataclass
class Module:
    """One network of a pickle, flattened: tensors by dotted name, and every submodule's plain attributes."""

    entries: dict[str, Entry] = field(default_factory=dict)
    attributes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def attribute(self, path: str, name: str, default: Any) -> Any:
        return self.attributes.get(path, {}).get(name, default)


def is_nvidia(data: Any) -> bool:
    """Whether an unpickled object is one of NVIDIA's."""
    return isinstance(data, dict) and any(_is_network(data.get(key)) for key in ("G_ema", "G"))


def read(data: dict[str, Any], limit: int | None = None) -> Checkpoint:
    """The checkpoint in an unpickled file. Raises CheckpointError where it is not a StyleGAN2 or 3.

    A discriminator that is of another make, or had diverged, does not keep the generator from its users: it is left
    out, and `meta` says why.
    """
    source = "G_ema" if _is_network(data.get("G_ema")) else "G"
    generator = read_generator(flatten(data[source]), limit)
    meta: dict[str, Any] = {"source": {"format": "nvidia-pickle", "network": source}}
    discriminator = None
    if _is_network(data.get("D")):
        try:
            discriminator = read_discriminator(flatten(data["D"]), generator)
        except CheckpointError as error:
            meta["source"]["discriminator"] = f"not read: {error}"
    elif isinstance(data.get("D"), Record):
        meta["source"]["discriminator"] = f"not read: it is a {data['D'].args[0]} of another make"
    meta |= {key: plain(data[key]) for key in ("training_set_kwargs", "expansion_cfg") if data.get(key) is not None}
    return Checkpoint(generator, discriminator, read_expansion(data, generator), meta)


def read_generator(module: Module, limit: int | None = None) -> StyleGAN2 | StyleGAN3:
    """The generator in a flattened network; also for bare state dicts with NVIDIA's names, which have no attributes."""
    if stylegan3.is_stylegan3(module.entries):
        return stylegan3.read_generator(module, limit)
    return build_generator(generator_config(module), without_filters(module.entries), limit)


def read_discriminator(module: Module, generator: Generator) -> Discriminator:
    """The discriminator in a flattened network. Raises CheckpointError where it does not look at such pictures."""
    config = discriminator_config(module)
    if (config.img_resolution, config.img_channels) != (generator.resolution, generator.channels):
        raise CheckpointError(f"it looks at pictures of {config.img_resolution} px and {config.img_channels} channels")
    return build_discriminator(config, without_filters(module.entries))


def without_filters(entries: Entries) -> dict[str, Entry]:
    """Without the resampling filters, which NVIDIA's networks store and ours derive from the configuration."""
    return {name: entry for name, entry in entries.items() if name.rpartition(".")[2] != FILTERS}


def flatten(network: Record) -> Module:
    """All tensors and attributes of a pickled module. Raises CheckpointError for a tree that no network has."""
    module, seen = Module(), 0
    pending = [("", network)]
    while pending:
        path, record = pending.pop()
        seen += 1
        if seen > MAX_MODULES or len(path) > 200:  # a module that contains itself never ends
            raise CheckpointError("its networks nest without end: it is damaged or hostile")
        state = _state(record)
        module.attributes[path] = {key: v for key, v in state.items() if isinstance(v, ATTRIBUTES)}
        prefix = f"{path}." if path else ""
        for name, tensor in [*_dict(state, "_parameters").items(), *_dict(state, "_buffers").items()]:
            if isinstance(tensor, StoredTensor):
                module.entries[f"{prefix}{name}"] = tensor.entry()
        pending += [(f"{prefix}{name}", child) for name, child in _dict(state, "_modules").items() if child is not None]
    return module


def generator_config(module: Module) -> StyleGAN2Config:
    """Sizes from shapes; clamping, noise and learning rate of the mapping network from attributes."""
    entries = module.entries
    resolutions = _resolutions(entries, "synthesis.b{}.conv1.weight")
    conditional = "mapping.embed.weight" in entries
    w_dim = _size(entries, "synthesis.b4.conv1.affine.weight", 1)
    top = resolutions[-1]
    return _config(
        StyleGAN2Config,
        img_resolution=top,
        channels=tuple(_size(entries, f"synthesis.b{r}.conv1.weight", 0) for r in resolutions),
        z_dim=_size(entries, "mapping.fc0.weight", 1) - (w_dim if conditional else 0),
        c_dim=_size(entries, "mapping.embed.weight", 1) if conditional else 0,
        w_dim=w_dim,
        img_channels=_size(entries, f"synthesis.b{top}.torgb.weight", 0),
        mapping_layers=_mapping_layers(entries),
        mapping_lr_multiplier=_number(module.attribute("mapping.fc0", "bias_gain", 0.01)),
        architecture=_architecture(f"synthesis.b{top}.skip.weight", "synthesis.b4.torgb.weight", entries),
        conv_clamp=_clamp(module.attribute("synthesis.b4.conv1", "conv_clamp", None)),
        resample_filter=resample_filter(entries, [f"synthesis.b{r}.{FILTERS}" for r in resolutions]),
        use_noise="synthesis.b4.conv1.noise_strength" in entries,
    )


def discriminator_config(module: Module) -> DiscriminatorConfig:
    """Sizes from shapes; clamping and the minibatch group from attributes."""
    entries = module.entries
    resolutions = [4, *_resolutions(entries, "b{}.conv0.weight", first=8)]
    top = resolutions[-1]
    conditional = "mapping.embed.weight" in entries
    last = _size(entries, "b4.conv.weight", 0)
    group = module.attribute("b4.mbstd", "group_size", None)
    return _config(
        DiscriminatorConfig,
        img_resolution=top,
        channels=(last, *(_size(entries, f"b{r}.conv0.weight", 0) for r in resolutions[1:])),
        c_dim=_size(entries, "mapping.embed.weight", 1) if conditional else 0,
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


def read_expansion(data: dict[str, Any], generator: Generator) -> Expansion | None:
    """Basis, repurposed directions, distance and domain names of a domain-expanded pickle; None for a plain one."""
    basis = data.get("latent_basis")
    if basis is None:
        return None
    if not isinstance(basis, StoredTensor):
        raise CheckpointError("its latent_basis is no tensor: the file is damaged")
    dims = [int(_number(dim)) for dim in _values(data.get("repurposed_dims"))]
    (distance,) = _values(data.get("subspace_distance"))[:1] or [20]
    config = plain(data.get("expansion_cfg"))
    tasks = config.get("tasks") if isinstance(config, dict) else None
    names = domain_names(tasks if isinstance(tasks, list) else [], dims)
    return build_expansion(generator, basis.entry(), dims, _number(distance), names)


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


def _is_network(value: Any) -> bool:
    return isinstance(value, Record) and value.kind == "network"


def _state(record: Any) -> dict[str, Any]:
    if isinstance(record, Record) and record.kind == MODULE:
        state = record.state
    else:
        state = record.args[0].get("state") if _is_network(record) else None
    if not isinstance(state, dict):
        raise CheckpointError("a module inside it has no state: it is damaged or no network of NVIDIA's")
    return state


def _dict(state: dict[str, Any], key: str) -> dict[str, Any]:
    value = {} if state.get(key) is None else state[key]
    if not isinstance(value, dict) or not all(map(_is_name, value)):
        raise CheckpointError(f"{key} of a module inside it is no dictionary of names: it is damaged")
    return value


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) < 100 and value.isprintable()


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
    """Numbers of a tensor, an array, a list or a single number."""
    count = value.numel if isinstance(value, StoredTensor) else value.size if isinstance(value, np.ndarray) else 0
    if count > MAX_DIMS or (isinstance(value, (list, tuple)) and len(value) > MAX_DIMS):
        raise CheckpointError("a list of numbers among its settings is far too long: the file is damaged")
    if isinstance(value, StoredTensor):
        return value.read().flatten().tolist()
    if isinstance(value, np.ndarray):
        return value.flatten().tolist()
    return list(value) if isinstance(value, (list, tuple)) else [] if value is None else [value]


def _config(kind: Any, **sizes: Any) -> Any:
    try:
        return kind(**sizes)
    except ValueError as error:
        raise CheckpointError(f"its sizes do not fit together: {brief(error, 200)}") from None
