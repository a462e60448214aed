"""A photo inverted beside a running engine: progress as it comes, Stop at any time, pictures never kept waiting.

The search looks through the engine's generator and changes nothing of it; it takes no lock. Knows no interface.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.edit import Latent
from explorer.engine.device import cpu_multiplies_bf16
from explorer.engine.engine import Engine, to_uint8
from explorer.inversion import InversionError, Networks, Settings, gather, measure, search
from explorer.inversion.results import Figures
from explorer.inversion.tuning import apply_delta, save_delta, tune

EVERY = 0.25  # seconds between two reports
_networks: WeakKeyDictionary[Engine, Networks] = WeakKeyDictionary()
_gathering = threading.Lock()


@dataclass(frozen=True)
class Progress:
    """What can be shown of an inversion; the last one has `figures`.

    Attributes:
        step, steps: how far it is, tuning included.
        seconds_left: an estimate; 0 at the end.
        picture: uint8 `[H, W, 3]`, the best so far.
        losses: of this step, by name, and their weighted sum as "total".
        latent: the best code so far: `(w_dim,)` in the space "w", else `(num_ws, w_dim)`.
        figures: as `explorer.inversion.measure` gives them, and "seconds".
        delta: the file of the tuned weights, see `tuned_engine`.
        note: one sentence where something is not as asked for, or "".
    """

    step: int
    steps: int
    seconds_left: float
    picture: np.ndarray
    losses: dict[str, float]
    latent: Latent
    figures: Figures | None = None
    delta: Path | None = None
    note: str = ""


def networks_of(engine: Engine) -> Networks:
    """What inversions of this engine's generator need; read from disk on first use. Raises CheckpointError."""
    with _gathering:
        known = _networks.get(engine)
        if known is None or known.generator is not engine.checkpoint.generator:  # an engine may replace its checkpoint
            known = _networks[engine] = gather(engine.checkpoint, engine.device, _dtype(engine))
        return known


def _dtype(engine: Engine) -> torch.dtype:
    """bf16 where the device multiplies it and the engine was not asked for float32: its exponents fit gradients."""
    if engine.precision == "fp32":
        return torch.float32
    if engine.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if engine.device.type == "cpu" and cpu_multiplies_bf16() else torch.float32


def invert(
    engine: Engine,
    photo: np.ndarray,  # uint8 [R, R, 3]; other sizes are resized
    settings: Settings,
    stop: threading.Event | None = None,
) -> Iterator[Progress]:
    """Look for a photo's code, and tune for it where `settings.tune_steps` asks for that.

    Yields about four times a second and once at the end, with figures. After `stop` is set the best so far is the end.
    Raises InversionError or CheckpointError where it cannot begin.
    """
    networks, began = networks_of(engine), time.perf_counter()
    target = to_tensor(photo, engine.img_resolution).to(engine.device)
    note = _note(networks, settings)
    report = _Reports(settings, began, stop or threading.Event(), note)
    state = None
    for state in search(networks, target, settings):
        if report.due(state.step):
            yield report.progress(state.step, state.images, state.ws, state.losses)
        if report.stopped():
            break
    assert state is not None
    images, (figures,) = measure(networks, target, state.ws)
    losses, step, delta = state.losses, state.step, None
    if settings.tune_steps and not report.stopped():
        tuned = None
        for tuned in tune(networks, target, state.ws, settings):
            step, losses = settings.steps + tuned.step, tuned.losses
            if report.due(step):
                yield report.progress(step, tuned.images, state.ws, losses)
            if report.stopped():
                break
        assert tuned is not None
        images, (figures,) = measure(replace(networks, generator=tuned.generator), target, state.ws)
        delta = save_delta(tuned.generator, networks.generator, delta_folder(engine), state.ws)
    figures = figures | {"seconds": time.perf_counter() - began}
    last = report.progress(step, images, state.ws, losses)
    yield replace(last, seconds_left=0.0, figures=figures, delta=delta)


class _Reports:
    """When the next report is due, and what it says."""

    def __init__(self, settings: Settings, began: float, stop: threading.Event, note: str) -> None:
        self.settings, self.began, self.stop, self.note = settings, began, stop, note
        self.steps = settings.steps + settings.tune_steps
        self.last = 0.0

    def stopped(self) -> bool:
        return self.stop.is_set()

    def due(self, step: int) -> bool:
        """Whether to report now: the first step, then every EVERY seconds, never the last one, which has figures."""
        now = time.perf_counter()
        if step >= self.steps or self.stopped() or now - self.last < EVERY:
            return False
        self.last = now
        return True

    def progress(self, step: int, images: Tensor, ws: Tensor, losses: dict[str, Tensor]) -> Progress:
        passed = time.perf_counter() - self.began
        left = passed / max(step, 1) * (self.steps - step)
        code = ws[0, 0] if self.settings.space == "w" else ws[0]
        values = {name: loss[0].item() for name, loss in losses.items()}
        latent = Latent.of(code.cpu().numpy())
        return Progress(step, self.steps, left, to_uint8(images[:1])[0], values, latent, note=self.note)


def _note(networks: Networks, settings: Settings) -> str:
    if settings.method == "in_domain" and networks.encoder is None:
        return "This generator has no encoder, so the search starts at the average picture and takes longer."
    return ""


def to_tensor(photo: np.ndarray, resolution: int) -> Tensor:  # uint8 [H, W, 3] -> [1, 3, R, R] in [-1, 1]
    """A cropped photo at the generator's resolution. Raises InversionError for another kind of array."""
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise InversionError(f"a photo is uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    if photo.shape[:2] != (resolution, resolution):
        photo = np.asarray(Image.fromarray(photo).resize((resolution, resolution), Image.Resampling.LANCZOS))
    return torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


def delta_folder(engine: Engine) -> Path:
    """Where tuned weights are kept: `NAME-tuned` beside the checkpoint, or a temporary folder where that cannot be."""
    if (path := engine.checkpoint.path) is not None:
        folder = path.with_name(f"{path.stem}-tuned")
        try:
            folder.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError:
            pass
    return Path(tempfile.mkdtemp(prefix="tuned-"))


def tuned_engine(engine: Engine, delta: Path) -> Engine:
    """An engine of its own with a photo's tuned weights; the given one stays as it is. Raises CheckpointError."""
    generator = apply_delta(engine.checkpoint.generator, delta)
    checkpoint = replace(engine.checkpoint, generator=generator, path=None)
    return Engine(checkpoint, str(engine.device), engine.precision)
