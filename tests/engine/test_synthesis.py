"""Fast synthesis is the plain network: every architecture, number format, noise mode, and when it resumes."""

from __future__ import annotations

import pytest
import torch
from generators import make_generator
from torch import Tensor

from explorer.engine.synthesis import Synthesis
from explorer.networks import StyleGAN2
from kernels import synthesis as fused
from kernels import winograd

ARCHITECTURES = {
    "skip": {},
    "orig": {"architecture": "orig"},
    "resnet": {"architecture": "resnet"},
    "clamped": {"conv_clamp": 0.5},
    "without noise": {"use_noise": False},
    "4 px": {"img_resolution": 4, "channels": (16,)},
    "grey": {"img_channels": 1},
    "five colours": {"img_channels": 5},
    "odd widths": {"channels": (10, 7, 5)},
    "wide": {"channels": (16, 100, 96)},  # on a CPU by Winograd's convolution
    "other filter": {"resample_filter": (1, 2, 4, 3)},
    "short filter": {"resample_filter": (1, 1)},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def generator(request: pytest.FixtureRequest) -> StyleGAN2:
    return make_generator(**ARCHITECTURES[request.param])


@pytest.fixture(params=["reference", "native"])
def epilogue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once without the C++ kernel, once with it."""
    if request.param == "reference":
        monkeypatch.setattr(fused, "native_ready", lambda: False)
    elif not fused.build_now():
        pytest.skip(f"the C++ kernel cannot be built here: {fused.why_not()}")
    return request.param


def codes(generator: StyleGAN2, n: int, device: torch.device) -> Tensor:
    """W+ codes: every row its own."""
    rng = torch.Generator().manual_seed(3)
    return torch.randn(n, generator.num_ws, generator.w_dim, generator=rng).to(device)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize(("mode", "seed"), [("const", None), ("none", None), ("random", 4)])
@pytest.mark.parametrize("n", [1, 3])
def test_fp32_is_exact(
    generator: StyleGAN2, device: torch.device, epilogue: str, mode: str, seed: int | None, n: int
) -> None:
    generator = generator.to(device)
    ws = codes(generator, n, device)
    expected = generator.synthesis(ws, mode, seed)  # type: ignore[arg-type]
    fast = Synthesis(generator, torch.float32)
    assert relative(fast(ws, mode, seed), expected) < 1e-5  # type: ignore[arg-type]


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 1.5e-2), (torch.float16, 3e-3)])
def test_16_bit_stays_close(
    generator: StyleGAN2, device: torch.device, epilogue: str, dtype: torch.dtype, bound: float
) -> None:
    generator = generator.to(device)
    ws = codes(generator, 2, device)
    assert relative(Synthesis(generator, dtype)(ws), generator.synthesis(ws)) < bound


def test_resuming_at_any_row_gives_the_whole_picture(generator: StyleGAN2, epilogue: str) -> None:
    fast = Synthesis(generator, torch.float32)
    ws = codes(generator, 1, torch.device("cpu"))
    fast(ws)
    for row in [*reversed(range(generator.num_ws)), *range(generator.num_ws)]:
        ws = ws.clone()
        ws[:, row:] += 0.3
        assert relative(fast(ws), generator.synthesis(ws)) < 1e-5
        assert relative(fast(ws), generator.synthesis(ws)) < 1e-5  # the same code once more


def test_noise_is_part_of_what_is_resumed(tiny_generator: StyleGAN2) -> None:
    fast = Synthesis(tiny_generator, torch.float32)
    ws = codes(tiny_generator, 1, torch.device("cpu"))
    for mode, seed in [("const", None), ("none", None), ("random", 1), ("random", 2), ("const", None)]:
        assert relative(fast(ws, mode, seed), tiny_generator.synthesis(ws, mode, seed)) < 1e-5  # type: ignore[arg-type]
    assert not torch.equal(fast(ws, "random"), fast(ws, "random"))


@pytest.mark.parametrize(("late_rows", "epilogues"), [(1, 1), (2, 3), (3, 3), (6, 5)])
def test_nothing_is_computed_twice_when_only_late_rows_change(
    tiny_generator: StyleGAN2, monkeypatch: pytest.MonkeyPatch, late_rows: int, epilogues: int
) -> None:
    """The last row is ToRGB's alone; the two before it are the last block's, which starts from what was kept."""
    fast = Synthesis(tiny_generator, torch.float32)
    ws = codes(tiny_generator, 1, torch.device("cpu"))
    fast(ws)
    calls = []
    whole = fused.synthesis_epilogue
    monkeypatch.setattr(fused, "synthesis_epilogue", lambda *a, **k: calls.append(1) or whole(*a, **k))
    ws = ws.clone()
    ws[:, -late_rows:] += 1
    fast(ws)
    assert len(calls) == epilogues


def test_what_is_kept_for_the_next_picture_is_bounded(
    tiny_generator: StyleGAN2, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.engine.synthesis.KEPT_BYTES", 3000)
    fast = Synthesis(tiny_generator, torch.float32)
    ws = codes(tiny_generator, 1, torch.device("cpu"))
    fast(ws)
    assert fast._last is not None
    assert sum(point.raw.nbytes for point in fast._last[2]) <= 3000
    ws = ws + 0.1
    assert relative(fast(ws), tiny_generator.synthesis(ws)) < 1e-5


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("part", ["weight", "affine"])
def test_half_floats_bear_weights_far_from_one(scale: float, part: str) -> None:
    """Demodulation takes a weight's and a style's size out again, but the products in between must not overflow."""
    generator = make_generator()
    with torch.no_grad():
        for _, block in generator.synthesis.blocks():
            for layer in [block.conv0, block.conv1] if block.num_conv == 2 else [block.conv1]:
                for parameter in [layer.weight] if part == "weight" else [layer.affine.weight, layer.affine.bias]:
                    parameter.mul_(scale)
    ws = codes(generator, 2, torch.device("cpu"))
    exact = Synthesis(generator, torch.float32)(ws)
    assert relative(Synthesis(generator, torch.float16)(ws), exact) < 5e-3


def test_codes_that_are_changed_in_place_are_other_codes(tiny_generator: StyleGAN2) -> None:
    fast = Synthesis(tiny_generator, torch.float32)
    ws = codes(tiny_generator, 1, torch.device("cpu"))
    fast(ws)
    ws.add_(0.5)
    assert relative(fast(ws), tiny_generator.synthesis(ws)) < 1e-5


def test_wide_layers_take_fewer_multiplications_on_a_cpu_in_float32() -> None:
    generator = make_generator(channels=(16, 100, 96))
    assert [type(layer.conv) is winograd.Convolution for layer in Synthesis(generator, torch.float32).layers] == [
        *[False] * 4,
        True,
    ]
    assert not any(type(layer.conv) is winograd.Convolution for layer in Synthesis(generator, torch.bfloat16).layers)
