"""What a checkpoint is once read, and the one gate to it: a configuration plus named tensors become a module.

Every importer ends here. The gate compares names and shapes before it allocates anything, refuses NaN and infinity, and
hands out float32 modules for inference. Knows no file format and no pickle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explorer.edit import MAX_STRENGTHS
from explorer.foreign import brief
from explorer.latents import Expansion
from explorer.networks import Discriminator, DiscriminatorConfig, Generator, StyleGAN2
from explorer.refused import Refused
from explorer.weights.cost import engine_bytes, machine_bytes

MAX_RESOLUTION = 2**13
MAX_W = MAX_STRENGTHS  # an edit may move every direction
GIGABYTE = 10**9
CHANNELS = (1, 3)  # of pictures
MAX_ABOUT = 200  # characters of a sentence on a domain
Net = TypeVar("Net", bound=nn.Module)
AnyGenerator = TypeVar("AnyGenerator", bound=Generator)


class CheckpointError(Refused):
    """A file that cannot be read as a checkpoint; the message is one sentence on what was expected and what to do."""


class UnsafeCheckpointError(CheckpointError):
    """A file that asks to run code. Nothing of it was run."""


class MemoryShortageError(CheckpointError):
    """A generator for which this machine has too little memory free; nothing of it was built."""


@dataclass(frozen=True)
class Entry:
    """A tensor that still lies in its file: the shape is known, `read` fetches the values (any floating dtype)."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    def reshaped(self, shape: tuple[int, ...], scale: float = 1.0) -> Entry:
        """The same values times `scale`, in another shape. Raises CheckpointError for one of more or fewer elements."""
        if math.prod(shape) != math.prod(self.shape):
            raise CheckpointError(f"a tensor of shape {brief(self.shape)} cannot be {brief(shape)}: it is damaged")
        return Entry(shape, lambda: self.read().to(torch.float32).mul(scale).reshape(shape))


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class StoredDiscriminator:
    """A discriminator that lies in its file: checked, its values not kept. `read` fetches it."""

    config: DiscriminatorConfig
    read: Callable[[], Discriminator]


@dataclass(frozen=True)
class Checkpoint:
    """A generator with what belongs to it.

    Attributes:
        generator: float32, eval mode, no gradients.
        critic: the discriminator, likewise, or where it lies; None where there is none.
        expansion: basis, repurposed directions and domain names; None for a plain generator.
        meta: plain JSON data: where the weights came from, name, licence, class names and the like.
        path: the file it was read from; None where there is none.
        attributes: directions of codes by name `[dim]`, as linear classifiers of codes see them, for an amount of 1.
    """

    generator: Generator
    critic: Discriminator | StoredDiscriminator | None = None
    expansion: Expansion | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None
    attributes: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def discriminator(self) -> Discriminator | None:
        """The discriminator, read anew each time where it lies in a file: only lessons need it, and they once.

        Raises CheckpointError where the file can no longer be read.
        """
        return self.critic.read() if isinstance(self.critic, StoredDiscriminator) else self.critic

    @property
    def class_names(self) -> tuple[str, ...]:
        """What a generator's classes are called; empty where the file does not say it of each."""
        names = self.meta.get("classes")
        if not isinstance(names, list) or len(names) != self.generator.classes:
            return ()
        return tuple(names) if all(isinstance(name, str) for name in names) else ()

    @property
    def learned(self) -> dict[str, dict[str, Any]]:
        """How its domains were learned, by their names, as far as the file notes it."""
        told = self.meta.get("learned")
        entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
        return {name: entry for entry in entries if isinstance(name := entry.get("name"), str)}

    def with_domains(self, names: Mapping[str, str]) -> Checkpoint:
        """The same generator with these domains alone, in this order, under new names: `{domain: name}`.

        What the file tells of how they were learned goes with them. Raises CheckpointError where that cannot be.
        """
        if self.expansion is None or not names:
            raise CheckpointError("a generator with domains keeps at least one")
        try:
            expansion = self.expansion.arranged(names)
        except ValueError:
            raise CheckpointError(
                "two domains have the same name, or one is not this generator's: give each a name of its own"
            ) from None
        learned = [self.learned[old] | {"name": new} for old, new in names.items() if old in self.learned]
        meta = self.meta | {"learned": learned} if self.learned else self.meta
        return replace(self, expansion=expansion, meta=meta)

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> Path:
        """Write the native format (safetensors); the old file stays whole until the new one is complete.

        `dtype=torch.float16` halves the file (the basis stays float32, it must remain orthonormal). Raises
        CheckpointError where a value does not fit that type or the folder cannot be written.
        """
        from explorer.weights import native  # the native format is built on this module

        return native.save(self, Path(path), dtype or torch.float32)


def build_generator(
    config: Any, entries: Entries, limit: int | None = None, family: type[AnyGenerator] = StyleGAN2
) -> AnyGenerator:
    """A generator of a family with exactly the tensors of `entries`.

    Raises CheckpointError where they do not fit, and where showing it would take more than `limit` bytes of memory, or
    more than this machine has.
    """
    const = entries.get("synthesis.b4.const")  # StyleGAN2's
    if const is not None and len(const.shape) == 3 and const.shape[1] != const.shape[2]:
        raise CheckpointError(
            f"its pictures are not square, they begin with {const.shape[2]} x {const.shape[1]} pixels:"
            " only generators of square pictures are read"
        )
    _check_claims(config, entries)
    generator = _outline(family, config, entries)
    _check_memory(generator, limit)
    return _filled(generator, entries)


def build_discriminator(config: DiscriminatorConfig, entries: Entries) -> Discriminator:
    """A discriminator, likewise."""
    return _filled(_critics_outline(config, entries), entries)


def stored_discriminator(config: DiscriminatorConfig, entries: Entries) -> StoredDiscriminator:
    """A discriminator that is held against `entries` value by value, of which none is kept."""
    net = _critics_outline(config, entries)
    for name in net.state_dict():
        read_finite(name, entries[name])
    return StoredDiscriminator(config, lambda: _filled(net, entries))


def _critics_outline(config: DiscriminatorConfig, entries: Entries) -> Discriminator:
    group, statistics = config.mbstd_group_size, config.mbstd_num_channels
    some = group is None or group > 0
    if not some or statistics < 0 or (statistics and config.channels[0] % statistics):
        raise CheckpointError(f"its minibatch statistics cannot be: groups of {group}, {statistics} channels")
    _check_claims(config, entries)
    return _outline(Discriminator, config, entries)


def build_expansion(
    generator: Generator, basis: Entry, dims: list[int], distance: float, domains: list[str]
) -> Expansion:
    """The expansion of `generator`. Raises CheckpointError where the basis is not orthonormal or names do not fit."""
    dim = generator.codes.dim
    if basis.shape != (dim, dim):
        raise CheckpointError(f"the basis must be {dim} x {dim} like the generator's codes, got {brief(basis.shape)}")
    columns = read_finite("the basis", basis)
    if not torch.allclose(columns.t() @ columns, torch.eye(dim), atol=1e-3):
        raise CheckpointError("the columns of the basis must be orthonormal, these are not: the file is damaged")
    if not 0 < distance < 1e6:
        raise CheckpointError(f"the distance of the domains must be a positive number, got {brief(distance)}")
    try:
        return Expansion(columns, tuple(dims), float(distance), tuple(domains), generator.mean.clone())
    except ValueError as error:
        raise CheckpointError(f"the domains do not fit the generator: {brief(error, 200)}") from None


def read_finite(name: str, entry: Entry) -> Tensor:
    """The values as contiguous float32. Raises CheckpointError naming a tensor with NaN or infinity."""
    values = entry.read().to(torch.float32).contiguous()
    if not torch.isfinite(values).all():
        raise CheckpointError(f"{name} holds NaN or infinite values: the file is damaged or its training had diverged")
    return values


def fill(network: type[Net], config: Any, entries: Entries) -> Net:
    """A network of `config` with exactly the tensors of `entries`, in evaluation mode and without gradients.

    Builds the shapes alone, holds every name and shape against the entries, and only then reads values. Raises
    CheckpointError where they do not fit.
    """
    return _filled(_outline(network, config, entries), entries)


def _outline(network: type[Net], config: Any, entries: Entries) -> Net:
    """The network without values, where names and shapes of `entries` are its own."""
    try:
        with torch.device("meta"), _ShapesOnly():
            net = network(config)
    except (RuntimeError, ArithmeticError, ValueError) as error:  # torch's words for sizes beyond any memory, or zero
        raise CheckpointError(f"it claims a network of impossible size ({brief(error)}): it is damaged") from None
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    if missing := expected.keys() - entries.keys():
        raise CheckpointError(f"{_named(missing)} missing: the file is incomplete or of another architecture")
    if unknown := entries.keys() - expected.keys():
        raise CheckpointError(f"{_named(unknown)} unknown: the file is of another architecture")
    for name, shape in expected.items():
        if entries[name].shape != shape:
            raise CheckpointError(f"{name} must have shape {brief(shape)}, got {brief(entries[name].shape)}")
    return net


def _filled(net: Net, entries: Entries) -> Net:
    net.load_state_dict({name: read_finite(name, entries[name]) for name in net.state_dict()}, assign=True)
    return net.eval().requires_grad_(False)


def _check_claims(config: Any, entries: Entries) -> None:
    """A configuration is a claim: what costs time before shapes are compared, or cannot be shown later, is refused."""
    for name, count in vars(config).items():
        if name.endswith(("_layers", "_blocks")) and count > len(entries):
            what = name.replace("_", " ")
            raise CheckpointError(f"it claims {count} {what} but holds {len(entries)} tensors: it is damaged")
    if config.img_resolution > MAX_RESOLUTION:
        raise CheckpointError(f"it claims pictures of {config.img_resolution} px: it is damaged")
    if (channels := getattr(config, "img_channels", 3)) not in CHANNELS:
        kind = " (RGB with transparency)" if channels == 4 else ""
        raise CheckpointError(
            f"its pictures have {channels} channels{kind}: only grey ones (1) and RGB (3) can be shown"
        )
    if min(widths := getattr(config, "channels", (1,))) < 1:
        raise CheckpointError(f"a layer of it has no channels ({brief(widths)}): it is damaged")
    if (clamp := getattr(config, "conv_clamp", None)) is not None and clamp <= 0:
        raise CheckpointError(f"its values are clamped to {clamp}, no positive number: it is damaged")
    taps = getattr(config, "resample_filter", (1,))
    if getattr(config, "mapping_lr_multiplier", 1) <= 0 or len(taps) > 64 or abs(sum(taps)) < 1e-6:
        raise CheckpointError("its learning-rate multiplier or resampling filter is no positive number: it is damaged")


def _check_memory(generator: Generator, limit: int | None) -> None:
    if generator.codes.dim > MAX_W:
        raise CheckpointError(f"its codes have {generator.codes.dim:,} dimensions, at most {MAX_W:,} are read")
    needed, free = engine_bytes(generator), machine_bytes()
    if limit is not None and limit < min(needed, free):
        raise CheckpointError(
            f"showing it takes about {needed / GIGABYTE:.1f} GB of memory, {limit / GIGABYTE:.1f} GB are allowed here:"
            " bring a smaller generator, or start the program on your own machine"
        )
    _refuse_beyond("showing", needed, free)


def check_size(size: int) -> None:
    """Raises MemoryShortageError for a file of `size` bytes, all of which reading takes, where they do not fit."""
    _refuse_beyond("reading", size, machine_bytes())


def _refuse_beyond(what: str, needed: int, free: int) -> None:
    if free < needed:
        raise MemoryShortageError(
            f"{what} it takes about {needed / GIGABYTE:.1f} GB of memory, this machine has {free / GIGABYTE:.1f} GB"
            " free: close other programs, or take a machine with more"
        )


class _ShapesOnly(TorchFunctionMode):
    """Skips random initialisation on the meta device, where nothing is allocated whatever sizes a file claims.

    Without it the meta device gives the same shapes, but its first random numbers import torch's compiler: 1.4 seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in (torch.randn, torch.rand):
            return torch.empty(*args, device="meta")
        if func.__name__ in ("__truediv__", "div") and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _named(names: set[str]) -> str:
    """'a, b, c and 4 more tensors are'."""
    first = ", ".join(name[:100] if name.isprintable() else brief(name) for name in sorted(names)[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{first}{more} {'is' if len(names) == 1 else 'are'}"
