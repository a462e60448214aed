"""Importer of StyleGAN3 and StyleGAN-XL generators by NVIDIA's tensor names, from pickles or bare state dicts.

Widths, kernels and layers are seen in names and shapes; rates and frequencies are not: the few settings that they
follow from are read from attributes, all else is derived anew and refused where an attribute says otherwise. The
filters are the stored ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from explorer.foreign import brief
from explorer.networks import StyleGAN3, StyleGAN3Config
from explorer.networks.stylegan3 import LayerShape, schedule
from explorer.weights.checkpoint import CheckpointError, Entries, Entry, build_generator
from explorer.weights.contents import Contents

LAYER = re.compile(r"synthesis\.(L(\d{1,3})_\d{1,5}_\d{1,5})\.weight")
MAX_CLASSES = 100_000


def read_generator(module: Contents, limit: int | None = None) -> StyleGAN3:
    """The generator in a network's own contents. Raises CheckpointError where it disagrees with itself."""
    names = layer_names(module.entries)
    config = config_of(module, names)
    shapes = schedule(config)
    hold(module, names, shapes)
    entries = dict(module.entries)
    if config.table:
        entries["mapping.embed.weight"] = first_rows(entries["mapping.embed.weight"], config.c_dim)
    elif not config.c_dim:
        entries.pop("mapping.embed.weight", None)  # XL stores its table in files without classes too
    ours = {name: shape.name for name, shape in zip(names, shapes, strict=True)}
    generator = build_generator(config, {_renamed(name, ours): e for name, e in entries.items()}, limit, StyleGAN3)
    hold_filters(generator)
    return generator


def layer_names(entries: Entries) -> list[str]:
    """The layers of the synthesis network, from the first to ToRGB."""
    found = sorted((int(match[2]), match[1]) for name in entries if (match := LAYER.fullmatch(name)))
    if len(found) < 4 or any(a == b for (a, _), (b, _) in pairwise(found)):
        raise CheckpointError(f"it has {len(found)} layers of a StyleGAN3 or two of one number: it is incomplete")
    return [name for _, name in found]


def config_of(module: Contents, names: list[str]) -> StyleGAN3Config:
    """Sizes from shapes; frequencies from attributes, the published ones where there are none."""
    entries, first, last = module.entries, f"synthesis.{names[0]}", f"synthesis.{names[-1]}"
    by_table = "mapping.embed_proj.weight" in entries
    labels = by_table or "mapping.embed.bias" in entries
    w_dim = _size(entries, f"{first}.affine.weight", 1)
    if by_table:
        z_dim, classes = _size(entries, "mapping.embed_proj.weight", 0), _size(entries, "mapping.w_avg", 0)
        if (shape := entries["mapping.w_avg"].shape) != (classes, w_dim):
            raise CheckpointError(f"its mean codes must be one row of {w_dim} numbers a class, got {brief(shape)}")
    else:
        z_dim = _size(entries, "mapping.fc0.weight", 1) - (w_dim if labels else 0)
        classes = _size(entries, "mapping.embed.weight", 1) if labels else 0
    attributes = first in module.values  # the module itself: a bare state dict has none
    rates = [_number(module, first, name, 1) for name in ("tmp_sampling_rate", "in_sampling_rate", "out_sampling_rate")]
    critical = int(_number(module, "synthesis", "num_critical", 2))
    side = int(_number(module, "synthesis", "img_resolution", int(names[-1].split("_")[1])))
    resolutions, layers = stages(module, names, side, critical)
    clamp = module.attribute(first, "conv_clamp", None if attributes else 256)
    try:
        return StyleGAN3Config(
            resolutions=resolutions,
            layers=layers,
            channels=tuple(_size(entries, f"synthesis.{name}.weight", 0) for name in names[:-1]),
            z_dim=z_dim,
            c_dim=classes,
            w_dim=w_dim,
            img_channels=_size(entries, f"{last}.weight", 0),
            mapping_layers=sum(f"mapping.fc{i}.weight" in entries for i in range(100)),
            mapping_lr_multiplier=_number(module, "mapping.fc0", "bias_gain", 0.01),
            table=_size(entries, "mapping.embed.weight", 1) if by_table else 0,
            conv_kernel=_size(entries, f"{first}.weight", 2),
            radial=any(name.endswith(".down_filter") and len(entry.shape) == 2 for name, entry in entries.items()),
            conv_clamp=None if clamp is None else _checked("conv_clamp", clamp),
            output_scale=_number(module, "synthesis", "output_scale", 0.25),
            num_critical=critical,
            margin_size=int(_number(module, "synthesis", "margin_size", 10)),
            first_cutoff=_number(module, "synthesis.input", "bandwidth", 2.0),
            first_stopband=_number(module, "synthesis", "first_stopband", 2**2.1),
            last_stopband_rel=_number(module, "synthesis", "last_stopband_rel", 2**0.3),
            filter_size=int(_number(module, first, "up_taps", 12) // max(_number(module, first, "up_factor", 2), 1)),
            lrelu_upsampling=int(rates[0] // max(*rates[1:], 1)) if attributes else 2,
        )
    except ValueError as error:
        raise CheckpointError(f"its sizes do not fit together: {brief(error, 200)}") from None


def stages(module: Contents, names: list[str], side: int, critical: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(sides, layers) of the stem and of every super-resolution head.

    A head's first layer leaves the cutoff as it is. Of what lies below it the last layers are gone, so its side is
    read off the layers that are left: fc_i = fc_0 (S / 2 / fc_0)^(i / (L - C)).
    """
    starts = [0]
    for number, name in enumerate(names[:-critical], 1):
        cutoffs = [_number(module, f"synthesis.{name}", key, i) for i, key in enumerate(("in_cutoff", "out_cutoff"))]
        if number > 1 and number < len(names) - critical and cutoffs[0] == cutoffs[1]:
            starts.append(number - 1)
    resolutions, layers = [], []
    for start, stop in pairwise(starts):
        left = stop - start
        low, high = (_number(module, f"synthesis.{names[i]}", "out_cutoff", 0) for i in (start, stop - 1))
        if left < 2 or not 0 < low < high < side:
            raise CheckpointError("what its heads stand on has no frequencies that rise: it is damaged")
        resolutions.append(round(2 * low * (high / low) ** (left / (left - 1))))
        layers.append(left + critical)
    return (*resolutions, side), (*layers, len(names) - 1 - starts[-1])


def hold(module: Contents, names: list[str], shapes: list[LayerShape]) -> None:
    """Raise CheckpointError, with both figures, where an attribute is not what the settings lead to."""
    if len(names) != len(shapes):
        raise CheckpointError(f"it has {len(names)} layers, its settings lead to {len(shapes)}")
    first = shapes[0].before
    said = {"size": first.size, "sampling_rate": first.rate, "channels": shapes[0].in_channels}
    expected = [("input", said), *((name, _attributes(shape)) for name, shape in zip(names, shapes, strict=True))]
    for name, values in expected:
        for key, value in values.items():
            found = module.attribute(f"synthesis.{name}", key, None)
            if found is not None and not _alike(found, value):
                raise CheckpointError(
                    f"{key} of its {name[:20]} is {brief(_plain(found))}, its settings lead to {value}:"
                    " it is damaged or of a changed StyleGAN3"
                )
    for name, shape in zip(names, shapes, strict=True):
        if name.split("_")[1] != shape.name.split("_")[1]:
            raise CheckpointError(
                f"its {name[:20]} makes features of {name.split('_')[1]} px, its settings lead to {shape.out.size}:"
                " without attributes only the published margins and frequencies are read; give NVIDIA's own pickle"
            )


def hold_filters(generator: StyleGAN3) -> None:
    """Raise CheckpointError where a stored filter is not the one that its layer's frequencies ask for."""
    for _, layer in generator.synthesis.layers():
        for stored, made in zip((layer.up_filter, layer.down_filter), layer.shape.filters(), strict=True):
            if stored is None or made is None:
                continue
            apart, largest = (stored - made).abs().max().item(), made.abs().max().item()
            if apart > 1e-3 * largest:
                raise CheckpointError(
                    f"a filter of its {layer.shape.name} lies {apart:.2g} from the one that its settings lead to,"
                    f" whose largest tap is {largest:.2g}: it is damaged or of a changed StyleGAN3"
                )


def _attributes(shape: LayerShape) -> dict[str, Any]:
    """What NVIDIA's pickles say of a layer."""
    return {
        "is_torgb": shape.colors,
        "is_critically_sampled": shape.critical,
        "in_channels": shape.in_channels,
        "out_channels": shape.out_channels,
        "in_size": shape.before.size,
        "out_size": shape.out.size,
        "in_sampling_rate": shape.before.rate,
        "out_sampling_rate": shape.out.rate,
        "tmp_sampling_rate": shape.rate,
        "in_cutoff": shape.before.cutoff,
        "out_cutoff": shape.out.cutoff,
        "in_half_width": shape.before.half_width,
        "out_half_width": shape.out.half_width,
        "conv_kernel": shape.kernel,
        "up_factor": shape.up,
        "down_factor": shape.down,
        "up_taps": shape.up_taps,
        "down_taps": shape.down_taps,
        "padding": [*shape.padding, *shape.padding],
    }


def first_rows(table: Entry, classes: int) -> Entry:
    """The rows of a table of classes that there are classes for."""
    if not table.shape or not 0 < classes <= min(table.shape[0], MAX_CLASSES):
        raise CheckpointError(f"its table has {brief(table.shape[:1])} rows, but it has {classes:,} classes")
    return Entry((classes, *table.shape[1:]), lambda: table.read()[:classes])


def _renamed(name: str, ours: dict[str, str]) -> str:
    head, _, rest = name.removeprefix("synthesis.").partition(".")
    return f"synthesis.{ours[head]}.{rest}" if name.startswith("synthesis.") and head in ours else name


def _size(entries: Entries, name: str, axis: int) -> int:
    if name not in entries or len(entries[name].shape) <= axis:
        raise CheckpointError(f"it has no {name} of the expected rank: it is incomplete or no StyleGAN3")
    return entries[name].shape[axis]


def _number(module: Contents, path: str, name: str, default: float) -> float:
    """An attribute, or what the module was made with, or the published default."""
    made_with = module.attribute(path, "_init_kwargs", {})
    given = made_with.get(name, default) if isinstance(made_with, dict) else default
    return _checked(name, module.attribute(path, name, given))


def _checked(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise CheckpointError(f"{name} must be a number, got {brief(value)}: the file is damaged")
    return value


def _alike(found: Any, expected: Any) -> bool:
    """Whether an attribute, be it one number or one for each axis, is the expected."""
    values, wanted = list(_numbers(found)), list(_numbers(expected))
    wanted = wanted * (len(values) if len(wanted) == 1 else 1)
    return len(values) == len(wanted) > 0 and all(
        abs(value - other) <= 1e-6 * max(abs(other), 1) for value, other in zip(values, wanted, strict=True)
    )


def _numbers(value: Any) -> Iterator[float]:
    """At most four numbers of a number, a list or an array; nothing of anything else."""
    if isinstance(value, np.ndarray):
        value = value.flatten()[:5].tolist()
    for number in value[:5] if isinstance(value, (list, tuple)) else [value]:
        if isinstance(number, (bool, int, float)) and abs(number) < 1e9:
            yield float(number)


def _plain(value: Any) -> Any:
    return value.flatten()[:5].tolist() if isinstance(value, np.ndarray) else value
