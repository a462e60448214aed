"""A generator of real size: 1024 px, published widths, a hundred domains. Memory, and previews of a drag.

Its files are made here, with random weights: one as NVIDIA's and Adobe's programs pickle them (G, D, G_ema, basis), one
of our own format. Memory is that of processes of their own. Times are CPU times of one thread, as parts of an exact
picture in the same process. How near previews are to the pictures that they stand for is also told of the real model
that comes with the program. `make bench-large`.
"""

from __future__ import annotations

import argparse
import json
import pickle
import re
import statistics
import subprocess
import sys
import tempfile
import time
import types
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.engine import medians
from benchmarks.startup import ROOT, first_picture, free_port, resident_mb
from explorer import Edit, Engine
from explorer.edit import DirectionId
from explorer.engine.frames import SIDE, halved
from explorer.engine.renderers import Lower
from explorer.latents import Expansion, factorize
from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN2Config
from explorer.networks.hardware import return_memory, tune_allocator
from explorer.networks.stylegan2 import channels_from_base
from explorer.weights import DEFAULT, Checkpoint, load
from kernels import synthesis as fused

RESOLUTION, DOMAINS = 1024, 100
SHARES = (0.02, 0.06, 0.25, 0.45)  # of the multiplications of a picture
DRAG_SECONDS = 4.0
PARTS = (0.1, 0.36, 0.55, 0.9)  # of a domain's range, where a slider that has begun at zero is looked at
RESIDENT, PEAK = 1.4e9, 1.2e9  # bars, bytes
MB = 1e6


def published(side: int = RESOLUTION) -> Checkpoint:
    """Published widths (base 32768, at most 512), 8 mapping layers, domains on the last directions of the basis."""
    torch.manual_seed(0)
    channels = channels_from_base(side, 32768, 512)
    generator = StyleGAN2(StyleGAN2Config(side, channels)).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    critic = Discriminator(DiscriminatorConfig(side, channels)).eval().requires_grad_(False)
    dims = tuple(range(511, 511 - DOMAINS, -1))
    names = tuple(f"domain {number}" for number in range(DOMAINS))
    expansion = Expansion(factorize(generator), dims, 20.0, names, generator.mean.clone())
    return Checkpoint(generator, critic, expansion, {"name": "large"})


class Persistent:
    """A module as `torch_utils.persistence` pickles it: its state as data, made again by a function of that program."""

    def __init__(self, module: nn.Module, **attributes: Any) -> None:
        parts = {name: Persistent(part) for name, part in module.named_children()}
        self.state = attributes | {
            "_parameters": dict(module.named_parameters(recurse=False)),
            "_buffers": dict(module.named_buffers(recurse=False)),
            "_modules": parts,
        }

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        function = sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj  # type: ignore[attr-defined]
        return function, ({"type": "class", "version": 6, "class_name": "Network", "state": self.state},)


def write_pickle(checkpoint: Checkpoint, path: Path) -> None:
    """As published: a generator, its discriminator, the generator's average, and the expansion beside them."""
    for name in ("torch_utils", "torch_utils.persistence"):
        sys.modules[name] = types.ModuleType(name)

    def _reconstruct_persistent_obj(meta: dict[str, Any]) -> None: ...

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    _reconstruct_persistent_obj.__qualname__ = "_reconstruct_persistent_obj"
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj  # type: ignore[attr-defined]
    expansion, critic = checkpoint.expansion, checkpoint.discriminator
    assert expansion is not None
    assert critic is not None
    tasks = [
        {"dimension": d, "args": {"target_text": n}} for d, n in zip(expansion.dims, expansion.domains, strict=True)
    ]
    plain = StyleGAN2(checkpoint.generator.config)  # before it was averaged: values of its own
    contents = {
        "G": Persistent(plain),
        "D": Persistent(critic),
        "G_ema": Persistent(checkpoint.generator),
        "latent_basis": expansion.basis,
        "repurposed_dims": list(expansion.dims),
        "subspace_distance": expansion.distance,
        "expansion_cfg": {"tasks": tasks},
    }
    with path.open("wb") as file:
        pickle.dump(contents, file, protocol=4)
    del sys.modules["torch_utils.persistence"], sys.modules["torch_utils"]


def status(name: str) -> int:  # bytes
    return 1024 * int(re.findall(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def measured_memory(path: Path) -> dict[str, float]:
    """In a process of its own: bytes after the imports, the most that reading took, and what an engine holds."""
    command = [sys.executable, "-m", "benchmarks.large", "--memory-of", str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def memory_of(path: str) -> None:
    """What `measured_memory` reads."""

    def reset() -> None:
        Path("/proc/self/clear_refs").write_text("5")

    found: dict[str, float] = {"imports": status("VmRSS")}
    reset()
    began = time.process_time()
    checkpoint = load(path)
    found["reading, CPU seconds"] = time.process_time() - began
    found["reading, peak"] = status("VmHWM")
    engine = Engine(checkpoint)
    found["loaded"] = status("VmRSS")
    engine.render(Edit())
    found["with a picture"] = status("VmRSS")
    return_memory()
    found["at rest"] = status("VmRSS")
    found["of it from the file"] = status("RssFile")
    print(json.dumps(found))


def server_memory(path: Path) -> tuple[float, float]:
    """Seconds until the page of a server shows its first picture, and its MB then."""
    port = free_port()
    began = time.perf_counter()
    server = subprocess.Popen([sys.executable, "app.py", "--checkpoint", str(path), "--port", str(port)], cwd=ROOT)
    try:
        first_picture(port)
        return time.perf_counter() - began, resident_mb(server.pid)
    finally:
        server.terminate()
        server.wait()


SEEN = """() => {
  const panel = document.querySelector(".explore");
  window.seen = [];
  new MutationObserver(() => window.seen.push([performance.now(), panel.dataset.draft]))
    .observe(panel, { attributes: true, attributeFilter: ["data-frames"] });
}"""


def dragged(path: Path) -> None:
    """The first domain's slider, dragged in Chromium over half its range: frames, and the time until the picture."""
    from benchmarks.drag import opened_page  # here, as the page's part below: it would count as memory of reading

    with opened_page(flags=["--checkpoint", str(path)]) as page:
        if page is None:
            print("drag: not measured (no Chromium on this machine)")
            return
        page.wait_for_timeout(20_000)  # the tiles below the picture
        slider = page.locator(".explore").get_by_role("slider", name="domain 0", exact=True)
        box = slider.bounding_box()
        assert box
        y = box["y"] + box["height"] / 2
        for turn in ("first", "second"):
            page.evaluate(SEEN)
            page.mouse.move(box["x"] + box["width"] * 0.25, y)
            page.mouse.down()
            start = time.perf_counter()
            while (passed := time.perf_counter() - start) < DRAG_SECONDS:
                page.mouse.move(box["x"] + box["width"] * (0.25 + 0.5 * passed / DRAG_SECONDS), y)
            frames = page.evaluate("window.seen.length") / (time.perf_counter() - start)
            page.mouse.up()
            left = page.evaluate("performance.now()")
            page.wait_for_function("window.seen.at(-1)[1] === ''", timeout=60_000)
            rest = page.evaluate("window.seen.at(-1)[0]") - left
            print(
                f"{turn} drag: {frames:.0f} painted frames/s (bar 12), the picture {rest:.0f} ms after (bar 700)",
                flush=True,
            )
            slider.dblclick()
            page.wait_for_timeout(8_000)


def times(engine: Engine) -> None:
    """What a preview costs, its JPEG included, as a part of an exact picture."""
    from explorer.ui.pictures import data_uri

    render = engine._model.render
    assert isinstance(render, Lower)
    turn = 0

    def moved() -> Edit:
        nonlocal turn
        turn += 1
        return Edit(strengths={engine.directions[0].id: 0.5 + 0.0001 * turn})

    def lower(share: float) -> Callable[[], object]:
        return lambda: render.lower(engine.ws(moved())[None], "const", None, share)

    with torch.inference_mode():
        for strength in (0.0, 1.0):
            engine.render(Edit(strengths={engine.directions[0].id: strength}))
        calls: dict[str, Callable[[], object]] = {
            "exact": lambda: data_uri(engine.render(moved()), False),
            "blend of two pictures": lambda: data_uri(shown(engine, moved()), False),
        }
        for share in SHARES:
            found = render.lower(engine.ws(Edit())[None], "const", None, share)
            if found is not None:
                calls[f"the picture so far at {found.shape[-1]} px"] = lower(share)
        ms = medians(calls, 3)
    print(f"{engine.resolution} px, {engine.precision}: exact {ms['exact']:.0f} CPU ms, one thread; of that")
    for name in list(calls)[1:]:
        print(f"  {name}: {100 * ms[name] / ms['exact']:.1f} %")


def shown(engine: Engine, edit: Edit) -> np.ndarray:
    picture = engine.preview(edit)
    assert picture is not None
    return picture


def nearness(name: str, engine: Engine, directions: int, seeds: int) -> None:
    """PSNR and perceptual distance of previews to exact pictures, at four places of a drag over a domain's range."""
    render = engine._model.render
    assert isinstance(render, Lower)
    found: dict[str, list[tuple[float, float]]] = {}

    def image(edit: Edit) -> Tensor:
        return halved(render(engine.ws(edit)[None]), SIDE)

    def compare(kind: str, preview: Tensor, truth: Tensor) -> None:
        preview = preview.clamp(-1, 1)
        psnr = float(10 * torch.log10(4 / (preview - truth).square().mean().clamp_min(1e-10)))
        found.setdefault(kind, []).append((psnr, float(engine.perceptual(preview, truth).mean())))

    def up(smaller: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(smaller, like.shape[-2:], mode="bilinear", align_corners=False)

    for direction, seed in product(engine.directions[:directions], range(seeds)):
        low, high = direction.low, direction.high

        def at(
            part: float, id_: DirectionId = direction.id, seed: int = seed, low: float = low, high: float = high
        ) -> Edit:
            return Edit(seed=seed, strengths={id_: low + (high - low) * part})

        frames = {part: image(at(part)) for part in (0.0, 0.25, 0.5, 0.75, 1.0)}
        rest = 0.25  # where the slider is at zero
        for part in PARTS:
            truth = image(at(part))
            compare("the picture at rest, unchanged", frames[rest], truth)
            for share in SHARES:
                smaller = [render.lower(engine.ws(at(p))[None], "const", None, share) for p in (part, rest)]
                if smaller[0] is None or smaller[1] is None:
                    continue
                side = smaller[0].shape[-1]
                compare(f"the picture so far at {side} px, alone", up(smaller[0], truth), truth)
                compare(
                    f"the picture so far at {side} px, on it", frames[rest] + up(smaller[0] - smaller[1], truth), truth
                )
            for count in (2, 3, 5):
                step = 1 / (count - 1)
                first = min(int(part / step), count - 2) * step
                blend = torch.lerp(frames[first], frames[first + step], (part - first) / step)
                compare(f"blend of the nearest of {count} pictures", blend, truth)
    print(f"\n{name}, domains over their whole range | PSNR, dB | perceptual distance")
    for kind, values in sorted(found.items()):
        psnr, perceptual = (statistics.mean(column) for column in zip(*values, strict=True))
        print(f"{kind} | {psnr:.1f} | {perceptual:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        memory_of(args.memory_of)
        return
    tune_allocator()
    built = fused.build_now()
    print(f"C++ epilogue {'loaded' if built else 'not available'}, {torch.get_num_threads()} threads\n")
    checkpoint = published()
    with tempfile.TemporaryDirectory() as folder:
        native, pickled = Path(folder) / "large.safetensors", Path(folder) / "large.pkl"
        checkpoint.save(native)
        write_pickle(checkpoint, pickled)
        for path in (pickled, native):
            found = measured_memory(path)
            seconds = found.pop("reading, CPU seconds")
            told = ", ".join(f"{name} {value / MB:.0f} MB" for name, value in found.items())
            print(
                f"{path.name}, {path.stat().st_size / MB:.0f} MB, read in {seconds:.1f} CPU seconds: {told}", flush=True
            )
        seconds, resident = server_memory(pickled)
        print(f"bars: peak of reading {PEAK / MB:.0f} MB, at rest {RESIDENT / MB:.0f} MB")
        print(f"a server of {pickled.name}: first picture after {seconds:.0f} s, {resident:.0f} MB then", flush=True)
        dragged(pickled)
        print()
    with torch.inference_mode():
        large = Engine(replace(checkpoint, critic=None), "cpu", preview_seconds=0.0)
        times(large)
        nearness(DEFAULT.stem, Engine(load(DEFAULT), "cpu", "fp32"), 14, 3)
        nearness("random weights, 1024 px", large, 2, 1)


if __name__ == "__main__":
    main()
