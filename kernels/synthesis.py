"""Everything StyleGAN2 does between two convolutions, in one pass over memory: the engine's hot loop.

`synthesis_epilogue` runs our C++ kernel on a CPU (csrc/cpu_synthesis.cpp, built in the background on first use) and the
composed PyTorch reference everywhere else. Inference only; knows no networks. Source: StyleGAN2 (arXiv 1912.04958),
figure 2c and equation 3, with the identity conv(x, w * s) * d = conv(x * s, w) * d.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from . import build, compile, demod_bias_act, upfirdn2d

NAME, SOURCES = "cpu_synthesis", ("cpu_synthesis.cpp",)
LANES, MAX_COLORS = 16, 4  # kLanes and kMaxColors in the C++ source


@dataclass(frozen=True)
class Colors:
    """ToRGB of one block, to be added to the picture so far."""

    weight: Tensor  # [N, K, C] float32, 1x1 modulated weights
    bias: Tensor  # [K] float32
    previous: Tensor | None  # [N, K, H / 2, W / 2] float32, the smaller picture; up-sampled here


def start_build(device: torch.device) -> None:
    """Begin to get the kernels for this device: in the background on a CPU, where the reference serves meanwhile.

    On a GPU the build is waited for (it is a matter of seconds), since a recorded CUDA graph stays what it was.
    """
    if device.type == "cpu":
        compile.load_in_background(NAME, SOURCES)
    elif device.type == "cuda":
        build.wait()


def build_now() -> bool:
    """Build or find the C++ kernel and wait for it; False where that fails (`why_not` tells)."""
    return compile.load(NAME, SOURCES).ok


def native_ready() -> bool:
    """Whether the C++ kernel is loaded."""
    return compile.is_loaded(NAME)


def why_not() -> str:
    """Why there is no C++ kernel, in one sentence."""
    return compile.why_not(NAME)


def synthesis_epilogue(
    raw: Tensor,  # [N, C, h, w], a convolution's output; h = H + 1 after a transposed convolution (`fir`)
    demod: Tensor,  # [N, C] float32
    bias: Tensor,  # [C] float32
    taps: Tensor,  # [4] float32, the low-pass of one axis, gain 2 included
    *,
    noise: Tensor | None = None,  # [1 or N, H, W] float32
    scale: Tensor | None = None,  # [N, C] float32, the next convolution's styles
    colors: Colors | None = None,
    fir: bool = False,
    slope: float = 0.2,
    clamp: float = math.inf,
) -> tuple[Tensor | None, Tensor | None]:
    """The next convolution's modulated input `[N, C, H, W]` (None without `scale`) and the picture so far (None without
    `colors`).

        v   = clamp(lrelu(FIR(raw) * demod + noise + bias))
        out = v * scale
        rgb = up(previous) + clamp(weight @ v + bias)
    """
    native = (
        native_ready()
        and raw.device.type == "cpu"
        and raw.dtype in (torch.float32, torch.bfloat16)
        and raw.is_contiguous(memory_format=torch.channels_last)
        and raw.shape[1] % LANES == 0
        and slope <= 1
        and (colors is None or len(colors.bias) <= MAX_COLORS)
    )
    run = _native if native else _reference
    return run(raw, demod, bias, taps, noise, scale, colors, fir, slope, clamp)


def _native(
    raw: Tensor,
    demod: Tensor,
    bias: Tensor,
    taps: Tensor,
    noise: Tensor | None,
    scale: Tensor | None,
    colors: Colors | None,
    fir: bool,
    slope: float,
    clamp: float,
) -> tuple[Tensor | None, Tensor | None]:
    n, c, h, w = raw.shape
    height, width = h - fir, w - fir
    out = rgb = None
    if scale is not None:
        out = torch.empty(n, c, height, width, dtype=raw.dtype, memory_format=torch.channels_last)
    if colors is not None:
        rgb = torch.empty(n, len(colors.bias), height, width)
    torch.ops.explorer_cpu.synthesis_epilogue(
        raw,
        demod.contiguous(),
        bias,
        noise,
        out,
        demod if scale is None else scale.contiguous(),
        rgb,
        None if colors is None or colors.previous is None else colors.previous.contiguous(),
        None if colors is None else colors.weight.contiguous(),
        None if colors is None else colors.bias,
        taps,
        fir,
        slope,
        clamp,
    )
    return out, rgb


def _reference(
    raw: Tensor,
    demod: Tensor,
    bias: Tensor,
    taps: Tensor,
    noise: Tensor | None,
    scale: Tensor | None,
    colors: Colors | None,
    fir: bool,
    slope: float,
    clamp: float,
) -> tuple[Tensor | None, Tensor | None]:
    dtype = raw.dtype
    v = upfirdn2d(raw, torch.outer(taps, taps), padding=1) if fir else raw
    noise = None if noise is None else noise[:, None]
    v = demod_bias_act(v, demod, noise, None, bias, slope, 1.0, None if clamp == math.inf else clamp)
    out = None if scale is None else v * scale[:, :, None, None].to(dtype)
    if colors is None:
        return out, None
    n, c, h, w = v.shape
    rgb = torch.bmm(colors.weight.to(dtype), v.reshape(n, c, h * w)).float().reshape(n, -1, h, w)
    rgb = (rgb + colors.bias[:, None, None]).clamp(-clamp, clamp)
    if colors.previous is not None:
        rgb = rgb + upfirdn2d(colors.previous, torch.outer(taps, taps), up=2, padding=(2, 1, 2, 1))
    return out, rgb


def self_test(dtype: torch.dtype) -> build.SelfTest:
    """The C++ kernel in `dtype` (float32 or bfloat16) against the float64 reference, everything in it at work."""
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng)

    raw = draw(2, LANES, 9, 9).to(dtype).contiguous(memory_format=torch.channels_last)
    demod, bias, scale, noise = draw(2, LANES), draw(LANES), draw(2, LANES), draw(1, 8, 8)
    taps, weight, colors_bias, previous = (
        torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4,
        draw(2, 3, LANES),
        draw(3),
        draw(2, 3, 4, 4),
    )

    def run(function: Callable[..., tuple[Tensor | None, Tensor | None]], kind: torch.dtype, x: Tensor) -> list[Tensor]:
        constants = [t.to(kind) for t in (demod, bias, taps, noise, scale)]
        colors = Colors(weight.to(kind), colors_bias.to(kind), previous)
        out, rgb = function(x, *constants, colors, True, 0.2, 2.0)
        assert out is not None
        assert rgb is not None
        return [out.double(), rgb.double()]

    pairs = zip(run(_native, torch.float32, raw), run(_reference, torch.float64, raw.double()), strict=True)
    error = max(float((given - exact).abs().max() / exact.abs().max()) for given, exact in pairs)
    name = str(dtype).removeprefix("torch.")
    return build.SelfTest("synthesis_epilogue", name, error, {"float32": 1e-5, "bfloat16": 1e-2}[name])
