"""Fast synthesis of StyleGAN3 is the plain network: every kind, number format, pose, and when it resumes."""

from __future__ import annotations

import pytest
import torch
from generators import make_stylegan3
from torch import Tensor

from explorer.engine import alias_free
from explorer.engine.alias_free import AliasFree
from explorer.networks import StyleGAN3

KINDS = {
    "T": {},
    "R": {"radial": True, "conv_kernel": 1},
    "clamped": {"conv_clamp": 0.5},
    "unclamped": {"conv_clamp": None},
    "grey": {"img_channels": 1},
    "narrow": {"channels": (2, 2, 2, 1, 1)},  # weights smaller than the features of one picture
    "wide": {"channels": (64, 64, 48, 48, 48)},  # and larger
    "very wide": {"channels": (100, 96, 96, 96, 96)},  # by Winograd's convolution, on a CPU
    "heads": {"resolutions": (16, 32), "layers": (5, 5), "channels": (8, 8, 8, 8, 6, 4, 4, 4)},
}


@pytest.fixture(scope="module", params=KINDS)
def generator(request: pytest.FixtureRequest) -> StyleGAN3:
    return make_stylegan3(**KINDS[request.param])


@pytest.fixture(scope="module")
def tiny() -> StyleGAN3:
    return make_stylegan3()


def codes(generator: StyleGAN3, n: int, device: torch.device | None = None) -> Tensor:
    """W+ codes: every row its own."""
    rng = torch.Generator().manual_seed(3)
    return torch.randn(n, generator.num_ws, generator.w_dim, generator=rng).to(device or torch.device("cpu"))


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("n", [1, 3])
def test_fp32_is_exact(generator: StyleGAN3, device: torch.device, n: int) -> None:
    generator = generator.to(device)
    ws, pose = codes(generator, n, device), torch.tensor([[20.0, 0.1, 0], [0, 0, 0], [-70, 0, 0.2]], device=device)[:n]
    fast = AliasFree(generator, torch.float32)
    with torch.inference_mode():
        assert relative(fast(ws), generator.synthesize(ws)) < 1e-5
        assert relative(fast(ws, pose=pose), generator.synthesize(ws, pose=pose)) < 1e-5
    generator.to("cpu")


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2e-2), (torch.float16, 5e-3)])
@pytest.mark.parametrize("n", [1, 2])
def test_16_bit_stays_close(
    generator: StyleGAN3, device: torch.device, dtype: torch.dtype, bound: float, n: int
) -> None:
    generator = generator.to(device)
    ws = codes(generator, n, device)
    assert relative(AliasFree(generator, dtype)(ws), generator.synthesis(ws)) < bound
    generator.to("cpu")


@pytest.mark.parametrize("scale", [1e-4, 1e4])
@pytest.mark.parametrize("part", ["weight", "affine"])
def test_half_floats_bear_weights_far_from_one(scale: float, part: str) -> None:
    generator = make_stylegan3()
    with torch.no_grad():
        for _, layer in list(generator.synthesis.layers())[:-1]:
            for parameter in [layer.weight] if part == "weight" else [layer.affine.weight, layer.affine.bias]:
                parameter.mul_(scale)
    ws = codes(generator, 2)
    assert relative(AliasFree(generator, torch.float16)(ws), AliasFree(generator, torch.float32)(ws)) < 5e-3


def test_resuming_at_any_row_gives_the_whole_picture(generator: StyleGAN3) -> None:
    fast = AliasFree(generator, torch.float32)
    ws = codes(generator, 1)
    fast(ws)
    for row in [*reversed(range(generator.num_ws)), *range(generator.num_ws)]:
        ws = ws.clone()
        ws[:, row:] += 0.3
        assert relative(fast(ws), generator.synthesis(ws)) < 1e-5
        assert relative(fast(ws), generator.synthesis(ws)) < 1e-5  # the same code once more


def test_another_pose_is_another_picture(tiny: StyleGAN3) -> None:
    fast, ws = AliasFree(tiny, torch.float32), codes(tiny, 1)
    for pose in (None, torch.tensor([[30.0, 0, 0]]), torch.tensor([[30.0, 0, 0.1]]), None):
        assert relative(fast(ws, pose=pose), tiny.synthesize(ws, pose=pose)) < 1e-5


@pytest.mark.parametrize(("late_rows", "layers"), [(1, 2), (2, 2), (3, 4), (7, 6)])
def test_nothing_is_computed_twice_when_only_late_rows_change(
    tiny: StyleGAN3, monkeypatch: pytest.MonkeyPatch, late_rows: int, layers: int
) -> None:
    """Every other layer's input is kept: a change of the last row starts with the layer before ToRGB."""
    fast, ws = AliasFree(tiny, torch.float32), codes(tiny, 1)
    fast(ws)
    calls = []
    whole = alias_free.Layer.__call__
    monkeypatch.setattr(alias_free.Layer, "__call__", lambda *a: calls.append(1) or whole(*a))
    ws = ws.clone()
    ws[:, -late_rows:] += 1
    fast(ws)
    assert len(calls) == layers


def test_what_is_kept_for_the_next_picture_is_bounded(tiny: StyleGAN3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_free, "KEPT_BYTES", 30_000)
    fast, ws = AliasFree(tiny, torch.float32), codes(tiny, 1)
    fast(ws)
    assert fast._last is not None
    assert 0 < sum(point.x.nbytes for point in fast._last[2]) <= 30_000
    ws = ws + 0.1
    assert relative(fast(ws), tiny.synthesis(ws)) < 1e-5


def test_codes_that_are_changed_in_place_are_other_codes(tiny: StyleGAN3) -> None:
    fast, ws = AliasFree(tiny, torch.float32), codes(tiny, 1)
    fast(ws)
    ws.add_(0.5)
    assert relative(fast(ws), tiny.synthesis(ws)) < 1e-5


def test_wide_layers_take_fewer_multiplications_on_a_cpu_in_float32() -> None:
    generator = make_stylegan3(channels=(100, 96, 96, 96, 96))
    wide = [layer.wide is not None for layer in AliasFree(generator, torch.float32).layers]
    assert sum(wide) == len(wide) - 1  # all but the last, which makes colours
    assert not any(layer.wide for layer in AliasFree(generator, torch.bfloat16).layers)
