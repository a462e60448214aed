"""bias_act and demod_bias_act: the published values, the laws of an epilogue, and every way to call them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import kernels
from kernels import reference

FIXTURES = Path(__file__).parents[1] / "fixtures"
CASES = json.loads((FIXTURES / "ops.json").read_text())["bias_act"]
ACTIVATIONS = list(reference.ACTIVATIONS)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
LAYOUTS = [torch.contiguous_format, torch.channels_last]
opcheck_warns = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


def away_from_kinks(*shape: int) -> Tensor:
    """float64 values whose distance to 0 is at least 0.1, where rectifiers have a derivative."""
    x = torch.randn(shape, dtype=torch.float64)
    return x + 0.1 * x.sign()


def schema(x: Tensor, b: Tensor | None, act: str, clamp: float = math.inf, dim: int = 1) -> Tensor:
    """bias_act through its schema, also on the CPU, where the public function does without."""
    spec = reference.ACTIVATIONS[act]
    return torch.ops.explorer.bias_act(x, b, dim, spec.index, spec.alpha, spec.gain, clamp)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['i']}-{case['act']}")
def test_values_are_the_published_ones(case: dict, device: torch.device) -> None:
    stored = np.load(FIXTURES / "ops.npz")
    x, b = (torch.from_numpy(stored[name]).to(device) for name in ("x", "bias"))
    y = kernels.bias_act(x, b, **{name: case[name] for name in ("act", "alpha", "gain", "clamp")})
    torch.testing.assert_close(y.cpu(), torch.from_numpy(stored[f"act_{case['i']}"]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["planar", "channels_last"])
def test_every_format_and_layout(
    act: str, dtype: torch.dtype, layout: torch.memory_format, device: torch.device
) -> None:
    x, b = torch.randn(2, 16, 5, 7).to(dtype).to(memory_format=layout), torch.randn(16).to(dtype)
    y = kernels.bias_act(x.to(device), b.to(device), act=act, clamp=1.5)
    spec = reference.ACTIVATIONS[act]
    exact = spec.function(x.double() + b.double()[:, None, None], spec.alpha) * spec.gain
    assert_close(y, exact.clamp(-1.5, 1.5), dtype)
    assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("clamp", [math.inf, 0.5], ids=["free", "clamped"])
def test_gradients_of_first_and_second_order(act: str, clamp: float, device: torch.device) -> None:
    torch.manual_seed(0)
    x, b = away_from_kinks(2, 3, 2, 2).to(device).requires_grad_(), torch.zeros(3, dtype=torch.float64, device=device)
    b.requires_grad_()
    for run in (
        lambda x, b: schema(x, b, act, clamp),
        lambda x, b: kernels.bias_act(x, b, act=act, clamp=None if clamp == math.inf else clamp),
    ):
        assert torch.autograd.gradcheck(run, (x, b))
        assert torch.autograd.gradgradcheck(run, (x, b))


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_registered_gradient_is_the_references_own(act: str, device: torch.device) -> None:
    x = away_from_kinks(2, 4, 6, 5).to(device).requires_grad_()
    b = torch.zeros(4, dtype=torch.float64, device=device, requires_grad=True)
    y, expected = schema(x, b, act, 1.5), reference.bias_act(x, b, act=act, clamp=1.5)
    dy = torch.randn_like(y)
    given, exact = (torch.autograd.grad(out, (x, b), dy, create_graph=True) for out in (y, expected))
    torch.testing.assert_close(given, exact, rtol=1e-12, atol=1e-12)
    if exact[0].requires_grad and reference.ACTIVATIONS[act].curvature is not None:
        again, exact_again = (torch.autograd.grad(g[0].square().sum(), (x, b)) for g in (given, exact))
        torch.testing.assert_close(again, exact_again, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("changes", [{"gain": -2.0}, {"alpha": -0.5}, {"gain": 0.0}], ids=str)
def test_odd_gains_and_slopes_have_true_gradients(changes: dict, device: torch.device) -> None:
    x = away_from_kinks(2, 3).to(device).requires_grad_()
    b = torch.zeros(3, dtype=torch.float64, device=device, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, b: kernels.bias_act(x, b, act="lrelu", **changes), (x, b))


class Called(TorchDispatchMode):
    """The names of the operations that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("changes", "schema"),
    [
        ({}, True),
        ({"alpha": 0.0}, True),
        ({"gain": 1e-3}, True),
        ({"alpha": -1e-3}, False),
        ({"gain": 0.0}, False),
        ({"gain": -1.0}, False),
    ],
    ids=str,
)
def test_only_rising_activations_go_through_the_schema(changes: dict, schema: bool) -> None:
    """Its gradient reads the side of the kink off the output. The meta device is none that could skip it."""
    x, b = torch.empty(2, 3, 4, 4, device="meta"), torch.empty(3, device="meta")
    with Called() as called:
        y = kernels.bias_act(x, b, act="lrelu", **changes)
    assert y.shape == x.shape
    assert any("explorer" in name for name in called.names) == schema


def test_the_cpu_does_without_the_schema() -> None:
    x = torch.zeros(1, 3, 2, 2)
    with Called() as called:
        kernels.bias_act(x, act="lrelu")
        kernels.demod_bias_act(x, torch.ones(1, 3))
    assert not any("explorer" in name for name in called.names)


@opcheck_warns
@pytest.mark.parametrize("act", ["linear", "lrelu", "swish"])
def test_the_schemas_keep_their_promises(act: str, device: torch.device) -> None:
    for layout in LAYOUTS:
        x = away_from_kinks(2, 3, 4, 5).to(device).to(memory_format=layout).requires_grad_()
        b = torch.zeros(3, dtype=torch.float64, device=device, requires_grad=True)
        spec = reference.ACTIVATIONS[act]
        rest = 1, spec.index, spec.alpha, spec.gain, 0.7
        torch.library.opcheck(torch.ops.explorer.bias_act, (x, b, *rest))
        dy = torch.randn_like(x).requires_grad_()
        smooth = spec.curvature is not None
        ref = x if smooth else x.detach()
        torch.library.opcheck(torch.ops.explorer.bias_act_grad, (dy, ref, b if smooth else None, *rest))


def test_the_bias_goes_along_its_dimension(device: torch.device) -> None:
    x, b = torch.randn(3, 4, 5, device=device), torch.randn(4, device=device)
    torch.testing.assert_close(kernels.bias_act(x, b), x + b[:, None])
    torch.testing.assert_close(kernels.bias_act(x.movedim(1, 2), b, dim=-1), x.movedim(1, 2) + b)
    torch.testing.assert_close(kernels.bias_act(x.movedim(1, 0), b, dim=0), x.movedim(1, 0) + b[:, None, None])
    assert torch.equal(kernels.bias_act(x), x)


def test_nan_passes_every_activation_and_clamp(device: torch.device) -> None:
    x = torch.tensor([math.nan, 1.0], device=device)
    for act in ACTIVATIONS:
        y = kernels.bias_act(x, dim=0, act=act, clamp=0.5)
        assert y.isnan().tolist() == [True, False]
        assert y[1].item() == pytest.approx(0.5, abs=0.5)


def test_input_and_bias_are_left_alone(device: torch.device) -> None:
    x, b = torch.randn(2, 3, 4, 4, device=device), torch.randn(3, device=device)
    before = x.clone(), b.clone()
    for act in ACTIVATIONS:
        kernels.bias_act(x, b, act=act, clamp=0.1)
        kernels.bias_act(x, act=act)
    kernels.demod_bias_act(x, torch.ones(2, 3, device=device), None, None, b)
    assert torch.equal(x, before[0])
    assert torch.equal(b, before[1])


def test_an_empty_batch_gives_an_empty_batch_and_gradient(device: torch.device) -> None:
    x, b = torch.randn(0, 3, 4, 4, device=device, requires_grad=True), torch.ones(3, device=device, requires_grad=True)
    for y in (kernels.bias_act(x, b, act="lrelu"), schema(x, b, "swish"), kernels.demod_bias_act(x, b=b)):
        assert y.shape == x.shape
        dx, db = torch.autograd.grad(y.sum(), (x, b))
        assert dx.shape == x.shape
        assert torch.equal(db, torch.zeros_like(b))


def test_autocast_does_not_change_the_format(device: torch.device) -> None:
    x, b = torch.randn(1, 3, 4, 4, device=device).bfloat16(), torch.randn(3, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = kernels.bias_act(x, b, act="lrelu")
        z = kernels.demod_bias_act(x, b=b)
    assert y.dtype == z.dtype == torch.bfloat16
    (db,) = torch.autograd.grad(y.float().sum(), b)
    assert db.dtype == torch.float32


# --- demod_bias_act -----------------------------------------------------------------------------------------------


def epilogue(device: torch.device, n: int = 2, c: int = 3, noises: int = 1) -> tuple[Tensor, ...]:
    """x, d, noise, strength, b in float64, away from kinks: x * d dominates the rest."""
    torch.manual_seed(0)
    x, d = 3 * away_from_kinks(n, c, 3, 4), 1 + torch.rand(n, c, dtype=torch.float64)
    noise, b = torch.randn(noises, 1, 3, 4, dtype=torch.float64), 0.01 * torch.randn(c, dtype=torch.float64)
    strength = torch.tensor(0.01, dtype=torch.float64)
    return tuple(t.to(device).requires_grad_() for t in (x, d, noise, strength, b))


@pytest.mark.parametrize("noises", [1, 2])
@pytest.mark.parametrize("clamp", [None, 2.0])
def test_the_epilogue_is_its_steps(noises: int, clamp: float | None, device: torch.device) -> None:
    x, d, noise, strength, b = epilogue(device, noises=noises)
    y = kernels.demod_bias_act(x, d, noise, strength, b, clamp=clamp)
    steps = x * d[:, :, None, None] + noise * strength + b[:, None, None]
    exact = torch.where(steps > 0, steps, 0.2 * steps) * math.sqrt(2)
    torch.testing.assert_close(y, exact if clamp is None else exact.clamp(-clamp, clamp))
    torch.testing.assert_close(kernels.demod_bias_act(x), kernels.bias_act(x, act="lrelu"))
    torch.testing.assert_close(kernels.demod_bias_act(x, b=b), kernels.bias_act(x, b, act="lrelu"))


@pytest.mark.parametrize("noises", [1, 2])
def test_epilogue_gradients_of_first_and_second_order(noises: int, device: torch.device) -> None:
    inputs = epilogue(device, noises=noises)

    def through_the_schema(x: Tensor, d: Tensor, noise: Tensor, strength: Tensor, b: Tensor) -> Tensor:
        return torch.ops.explorer.demod_bias_act(x, d, noise * strength, b, 0.2, math.sqrt(2), 5.0)

    for run in (through_the_schema, kernels.demod_bias_act):
        assert torch.autograd.gradcheck(run, inputs)
        assert torch.autograd.gradgradcheck(run, inputs)


def test_epilogue_gradients_of_parts_do_not_need_the_rest(device: torch.device) -> None:
    x, _, noise, _, b = (t.detach() for t in epilogue(device))
    for part in (x, noise, b):
        part.requires_grad_()
        y = torch.ops.explorer.demod_bias_act(x, None, noise, b, 0.2, 1.0, math.inf)
        assert torch.autograd.grad(y.sum(), part)[0].shape == part.shape
        part.requires_grad_(False)


@opcheck_warns
def test_the_epilogues_schema_keeps_its_promises(device: torch.device) -> None:
    x, d, noise, _, b = epilogue(device)
    for arguments in ((x, d, noise, b), (x, None, None, None), (x.detach(), d, None, b)):
        torch.library.opcheck(torch.ops.explorer.demod_bias_act, (*arguments, 0.2, 1.4, 2.0))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS, ids=["planar", "channels_last"])
def test_the_epilogue_in_every_format_and_layout(
    dtype: torch.dtype, layout: torch.memory_format, device: torch.device
) -> None:
    x, d, noise, _, b = (t.detach() for t in epilogue(device, c=16))
    x = x.to(dtype).to(memory_format=layout)
    y = kernels.demod_bias_act(x, d.to(dtype), noise.to(dtype), 0.5, b.to(dtype))
    assert_close(
        y, reference.demod_bias_act(x.double(), d, noise, 0.5, b), dtype, steps=3
    )  # on the CPU it rounds in each
    assert y.is_contiguous(memory_format=layout)


def test_wrong_arguments_are_named() -> None:
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match="unknown activation 'gelu'"):
        kernels.bias_act(x, act="gelu")
    with pytest.raises(ValueError, match="b must be one value per entry"):
        kernels.bias_act(x, torch.zeros(4))
    with pytest.raises(ValueError, match="b must be one value per entry"):
        kernels.bias_act(x, torch.zeros(3), dim=4)
    with pytest.raises(ValueError, match="clamp"):
        kernels.bias_act(x, clamp=-1.0)
    with pytest.raises(TypeError, match="float64, float32"):
        kernels.bias_act(x.long())
    with pytest.raises(ValueError, match=r"d must be \[2, 3\]"):
        kernels.demod_bias_act(x, d=torch.ones(3))
    with pytest.raises(ValueError, match=r"noise must be \[1 or 2, 1, 4, 4\]"):
        kernels.demod_bias_act(x, noise=torch.ones(4, 4))
    with pytest.raises(ValueError, match=r"b must be \[3\]"):
        kernels.demod_bias_act(x, b=torch.ones(2))
    with pytest.raises(ValueError, match="alpha and clamp"):
        kernels.demod_bias_act(x, alpha=-0.1)
