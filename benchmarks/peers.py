"""One picture of a StyleGAN2 by the engine, and by what else runs such a network on a CPU: in turns, in one process.

Published FFHQ widths, random weights, `ws -> image` with constant noise. Peers get the same network as a graph for one
batch size, modulation on the features (no weights a sample), as ONNX where they read that, and as many threads as the
engine, with which each takes turns. A peer whose picture is not the engine's is refused, one that is not installed is
left out; both are said. Medians of process CPU time. `--layers`: multiply-adds that each convolution of the engine
achieves, against a large matrix product on the same threads. It needs requirements-bench.txt. `make bench-peers`.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import math
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.engine import medians, published_width, relative_error
from benchmarks.textbook import low_pass, synthesize
from explorer.engine.synthesis import Synthesis
from explorer.networks import StyleGAN2
from explorer.networks.hardware import cpu_multiplies_bf16, return_memory, tune_allocator
from explorer.networks.stylegan2 import SynthesisLayer
from kernels import synthesis as fused

ROUNDS = {1: 5, 8: 3}  # of a batch of so many pictures
FEATURES = 12  # of the largest size, that the engine and a peer hold at once, as measured at 256 px
NEAR = {torch.float32: 1e-3, torch.bfloat16: 3e-2}  # relative errors of a picture that is the engine's in float32
SIDE = 2048  # of the matrices whose product counts as the CPU's limit
Render = Callable[[Tensor], Tensor]


class Graph(nn.Module):
    """A generator's synthesis in operations that every runtime has: what peers are given. Skip architecture."""

    def __init__(self, generator: StyleGAN2) -> None:
        super().__init__()
        self.synthesis = generator.synthesis
        for name, layer in generator.synthesis.named_modules():
            if isinstance(layer, SynthesisLayer):
                self.register_buffer(energy_of(name), layer.weight.detach().square().sum(dim=(2, 3)).t().contiguous())

    def forward(self, ws: Tensor) -> Tensor:  # [N, num_ws, w_dim] -> [N, 3, H, W]
        x = img = None
        for row, block in self.synthesis.blocks():
            for i, layer in enumerate(block.layers()):
                x = block.const.expand(len(ws), -1, -1, -1) if x is None else x
                x = self.convolved(x, layer, f"b{block.resolution}.conv{2 - block.num_conv + i}", ws[:, row + i])
            assert x is not None
            color = block.torgb
            s = color.affine(ws[:, row + block.num_conv]) * color.weight_gain
            rgb = F.conv2d(x * s[:, :, None, None], color.weight) + color.bias[:, None, None]
            if img is not None:  # [1, 3, 3, 1], zeros outside
                img = F.interpolate(F.pad(img, (1, 1, 1, 1)), scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]
            img = rgb if img is None else img + rgb
        assert img is not None
        return img

    def convolved(self, x: Tensor, layer: SynthesisLayer, name: str, w: Tensor) -> Tensor:
        s = layer.affine(w)
        demod = (s.square() @ self.get_buffer(energy_of(name)) + 1e-8).rsqrt()
        x = x * s[:, :, None, None]
        if layer.up == 2:
            x = low_pass(F.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2), up=False)
        else:
            x = F.conv2d(x, layer.weight, padding=1)
        x = x * demod[:, :, None, None] + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
        return F.leaky_relu(x, 0.2) * math.sqrt(2)


def energy_of(layer: str) -> str:
    return f"energy_{layer.replace('.', '_')}"


@dataclass
class Subject:
    """What is rendered: a generator, codes of a fixed batch, and its graph, in ONNX once somebody asks for that."""

    generator: StyleGAN2
    ws: Tensor  # [N, num_ws, w_dim]
    folder: Path

    def graph(self) -> Graph:
        return Graph(self.generator).eval()

    def onnx(self) -> Path:
        importlib.import_module("onnxscript")
        path = self.folder / f"{self.generator.resolution}x{len(self.ws)}.onnx"
        if not path.exists():
            graph, names = self.graph(), ["ws"]
            torch.onnx.export(graph, (self.ws,), path, input_names=names, dynamo=True, verbose=False)
        return path


class LeftOut(Exception):
    """Why a peer takes no part."""


def of_openvino(subject: Subject, precision: str) -> Render:
    openvino = importlib.import_module("openvino")
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(subject.onnx(), "CPU", settings).create_infer_request()
    return lambda ws: torch.from_numpy(request.infer({0: ws.numpy()}, share_inputs=True, share_outputs=True)[0])


def of_onnxruntime(subject: Subject) -> Render:
    onnxruntime = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting is not computing
    session = onnxruntime.InferenceSession(subject.onnx(), options, providers=["CPUExecutionProvider"])
    return lambda ws: torch.from_numpy(session.run(None, {"ws": ws.numpy()})[0])


def of_compiler(subject: Subject) -> Render:
    graph = torch.compile(subject.graph(), dynamic=False, options={"freezing": True})

    def render(ws: Tensor) -> Tensor:
        with torch.no_grad():  # it does not freeze in inference mode
            return graph(ws)

    return render


@dataclass(frozen=True)
class Peer:
    name: str
    dtype: torch.dtype
    build: Callable[[Subject], Render]


PEERS = (
    Peer("engine, fp32", torch.float32, lambda subject: Synthesis(subject.generator, torch.float32)),
    Peer("OpenVINO, bf16", torch.bfloat16, lambda subject: of_openvino(subject, "bf16")),
    Peer("OpenVINO, fp32", torch.float32, lambda subject: of_openvino(subject, "f32")),
    Peer("ONNX Runtime, fp32", torch.float32, of_onnxruntime),
    Peer("torch.compile, fp32, frozen", torch.float32, of_compiler),
    Peer("textbook, fp32", torch.float32, lambda subject: lambda ws: synthesize(subject.generator, ws)),
)


def checked(peer: Peer, subject: Subject, truth: Tensor) -> Render:
    """The peer, ready to render. Raises LeftOut where it is not there, fails, or makes another picture than `truth`."""
    try:
        render = peer.build(subject)
        error = relative_error(render(subject.ws), truth)
    except ImportError as missing:
        raise LeftOut(f"{missing.name} is not installed (requirements-bench.txt)") from missing
    except Exception as failure:  # of a foreign program, with whatever error it has
        told = str(failure).partition("\n")[0]
        raise LeftOut(f"it failed: {type(failure).__name__}: {told}") from failure
    if error > NEAR[peer.dtype]:
        raise LeftOut(f"its picture is another one (relative error {error:.1e})")
    return render


def cell(subject: Subject) -> dict[str, tuple[float, float]]:
    """Of each peer: median CPU milliseconds of one picture, and as times the engine's, which took turns with it.

    One peer after the other, so that no two hold their memory; the engine comes first, in the format that it chooses.
    """
    bf16, where = cpu_multiplies_bf16(), f"{subject.generator.resolution} px, batch {len(subject.ws)}"
    engine = Synthesis(subject.generator, torch.bfloat16 if bf16 else torch.float32)
    truth = Synthesis(subject.generator, torch.float32)(subject.ws)
    steps, rounds, batch = itertools.count(1), ROUNDS.get(len(subject.ws), 3), len(subject.ws)
    own, found = [], {}
    for peer in PEERS:
        if not bf16 and (peer.dtype == torch.bfloat16 or peer.name.startswith("engine")):
            continue
        try:
            render = checked(peer, subject, truth)
        except LeftOut as reason:
            print(f"{where}: {peer.name} is left out, {reason}", flush=True)
            continue
        calls = {  # each time a code never seen before
            "engine": lambda: engine(subject.ws + 0.01 * next(steps)),
            "peer": lambda render=render: render(subject.ws + 0.01 * next(steps)),
        }
        ms = medians(calls, rounds, warm_up=2 if batch == 1 else 1)
        own.append(ms["engine"] / batch)
        found[peer.name] = ms["peer"] / batch, ms["peer"] / ms["engine"]
        print(f"{where}: {peer.name} {ms['peer'] / batch:.0f}, engine {own[-1]:.0f}", flush=True)
        del render, calls
        torch._dynamo.reset()
        return_memory()
    return {f"engine, {'bf16' if bf16 else 'fp32'}": (statistics.median(own), 1.0), **found}


def table(cells: dict[str, dict[str, tuple[float, float]]]) -> str:
    rows = [["CPU ms of one picture", *cells], ["---"] * (len(cells) + 1)]
    for name in dict.fromkeys(name for found in cells.values() for name in found):
        figures = [found.get(name) for found in cells.values()]
        rows.append([name, *("" if each is None else f"{each[0]:.0f} ({each[1]:.2f} x)" for each in figures)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def lacking(generator: StyleGAN2, batch: int) -> str:
    """Why there is not enough memory for a cell; empty where there is."""
    needed = (FEATURES * 4 * generator.features * batch + 2e9) / 1e9
    free = psutil.virtual_memory().available / 1e9
    return f"it may take {needed:.0f} GB of memory, and {free:.0f} are free" if free < needed else ""


def layers(generator: StyleGAN2, batch: int) -> str:
    """Of each convolution of the engine, in the format that it chooses: multiply-adds a second, as part of a GEMM's.

    Multiply-adds are those of a direct convolution, so Winograd's, which takes a quarter of them, can exceed the limit.
    """
    dtype = torch.bfloat16 if cpu_multiplies_bf16() else torch.float32
    engine = Synthesis(generator, dtype)
    a, b = torch.randn(2, SIDE, SIDE).to(dtype)
    calls: dict[str, Callable[[], object]] = {"GEMM": lambda: a @ b}
    work: dict[str, float] = {"GEMM": SIDE**3}
    for row, layer in enumerate(engine.layers):
        out, into = layer.source.weight.shape[:2]
        side = layer.source.resolution // layer.source.up
        x = torch.randn(batch, into, side, side).to(dtype).contiguous(memory_format=torch.channels_last)
        kind = "up" if layer.up else type(layer.conv).__module__.rpartition(".")[2].replace("synthesis", "direct")
        name = f"{row}: {into} to {out} channels, {layer.source.resolution} px, {kind}"
        calls[name] = lambda conv=layer.conv, x=x: conv(x)
        work[name] = layer.work * batch
    ws, steps = generator.draw(torch.randn(batch, generator.codes.z_dim)), itertools.count(1)
    calls["whole picture"] = lambda: engine(ws + 0.01 * next(steps))
    work["whole picture"] = sum(work.values()) - work["GEMM"]
    ms = medians(calls, 7, warm_up=2)
    peak = work["GEMM"] / ms["GEMM"]
    convolutions = sum(ms[name] for name in ms if name not in ("GEMM", "whole picture"))
    lines = [
        f"{generator.resolution} px, batch {batch}, {str(dtype).removeprefix('torch.')}: a product of {SIDE} x {SIDE}"
        f" makes {peak / 1e6:.0f} thousand million multiply-adds a CPU second",
        "| layer | million multiply-adds | CPU ms | of the limit |\n|---|---|---|---|",
        *(
            f"| {name} | {work[name] / 1e6:.0f} | {ms[name]:.1f} | {100 * work[name] / ms[name] / peak:.0f} % |"
            for name in ms
            if name != "GEMM"
        ),
        f"Convolutions take {100 * convolutions / ms['whole picture']:.0f} % of a picture.",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--px", type=int, nargs="+", default=[256, 1024])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--layers", action="store_true", help="the engine's convolutions against the CPU's limit")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")  # the exporters' own
    tune_allocator()
    built = fused.build_now()
    print(f"C++ epilogue {'loaded' if built else 'not available'}; {torch.get_num_threads()} threads\n", flush=True)
    cells: dict[str, dict[str, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for px, batch in itertools.product(args.px, args.batch):
            generator = published_width(px)
            if args.layers:
                with torch.inference_mode():
                    print(layers(generator, batch), flush=True)
            elif reason := lacking(generator, batch):
                print(f"{px} px, batch {batch} is left out: {reason}", flush=True)
            else:
                with torch.no_grad():
                    ws = generator.draw(torch.randn(batch, generator.codes.z_dim))
                    cells[f"{px} px, batch {batch}"] = cell(Subject(generator, ws, Path(folder)))
    if cells:
        print(f"\n{table(cells)}")


if __name__ == "__main__":
    main()
