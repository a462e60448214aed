"""The engine's fast paths against textbook float32 implementations: same process, same allocator, in turns.

Generators of the published FFHQ widths (base 32768, at most 512) with random weights; medians of process CPU time, so
that a second job on the machine disturbs less. bf16 only where the CPU multiplies in it, as the engine chooses; the
last block's share is that of the format chosen. Bars: section "Speed" of the README.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.textbook import predict, synthesize, synthesize_alias_free
from explorer.engine.alias_free import AliasFree
from explorer.engine.denoiser import Denoiser
from explorer.engine.synthesis import Synthesis
from explorer.networks import DiffAE, DiffAEConfig, StyleGAN2, StyleGAN2Config, StyleGAN3, StyleGAN3Config
from explorer.networks.hardware import cpu_multiplies_bf16, tune_allocator
from explorer.networks.stylegan2 import channels_from_base
from explorer.networks.stylegan3 import published_channels
from kernels import synthesis as fused

BARS = {(64, 1): 5.0, (64, 8): 9.0, (256, 1): 5.0, (256, 8): 6.5, (1024, 1): 5.0, (1024, 8): 5.5}
BARS3 = {(64, 1): 3.0, (256, 1): 3.0}  # StyleGAN3-T
BARS_AE = {(64, 1): 3.0, (64, 8): 3.0, (128, 1): 3.0}  # one evaluation of a diffusion autoencoder's U-Net
TIME = 700.0  # of that evaluation
WARM_UP = 4  # rounds until the allocator has met every size


def published_width(resolution: int) -> StyleGAN2:
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(resolution, channels_from_base(resolution, 32768, 512), mapping_layers=2))
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            torch.nn.init.constant_(parameter, 0.1)
    return generator.eval().requires_grad_(False)


def medians(calls: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = WARM_UP) -> dict[str, float]:
    """Median CPU milliseconds of each call, the calls taking turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + warm_up):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn >= warm_up:
                times[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def relative_error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def published_alias_free(resolution: int) -> StyleGAN3:
    torch.manual_seed(0)
    generator = StyleGAN3(StyleGAN3Config((resolution,), (14,), published_channels(resolution)))
    return generator.eval().requires_grad_(False)


def autoencoder(resolution: int) -> DiffAE:
    """Of 64 px the one that `train diffae` makes, larger ones as published."""
    torch.manual_seed(0)
    small = DiffAEConfig(64, 32, (1, 2, 4), (1, 2, 4, 4), 1, 1, (8,), (8,), 1, 128, 256, predicts="v", patch=2)
    published = DiffAEConfig(resolution, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4))
    generator = DiffAE(small if resolution == 64 else published).eval().requires_grad_(False)
    for parameter in generator.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return generator


def noise(resolution: int, batch: int) -> Tensor:
    return torch.randn(batch, 3, resolution, resolution, generator=torch.Generator().manual_seed(1))


def evaluated(generator: DiffAE, codes: Tensor) -> Tensor:
    return predict(generator, noise(generator.resolution, len(codes)), torch.full((len(codes),), TIME), codes[:, 0])


def evaluation(generator: DiffAE, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
    engine = Denoiser(generator, dtype)
    return lambda codes: engine.predicting(codes[:, 0])(noise(generator.resolution, len(codes)), TIME)


@dataclass(frozen=True)
class Kind:
    """A family of generators: its published form, its textbook implementation, its fast path."""

    name: str
    generator: Callable[[int], Any]
    textbook: Callable[[Any, Tensor], Tensor]
    engine: Callable[[Any, torch.dtype], Callable[[Tensor], Tensor]]
    late: int  # rows whose change starts with the last layers
    bars: dict[tuple[int, int], float]


KINDS = (
    Kind("StyleGAN2", published_width, synthesize, Synthesis, 3, BARS),
    Kind("StyleGAN3-T", published_alias_free, synthesize_alias_free, AliasFree, 3, BARS3),
    Kind("DiffAE, one evaluation", autoencoder, evaluated, evaluation, 1, BARS_AE),
)


def row(kind: Kind, resolution: int, batch: int, rounds: int) -> str:
    generator = kind.generator(resolution)
    exact = kind.engine(generator, torch.float32)
    fast = kind.engine(generator, torch.bfloat16) if cpu_multiplies_bf16() else None
    ws = generator.draw(torch.randn(batch, generator.codes.z_dim))
    step = 0

    def code(rows: int) -> Tensor:
        """A code never seen before in its last `rows` rows."""
        nonlocal step
        step += 1
        moved = ws.clone()
        moved[:, -rows:] += 0.01 * step
        return moved

    calls: dict[str, Callable[[], object]] = {
        "textbook": lambda: kind.textbook(generator, code(generator.codes.rows)),
        "fp32": lambda: exact(code(generator.codes.rows)),
    }
    if fast is not None:
        calls["bf16"] = lambda: fast(code(generator.codes.rows))
    ms = medians(calls, rounds)
    engine = fast or exact
    late = medians({"last": lambda: engine(code(kind.late))}, rounds)["last"] / ms["bf16" if fast else "fp32"]
    cells = [
        f"{kind.name}, {resolution} px, batch {batch}",
        f"{ms['textbook']:.0f}",
        *((f"{ms['bf16']:.0f}", f"{ms['textbook'] / ms['bf16']:.1f} x") if fast else ("", "")),
        f"{kind.bars[resolution, batch]} x",
        f"{ms['textbook'] / ms['fp32']:.1f} x",
        f"{100 * late:.0f} %" if batch == 1 else "",
        f"{relative_error(fast(ws), kind.textbook(generator, ws)):.1e}" if fast else "",
    ]
    return "| " + " | ".join(cells) + " |"


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-px", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", default="", help="only families of this name")
    args = parser.parse_args()
    tune_allocator()
    built = fused.build_now()
    state = "loaded" if built else f"not available: {fused.why_not()}"
    print(f"C++ epilogue {state}; {torch.get_num_threads()} threads\n")
    print("| generator | textbook, CPU ms | engine bf16, CPU ms | ratio | bar | fp32 ratio | last block | bf16 error |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        for resolution, batch in kind.bars:
            if resolution <= args.max_px and args.kind in kind.name:
                print(row(kind, resolution, batch, args.rounds), flush=True)


if __name__ == "__main__":
    main()
