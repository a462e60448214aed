"""upfirdn2d and the three resamplings: the published values, the laws of linear filters, and every way to call them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import kernels
from kernels import reference

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = json.loads((FIXTURES / "ops.json").read_text())["upfirdn2d"]
BLUR = kernels.setup_filter([1, 3, 3, 1])
SETTINGS = {  # StyleGAN2's own first, then one of each difficulty
    "blur": {"padding": (2, 1, 2, 1)},
    "up": {"up": 2, "padding": (2, 1, 2, 1), "gain": 4.0},
    "up after a transposed convolution": {"padding": (1, 1, 1, 1), "gain": 4.0},
    "down": {"down": 2, "padding": (1, 1, 1, 1), "flip_filter": True},
    "odd padding up": {"up": 2, "padding": (1, 2, 3, 0)},
    "cropping": {"up": 2, "padding": (-1, 2, 3, -2)},
    "both": {"up": 3, "down": 2, "padding": (4, 3, 2, 5)},
    "uneven": {"up": (3, 1), "down": (1, 2), "padding": (4, 3, 2, 5), "flip_filter": True},
}


def definition(
    x: Tensor,
    f: Tensor,
    up: int | tuple[int, int] = 1,
    down: int | tuple[int, int] = 1,
    padding: int | tuple[int, int, int, int] = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """The four steps one after the other, in float64, nothing fused."""
    (ux, uy), (dx, dy) = (v if isinstance(v, tuple) else (v, v) for v in (up, down))
    x, f = x.cpu().double(), f.cpu().double()
    n, c, h, w = x.shape
    grid = x.new_zeros(n, c, h * uy, w * ux)
    grid[:, :, ::uy, ::ux] = x
    grid = F.pad(grid, [padding] * 4 if isinstance(padding, int) else list(padding))
    f = f if flip_filter else f.flip(0, 1)
    rows, cols = grid.shape[2] - f.shape[0] + 1, grid.shape[3] - f.shape[1] + 1
    total = x.new_zeros(n, c, rows, cols)
    for i in range(f.shape[0]):
        for j in range(f.shape[1]):
            total += f[i, j] * grid[:, :, i : i + rows, j : j + cols]
    return gain * total[:, :, ::dy, ::dx]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["i"]))
def test_values_are_the_published_ones(case: dict, device: torch.device) -> None:
    stored = np.load(FIXTURES / "ops.npz")
    x = torch.from_numpy(stored["x"]).to(device)
    f = torch.from_numpy(stored[f"filter_{case['filter']}"]).to(device)
    names = "up", "down", "padding", "flip_filter", "gain"
    y = kernels.upfirdn2d(x, f, **{name: case[name] for name in names})
    # The stored ones multiplied the float32 filter by the gain in float32: that much they are off.
    torch.testing.assert_close(y.cpu(), torch.from_numpy(stored[f"up_{case['i']}"]), rtol=1e-7, atol=2e-8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_fused_is_the_four_steps(data: st.DataObject) -> None:
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    shape = draw(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)))
    f = torch.randn(draw(st.tuples(st.integers(1, 6), st.integers(1, 6))), dtype=torch.float64)
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    case = {
        "up": draw(pair),
        "down": draw(pair),
        "padding": draw(st.tuples(*[st.integers(-4, 6)] * 4)),
        "flip_filter": draw(st.booleans()),
        "gain": draw(st.sampled_from([1.0, -2.5])),
    }
    (ux, uy), (x0, x1, y0, y1) = case["up"], case["padding"]
    assume(shape[2] * uy + y0 + y1 >= f.shape[0] and shape[3] * ux + x0 + x1 >= f.shape[1])
    assume(shape[2] * uy + min(y0, 0) + min(y1, 0) > 0 and shape[3] * ux + min(x0, 0) + min(x1, 0) > 0)
    x = torch.randn(shape, dtype=torch.float64)
    layout = draw(st.sampled_from(["contiguous", "channels_last", "transposed", "strided"]))
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    elif layout == "transposed":
        x = x.transpose(2, 3).contiguous().transpose(2, 3)
    elif layout == "strided":
        x = x.repeat_interleave(2, dim=3)[..., ::2]
    assert_close(kernels.upfirdn2d(x, f, **case), definition(x, f, **case), torch.float64)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planar", "channels_last"])
def test_every_format_and_layout(
    name: str, dtype: torch.dtype, layout: torch.memory_format, device: torch.device
) -> None:
    x = torch.randn(2, 16, 21, 37).to(dtype).to(memory_format=layout).to(device)
    y = kernels.upfirdn2d(x, BLUR.to(device), **SETTINGS[name])
    assert_close(y, definition(x, BLUR, **SETTINGS[name]), dtype)
    assert y.is_contiguous(memory_format=layout)


def test_a_separable_filter_is_its_outer_product(device: torch.device) -> None:
    x, taps = torch.randn(2, 3, 9, 8, dtype=torch.float64, device=device), torch.randn(5, dtype=torch.float64)
    case = {"up": (2, 3), "down": (3, 1), "padding": (3, -1, 4, 2), "gain": 2.0}
    torch.testing.assert_close(
        kernels.upfirdn2d(x, taps.to(device), **case), kernels.upfirdn2d(x, torch.outer(taps, taps).to(device), **case)
    )


def test_no_filter_is_one_tap_of_one(device: torch.device) -> None:
    x = torch.randn(1, 2, 4, 4, device=device)
    torch.testing.assert_close(kernels.upfirdn2d(x, None), x)
    assert kernels.upfirdn2d(x, None).data_ptr() != x.data_ptr()
    assert kernels.upfirdn2d(x, None, up=2).count_nonzero() == x.count_nonzero()


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_first_and_second_order(name: str, device: torch.device) -> None:
    x = torch.randn(1, 2, 7, 6, dtype=torch.float64, device=device, requires_grad=True)
    f = torch.randn(4, 3, dtype=torch.float64, device=device)

    def run(x: Tensor) -> Tensor:
        return kernels.upfirdn2d(x, f, **SETTINGS[name])

    assert torch.autograd.gradcheck(run, x)
    assert torch.autograd.gradgradcheck(run, x)


def test_gradient_is_the_references_own(device: torch.device) -> None:
    """Registered formula against PyTorch's autograd through the composed reference, in float32 and channels_last."""
    x = torch.randn(2, 8, 12, 10, device=device).to(memory_format=torch.channels_last).requires_grad_()
    for case in SETTINGS.values():
        y, expected = kernels.upfirdn2d(x, BLUR.to(device), **case), reference.upfirdn2d(x, BLUR.to(device), **case)
        dy = torch.randn_like(y)
        (dx,), (exact,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(expected, x, dy)
        torch.testing.assert_close(dx, exact)
        assert dx.is_contiguous(memory_format=torch.channels_last)


def test_the_filter_is_a_constant(device: torch.device) -> None:
    f = torch.ones(2, 2, device=device, requires_grad=True)
    assert not kernels.upfirdn2d(torch.ones(1, 1, 4, 4, device=device), f).requires_grad


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # inside opcheck
@pytest.mark.parametrize("name", ["blur", "up", "down", "uneven"])
def test_the_schema_keeps_its_promises(name: str, device: torch.device) -> None:
    case = {"up": 1, "down": 1, "flip_filter": False, "gain": 1.0, **SETTINGS[name]}
    (ux, uy), (dx, dy) = (v if isinstance(v, tuple) else (v, v) for v in (case["up"], case["down"]))
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 3, 8, 6, device=device).to(memory_format=layout).requires_grad_()
        arguments = x, BLUR.to(device), ux, uy, dx, dy, *case["padding"], case["flip_filter"], case["gain"]
        torch.library.opcheck(torch.ops.explorer.upfirdn2d, arguments)


def test_an_empty_batch_gives_an_empty_batch_and_gradient(device: torch.device) -> None:
    for shape in ((0, 3, 8, 8), (2, 0, 8, 8)):
        x = torch.randn(shape, device=device, requires_grad=True)
        y = kernels.upsample2d(x, BLUR.to(device))
        assert y.shape == (*shape[:2], 16, 16)
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape


def test_autocast_does_not_change_the_format(device: torch.device) -> None:
    x = torch.randn(1, 3, 8, 8, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = kernels.downsample2d(x, BLUR.to(device))
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, kernels.downsample2d(x, BLUR.to(device)))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiles_whole_and_with_dynamic_shapes(backend: str, device: torch.device) -> None:
    def body(x: Tensor) -> Tensor:
        y = kernels.upsample2d(x, f)
        y = kernels.bias_act(y, b, act="lrelu", clamp=0.8)
        y = kernels.demod_bias_act(y, d, noise[:, :, : y.shape[2], : y.shape[3]], 0.3, b)
        return kernels.downsample2d(y, f)

    f, b, d, noise = (t.to(device) for t in (BLUR, torch.randn(3), torch.randn(2, 3), torch.randn(1, 1, 64, 64)))
    torch._dynamo.reset()
    compiled = torch.compile(body, fullgraph=True, dynamic=True, backend=backend)
    for height, width in ((8, 6), (10, 12)):
        x = torch.randn(2, 3, height, width, device=device, requires_grad=backend == "aot_eager")
        y, expected = compiled(x), body(x)
        torch.testing.assert_close(y, expected)
        if x.requires_grad:
            given, exact = (torch.autograd.grad(out.square().sum(), x)[0] for out in (y, expected))
            torch.testing.assert_close(given, exact)


# --- Filters and alignment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taps", [[1], [1, 1], [1, 2, 1], [1, 3, 3, 1], [1, 4, 6, 4, 1], [1, 5, 10, 10, 5, 1]], ids=len)
def test_resampling_keeps_a_flat_image_flat(taps: list[float], device: torch.device) -> None:
    f, x = kernels.setup_filter(taps, device=device), torch.full((1, 1, 12, 12), 0.7, device=device)
    inner = slice(4, -4)
    assert kernels.filter2d(x, f)[..., inner, inner].allclose(x[..., inner, inner])
    assert kernels.downsample2d(x, f)[..., 2:-2, 2:-2].allclose(x[..., :2, :2])
    if len(taps) > 1:  # one tap cannot fill the zeros
        up = kernels.upsample2d(x, f)
        even = kernels.downsample2d(up, kernels.setup_filter([1, 1], device=device))
        assert up.shape[-1] == 24
        assert even[..., inner, inner].allclose(x[..., inner, inner])


@pytest.mark.parametrize("size", [(8, 8), (10, 6)])
@pytest.mark.parametrize("taps", [[1, 1], [1, 3, 3, 1]], ids=len)
def test_sizes_are_multiplied_kept_and_divided(size: tuple[int, int], taps: list[float]) -> None:
    x, f, (h, w) = torch.randn(1, 1, *size), kernels.setup_filter(taps), size
    assert kernels.filter2d(x, f).shape[2:] == (h, w)
    assert kernels.upsample2d(x, f).shape[2:] == (2 * h, 2 * w)
    assert kernels.upsample2d(x, f, up=(1, 2)).shape[2:] == (2 * h, w)
    assert kernels.downsample2d(x, f).shape[2:] == (h // 2, w // 2)
    assert kernels.downsample2d(x, f, padding=(1, 0)).shape[2:] == (h // 2, w // 2 + 1)


def test_symmetric_resampling_commutes_with_mirroring() -> None:
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    for resample in (kernels.upsample2d, kernels.downsample2d):
        torch.testing.assert_close(resample(x.flip(3), BLUR), resample(x, BLUR).flip(3))


def test_down_sampling_is_the_adjoint_of_up_sampling_over_four() -> None:
    x, y = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.randn(1, 1, 12, 12, dtype=torch.float64)
    left = (kernels.upsample2d(x, BLUR) * y).sum()
    torch.testing.assert_close(left, 4 * (x * kernels.downsample2d(y, BLUR, flip_filter=True)).sum())


def test_setup_filter_normalises_flips_and_splits() -> None:
    assert kernels.setup_filter([1, 2, 4]).shape == (3, 3)
    assert kernels.setup_filter(range(1, 9)).shape == (8,)
    assert kernels.setup_filter([1, 2, 4], separable=True).shape == (3,)
    assert kernels.setup_filter(None).tolist() == [[1.0]]
    torch.testing.assert_close(kernels.setup_filter([1, 2, 4]).sum(), torch.tensor(1.0))
    assert kernels.setup_filter([[1, 2], [3, 4]], normalize=False, flip_filter=True).tolist() == [[4, 3], [2, 1]]
    torch.testing.assert_close(kernels.setup_filter([1, 3], gain=4.0).sum(), torch.tensor(4.0))
    torch.testing.assert_close(kernels.setup_filter([1, 3], gain=4.0, separable=True).sum(), torch.tensor(2.0))
    assert kernels.setup_filter(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_wrong_arguments_are_named() -> None:
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        kernels.upfirdn2d(x[0], BLUR)
    with pytest.raises(ValueError, match="up must be at least 1"):
        kernels.upfirdn2d(x, BLUR, up=0)
    with pytest.raises(ValueError, match="padding must be"):
        kernels.upfirdn2d(x, BLUR, padding=(1, 2, 3))
    with pytest.raises(ValueError, match="filter must be"):
        kernels.upfirdn2d(x, torch.ones(1, 1, 1))
    with pytest.raises(ValueError, match="filter must be"):
        kernels.setup_filter([])
    with pytest.raises(ValueError, match="separable"):
        kernels.setup_filter([[1, 2]], separable=True)
    with pytest.raises(TypeError, match="float64, float32"):
        kernels.upfirdn2d(x.int(), BLUR)
    with pytest.raises(RuntimeError, match="too few for 4 taps"):
        kernels.upfirdn2d(x, BLUR, padding=-1)


def test_one_row_of_taps_is_applied_along_both_axes_in_the_reference_too() -> None:
    x, f = torch.randn(1, 2, 6, 5, dtype=torch.float64), torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    settings = {"up": (2, 1), "down": (1, 2), "padding": (1, 2, 3, 0), "gain": 3.0}
    torch.testing.assert_close(
        reference.upfirdn2d(x, f, **settings), reference.upfirdn2d(x, f[:, None] * f, **settings)
    )
