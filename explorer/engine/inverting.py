"""A photo inverted beside a running engine: progress as it comes, Stop at any time, pictures never kept waiting.

The search looks through the engine's generator and changes nothing of it; it takes no lock. Knows no interface.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.edit import Edit, Latent, Noise
from explorer.engine.engine import Engine, to_uint8
from explorer.inversion import InversionError, Networks, Settings, defaults, gather, measure, search
from explorer.inversion.latents import read_npy
from explorer.inversion.likeness import Likeness, centre, likeness
from explorer.inversion.results import Figures
from explorer.inversion.search import State
from explorer.inversion.tuning import apply_delta, save_delta, tune
from explorer.inversion.uses import Seen, diffusing, imported, labelled_boundary, look, middle, stitch, text_boundary
from explorer.latents.boundaries import Boundary, BoundaryError
from explorer.networks import Generator as Network
from explorer.networks.family import Autoencoder
from explorer.networks.hardware import cpu_multiplies_bf16
from explorer.networks.pixels import from_array

EVERY = 0.25  # seconds between two reports
MOST_COPIES = 64  # fitted to photos, in one folder
DELTA = re.compile(r"[0-9a-f]{16}\.safetensors")
_networks: WeakKeyDictionary[Engine, Networks] = WeakKeyDictionary()
_gathering = threading.Lock()
_seen: WeakKeyDictionary[Network, Seen] = WeakKeyDictionary()
_centres: WeakKeyDictionary[Network, Tensor | None] = WeakKeyDictionary()
_looking = threading.Lock()


@dataclass(frozen=True)
class Progress:
    """What can be shown of an inversion; the last one of every photo has `figures`.

    Attributes:
        step, steps: how far it is, tuning included.
        seconds_left: an estimate; 0 at the end.
        picture: uint8 `[H, W, 3]`, the best so far.
        losses: of this step, by name, and their weighted sum as "total".
        latent: the best code so far: `(dim,)` where all rows are one code, else `(rows, dim)`.
        noise: the photo's own noise image, where there is one.
        figures: as `explorer.inversion.measure` gives them, and "seconds".
        delta: the file of the tuned weights, see `tuned_engine`.
        note: one sentence where something is not as asked for, or "".
        photo: which one of those that are looked for together; until the end always the first.
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
    photo: int = 0
    noise: Noise | None = None

    @property
    def edit(self) -> Edit:
        """What renders the photo as it was found: unprojected."""
        mode = "const" if self.noise is None else "photo"
        return Edit(latent=self.latent, project=False, noise_mode=mode, noise=self.noise)


def networks_of(engine: Engine) -> Networks:
    """What inversions of this engine's generator need; read from disk on first use. Raises CheckpointError."""
    with _gathering:
        known = _networks.get(engine)
        if known is None or known.generator is not engine.checkpoint.generator:  # an engine may replace its checkpoint
            known = _networks[engine] = gather(engine.checkpoint, engine.device, _dtype(engine))
        return known


def settings_of(engine: Engine) -> Settings:
    """How photos are looked for unless told: as is best for the kind of generator."""
    if isinstance(engine.generator, Autoencoder):
        return replace(defaults("ddim"), steps=engine.generator.back)
    return defaults("in_domain")


def likeness_of(engine: Engine, photos: np.ndarray | Sequence[np.ndarray]) -> list[Likeness]:  # uint8 [R, R, 3]
    """How photos look beside this generator's own pictures, in a tenth of a second; none where nothing here tells.

    What CLIP sees in the generator's pictures is kept: only the first look takes longer. Raises CheckpointError.
    """
    networks = networks_of(engine)
    with _looking:
        if networks.generator not in _centres:
            _centres[networks.generator] = centre(networks)
        middle = _centres[networks.generator]
    return [] if middle is None else likeness(networks, middle, to_tensors(photos, engine.resolution))


def boundary_of_words(engine: Engine, more: str, less: str) -> Boundary:
    """Where pictures become rather `more` than `less`. What CLIP saw in samples is kept: only the first one takes long.

    Raises InversionError without CLIP, for an empty text and where the texts mean the same.
    """
    if not more.strip() or not less.strip():
        raise InversionError("write both words: what there should be more of, and what less")
    networks = networks_of(engine)
    with _looking:
        known = _seen.get(networks.generator)
        if known is None:
            known = _seen[networks.generator] = look(networks)
    try:
        return text_boundary(networks, known, more, less)
    except BoundaryError as error:
        raise InversionError(f"{error}: take words that differ more") from None


def boundary_of_examples(engine: Engine, more: Sequence[np.ndarray], less: Sequence[np.ndarray]) -> Boundary:
    """Where photos become rather like those of `more` than like those of `less`, both uint8 `[H, W, 3]`.

    Raises InversionError without an encoder and BoundaryError for sorts that cannot be told apart.
    """
    photos = to_tensors([*more, *less], engine.resolution)
    return labelled_boundary(networks_of(engine), photos, torch.arange(len(photos)) < len(more))


def boundaries_of_file(engine: Engine, data: bytes) -> list[Boundary]:
    """The boundaries in the bytes of a `.npy` file of InterFaceGAN or SeFa, with the spread of this generator's codes.

    Raises InversionError for another file and where it does not fit the generator.
    """
    try:
        return imported(engine.checkpoint.generator, read_npy(data))
    except BoundaryError as error:
        raise InversionError(str(error)) from None


def _dtype(engine: Engine) -> torch.dtype:
    """bf16 where the device multiplies it and the engine was not asked for float32: its exponents fit gradients."""
    if engine.precision == "fp32":
        return torch.float32
    if engine.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if engine.device.type == "cpu" and cpu_multiplies_bf16() else torch.float32


def invert(
    engine: Engine,
    photos: np.ndarray | Sequence[np.ndarray],  # uint8 [R, R, 3]; other sizes are resized
    settings: Settings,
    stop: threading.Event | None = None,
) -> Iterator[Progress]:
    """Look for the codes of photos all at once, and tune for each where `settings.tune_steps` asks for that.

    Yields about four times a second and at the end once a photo, with figures. After `stop` is set the best so far is
    the end. Raises InversionError or CheckpointError where it cannot begin.
    """
    networks = networks_of(engine)
    target = to_tensors(photos, engine.resolution).to(engine.device)
    report = _Reports(settings, settings.steps + settings.tune_steps, stop, _note(networks, settings))
    state = yield from _searched(search(networks, target, settings), report)
    if not settings.tune_steps or report.stopped():
        yield from _last(networks, target, state, report)
        return
    for i in range(len(target)):
        one = slice(i, i + 1)
        for progress in _tuned(engine, target[one], state.ws[one], settings, report, settings.steps):
            yield replace(progress, photo=i)


def diffuse(
    engine: Engine,
    photos: np.ndarray | Sequence[np.ndarray],  # uint8 [R, R, 3]
    context: np.ndarray,  # uint8 [R, R, 3]
    settings: Settings,
    stop: threading.Event | None = None,
) -> Iterator[Progress]:
    """Set the middle of photos into another picture (`explorer.inversion.uses.diffuse`); yields as `invert` does."""
    networks, side = networks_of(engine), engine.resolution
    target, around = (to_tensors(pictures, side).to(engine.device) for pictures in (photos, context))
    stitched = stitch(target, around, middle(side))
    report = _Reports(settings, settings.steps, stop, _note(networks, settings))
    state = yield from _searched(diffusing(networks, stitched, middle(side), settings), report)
    yield from _last(networks, stitched, state, report)


def fit(
    engine: Engine,
    photo: np.ndarray,  # uint8 [R, R, 3]
    latent: Latent,
    settings: Settings,
    stop: threading.Event | None = None,
    folder: Path | None = None,
) -> Iterator[Progress]:
    """Tune for a code that was found before, `settings.tune_steps` steps; yields as `invert` does.

    The weights are written into `folder`, by default `delta_folder`. Raises EditError for a code of another generator.
    """
    ws = engine.ws(Edit(latent=latent, project=False)).clone()[None]  # the engine's own take part in no gradient
    target = to_tensors(photo, engine.resolution).to(engine.device)
    yield from _tuned(engine, target, ws, settings, _Reports(settings, settings.tune_steps, stop, ""), 0, folder)


def _searched(states: Iterator[State], report: _Reports) -> Generator[Progress, None, State]:
    state = None
    for state in states:
        if report.due(state.step):
            yield report.progress(state.step, state.images, state.ws, state.losses, done=state.done)
        if report.stopped():
            break
    assert state is not None
    return state


def _last(networks: Networks, target: Tensor, state: State, report: _Reports) -> Iterator[Progress]:
    images, figures = measure(networks, target, state.ws, state.noise)
    for i in range(len(target)):
        progress = report.progress(state.step, images, state.ws, state.losses, i)
        if state.noise is not None:
            progress = replace(progress, noise=Noise.of(state.noise[i].cpu().numpy()))
        yield report.end(progress, figures[i])


def _tuned(
    engine: Engine,
    target: Tensor,
    ws: Tensor,
    settings: Settings,
    report: _Reports,
    before: int,
    folder: Path | None = None,
) -> Iterator[Progress]:
    networks, tuned = networks_of(engine), None
    for tuned in tune(networks, target, ws, settings):
        if report.due(before + tuned.step):
            yield report.progress(before + tuned.step, tuned.images, ws, tuned.losses)
        if report.stopped():
            break
    assert tuned is not None
    images, (figures,) = measure(replace(networks, generator=tuned.generator), target, ws)
    kept = delta_folder(engine) if folder is None else folder
    delta = save_delta(tuned.generator, networks.generator, kept, ws)
    if folder is None:
        bound(kept)
    last = report.progress(before + tuned.step, images, ws, tuned.losses)
    yield replace(report.end(last, figures), delta=delta)


class _Reports:
    """When the next report is due, and what it says."""

    def __init__(self, settings: Settings, steps: int, stop: threading.Event | None, note: str) -> None:
        self.settings, self.steps, self.note = settings, steps, note
        self.stop = stop or threading.Event()
        self.began, self.last = time.perf_counter(), 0.0

    def stopped(self) -> bool:
        return self.stop.is_set()

    def due(self, step: int) -> bool:
        """Whether to report now: the first step, then every EVERY seconds, never the last one, which has figures."""
        now = time.perf_counter()
        if step >= self.steps or self.stopped() or now - self.last < EVERY:
            return False
        self.last = now
        return True

    def progress(
        self,
        step: int,
        images: Tensor,
        ws: Tensor,
        losses: dict[str, Tensor],
        photo: int = 0,
        done: float | None = None,  # of the search's work, where its steps differ
    ) -> Progress:
        passed = time.perf_counter() - self.began
        behind = step if done is None else done * self.settings.steps
        left = passed / (behind or 1) * (self.steps - behind)
        code = ws[photo, 0] if (ws[photo] == ws[photo, :1]).all() else ws[photo]
        values = {name: loss[photo].item() for name, loss in losses.items()}
        latent, (picture,) = Latent.of(code.cpu().numpy()), to_uint8(images[photo : photo + 1])
        return Progress(step, self.steps, left, picture, values, latent, note=self.note, photo=photo)

    def end(self, progress: Progress, figures: Figures) -> Progress:
        """The last report: with figures and nothing left to do."""
        return replace(progress, seconds_left=0.0, figures=figures | {"seconds": time.perf_counter() - self.began})


def _note(networks: Networks, settings: Settings) -> str:
    if settings.method == "in_domain" and networks.encoder is None:
        return "This generator has no encoder, so the search starts at the average picture and takes longer."
    return ""


def to_tensors(
    photos: np.ndarray | Sequence[np.ndarray], resolution: int
) -> Tensor:  # uint8 [H, W, 3] each -> [N, 3, R, R] in [-1, 1]
    """Cropped photos at the generator's resolution. Raises InversionError for another kind of array."""
    single = isinstance(photos, np.ndarray)
    return torch.stack([_to_tensor(photo, resolution) for photo in ([photos] if single else photos)])


def _to_tensor(photo: np.ndarray, resolution: int) -> Tensor:
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise InversionError(f"a photo is uint8 [H, W, 3], got {photo.dtype} {list(photo.shape)}")
    if photo.shape[:2] != (resolution, resolution):
        photo = np.asarray(Image.fromarray(photo).resize((resolution, resolution), Image.Resampling.LANCZOS))
    return from_array(photo)


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
    return temporary_folder()


@cache
def temporary_folder() -> Path:
    """A folder for tuned weights that goes with this process."""
    folder = Path(tempfile.mkdtemp(prefix="tuned-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def bound(folder: Path, most: int = MOST_COPIES) -> None:
    """Delete the tuned weights in a folder that were not used for longest, until there are at most `most`."""
    used = {}
    for entry in os.scandir(folder) if folder.is_dir() else ():  # a server that ends takes its folder along
        if DELTA.fullmatch(entry.name):
            with suppress(FileNotFoundError):  # somebody else's work
                used[Path(entry.path)] = entry.stat().st_mtime
    for path in sorted(used, key=lambda path: used[path])[: max(len(used) - most, 0)]:
        path.unlink(missing_ok=True)


def find_delta(folder: Path, name: object) -> Path:
    """The file of tuned weights that `Progress.delta` called `name`. Raises InversionError where there is none."""
    if isinstance(name, str) and DELTA.fullmatch(name) and (file := folder / name).is_file():
        with suppress(OSError):
            os.utime(file)  # of those that are deleted one day, it is the last
        return file
    raise InversionError("the copy that was fitted to this photo is no longer here: fit it again")


def tuned_engine(engine: Engine, delta: Path) -> Engine:
    """An engine of its own with a photo's tuned weights; the given one stays as it is. Raises CheckpointError."""
    generator = apply_delta(engine.checkpoint.generator, delta)
    checkpoint = replace(engine.checkpoint, generator=generator, path=None)
    return Engine(checkpoint, str(engine.device), engine.precision)
