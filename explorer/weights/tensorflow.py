"""Importer of TensorFlow's pickles: StyleGAN2 of 2019 (networks of version 4) and StyleGAN2-ADA of 2020 (version 5).

A file is (G, D, Gs), each a `dnnlib.tflib` network of settings, variables and subnetworks; Gs is G's average. Here they
get NVIDIA's PyTorch names, by which `explorer.weights.nvidia` reads them. TensorFlow is not needed, and the text of the
networks' builders is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from explorer.foreign import brief
from explorer.networks import StyleGAN2Config
from explorer.weights import nvidia
from explorer.weights.builders import ONLY_STYLEGAN2, TENSORFLOW, Record
from explorer.weights.checkpoint import Checkpoint, CheckpointError, Entry
from explorer.weights.contents import Contents

VERSIONS = {4: "StyleGAN2 of 2019", 5: "StyleGAN2-ADA of 2020"}
OLD_BUILDERS = {"G_style": "a StyleGAN of 2018", "G_synthesis_stylegan_revised": "a StyleGAN2 of configuration A to D"}
# Settings that would make other layers than ours, and what they must be.
FIXED = {"nonlinearity": "lrelu", "mapping_nonlinearity": "lrelu", "act": "lrelu", "normalize_latents": True}
CRITIC = ("variables.4x4/Dense0/weight", "variables.Output/weight")  # by what a discriminator is found
MAX_CLASSES = 2**12
# TensorFlow's names with the part in front, and ours.
Names = tuple[tuple[str, str], ...]
GENERATOR_NAMES: Names = (
    (r"dlatent_avg", r"mapping.w_avg"),
    (r"mapping/Dense(\d{1,3})/(weight|bias)", r"mapping.fc\1.\2"),
    (r"mapping/LabelEmbed/(weight|bias)", r"mapping.embed.\1"),
    (r"mapping/LabelConcat/weight", r"mapping.embed.weight"),
    (r"synthesis/4x4/Const/const", r"synthesis.b4.const"),
    (r"synthesis/4x4/Conv/(\w+)", r"synthesis.b4.conv1.\1"),
    (r"synthesis/(\d+)x\1/Conv0_up/(\w+)", r"synthesis.b\1.conv0.\2"),
    (r"synthesis/(\d+)x\1/Conv1/(\w+)", r"synthesis.b\1.conv1.\2"),
    (r"synthesis/(\d+)x\1/Skip/(\w+)", r"synthesis.b\1.skip.\2"),
    (r"synthesis/(\d+)x\1/ToRGB/(\w+)", r"synthesis.b\1.torgb.\2"),
)
CRITIC_NAMES: Names = (
    (r"(\d+)x\1/FromRGB/(weight|bias)", r"b\1.fromrgb.\2"),
    (r"(\d+)x\1/Conv0/(weight|bias)", r"b\1.conv0.\2"),
    (r"(\d+)x\1/Conv1_down/(weight|bias)", r"b\1.conv1.\2"),
    (r"(\d+)x\1/Skip/weight", r"b\1.skip.weight"),
    (r"4x4/Conv/(weight|bias)", r"b4.conv.\1"),
    (r"4x4/Dense0/(weight|bias)", r"b4.fc.\1"),
    (r"Output/(weight|bias)", r"b4.out.\1"),
    (r"LabelEmbed/(weight|bias)", r"mapping.embed.\1"),
    (r"Mapping(\d{1,3})/(weight|bias)", r"mapping.fc\1.\2"),
)
MODULATION = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}


def find(contents: Contents) -> list[str]:
    """The prefixes of networks, without those that are parts of others."""
    paths = [path for path, value in contents.values.items() if isinstance(value, Record) and value.kind == TENSORFLOW]
    return [f"{path}." if path else "" for path in paths if ".components." not in f".{path}"]


def read(contents: Contents, prefix: str, limit: int | None) -> Checkpoint:
    """The generator behind `prefix`, and the discriminator beside it where it can be read.

    Raises CheckpointError where the network is older than StyleGAN2, is no generator, or disagrees with its settings.
    """
    network = contents.below(prefix)
    version = _check_kind(network)
    module = _generator(network)
    _check_settings(network, nvidia.generator_config(module))
    generator = nvidia.read_generator(module, limit)
    source = {"format": "tensorflow", "network": prefix.removesuffix("."), "version": VERSIONS[version]}
    discriminator = None
    if (critic := nvidia.find_critic(contents, prefix, *CRITIC)) is not None:
        try:
            discriminator = nvidia.read_discriminator(_critic(contents.below(critic)), generator)
        except CheckpointError as error:
            source["discriminator"] = f"not read: {error}"
    return Checkpoint(generator, discriminator, meta={"source": source})


def _check_kind(network: Contents) -> int:
    """The version of a generator. Raises CheckpointError, by its name, for any network that is not read."""
    version = network.values.get("version")
    builders = [network.values.get(f"{path}build_func_name") for path in ("", "components.synthesis.")]
    kind = next((OLD_BUILDERS[name] for name in builders if isinstance(name, str) and name in OLD_BUILDERS), None)
    if any("/StyleMod/" in name for name in network.entries):
        kind = OLD_BUILDERS["G_style"]
    elif kind is None and not (isinstance(version, int) and version in VERSIONS):
        kind = f"of version {brief(version)}"
    elif kind is None and "components.synthesis" not in network.values:
        kind = f"{brief(network.values.get('name'))}, no generator with a synthesis network"
    if kind is not None:
        raise CheckpointError(f"its network is TensorFlow's, {kind}; {ONLY_STYLEGAN2}")
    assert isinstance(version, int)
    return version


def _check_settings(network: Contents, config: StyleGAN2Config) -> None:
    """Settings are what the variables were made by: raises CheckpointError where these are of other sizes."""
    sizes = {
        "resolution": config.img_resolution,
        "num_channels": config.img_channels,
        "latent_size": config.z_dim,
        "dlatent_size": config.w_dim,
        "label_size": config.c_dim,
        "mapping_layers": config.mapping_layers,
        "architecture": config.architecture,
    }
    for name, size in {**sizes, **FIXED}.items():
        claim = _setting(network, name, size)
        if not isinstance(claim, type(size)) or claim != size:
            raise CheckpointError(f"its settings say {name} {brief(claim)}, its variables are for {brief(size)}")
    base, most = _setting(network, "fmap_base", None), _setting(network, "fmap_max", 512)
    if isinstance(base, int) and isinstance(most, int):
        widths = tuple(min(2 * base // resolution, most) for resolution in config.resolutions)
        if widths != config.channels:
            raise CheckpointError(
                f"its settings say widths {brief(widths)}, its variables have {brief(config.channels)}"
            )


def _generator(network: Contents) -> Contents:
    """A generator by NVIDIA's names, with the settings where NVIDIA's modules keep them."""
    variables = _variables(network)
    variables.pop("lod", None)  # how far the growing of layers has got, in networks that grow
    values = {
        "synthesis.b4.conv1.conv_clamp": _setting(network, "conv_clamp", None),
        "mapping.fc0.bias_gain": _setting(network, "mapping_lrmul", 0.01),
    }
    return Contents(_renamed(variables, GENERATOR_NAMES) | _filter(network, "synthesis.b4."), values)


def _critic(network: Contents) -> Contents:
    """A discriminator, likewise."""
    entries = _renamed(_variables(network), CRITIC_NAMES) | _filter(network, "b4.")
    old = network.values.get("version") == 4
    if old and (classes := _setting(network, "label_size", 0)):
        entries |= _label_as_it_is(classes)
    values = {
        "b4.conv.conv_clamp": _setting(network, "conv_clamp", None),
        "b4.mbstd.group_size": _setting(network, "mbstd_group_size", 4 if old else None),
        "mapping.fc0.bias_gain": _setting(network, "mapping_lrmul", 0.01),
    }
    return Contents(entries, values)


def _label_as_it_is(classes: Any) -> dict[str, Entry]:
    """StyleGAN2 of 2019 has a logit a class and takes the label's: our projection, where a label embeds as it is.

    Ours normalises the embedding to a mean square of 1 and divides by the root of its width, which undo each other.
    """
    if not isinstance(classes, int) or not 0 < classes <= MAX_CLASSES:
        raise CheckpointError(f"it claims {brief(classes)} classes, at most {MAX_CLASSES:,} are read")
    embed = Entry((classes, classes), lambda: classes * torch.eye(classes))
    return {nvidia.EMBED: embed, "mapping.embed.bias": Entry((classes,), lambda: torch.zeros(classes))}


def _setting(network: Contents, name: str, default: Any) -> Any:
    return network.values.get(f"static_kwargs.{name}", default)


def _filter(network: Contents, path: str) -> dict[str, Entry]:
    """The low-pass filter where NVIDIA's networks keep it; None stands for a box."""
    kernel = _setting(network, "resample_kernel", (1, 3, 3, 1))
    taps = (1, 1) if kernel is None else kernel
    if not isinstance(taps, (list, tuple)) or not 0 < len(taps) <= 64 or not all(map(_is_number, taps)):
        raise CheckpointError(f"its resample_kernel is {brief(kernel)}, expected a row of numbers: it is damaged")
    return {f"{path}{nvidia.FILTERS}": Entry((len(taps),), lambda: torch.tensor(taps, dtype=torch.float32))}


def _variables(network: Contents) -> dict[str, Entry]:
    """The variables of a network, those of its parts as PART/NAME; plain numbers as tensors without axes."""
    variables: dict[str, Entry] = {}
    for name, value in [*network.entries.items(), *network.values.items()]:
        if match := re.fullmatch(r"(?:components\.(\w+)\.)?variables\.(.+)", name):
            entry = _number(value) if _is_number(value) else value
            if isinstance(entry, Entry):
                variables[f"{match[1]}/{match[2]}" if match[1] else match[2]] = entry
    return variables


def _renamed(variables: dict[str, Entry], names: Names) -> dict[str, Entry]:
    """Our names and storage. Unknown names stay, so that the gate reports them."""
    sides = [int(match[1]) for name in variables if (match := re.match(r"(?:synthesis/)?(\d{1,5})x\1/", name))]
    return {
        _name(_with_side(name, max(sides, default=4)), names): _stored(name, entry) for name, entry in variables.items()
    }


def _with_side(name: str, resolution: int) -> str:
    """Colour layers by the side of their pictures, where they are numbered from the full resolution down."""
    match = re.fullmatch(r"(synthesis/)?(ToRGB|FromRGB)_lod(\d{1,2})/(\w+)", name)
    if match is None:
        return name
    side = resolution >> int(match[3])
    return f"{match[1] or ''}{side}x{side}/{match[2]}/{match[4]}"


def _name(name: str, names: Names) -> str:
    if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):  # one map at 4 px, two at every resolution above
        number = int(match[1]) + 1
        return f"synthesis.b{4 << number // 2}.conv{number % 2}.noise_const"
    for known, new in names:
        if match := re.fullmatch(known, name):
            path, _, part = match.expand(new).rpartition(".")
            return f"{path}.{MODULATION.get(part, part)}"
    return name


def _stored(name: str, entry: Entry) -> Entry:
    """The values as our networks hold them: dense weights transposed, convolutions `[out, in, kh, kw]`.

    The up-sampling ones are transposed convolutions here, which flips them; styles get their 1 into the bias.
    """
    part, rank = name.rpartition("/")[2], len(entry.shape)
    if part == "const" and rank == 4:
        return entry.reshaped(entry.shape[1:])
    if part.startswith("noise") and rank == 4:
        return entry.reshaped(entry.shape[2:])
    if part == "mod_bias":
        return _changed(entry, lambda bias: bias + 1)
    if part.endswith("weight") and rank == 2:
        return _changed(entry, lambda weight: weight.t())
    if part == "weight" and rank == 4:
        up = "/Conv0_up/" in name
        return _changed(entry, lambda weight: (weight.flip(0, 1) if up else weight).permute(3, 2, 0, 1))
    return entry


def _changed(entry: Entry, change: Callable[[Tensor], Tensor]) -> Entry:
    shape = tuple(change(torch.empty(entry.shape, device="meta")).shape)
    return Entry(shape, lambda: change(entry.read()))


def _number(value: float) -> Entry:
    return Entry((), lambda: torch.tensor(float(value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9
