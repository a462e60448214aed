"""Trained networks inside of larger ones: more resolutions, wider layers, and at the start the same function.

What is new starts with outgoing weights of 0, so a generator's first picture is the small one's, enlarged, and all that
was learned is kept (Net2Net, arXiv 1511.05641, widens by copies of neurons instead; ProGAN, arXiv 1710.10196, fades
whole resolutions in). The discriminator's new resolutions pass on what the small one's first layer would have seen.
`grow_asleep` gives a generator channels that only chosen codes wake.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from explorer.networks.discriminator import Discriminator
from explorer.networks.family import Generator
from explorer.networks.layers import Conv2d
from explorer.networks.stylegan2 import StyleGAN2


def grow_generator(small: StyleGAN2, large: StyleGAN2) -> None:
    """Put `small` into the fresh network `large`, in place: the same pictures, enlarged as ToRGB's sum is.

    Raises ValueError where `small` does not fit into `large`.
    """
    _check(small, large, ("z_dim", "c_dim", "w_dim", "img_channels", "mapping_layers", "architecture", "use_noise"))
    _place_all(small, large)
    for resolution in _new(small, large):
        torgb = large.synthesis.get_submodule(f"b{resolution}.torgb")
        for name in ("weight", "bias"):
            nn.init.zeros_(torgb.get_parameter(name))


def can_sleep(generator: Generator) -> bool:
    """Whether channels added to it can sleep: in the architecture resnet skips take them without styles."""
    return isinstance(generator, StyleGAN2) and generator.config.architecture != "resnet"


def grow_asleep(small: Generator, part: float) -> tuple[StyleGAN2, dict[str, Tensor]]:
    """A copy of `small` with more channels whose styles are 0 for every code: the same pictures, number by number.

    Each width grows by `part` of it, to a multiple of 8. Whoever lets the new styles depend on some directions of the
    code wakes the channels along those alone, whatever their weights are: what is multiplied by 0 reaches neither a
    convolution nor its demodulation. Ours.

    Returns the wide generator, and by its name in `learnable()` a mask of every parameter that they brought new weights
    to, true where one is new; style maps are not among them. Raises ValueError where none `can_sleep`.
    """
    if not isinstance(small, StyleGAN2) or not can_sleep(small):
        raise ValueError("only a StyleGAN2 of the architecture skip or orig can get channels that sleep")
    widths = tuple(8 * math.ceil(width * (1 + part) / 8) for width in small.config.channels)
    large = StyleGAN2(replace(small.config, channels=widths)).to(small.device)
    _place_all(small, large)
    old, new = small.learnable(), {}
    affine = {f"{layer.name}.{kind}" for layer in large.style_layers() for kind in ("weight", "bias")}
    with torch.no_grad():
        for name, weight in large.learnable().items():
            mask = torch.ones_like(weight, dtype=torch.bool)
            mask[tuple(slice(side) for side in old[name].shape)] = False
            if name in affine:
                weight[mask] = 0
                continue
            if name.endswith("weight"):  # `_place_all` has silenced what new channels bring to the old ones
                weight.copy_(torch.where(mask, torch.randn_like(weight), weight))
            new[name] = mask
    return large, new


def grow_discriminator(small: Discriminator, large: Discriminator) -> None:
    """Put `small` into the fresh network `large`, in place.

    The same logits where the resolution stays; about those of the reduced picture where resolutions are new, since the
    first layer's leaky ReLU now comes before the reduction. Raises ValueError where `small` does not fit into `large`.
    """
    _check(small, large, ("c_dim", "img_channels", "architecture", "cmap_dim", "mapping_layers", "mbstd_num_channels"))
    if small.config.channels[0] != large.config.channels[0]:  # the minibatch's deviation is that of all of them
        raise ValueError(f"a discriminator's width at 4 px cannot change, it is {small.config.channels[0]}")
    if (new := _new(small, large)) and small.config.architecture != "resnet":
        raise ValueError(f"a discriminator of the architecture {small.config.architecture} cannot get more resolutions")
    first = small.config.channels[-1]
    if any(width < first for width in large.config.channels[len(small.config.channels) :]):
        raise ValueError(f"a discriminator's new resolutions must be as wide as its first layer, {first}")
    _place_all(small, large)
    if not new:
        return
    fromrgb = small.get_submodule(f"b{small.img_resolution}.fromrgb")
    _place_module(fromrgb, large.get_submodule(f"b{large.img_resolution}.fromrgb"))
    for resolution in new:
        block = large.get_submodule(f"b{resolution}")
        for name in ("conv1.weight", "conv1.bias"):
            nn.init.zeros_(block.get_parameter(name))
        skip = block.get_submodule("skip")
        assert isinstance(skip, Conv2d)
        weight = nn.init.zeros_(skip.get_parameter("weight"))
        gain = skip.weight_gain * math.sqrt(0.5)  # a block halves the energy of what passes by
        with torch.no_grad():
            weight[:first, :first, 0, 0] = torch.eye(first) / gain


def _check(small: StyleGAN2 | Discriminator, large: StyleGAN2 | Discriminator, fixed: tuple[str, ...]) -> None:
    """Raises ValueError where `small` has a part that `large` has no room for."""
    for name in fixed:
        before, after = getattr(small.config, name), getattr(large.config, name)
        if before != after:
            raise ValueError(f"{name} cannot change while a network grows: it has {before}, {after} is asked for")
    before, after = small.config.channels, large.config.channels
    if len(before) > len(after) or any(a > b for a, b in zip(before, after, strict=False)):
        raise ValueError(f"a network can only grow: it has widths {before} from 4 px up, {after} are asked for")
    if large.img_resolution > small.img_resolution and small.config.architecture == "orig":
        raise ValueError("a generator of the architecture orig, which has one ToRGB, cannot get more resolutions")


def _new(small: StyleGAN2 | Discriminator, large: StyleGAN2 | Discriminator) -> tuple[int, ...]:
    """The resolutions that `large` has on top."""
    return large.config.resolutions[len(small.config.resolutions) :]


@torch.no_grad()
def _place_all(small: nn.Module, large: nn.Module) -> None:
    for name, module in small.named_modules():
        try:
            counterpart = large.get_submodule(name)
        except AttributeError:  # the first layer of a resolution that is no longer the first
            continue
        _place_module(module, counterpart)


@torch.no_grad()
def _place_module(small: nn.Module, large: nn.Module) -> None:
    """A layer's own parameters and buffers; equalised learning rates make its weights depend on the layer's width."""
    gain = getattr(small, "weight_gain", 1.0) / getattr(large, "weight_gain", 1.0)
    for name, part in (*small.named_parameters(recurse=False), *small.named_buffers(recurse=False)):
        into = getattr(large, name)
        if part.ndim == 0:
            into.copy_(part)
        elif name == "weight":
            outs, ins = part.shape[:2]
            into[:outs] = 0  # what new inputs bring would change the outputs that were there
            into[:outs, :ins] = part * gain
        else:
            into[: len(part)] = part
