"""The CUDA kernels' code: its arithmetic on the CPU over a loop of thread indices, and nvcc and NVRTC as compilers.

What this cannot show: that a GPU runs it, or how fast.
"""

from __future__ import annotations

import ctypes
import math
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import kernels
from kernels import compile, nvrtc, ops, plan, reference, tiles, toolchain

HERE = Path(__file__).parent
DTYPES = {torch.float64: 0, torch.float32: 1, torch.float16: 2, torch.bfloat16: 3}  # Dtype in csrc/launch.h
ARCHITECTURES = ("75", "80", "86", "90")


class Host:
    """Two ways to reach g++'s build of the kernels: through the binding, and through the launches planned in Python."""

    def __init__(self, path: Path) -> None:
        torch.ops.load_library(path)
        self.library = ctypes.CDLL(str(path))
        self.planned = nvrtc.Operations(self.run)
        self.bound: Any = torch.ops.explorer_host
        self.launches: list[plan.Launch] = []

    def run(self, launch: plan.Launch) -> None:
        """Run a planned launch to its end."""
        self.launches.append(launch)
        params, dtype = ctypes.byref(launch.params), DTYPES[next(t for t in launch.tensors if t is not None).dtype]
        if launch.kernel == "Pointwise":
            smooth, gradient, width = launch.arguments[1:4]
            assert not self.library.host_pointwise(params, dtype, smooth == "true", gradient == "true", width != "1")
        elif launch.kernel == "FilteredLrelu":
            assert not self.library.host_filtered_lrelu(params, dtype, launch.arguments[1] != "0")
        else:
            kernel = ("UpfirdnGeneral", "UpfirdnTile", "UpfirdnStrip").index(launch.kernel)
            assert not self.library.host_upfirdn2d(params, dtype, kernel)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The kernels, the binding and the entry points of host.cpp, by g++ with warnings as errors."""
    compiler = toolchain.cxx()
    if compiler is None:
        pytest.skip("no C++ compiler: the kernels' arithmetic is not tested")
    definitions = torch.library.Library("explorer_host", "FRAGMENT")
    for schema in ops.SCHEMAS:
        definitions.define(schema)
    target = tmp_path_factory.mktemp("host") / "host.so"
    command = [compiler, "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", "-fPIC", "-shared"]
    command += ["-DEXPLORER_NAMESPACE=explorer_host", "-DEXPLORER_KEY=CPU", f"-DTORCH_TARGET_VERSION={compile.TARGET}"]
    command += ["-isystem", str(toolchain.TORCH / "include"), f"-I{compile.SOURCES}"]
    command += [str(compile.SOURCES / "binding.cpp"), str(HERE / "host.cpp"), "-x", "c++"]
    command += [str(compile.SOURCES / name) for name in ("filtered_lrelu.cu", "pointwise.cu", "upfirdn2d.cu")]
    command += ["-x", "none", f"-L{toolchain.TORCH / 'lib'}", "-ltorch_cpu", "-lc10", "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    yield Host(target)
    del definitions  # not before: its end takes the schemas away


@pytest.fixture(scope="session", params=["bound", "planned"])
def path(request: pytest.FixtureRequest, host: Host) -> Any:
    """The operations by way of the C++ binding, and by way of the launches that Python plans for NVRTC."""
    return getattr(host, request.param)


def inputs(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> Tensor:
    x = torch.randn(shape).to(dtype)
    if layout == "channels_last":
        return x.to(memory_format=torch.channels_last)
    if layout == "transposed":
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "strided":
        return x.repeat_interleave(2, dim=3)[..., ::2]
    if layout == "misaligned":
        return F.pad(x.flatten(), (1, 0))[1:].view(shape)
    return x


def double(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.double()


LAYOUTS = st.sampled_from(["contiguous", "channels_last", "transposed", "strided", "misaligned"])
SHAPES = st.tuples(st.integers(0, 2), st.sampled_from([1, 3, 8, 16]), st.integers(1, 40), st.integers(1, 80))
FACTORS = st.sampled_from([((1, 1), (1, 1)), ((2, 2), (1, 1)), ((1, 1), (2, 2)), ((2, 2), (2, 2)), ((3, 1), (1, 2))])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_upfirdn2d_on_the_cpu_is_the_reference(data: st.DataObject, path: Any) -> None:
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    dtype, (up, down) = draw(st.sampled_from(list(DTYPES))), draw(FACTORS)
    x = inputs(draw(SHAPES), dtype, draw(LAYOUTS))
    taps = draw(st.sampled_from([(4, 4), (4, 4), (1, 1), (2, 2), (3, 3), (5, 5), (6, 6), (8, 8), (4, 3)]))
    f, pad = torch.randn(taps), draw(st.tuples(*[st.integers(-2, 6)] * 4))
    flip, gain = draw(st.booleans()), draw(st.sampled_from([1.0, 2.5]))
    arguments = up, down, pad, flip, gain
    if min(x.shape[3] * up[0] + pad[0] + pad[1] - taps[1], x.shape[2] * up[1] + pad[2] + pad[3] - taps[0]) < 0:
        with pytest.raises(RuntimeError, match="too few"):
            path.upfirdn2d(x, f, *up, *down, *pad, flip, gain)
        return
    y = path.upfirdn2d(x, f, *up, *down, *pad, flip, gain)
    assert_close(y, reference.upfirdn2d(x.double(), f.double(), *arguments), dtype)
    if y.numel():
        assert y.stride() == torch.ops.explorer.upfirdn2d(x, f, *up, *down, *pad, flip, gain).stride()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_bias_act_and_its_gradient_on_the_cpu_are_the_reference(data: st.DataObject, path: Any) -> None:
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    dtype, name = draw(st.sampled_from(list(DTYPES))), draw(st.sampled_from(list(reference.ACTIVATIONS)))
    x, spec = inputs(draw(SHAPES), dtype, draw(LAYOUTS)), reference.ACTIVATIONS[name]
    dim, clamp = draw(st.integers(0, 3)), draw(st.sampled_from([math.inf, 0.7]))
    b = draw(st.sampled_from([None, torch.randn(x.shape[dim])]))
    case = dim, spec.index, spec.alpha, spec.gain, clamp
    y = path.bias_act(x, b, *case)
    exact = torch.ops.explorer.bias_act(x.double(), double(b), *case)
    assert_close(y, exact, dtype)
    assert y.stride() == torch.empty_like(x).stride()
    ref, b = (exact.to(dtype), None) if spec.curvature is None else (x, b)
    dy = inputs(tuple(x.shape), dtype, draw(LAYOUTS))
    dx = path.bias_act_grad(dy, ref, b, *case)
    # Where rounding moves a value over the clamp the gradients may differ: leave those out.
    edge = (exact.abs() - clamp).abs() < 2e-2
    exact_dx = torch.ops.explorer.bias_act_grad(dy.double(), ref.double(), double(b), *case)
    assert_close(dx.masked_fill(edge, 0), exact_dx.masked_fill(edge, 0), dtype)
    assert dx.stride() == torch.empty_like(ref).stride()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_demod_bias_act_on_the_cpu_is_the_reference(data: st.DataObject, path: Any) -> None:
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    dtype = draw(st.sampled_from(list(DTYPES)))
    x = inputs(draw(SHAPES), dtype, draw(LAYOUTS))
    n, c, h, w = x.shape
    d = draw(st.sampled_from([None, torch.randn(n, c)]))
    noise = draw(st.sampled_from([None, torch.randn(1, 1, h, w), torch.randn(n, 1, h, w)]))
    b, clamp = draw(st.sampled_from([None, torch.randn(c)])), draw(st.sampled_from([math.inf, 0.7]))
    y = path.demod_bias_act(x, d, noise, b, 0.2, math.sqrt(2), clamp)
    arguments = x.double(), double(d), double(noise), double(b), 0.2, math.sqrt(2), clamp
    exact = torch.ops.explorer.demod_bias_act(*arguments)
    # The sum is made in float32, but its terms may cancel.
    assert_close(y, exact, dtype)
    assert y.stride() == torch.empty_like(x).stride()


FILTERS = st.one_of(st.none(), st.tuples(st.sampled_from([1, 2, 5, 12])), st.tuples(*[st.integers(1, 6)] * 2))
DESIGNED = ((2, 2, (12,), (12,)), (4, 2, (24,), (12,)), (2, 2, (12,), (12, 12)))  # StyleGAN3's own


@settings(max_examples=120, deadline=None, derandomize=True)
@given(data=st.data())
def test_filtered_lrelu_and_both_its_derivatives_on_the_cpu_are_the_reference(data: st.DataObject, path: Any) -> None:
    draw = data.draw
    torch.manual_seed(draw(st.integers(0, 99)))
    dtype, layout = draw(st.sampled_from(list(DTYPES))), draw(LAYOUTS)
    shape = draw(st.tuples(st.integers(1, 2), st.sampled_from([1, 3, 8]), st.integers(1, 40), st.integers(1, 40)))
    any_case = st.tuples(st.integers(1, 4), st.integers(1, 4), FILTERS, FILTERS)
    up, down, *sizes = draw(st.sampled_from(DESIGNED) | any_case)
    fu, fd = (None if size is None else torch.randn(size) / math.prod(size) ** 0.5 for size in sizes)
    pad, flip = draw(st.tuples(*[st.integers(-3, 14)] * 4)), draw(st.booleans())
    x, b = inputs(shape, dtype, layout), draw(st.sampled_from([None, torch.randn(shape[1])]))
    limit = draw(st.sampled_from([None, 0.8]))
    everything: list[Any] = [double(x), double(fu), double(fd), double(b), up, down, pad, 1.4, 0.2, limit, flip]
    try:
        exact = reference.filtered_lrelu(*everything)
    except RuntimeError:  # fewer samples than taps, or none
        return
    clamp = math.inf if limit is None else limit

    def run(v: Tensor | None, adjoint: bool) -> Tensor:
        case = tiles.between(x, v, fu, fd, up, down, pad, flip, adjoint)
        arguments = case.arguments(8 if dtype == torch.float64 else 4)
        assert arguments is not None
        return path.filtered_lrelu_tiles(x, v, b, *arguments, 1.4, 0.2, clamp)

    y = run(None, False)
    assert_close(y, exact, dtype, steps=2)
    assert y.is_contiguous(memory_format=kernels.ops.memory_format(x))
    # A slope jumps at its kinks: where rounding leaves a value on the other side, the gradient may differ.
    if dtype == torch.float64:
        for adjoint, like in ((False, x), (True, y)):
            v = inputs(tuple(like.shape), dtype, draw(LAYOUTS))
            expected = reference.filtered_lrelu_grad(v, *everything, adjoint=adjoint)
            assert_close(run(v, adjoint), expected, dtype, steps=4)


def test_stylegan3s_own_layers_get_the_special_kernel(host: Host) -> None:
    x = torch.randn(1, 2, 40, 40)
    for up, down, fu, fd in DESIGNED:
        case = tiles.between(x, None, torch.randn(fu), torch.randn(fd), up, down, (5, 5, 5, 5), False, False)
        arguments = case.arguments(4)
        assert arguments is not None
        assert math.prod(case.tile(4) or (0,)) >= 512
        host.planned.filtered_lrelu_tiles(x, None, None, *arguments, 1.0, 0.2, math.inf)
        assert host.launches[-1].arguments == ("float", *((str(up), "2") if len(fd) == 1 else ("0", "0")))


def test_a_filter_that_fits_no_tile_is_composed() -> None:
    x, f = torch.randn(1, 1, 120, 120, dtype=torch.float64), torch.randn(90, dtype=torch.float64)
    pad = 90, 90, 90, 90
    assert tiles.between(x, None, f, f, 1, 1, pad, False, False).arguments(8) is None
    y = ops._tiled(None, x, f, f, None, 1, 1, pad, 1.0, 0.2, math.inf, False, False)
    assert_close(y, reference.filtered_lrelu(x, f, f, None, 1, 1, pad, 1.0, 0.2), torch.float64, steps=10)


@pytest.mark.parametrize("taps", [5, 6])
def test_filters_wider_than_the_special_kernels_keep_all_taps(taps: int, path: Any) -> None:
    """Elsewhere 5 and 6 taps once went to the 4-tap kernel in channels_last."""
    x = torch.randn(1, 8, 16, 16).to(memory_format=torch.channels_last)
    f = torch.zeros(taps, taps)
    f[-1, -1] = f[0, 0] = 1.0
    y = path.upfirdn2d(x, f, 1, 1, 1, 1, 0, 0, 0, 0, True, 1.0)
    torch.testing.assert_close(y, x[..., : 17 - taps, : 17 - taps] + x[..., taps - 1 :, taps - 1 :])


def test_stylegans_own_settings_get_the_special_kernels(host: Host) -> None:
    f = kernels.setup_filter([1, 3, 3, 1])
    for layout, wanted in (("contiguous", "UpfirdnTile"), ("channels_last", "UpfirdnStrip")):
        for up, down in ((1, 1), (2, 1), (1, 2)):
            host.planned.upfirdn2d(
                inputs((1, 8, 16, 16), torch.float16, layout), f, up, up, down, down, 2, 1, 2, 1, False, 1.0
            )
            assert host.launches[-1].kernel == wanted


def test_whole_rows_move_sixteen_bytes_at_a_time(host: Host) -> None:
    for dtype, width in ((torch.float16, "8"), (torch.float32, "4"), (torch.float64, "2")):
        for layout in ("contiguous", "channels_last"):
            host.planned.demod_bias_act(
                inputs((1, 8, 4, 4), dtype, layout), None, None, torch.ones(8), 0.2, 1.0, math.inf
            )
            assert host.launches[-1].arguments[3] == width


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_nan_and_infinity_stay_what_they_are(name: str, path: Any) -> None:
    spec = reference.ACTIVATIONS[name]
    x = torch.tensor([math.nan, math.inf, -math.inf, 200.0, -200.0, 0.0])
    for clamp in (math.inf, 2.0):
        y = path.bias_act(x, None, 0, spec.index, spec.alpha, 1.0, clamp)
        exact = reference.bias_act(x.double(), None, 0, name, None, 1.0, None if clamp == math.inf else clamp)
        if name == "swish":
            exact[2] = y[2].double()  # -inf * 0: the limit is 0, the product is not
        torch.testing.assert_close(y.double(), exact, equal_nan=True, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["elu", "selu", "softplus", "tanh", "swish"])
def test_small_results_keep_their_digits(name: str, path: Any) -> None:
    """exp(u) - 1 and log(1 + exp(u)) as they stand would lose them."""
    x = torch.tensor([-1e-6, 1e-6, -3e-4] if name != "softplus" else [-20.0, -40.0, -80.0])
    spec = reference.ACTIVATIONS[name]
    y = path.bias_act(x, None, 0, spec.index, spec.alpha, 1.0, math.inf)
    torch.testing.assert_close(y.double(), spec.function(x.double(), 0.0), rtol=1e-6, atol=0)


def test_structures_are_the_same_size_in_python_and_c(host: Host) -> None:
    assert host.library.host_sizeof_pointwise() == ctypes.sizeof(plan.PointwiseParams)
    assert host.library.host_sizeof_upfirdn2d() == ctypes.sizeof(plan.Upfirdn2dParams)
    assert host.library.host_sizeof_filtered_lrelu() == ctypes.sizeof(plan.FilteredLreluParams)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(n=st.integers(0, 2**31 - 1), divisor=st.integers(1, 2**31 - 1) | st.integers(1, 2000))
def test_the_divider_divides(n: int, divisor: int, host: Host) -> None:
    assert host.library.host_quotient(n, ctypes.byref(plan.divider(divisor))) == n // divisor


@settings(max_examples=300, deadline=None, derandomize=True)
@given(bits=st.integers(0, 2**32 - 1) | st.integers(0, 2**16 - 1).map(lambda top: (top << 16) + 0x8000))
def test_bfloat16_rounds_to_nearest_even(bits: int, host: Host) -> None:
    value = ctypes.c_float.from_buffer(ctypes.c_uint(bits))
    expected = torch.tensor(value.value).to(torch.bfloat16)
    rounded = torch.tensor([host.library.host_to_bfloat(value)], dtype=torch.uint16).view(torch.bfloat16)[0]
    torch.testing.assert_close(rounded, expected, equal_nan=True, rtol=0, atol=0)


def test_more_than_two_billion_elements_are_reached(host: Host) -> None:
    """1024 px, 32 channels, batch 65, of which only the last pages are touched: 64-bit indices from 2^31 on."""
    shape = 65, 32, 1024, 1024
    try:
        x, y = torch.empty(shape, dtype=torch.float16), torch.empty(shape, dtype=torch.float16)
    except RuntimeError:
        pytest.skip("this machine does not lend 9 GB of address space")
    last = torch.arange(1, 9, dtype=torch.float16)
    x[-1, -1, -1, -8:] = last
    b = torch.full((32,), 0.5)
    launch = plan.pointwise(x, None, y, None, None, b, 1, 0, 0.0, 2.0, math.inf)
    assert launch.arguments[-1] == plan.WIDE
    host.library.host_pointwise_at(ctypes.byref(launch.params), ctypes.c_ulonglong(x.numel() - 8))
    assert torch.equal(y[-1, -1, -1, -8:], 2 * last + 1)

    f = torch.zeros(4, 4)
    f[1, 1] = 1.0
    x[-1, -1, -1, -256:] = 1.0
    x[-1, -1, -1, -8:] = last
    for f_used, name in ((f, "tile"), (f[:3, :3].contiguous(), "general")):
        after = f_used.shape[0] - 2
        y[-1, -1, -1, -8:] = 0
        launch = plan.upfirdn2d(x, f_used, y, (1, 1), (1, 1), (1, after, 1, after), True, 1.0)
        assert launch.kernel == f"Upfirdn{name.title()}"
        blocks = launch.params.total if name == "tile" else -(-launch.params.total // 256)
        getattr(host.library, f"host_upfirdn2d_{name}_block")(ctypes.byref(launch.params), blocks - 1)
        assert torch.equal(y[-1, -1, -1, -8:], last)


# --- Compilers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["filtered_lrelu.cu", "pointwise.cu", "upfirdn2d.cu"])
def test_nvcc_compiles_without_warnings_and_without_spills(source: str, tmp_path: Path) -> None:
    home = toolchain.cuda_home()
    if home is None:
        pytest.skip("no nvcc on this machine: the CUDA sources are not compiled")
    command = [str(home / "bin" / "nvcc"), "-std=c++17", "-O3", "-Werror", "all-warnings", "-Xptxas", "-v"]
    command += [f"-gencode=arch=compute_{arch},code=sm_{arch}" for arch in ARCHITECTURES]
    command += ["-t", "2", "-c", str(compile.SOURCES / source), "-o", str(tmp_path / "out.o")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert len(spills) >= (12 if source == "filtered_lrelu.cu" else 32) * len(ARCHITECTURES)
    assert {numbers for spill in spills for numbers in spill} == {"0"}


def test_device_headers_know_no_torch_and_no_system_on_the_gpu_side() -> None:
    for name in ("common.h", "filtered_lrelu.h", "pointwise.h", "upfirdn2d.h"):
        text = (compile.SOURCES / name).read_text()
        assert "torch/" not in text
        included = re.findall(r"#include ([<\"].*)", text)
        assert all(header.startswith('"') or header in ("<cmath>", "<cstring>") for header in included)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_nvrtc_compiles_every_planned_kernel(arch: str) -> None:
    try:
        nvrtc.compiler()
    except compile.BuildError as error:
        pytest.skip(str(error))
    instances = ["explorer::Pointwise<explorer::Half, false, false, 8, unsigned int>"]
    if arch == "90":
        instances += ["explorer::Pointwise<explorer::BFloat, true, true, 1, unsigned long long>"]
        instances += ["explorer::UpfirdnGeneral<double, unsigned int>", "explorer::UpfirdnTile<float, 2, 1, 4>"]
        instances += ["explorer::UpfirdnStrip<explorer::Half, 1, 2, 4>"]
        instances += [
            f"explorer::FilteredLrelu<{t}, {f}>" for t in ("double", "explorer::Half") for f in ("0, 0", "4, 2")
        ]
    for instance in instances:
        code, name = nvrtc.translate(instance, arch)
        assert code[:4] == b"\x7fELF"
        assert name in code


def test_nvrtc_shows_the_cause_of_a_failure() -> None:
    try:
        nvrtc.compiler()
    except compile.BuildError as error:
        pytest.skip(str(error))
    with pytest.raises(compile.BuildError, match="Misspelt"):
        nvrtc.translate("explorer::Misspelt<float>", "90")
