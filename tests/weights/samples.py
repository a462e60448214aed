"""Real checkpoint files for the tests: the fixtures, and tiny ones in every format."""

from __future__ import annotations

import functools
import io
import lzma
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators import make_generator, make_stylegan3, stylegan2
from hostile import Call, Raw, Ref, encode, tree

from explorer.latents import Expansion, factorize
from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN3
from explorer.weights import Checkpoint

FIXTURES = Path(__file__).parent.parent / "fixtures"
NVIDIA = ("nvidia_uncond32", "nvidia_cond16", "nvidia_orig16", "expanded32")


def reference(name: str) -> dict[str, torch.Tensor]:
    """Inputs and the reference implementation's outputs."""
    with np.load(FIXTURES / f"{name}.npz") as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def relative_error(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative L2 error of `a` against `b`, in float64."""
    assert a.shape == b.shape
    return float((a.double() - b.double()).norm() / b.double().norm())


@functools.cache
def rosinality_bytes() -> bytes:
    """The rosinality fixture; kept compressed, because its weights have few distinct values."""
    return lzma.decompress((FIXTURES / "rosinality8.pt.xz").read_bytes())


def tiny_checkpoint() -> Checkpoint:
    """StyleGAN2, discriminator and expansion of a few thousand parameters."""
    generator = make_generator(img_resolution=8, channels=(4, 6), z_dim=5, w_dim=7)
    config = DiscriminatorConfig(8, (4, 6), mbstd_group_size=2)
    discriminator = Discriminator(config).eval().requires_grad_(False)
    w_avg = generator.mean.clone()
    expansion = Expansion(factorize(generator), (6, 5), 10.0, ("sketch", "ünïcode domain"), w_avg)
    return Checkpoint(generator, discriminator, expansion, {"name": "tiny", "licence": "CC0", "classes": ["a", "b"]})


def tiny_network(generator: StyleGAN2 | None = None, attributes: dict[str, dict[str, Any]] | None = None) -> Call:
    """A tiny generator as NVIDIA pickles it, with numpy scalars and filters among its data."""
    generator = generator or stylegan2(tiny_checkpoint().generator)
    tensors = {name: value.numpy() for name, value in generator.state_dict().items()}
    taps = np.array(generator.config.resample_filter)
    for resolution in generator.config.resolutions:
        tensors[f"synthesis.b{resolution}.resample_filter"] = np.outer(taps, taps) / taps.sum() ** 2
    gain = Call(
        "numpy.core.multiarray.scalar", (Call("numpy.dtype", ("f8", False, True)), np.float64(2**0.5).tobytes())
    )
    return tree(tensors, {"synthesis.b4.conv1": {"act_gain": gain}, **(attributes or {})})


def array(*values: int) -> Raw:
    """A numpy array of whole numbers, as a pickle writes it."""
    empty = encode(Call("numpy.core.multiarray._reconstruct", (Ref("numpy.ndarray"), (0,), b"b")))
    state = (1, (len(values),), Call("numpy.dtype", ("i8", False, True)), False, np.array(values, "<i8").tobytes())
    return Raw(empty + encode(state) + b"b")


def tiny_stylegan3(
    generator: StyleGAN3 | None = None,
    attributes: dict[str, dict[str, Any]] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
) -> Call:
    """A tiny StyleGAN3 as NVIDIA pickles it; `attributes` and `tensors` take the place of its own."""
    generator = generator or make_stylegan3()
    config, own = generator.config, {name: value.numpy() for name, value in generator.state_dict().items()}
    layers = [layer.shape for _, layer in generator.synthesis.layers()]
    said: dict[str, dict[str, Any]] = {
        "synthesis": {
            "img_resolution": config.img_resolution,
            "num_critical": config.num_critical,
            "margin_size": config.margin_size,
            "output_scale": config.output_scale,
        },
        "synthesis.input": {"size": array(layers[0].before.size, layers[0].before.size), "bandwidth": 2.0},
    }
    for shape in layers:
        said[f"synthesis.{shape.name}"] = {
            "in_size": array(shape.before.size, shape.before.size),
            "in_sampling_rate": shape.before.rate,
            "out_sampling_rate": shape.out.rate,
            "tmp_sampling_rate": shape.rate,
            "in_cutoff": shape.before.cutoff,
            "out_cutoff": shape.out.cutoff,
            "up_factor": shape.up,
            "up_taps": shape.up_taps,
            "padding": [*shape.padding, *shape.padding],
            "conv_clamp": config.conv_clamp,
        }
    for path, values in (attributes or {}).items():
        said[path] = said.get(path, {}) | values
    return tree(own | (tensors or {}), said)


def rosinality_state() -> dict[str, Any]:
    """A small cut of the rosinality fixture: 4 channels of 512."""
    data = torch.load(io.BytesIO(rosinality_bytes()), weights_only=True)
    return {"g_ema": {name: _cut(value) for name, value in data["g_ema"].items()}, "latent_avg": data["latent_avg"]}


def tiny_rosinality(**options: Any) -> bytes:
    """The same, written by `torch.save` with `options`."""
    file = io.BytesIO()
    torch.save(rosinality_state(), file, **options)
    return file.getvalue()


def _cut(value: torch.Tensor) -> torch.Tensor:
    for axis, size in enumerate(value.shape):
        if size == 512:
            value = value.narrow(axis, 0, 4)
    return value.clone()


def shared_storage(layers: int = 900, w_dim: int = 512) -> bytes:
    """A rosinality file of 1 MB whose mapping layers all show the same values: a gigabyte as tensors of their own."""
    values = torch.zeros(w_dim**2)
    shapes: dict[str, tuple[int, ...]] = {
        "input.input": (1, 4, 4, 4),
        "conv1.conv.weight": (1, 4, 4, 3, 3),
        "conv1.noise.weight": (1,),
        "conv1.activate.bias": (4,),
        "to_rgb1.conv.weight": (1, 3, 4, 1, 1),
        "to_rgb1.bias": (1, 3, 1, 1),
        "noises.noise_0": (1, 1, 4, 4),
    }
    for name in ("conv1", "to_rgb1"):
        shapes |= {f"{name}.conv.modulation.weight": (4, w_dim), f"{name}.conv.modulation.bias": (4,)}
    for layer in range(1, layers + 1):
        shapes |= {f"style.{layer}.weight": (w_dim, w_dim), f"style.{layer}.bias": (w_dim,)}
    state = {name: values[: math.prod(shape)].view(shape) for name, shape in shapes.items()}
    file = io.BytesIO()
    torch.save({"g_ema": state, "latent_avg": values[:w_dim]}, file)
    return file.getvalue()
