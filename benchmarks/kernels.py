"""How fast the operations of `kernels/` are, as shares of what memory allows, against plain PyTorch and torch.compile.

`python -m benchmarks.kernels` measures whatever device there is and rewrites its half of `benchmarks/kernels.md`; the
other half keeps what was measured elsewhere, or "not measured". Copy bandwidth is measured in the same run. It knows
nothing of networks: pictures per second are the engine's benchmark.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import kernels
from kernels import build, reference

REPORT = Path(__file__).with_suffix(".md")
BLUR = kernels.setup_filter([1, 3, 3, 1])
MEBI = 2**20


@dataclass(frozen=True)
class Case:
    """One operation on one tensor; `moved` counts the bytes that must be read and written at least."""

    name: str
    x: Tensor
    ours: Callable[[Tensor], Tensor]
    plain: Callable[[Tensor], Tensor]

    @property
    def moved(self) -> int:
        """Bytes of input and output; filters, biases and the one noise image are too small to count."""
        y = self.ours(self.x)
        return sum(t.numel() * t.element_size() for t in (self.x, y))


@dataclass(frozen=True)
class Row:
    """One line of the table; times in microseconds, medians."""

    case: str
    moved: int
    ours: float
    plain: float
    compiled: float | None
    bandwidth: float  # of a copy, bytes per second

    @property
    def share(self) -> float:
        """Of the copy bandwidth, reached by ours."""
        return self.moved / (self.ours * 1e-6) / self.bandwidth

    def markdown(self) -> str:
        """The line."""
        compiled = "-" if self.compiled is None else f"{self.compiled:.0f}"
        cells = (
            self.case,
            f"{self.moved / MEBI:.1f}",
            f"{self.ours:.0f}",
            f"{self.plain:.0f}",
            compiled,
            f"{self.share:.0%}",
        )
        return f"| {' | '.join(cells)} |"


def seconds(run: Callable[[], object], device: torch.device, budget: float) -> float:
    """Median time of `run` over about `budget` seconds, after warming up; on a GPU by events."""
    for _ in range(3):
        run()
    times: list[float] = []
    end = time.perf_counter() + budget
    while len(times) < 5 or time.perf_counter() < end:
        if device.type == "cuda":
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            run()
            stop.record()
            stop.synchronize()
            times.append(start.elapsed_time(stop) * 1e-3)
        else:
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def copy_bandwidth(device: torch.device, budget: float) -> float:
    """Bytes per second, read and written, of copying 512 MiB (64 on a CPU)."""
    source = torch.zeros((512 if device.type == "cuda" else 64) * MEBI, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() / seconds(lambda: target.copy_(source), device, budget)


def cases(device: torch.device) -> Iterator[Case]:
    """The operations on the tensors of StyleGAN2 at 1024 px (channels 32768 / resolution, at most 512)."""
    gpu = device.type == "cuda"
    f = BLUR.to(device)
    for dtype in (torch.float16, torch.float32) if gpu else (torch.bfloat16, torch.float32):
        for layout in (torch.channels_last, torch.contiguous_format):
            for resolution, batch in ((256, 16), (1024, 16), (1024, 1)) if gpu else ((64, 8), (256, 1)):
                channels = min(512, 32768 // resolution)
                x = torch.randn(batch, channels, resolution, resolution, device=device).to(dtype)
                x = x.to(memory_format=layout)
                axes = "NHWC" if layout == torch.channels_last else "NCHW"
                kind = f"{str(dtype)[6:]} {axes} {batch}x{channels}x{resolution}"
                yield from _cases_on(x, f, kind)
                if layout == torch.contiguous_format:
                    yield from _alias_free(x, kind)


def _cases_on(x: Tensor, f: Tensor, kind: str) -> Iterator[Case]:
    n, c, h, w = x.shape
    b, d = torch.randn(c, device=x.device), torch.rand(n, c, device=x.device)
    noise = torch.randn(1, 1, h, w, device=x.device)
    yield Case(
        f"bias_act lrelu {kind}",
        x,
        lambda x: kernels.bias_act(x, b, act="lrelu", clamp=256),
        lambda x: reference.bias_act(x, b, act="lrelu", clamp=256),
    )
    yield Case(
        f"demod_bias_act {kind}",
        x,
        lambda x: kernels.demod_bias_act(x, d, noise, None, b, clamp=256),
        lambda x: reference.demod_bias_act(x, d, noise, None, b, clamp=256),
    )
    for name, up, down, pad in (("blur", 1, 1, (2, 1, 2, 1)), ("down 2", 1, 2, 1), ("up 2", 2, 1, (2, 1, 2, 1))):
        layout = torch.contiguous_format if x.is_contiguous() else torch.channels_last
        small = x[:, :, : h // 2, : w // 2].contiguous(memory_format=layout)  # up-sampling ends at the same size
        yield Case(
            f"upfirdn2d {name} {kind}",
            small if up == 2 else x,
            partial(kernels.upfirdn2d, f=f, up=up, down=down, padding=pad, gain=float(up * up)),
            partial(reference.upfirdn2d, f=f, up=up, down=down, padding=pad, gain=float(up * up)),
        )


def _alias_free(x: Tensor, kind: str) -> Iterator[Case]:
    """StyleGAN3's layers: one that keeps its rate, and one that doubles it."""
    b = torch.randn(x.shape[1], device=x.device)
    short, long = (torch.hann_window(taps + 2, device=x.device)[1:-1] for taps in (12, 24))
    short, long = short / short.sum(), long / long.sum()
    for up, fu, pad in ((2, short, (9, 8, 9, 8)), (4, long, (13, 12, 13, 12))):
        settings = {"fu": fu, "fd": short, "up": up, "down": 2, "padding": pad, "clamp": 256.0}
        small = x if up == 2 else x[:, :, : x.shape[2] // 2, : x.shape[3] // 2].contiguous()
        yield Case(
            f"filtered_lrelu up {up} down 2 {kind}",
            small,
            partial(kernels.filtered_lrelu, b=b, **settings),
            partial(reference.filtered_lrelu, b=b, **settings),
        )


def measure(case: Case, bandwidth: float, budget: float, compile: bool) -> Row:
    """One row. `compile` also times torch.compile of the reference, which takes seconds to build."""
    device = case.x.device
    with torch.inference_mode():
        ours = seconds(lambda: case.ours(case.x), device, budget)
        plain = seconds(lambda: case.plain(case.x), device, budget)
        compiled = None
        if compile:
            torch._dynamo.reset()
            fused = torch.compile(case.plain)
            compiled = seconds(lambda: fused(case.x), device, budget) * 1e6
        return Row(case.name, case.moved, ours * 1e6, plain * 1e6, compiled, bandwidth)


def table(device: torch.device, budget: float, compile: bool) -> str:
    """The section of the report for `device`."""
    with torch.inference_mode():
        bandwidth = copy_bandwidth(device, budget)
    rows = [measure(case, bandwidth, budget, compile).markdown() for case in cases(device)]
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name() if gpu else f"{platform.machine()}, {torch.get_num_threads()} thread(s)"
    rung = build.wait().rung if gpu else "plain PyTorch"
    return "\n".join(
        [
            f"{name}, PyTorch {torch.__version__}, kernels: {rung}, copy {bandwidth / 1e9:.1f} GB/s.",
            "",
            "| operation | MiB moved | ours, us | plain PyTorch, us | torch.compile, us | ours / copy bandwidth |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )


def replace_section(text: str, name: str, body: str) -> str:
    """`text` with what stands between the markers of section `name` replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{body}\n{end}{rest.split(end)[1]}"


def main() -> None:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--budget", type=float, default=0.3, help="seconds per figure")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out, as on a CPU")
    parser.add_argument("--print-only", action="store_true", help="do not write the report")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    if device.type == "cuda" and not build.wait().ready:
        raise SystemExit(f"no kernels to measure: {build.wait().reasons}")
    body = table(device, arguments.budget, device.type == "cuda" and not arguments.no_compile)
    print(body)
    if not arguments.print_only:
        REPORT.write_text(replace_section(REPORT.read_text(), "GPU" if device.type == "cuda" else "CPU", body))


if __name__ == "__main__":
    main()
