"""What a checkpoint is once read, and the one gate to it: a configuration plus named tensors become a module.

Every importer ends here. The gate compares names and shapes before it allocates anything, refuses NaN and infinity, and
hands out float32 modules for inference. Knows no file format and no pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from explorer.latents import Expansion
from explorer.networks import Discriminator, DiscriminatorConfig, Generator, StyleGAN2, StyleGAN2Config
from explorer.refused import Refused

MAX_RESOLUTION = 2**13
Net = TypeVar("Net", bound=nn.Module)
AnyGenerator = TypeVar("AnyGenerator", bound=Generator)


class CheckpointError(Refused):
    """A file that cannot be read as a checkpoint; the message is one sentence on what was expected and what to do."""


class UnsafeCheckpointError(CheckpointError):
    """A file that asks to run code. Nothing of it was run."""


@dataclass(frozen=True)
class Entry:
    """A tensor that still lies in its file: the shape is known, `read` fetches the values (any floating dtype)."""

    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    def reshaped(self, shape: tuple[int, ...], scale: float = 1.0) -> Entry:
        """The same values times `scale`, in another shape of as many elements."""
        return Entry(shape, lambda: self.read().to(torch.float32).mul(scale).reshape(shape))


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Checkpoint:
    """A generator with what belongs to it.

    Attributes:
        generator: float32, eval mode, no gradients.
        discriminator: likewise; None where the file has none.
        expansion: basis, repurposed directions and domain names; None for a plain generator.
        meta: plain JSON data: where the weights came from, name, licence, class names and the like.
        path: the file it was read from; None where there is none.
    """

    generator: Generator
    discriminator: Discriminator | None = None
    expansion: Expansion | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    path: Path | None = None

    def save(self, path: str | Path, dtype: torch.dtype | None = None) -> Path:
        """Write the native format (safetensors); the old file stays whole until the new one is complete.

        `dtype=torch.float16` halves the file (the basis stays float32, it must remain orthonormal). Raises
        CheckpointError where a value does not fit that type or the folder cannot be written.
        """
        from explorer.weights import native  # the native format is built on this module

        return native.save(self, Path(path), dtype or torch.float32)


def build_generator(config: Any, entries: Entries, family: type[AnyGenerator] = StyleGAN2) -> AnyGenerator:
    """A generator of a family with exactly the tensors of `entries`. Raises CheckpointError where they do not fit."""
    _check_claims(config, entries)
    return fill(family, config, entries)


def build_discriminator(config: DiscriminatorConfig, entries: Entries) -> Discriminator:
    """A discriminator, likewise."""
    group, statistics = config.mbstd_group_size, config.mbstd_num_channels
    if group == 0 or (statistics and config.channels[0] % statistics):
        raise CheckpointError(f"its minibatch statistics cannot be: groups of {group}, {statistics} channels")
    _check_claims(config, entries)
    return fill(Discriminator, config, entries)


def build_expansion(
    generator: Generator, basis: Entry, dims: list[int], distance: float, domains: list[str]
) -> Expansion:
    """The expansion of `generator`. Raises CheckpointError where the basis is not orthonormal or names do not fit."""
    dim = generator.codes.dim
    if basis.shape != (dim, dim):
        raise CheckpointError(f"the basis must be {dim} x {dim} like the generator's codes, got {list(basis.shape)}")
    columns = read_finite("the basis", basis)
    if not torch.allclose(columns.t() @ columns, torch.eye(dim), atol=1e-3):
        raise CheckpointError("the columns of the basis must be orthonormal, these are not: the file is damaged")
    if not 0 < distance < 1e6:
        raise CheckpointError(f"the distance of the domains must be a positive number, got {distance}")
    try:
        return Expansion(columns, tuple(dims), float(distance), tuple(domains), generator.mean.clone())
    except ValueError as error:
        raise CheckpointError(f"the domains do not fit the generator: {error}") from None


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
    try:
        with torch.device("meta"), _ShapesOnly():
            net = network(config)
    except RuntimeError as error:  # torch's words for sizes beyond any memory
        raise CheckpointError(f"it claims a network of impossible size ({str(error)[:100]}): it is damaged") from None
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    if missing := expected.keys() - entries.keys():
        raise CheckpointError(f"{_named(missing)} missing: the file is incomplete or of another architecture")
    if unknown := entries.keys() - expected.keys():
        raise CheckpointError(f"{_named(unknown)} unknown: the file is of another architecture than StyleGAN2")
    for name, shape in expected.items():
        if entries[name].shape != shape:
            raise CheckpointError(f"{name} must have shape {list(shape)}, got {list(entries[name].shape)}")
    net.load_state_dict({name: read_finite(name, entries[name]) for name in expected}, assign=True)
    return net.eval().requires_grad_(False)


def _check_claims(config: StyleGAN2Config | DiscriminatorConfig, entries: Entries) -> None:
    """A configuration is a claim: what costs time before shapes are compared, or divides by zero later, is bounded."""
    if config.mapping_layers > len(entries) or config.img_resolution > MAX_RESOLUTION:
        raise CheckpointError(
            f"it claims {config.mapping_layers} mapping layers and {config.img_resolution} px"
            f" but holds {len(entries)} tensors: it is damaged"
        )
    if config.mapping_lr_multiplier <= 0 or len(config.resample_filter) > 64 or abs(sum(config.resample_filter)) < 1e-6:
        raise CheckpointError("its learning-rate multiplier or resampling filter is no positive number: it is damaged")


class _ShapesOnly(TorchFunctionMode):
    """Skips random initialisation on the meta device, where nothing is allocated whatever sizes a file claims.

    Without it the meta device gives the same shapes, but its first random numbers import torch's compiler: 1.4 seconds.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.randn:
            return torch.empty(*args, device="meta")
        if func.__name__ in ("__truediv__", "div") and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


def _named(names: set[str]) -> str:
    """'a, b, c and 4 more tensors are'."""
    first = ", ".join(name[:100] for name in sorted(names)[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{first}{more} {'is' if len(names) == 1 else 'are'}"
