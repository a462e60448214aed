"""filtered_lrelu: the published numbers, the definition in three steps, gradients of both orders, every layout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import assert_close
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

import kernels
from kernels import banded, reference

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = list(enumerate(json.loads((FIXTURES / "flrelu.json").read_text())["cases"]))
STORED = np.load(FIXTURES / "flrelu.npz")
LONG, SHORT = torch.from_numpy(STORED["filter_k24"]), torch.from_numpy(STORED["filter_k12"])
RADIAL = torch.from_numpy(STORED["filter_j12"])
SETTINGS: dict[
    str, dict[str, Any]
] = {  # a layer that keeps its rate, one that doubles it, one that crops, radial, ToRGB, and nothing at all
    "kept": {"fu": SHORT, "fd": SHORT, "up": 2, "down": 2, "padding": (9, 8, 9, 8), "clamp": 256},
    "doubled": {"fu": LONG, "fd": SHORT, "up": 4, "down": 2, "padding": (3, 2, 3, 2), "clamp": 0.8},
    "cropped": {"fu": SHORT, "fd": SHORT, "up": 2, "down": 2, "padding": (5, -3, -1, 6), "slope": 0.0},
    "radial": {"fu": SHORT, "fd": RADIAL, "up": 2, "down": 2, "padding": (11, 10, 11, 10), "clamp": 0.7},
    "colours": {"gain": 1.0, "slope": 1.0, "clamp": 0.9},
    "bare": {},
}


def arguments(case: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A case of the fixture as arguments of the function."""
    filters = {
        key: None if case[key] is None else torch.from_numpy(STORED[f"filter_{case[key]}"]).to(device)
        for key in ("fu", "fd")
    }
    names = "up", "down", "padding", "gain", "slope", "clamp"
    return filters | {name: case[name] for name in names} | {"flip_filter": case.get("flip_filter", False)}


def on(device: torch.device, case: dict[str, Any]) -> dict[str, Any]:
    """A case of SETTINGS as arguments, its filters on `device`."""
    moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in case.items()}
    return {"fu": None, "fd": None, **moved}


@pytest.mark.parametrize(("number", "case"), CASES, ids=[str(number) for number, _ in CASES])
def test_values_and_gradients_are_the_published_ones(number: int, case: dict, device: torch.device) -> None:
    x = torch.from_numpy(STORED["x"]).to(device).requires_grad_()
    b = torch.from_numpy(STORED["bias"]).to(device).requires_grad_() if case["bias"] else None
    y = kernels.filtered_lrelu(x, b=b, **arguments(case, device))
    y.backward(torch.from_numpy(STORED[f"grad_out_{number}"]).to(device))
    # Where `up` is 3, the stored ones multiplied the filter by it in float32: that much they are off.
    bound: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-6} if case["up"] == 3 else {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(y.detach().cpu(), torch.from_numpy(STORED[f"flrelu_{number}"]), **bound)
    assert x.grad is not None
    torch.testing.assert_close(x.grad.cpu(), torch.from_numpy(STORED[f"grad_x_{number}"]), **bound)
    if b is not None:
        assert b.grad is not None
        torch.testing.assert_close(b.grad.cpu(), torch.from_numpy(STORED[f"grad_b_{number}"]), **bound)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
def test_bands_are_the_three_steps(data: st.DataObject) -> None:
    """Any size, factor, padding and filter, in blocks of any length and in groups of any size."""
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    shape = draw(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(1, 30), st.integers(1, 30)))
    case: dict[str, Any] = {
        "up": draw(st.integers(1, 4)),
        "down": draw(st.integers(1, 4)),
        "padding": draw(st.tuples(*[st.integers(-5, 12)] * 4)),
        "gain": draw(st.sampled_from([1.0, 1.5])),
        "clamp": draw(st.sampled_from([None, 0.6])),
        "flip_filter": draw(st.booleans()),
    }
    taps = st.one_of(st.none(), st.tuples(st.integers(1, 9)), st.tuples(st.integers(1, 5), st.integers(1, 5)))
    fu, fd = (None if size is None else torch.randn(size, dtype=torch.float64) for size in (draw(taps), draw(taps)))
    x, b = torch.randn(shape, dtype=torch.float64), torch.randn(shape[1], dtype=torch.float64)
    x0, x1, y0, y1 = case["padding"]
    assume(shape[2] * case["up"] + min(y0, 0) + min(y1, 0) > 0 and shape[3] * case["up"] + min(x0, 0) + min(x1, 0) > 0)
    try:
        exact = reference.filtered_lrelu(x, fu, fd, b, **case)
    except RuntimeError:  # fewer samples than taps
        with pytest.raises(RuntimeError, match="too few"):
            kernels.filtered_lrelu(x, fu, fd, b, **case)
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(banded, "BLOCK", draw(st.integers(1, 40)))
        patch.setattr(banded, "CACHE", draw(st.integers(1, 4000)))
        banded.band.cache_clear()
        assert_close(kernels.filtered_lrelu(x, fu, fd, b, **case), exact, torch.float64, steps=4)
        everything: list[Any] = [
            case["up"],
            case["down"],
            case["padding"],
            case["gain"],
            0.2,
            case["clamp"],
            case["flip_filter"],
        ]
        for adjoint, v in ((False, torch.randn_like(x)), (True, torch.randn_like(exact))):
            given = banded.prepared(x, fu, fd, *everything).grad(v, x, b, adjoint)
            expected = reference.filtered_lrelu_grad(v, x, fu, fd, b, *everything, adjoint=adjoint)
            assert_close(given, expected, torch.float64, steps=4)
    banded.band.cache_clear()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["planar", "channels_last"])
def test_every_format_and_layout(
    name: str, dtype: torch.dtype, layout: torch.memory_format, device: torch.device
) -> None:
    x, b = torch.randn(2, 3, 13, 17).to(dtype).to(memory_format=layout).to(device), torch.randn(3, device=device)
    case = on(device, SETTINGS[name])
    y = kernels.filtered_lrelu(x, b=b, **case)
    exact = reference.filtered_lrelu(x.cpu().double(), b=b.cpu().double(), **on(torch.device("cpu"), SETTINGS[name]))
    assert_close(y, exact, dtype, steps=3 if device.type == "cuda" else 1)
    assert y.is_contiguous(memory_format=layout)
    assert y.data_ptr() != x.data_ptr()


@pytest.mark.parametrize("name", SETTINGS)
def test_gradients_of_first_and_second_order(name: str, device: torch.device) -> None:
    x = torch.randn(2, 2, 12, 11, dtype=torch.float64, device=device, requires_grad=True)
    b = torch.randn(2, dtype=torch.float64, device=device, requires_grad=True)
    case = on(device, SETTINGS[name])

    def run(x: Tensor, b: Tensor) -> Tensor:
        return kernels.filtered_lrelu(x, b=b, **case)

    assert torch.autograd.gradcheck(run, (x, b), fast_mode=True)
    assert torch.autograd.gradgradcheck(run, (x, b), fast_mode=True)


def test_the_gradient_is_the_references_own(device: torch.device) -> None:
    """Registered formulas against PyTorch's autograd through the composed reference, first and second order."""
    for case in SETTINGS.values():
        x, b = torch.randn(1, 3, 14, 12, dtype=torch.float64, device=device), torch.randn(3, device=device).double()
        results = []
        for function in (kernels.filtered_lrelu, reference.filtered_lrelu):
            torch.manual_seed(0)
            leaves = [t.clone().requires_grad_() for t in (x, b)]
            y = function(leaves[0], b=leaves[1], **on(device, case))
            dy = torch.randn_like(y).requires_grad_()
            first = torch.autograd.grad(y, leaves, dy, create_graph=True)
            second = torch.autograd.grad(first[0].square().sum() + first[1].square().sum(), dy)
            results.append((*first, *second))
        for gradient, exact in zip(*results, strict=True):
            torch.testing.assert_close(gradient, exact)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # inside opcheck
@pytest.mark.parametrize("name", ["kept", "radial", "bare"])
def test_the_schema_keeps_its_promises(name: str, device: torch.device) -> None:
    case: dict[str, Any] = {"fu": None, "fd": None, "up": 1, "down": 1, "padding": (0, 0, 0, 0), **SETTINGS[name]}
    fu, fd = (None if case[key] is None else case[key].to(device) for key in ("fu", "fd"))
    limit = float(case.get("clamp") or math.inf)
    numbers: list[Any] = [case["up"], case["down"], *case["padding"], 2**0.5, 0.2, limit, False]
    x = torch.randn(2, 3, 12, 11, device=device).to(memory_format=torch.channels_last).requires_grad_()
    b = torch.randn(3, device=device, requires_grad=True)
    torch.library.opcheck(torch.ops.explorer.filtered_lrelu, (x, fu, fd, b, *numbers))
    dy = torch.randn_like(
        kernels.filtered_lrelu(
            x.detach(), fu, fd, b.detach(), padding=tuple(numbers[2:6]), up=numbers[0], down=numbers[1]
        )
    )
    for v, adjoint in ((torch.randn_like(x), False), (dy, True)):
        gradient = (v.detach().requires_grad_(), x.detach(), fu, fd, b.detach(), *numbers, adjoint)
        torch.library.opcheck(torch.ops.explorer.filtered_lrelu_grad, gradient)


def test_an_empty_batch_gives_an_empty_batch_and_gradient(device: torch.device) -> None:
    for shape in ((0, 3, 8, 8), (2, 0, 8, 8)):
        x, f = torch.randn(shape, device=device, requires_grad=True), SHORT.to(device)
        y = kernels.filtered_lrelu(x, f, f, None, 2, 2, (9, 8, 9, 8))
        assert y.shape == (*shape[:2], 6, 6)
        y.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == shape


def test_the_input_is_left_alone(device: torch.device) -> None:
    x = torch.randn(1, 2, 6, 6, device=device)
    before = x.clone()
    kernels.filtered_lrelu(x, gain=2.0, clamp=0.1)
    assert torch.equal(x, before)


def test_a_flat_image_stays_flat(device: torch.device) -> None:
    """Filters of sum 1: away from the border, only the rectifier is left."""
    f = SHORT.to(device)
    for level in (0.5, -0.5):
        y = kernels.filtered_lrelu(torch.full((1, 1, 24, 24), level, device=device), f, f, None, 2, 2, 11)
        expected = (level if level > 0 else 0.2 * level) * math.sqrt(2)
        assert (y[..., 8:-8, 8:-8] - expected).abs().max() < 0.02 * abs(expected)


def test_compiles_whole(device: torch.device) -> None:
    f, b = SHORT.to(device), torch.randn(3, device=device)

    def body(x: Tensor) -> Tensor:
        return kernels.filtered_lrelu(x, f, f, b, 2, 2, (9, 8, 9, 8)) * 2

    x = torch.randn(2, 3, 8, 8, device=device, requires_grad=True)
    y, expected = torch.compile(body, fullgraph=True, backend="aot_eager")(x), body(x)
    torch.testing.assert_close(y, expected)
    (given,), (exact,) = (torch.autograd.grad(out.square().sum(), x) for out in (y, expected))
    torch.testing.assert_close(given, exact)


def test_wrong_arguments_are_named() -> None:
    x = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        kernels.filtered_lrelu(x[0])
    with pytest.raises(ValueError, match="down must be at least 1"):
        kernels.filtered_lrelu(x, down=0)
    with pytest.raises(ValueError, match="gain above"):
        kernels.filtered_lrelu(x, gain=0)
    with pytest.raises(ValueError, match=r"b must be \[1\]"):
        kernels.filtered_lrelu(x, b=torch.zeros(2))
    with pytest.raises(ValueError, match="filter must be"):
        kernels.filtered_lrelu(x, torch.ones(1, 1, 1))
    with pytest.raises(TypeError, match="float64, float32"):
        kernels.filtered_lrelu(x.int())
    with pytest.raises(RuntimeError, match="too few for 24 taps"):
        kernels.filtered_lrelu(x, LONG)
