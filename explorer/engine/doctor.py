"""`python -m explorer doctor`: what this machine computes with, which kernels run and why, a self-test of every op."""

from __future__ import annotations

import torch

from explorer.kernels import build, synthesis
from explorer.networks.hardware import choose_device, choose_precision, cpu_multiplies_bf16


def examine() -> str:
    """The report as text. Builds what can be built (at most two minutes) and never raises for what it finds."""
    device = choose_device("auto")
    report = build.report()
    lines = ["Device"]
    lines += _pairs({"chosen": str(device), "precision": choose_precision("auto", device)})
    lines += _pairs(report.gpu or {"GPU": "none that PyTorch can use"})
    lines += _pairs({"CPU": _cpu()})
    lines += ["", "Tools", *_pairs(report.toolkit), *_pairs({"cache": report.cache})]
    status = report.status
    meaning = {"torch": "plain PyTorch", "cache": "CUDA kernels from the cache", "building": "still being built"}
    rung = meaning.get(status.rung, f"CUDA kernels by {status.rung}")
    lines += ["", f"Kernels on a GPU: {rung} (EXPLORER_KERNELS={status.mode})"]
    lines += [f"  {line}" for reason in status.reasons for line in reason.splitlines()]
    native = synthesis.build_now()
    lines += [f"Kernel on a CPU: {'C++' if native else 'plain PyTorch'}"]
    lines += [f"  {line}" for line in synthesis.why_not().splitlines()]
    lines += ["", "Self-test, largest error relative to float64"]
    fused = [synthesis.self_test(dtype) for dtype in (torch.float32, torch.bfloat16)] if native else []
    for test in [*report.tests, *fused]:
        verdict = "ok" if test.ok else f"WRONG, allowed {test.allowed:.0e}"
        lines.append(f"  {test.operation:18} {test.dtype:9} {test.error:.1e}  {verdict}")
    return "\n".join(lines)


def _pairs(values: dict[str, str]) -> list[str]:
    return [f"  {name:16} {value}" for name, value in values.items()]


def _cpu() -> str:
    bf16 = "multiplies bf16 natively" if cpu_multiplies_bf16() else "float32 only"
    return f"{torch.backends.cpu.get_cpu_capability()}, {bf16}, {torch.get_num_threads()} threads"
