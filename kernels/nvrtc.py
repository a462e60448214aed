"""The CUDA kernels without a compiler on the machine: NVRTC from PyTorch's pip packages translates them, the driver
runs them.

Each instance of a kernel is compiled when it is first needed (a fraction of a second) and kept for the process: run
everything once before capturing a CUDA graph. Knows
nothing of schemas' gradients and nothing of the other ways to build.
"""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import plan, toolchain
from .compile import SOURCES, BuildError, architecture, last_lines
from .geometry import memory_format

PROGRAM = '#include "filtered_lrelu.h"\n#include "pointwise.h"\n#include "upfirdn2d.h"\n'

_functions: dict[tuple[int, str], ctypes.c_void_p] = {}
_lock = threading.Lock()


@functools.cache
def compiler() -> ctypes.CDLL:
    """The NVRTC library, from the pip packages or the system. Raises BuildError."""
    if torch.version.cuda is None:
        raise BuildError("this PyTorch was built without CUDA: install the CUDA build from pytorch.org")
    soname = f"libnvrtc.so.{torch.version.cuda.split('.')[0]}"
    packaged = [folder / soname for folder in toolchain.wheel_folders("lib")]
    for candidate in [*(str(path) for path in packaged if path.exists()), soname]:
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise BuildError(f"{soname} was not found: pip install nvidia-cuda-nvrtc")


def translate(instance: str, arch: str) -> tuple[bytes, bytes]:
    """Compile one instance, like "explorer::UpfirdnGeneral<float, unsigned int>", for an architecture like "90".

    Returns the machine code and the kernel's name in it. Needs no GPU. Raises BuildError with the compiler's last
    lines.
    """
    nvrtc, program = compiler(), ctypes.c_void_p()
    expression = f"explorer::entry<{instance}>".encode()
    options = [b"-std=c++17", f"-arch=sm_{arch}".encode(), f"-I{SOURCES}".encode()]
    _check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), PROGRAM.encode(), b"explorer.cu", 0, None, None))
    try:
        _check(nvrtc.nvrtcAddNameExpression(program, expression))
        if nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)):
            raise BuildError(f"NVRTC failed:\n{last_lines(_text(nvrtc, program).decode(errors='replace'))}")
        size, name = ctypes.c_size_t(), ctypes.c_char_p()
        _check(nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        code = ctypes.create_string_buffer(size.value)
        _check(nvrtc.nvrtcGetCUBIN(program, code))
        _check(nvrtc.nvrtcGetLoweredName(program, expression, ctypes.byref(name)))
        return code.raw, name.value or b""
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _text(nvrtc: ctypes.CDLL, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(max(1, size.value))
    nvrtc.nvrtcGetProgramLog(program, log)
    return log.value


def _check(code: int) -> None:
    if code:
        raise BuildError(f"NVRTC error {code}")


@functools.cache
def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")


def _call(name: str, *arguments: object) -> None:
    code = getattr(_driver(), name)(*arguments)
    if code:
        text = ctypes.c_char_p()
        _driver().cuGetErrorString(code, ctypes.byref(text))
        raise RuntimeError(f"{name}: {(text.value or b'error').decode()} ({code})")


def _enter_context(device: int) -> None:
    """Make the device's primary context, the one PyTorch uses, current on this thread if it has none (a fresh
    thread).
    """
    current, handle = ctypes.c_void_p(), ctypes.c_int()
    _call("cuCtxGetCurrent", ctypes.byref(current))
    if not current:
        _call("cuDeviceGet", ctypes.byref(handle), device)
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(current), handle)
        _call("cuCtxSetCurrent", current)


def _function(instance: str) -> ctypes.c_void_p:
    """The loaded kernel for the current device; compiled on first use."""
    key = torch.cuda.current_device(), instance
    with _lock:
        if key not in _functions:
            code, name = translate(instance, architecture())
            module, function = ctypes.c_void_p(), ctypes.c_void_p()
            _call("cuModuleLoadData", ctypes.byref(module), code)
            _call("cuModuleGetFunction", ctypes.byref(function), module, name)
            _functions[key] = function  # modules are never unloaded: the kernels serve as long as the process
        return _functions[key]


def run(launch: plan.Launch) -> None:
    """Queue a launch on the current stream of its tensors' device."""
    device = next(t.device for t in launch.tensors if t is not None)
    with torch.cuda.device(device):
        _enter_context(torch.cuda.current_device())
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        params = (ctypes.c_void_p * 1)(ctypes.addressof(launch.params))
        block = launch.threads, 1, 1
        _call("cuLaunchKernel", _function(launch.instance), launch.blocks, 1, 1, *block, 0, stream, params, None)


class Operations:
    """The operations of `kernels/ops.py` as launches. `run` queues one; the tests put a loop on the CPU in its
    place.
    """

    def __init__(self, run: Callable[[plan.Launch], None] = run) -> None:
        self._run = run

    def upfirdn2d(
        self, x: Tensor, f: Tensor, ux: int, uy: int, dx: int, dy: int, x0: int, x1: int, y0: int, y1: int,
        flip: bool, gain: float,
    ) -> Tensor:  # fmt: skip
        """See the schema."""
        up, down, pad = (ux, uy), (dx, dy), (x0, x1, y0, y1)
        f = _in_sum_type(f, x)
        y = plan.upfirdn2d_output(x, f, up, down, pad)
        if y.numel():
            self._run(plan.upfirdn2d(x, f, y, up, down, pad, flip, gain))
        return y

    def bias_act(
        self, x: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
    ) -> Tensor:
        """See the schema."""
        return self._pointwise(x, None, None, None, b, dim, act, alpha, gain, clamp)

    def bias_act_grad(
        self, dy: Tensor, ref: Tensor, b: Tensor | None, dim: int, act: int, alpha: float, gain: float, clamp: float
    ) -> Tensor:
        """See the schema."""
        return self._pointwise(dy, ref, None, None, b, dim, act, alpha, gain, clamp)

    def demod_bias_act(
        self,
        x: Tensor,
        d: Tensor | None,
        noise: Tensor | None,
        b: Tensor | None,
        alpha: float,
        gain: float,
        clamp: float,
    ) -> Tensor:
        """See the schema."""
        return self._pointwise(x, None, d, noise, b, 1, 2, alpha, gain, clamp)

    def filtered_lrelu_tiles(
        self, x: Tensor, v: Tensor | None, b: Tensor | None, f_x: Tensor, f_v: Tensor | None, f_y: Tensor, *numbers: Any
    ) -> Tensor:
        """See the schema."""
        size = *x.shape[:2], *numbers[17:19]
        y = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_format(x))
        if y.numel():
            filters = _in_sum_type(f_x, x), None if f_v is None else _in_sum_type(f_v, x), _in_sum_type(f_y, x)
            b = None if b is None else _in_sum_type(b, x)
            self._run(plan.filtered_lrelu(x, v, b, filters, y, *numbers))
        return y

    def _pointwise(
        self,
        x: Tensor,
        ref: Tensor | None,
        d: Tensor | None,
        noise: Tensor | None,
        b: Tensor | None,
        dim: int,
        *rest: Any,
    ) -> Tensor:
        like = x if ref is None else ref
        y = torch.empty_like(like)
        if not y.numel():
            return y
        last = dim == 1 and like.ndim == 4 and memory_format(like) == torch.channels_last
        layout = torch.channels_last if last else torch.contiguous_format
        x, ref = x.contiguous(memory_format=layout), None if ref is None else ref.contiguous(memory_format=layout)
        d, noise, b = (None if t is None else _in_sum_type(t, like) for t in (d, noise, b))
        out = y if y.is_contiguous(memory_format=layout) else torch.empty_like(y, memory_format=layout)
        self._run(plan.pointwise(x, ref, out, d, noise, b, dim, *rest))
        return y if out is y else y.copy_(out)


def _in_sum_type(t: Tensor, x: Tensor) -> Tensor:
    return t.to(torch.float64 if x.dtype == torch.float64 else torch.float32).contiguous()
