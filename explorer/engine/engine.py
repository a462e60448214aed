"""`Engine`: renders edits of one checkpoint, thread-safe and as fast as the device allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import overload

import numpy as np
import torch
from torch import Tensor

from explorer import latents
from explorer.edit import Caption, Direction, DirectionId, Edit, EditError
from explorer.engine import effects
from explorer.engine.codes import Coder
from explorer.engine.directions import Directions, directions_of
from explorer.engine.effects import Measured
from explorer.engine.frames import SIDE, halved
from explorer.engine.own import OwnDirection
from explorer.engine.previews import Previews, allowed_seconds
from explorer.engine.renderers import Lower, Renderer, renderer
from explorer.engine.sharpening import sharp_side, sharpened
from explorer.metrics import Perceptual, load_perceptual
from explorer.networks import Codes, Generator
from explorer.networks.family import LARGE, Autoencoder, fingerprint
from explorer.networks.hardware import DTYPES, choose_device, choose_precision, return_memory, tune_allocator
from explorer.networks.pixels import to_pixels
from explorer.weights import Checkpoint

MAX_BATCH_PIXELS = 8 * 1024 * 1024  # pictures are synthesised in batches of at most this many pixels
MAX_BATCH_FEATURES = 2**29  # and of at most this many numbers in their largest features: 2 GB
MAX_BATCH_FEATURES_CPU = 2**26  # two pictures of 1024 px: more at once would only take more memory


@dataclass(frozen=True)
class Model:
    """One checkpoint, ready to be rendered: all that `Engine.replace` swaps, at once."""

    checkpoint: Checkpoint
    render: Renderer
    code: Coder
    directions: Directions
    perceptual: Perceptual
    effects_key: dict[str, str | float]  # what measured effects count for
    previews: Previews | None  # on a CPU, of a kind that makes pictures at once
    error: float | None = None  # of measured effects, see `Measured`


def prepare(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype, preview_seconds: float) -> Model:
    """The model of a checkpoint on `device`, with the effects that lie beside its file."""
    generator = checkpoint.generator.to(device)
    directions, perceptual = directions_of(checkpoint), load_perceptual(device)
    key = {
        "weights": fingerprint(generator),
        "metric": perceptual.name,
        "samples": effects.SAMPLES,
        "distance": round(directions.distance, 4),
    }
    code = Coder(generator, checkpoint.expansion, directions)
    render = renderer(generator, dtype)
    shown = device.type == "cpu" and not generator.codes.steps
    previews = Previews(render, preview_seconds) if shown else None
    model = Model(checkpoint, render, code, directions, perceptual, key, previews)
    path = checkpoint.path
    measured = None if path is None else effects.load(effects.path_beside(path), key)
    return model if measured is None else with_measured(model, measured)


def with_measured(model: Model, measured: Measured) -> Model:
    """The model with what was measured of its directions."""
    directions = model.directions.with_effects(measured.effects).with_captions(measured.captions)
    return replace(model, directions=directions, error=measured.error)


def with_own(model: Model, own: Sequence[OwnDirection]) -> Model:
    """The model with these directions of the user's own; other checkpoints of its generator take them too."""
    if not own and not model.directions.own:
        return model
    directions = model.directions.with_own(own)
    code = Coder(model.checkpoint.generator, model.checkpoint.expansion, directions)
    return replace(model, directions=directions, code=code)


class Engine:
    """Renders `Edit`s of one checkpoint.

    Args:
        checkpoint: what `explorer.load` returned.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "fp32" (exact), "bf16" or "fp16". "auto" is bf16 where the CPU multiplies it natively, fp16
            on CUDA, else fp32.
        preview_seconds: how long a picture may take while a slider moves, before previews are shown in its place; None
            for what `explorer.engine.previews` says.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "auto",
        precision: str = "auto",
        preview_seconds: float | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        self._preview_seconds = allowed_seconds() if preview_seconds is None else preview_seconds
        tune_allocator()
        self._lock = threading.Lock()
        self._coding = threading.Lock()  # of its own: a preview needs its code while an exact picture is made
        # On a CPU several pictures go on beside a drag's single one, which would have to wait for all of them. Only
        # single ones touch what a renderer keeps for the next.
        self._batches = threading.Lock() if self.device.type == "cpu" else self._lock
        self._model = self._prepare(checkpoint)

    def replace(self, checkpoint: Checkpoint) -> None:
        """Render `checkpoint` from now on, on the same device; a picture in the making is finished with the old one.

        What was measured of the same generator before it was taught is taken over; only new domains are measured.
        """
        before, model = self._model, self._prepare(checkpoint)
        model = with_own(model, before.directions.own)
        if (measured := self._measured_before(before, model)) is not None:
            model = with_measured(model, measured)
            _save_measured(model)
        with self._lock:
            self._model = model

    def _prepare(self, checkpoint: Checkpoint) -> Model:
        model = prepare(checkpoint, self.device, DTYPES[self.precision], self._preview_seconds)
        return_memory()
        return model

    def close(self) -> None:
        """Let go of the generator and of all that is prepared of it, whoever holds this engine. It renders no more."""
        with self._lock:
            del self._model
        return_memory()

    @property
    def checkpoint(self) -> Checkpoint:
        return self._model.checkpoint

    @property
    def generator(self) -> Generator:
        return self._model.checkpoint.generator

    @property
    def perceptual(self) -> Perceptual:
        return self._model.perceptual

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Every slider: domains first, then attributes, own ones, factors from most to least effect, dormant ones."""
        return self._model.directions.entries

    @property
    def own(self) -> tuple[OwnDirection, ...]:
        """The directions that the user made or brought."""
        return self._model.directions.own

    @own.setter
    def own(self, directions: Sequence[OwnDirection]) -> None:
        model = with_own(self._model, directions)
        with self._lock:
            self._model = model

    @property
    def distance(self) -> float:
        """Length of strength 1 of a domain; without an expansion, the mean distance of codes from their mean."""
        return self._model.directions.distance

    @property
    def resolution(self) -> int:
        return self.generator.resolution

    @property
    def picture_seconds(self) -> float | None:
        """How long a picture takes on this CPU, as the last ones did; None elsewhere and before the first."""
        return None if self._model.previews is None else self._model.previews.took

    @property
    def codes(self) -> Codes:
        return self.generator.codes

    @property
    def sharp_side(self) -> int | None:
        """The side of `sharpened` pictures; None where this generator's are not sharpened."""
        return sharp_side(self.resolution)

    def cost(self, edits: Sequence[Edit], px: int | None = None, sharpen: bool = False) -> int:
        """Pixels that the most costly of these edits costs: those of each of its steps, or of the enlarged picture."""
        steps = max((edit.steps or self.codes.steps[-1] for edit in edits), default=1) if self.codes.steps else 1
        side = max(px or 0, self.sharp_side or 0 if sharpen else 0)
        return max(steps * self.resolution**2, side**2)

    def direction(self, direction: DirectionId) -> Direction:
        """The direction of this name or number. Raises `EditError` where the generator has none such."""
        return self._model.directions[direction]

    @overload
    def render(self, edit: Edit, max_px: int | None = None) -> np.ndarray: ...
    @overload
    def render(self, edit: Sequence[Edit], max_px: int | None = None) -> list[np.ndarray]: ...
    def render(self, edit: Edit | Sequence[Edit], max_px: int | None = None) -> np.ndarray | list[np.ndarray]:
        """The picture of an edit, uint8 `[H, W, 3]`; for a list of edits the list of pictures.

        `max_px` bounds the side: larger pictures are halved by area until they fit. Raises `EditError` for an edit that
        does not fit this generator, and for a `max_px` below 1.
        """
        if max_px is not None and max_px < 1:
            raise EditError(f"the largest side of a picture is 1 px or more, got {max_px}")
        edits = [edit] if isinstance(edit, Edit) else list(edit)
        with torch.inference_mode():
            pictures = self._render(self._model, edits, max_px)
        return pictures[0] if isinstance(edit, Edit) else pictures

    def sharpened(self, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Pictures of this generator, uint8 `[H, W, 3]`, made larger by a network that adds what is likely.

        To be looked at; nothing is measured on them. Raises SharpenError where `sharp_side` is None.
        """
        return [sharpened(picture, self.device) for picture in pictures]

    def drafted(self, edits: Sequence[Edit], draft: int) -> list[Edit]:
        """These edits in fewer steps, where the generator makes pictures step by step: `draft` is 0 while something

        moves, 1 once it rests, and so on until they are as they were.
        """
        if draft >= len(drafts := self.codes.steps[:-1]):
            return list(edits)
        steps = drafts[draft]
        return [edit if (edit.steps or steps + 1) <= steps else replace(edit, steps=steps) for edit in edits]

    def preview(self, edit: Edit, max_px: int | None = None) -> np.ndarray | None:
        """What is shown of an edit while a slider moves, where exact pictures take too long for that: uint8 `[H, W, 3]`

        of at most `frames.SIDE` pixels. None where `render` is to be asked: it is quick, or nothing is known yet of
        the pictures that this edit lies between. Never waits for a picture that is being made.
        """
        if (previews := self._model.previews) is None:
            return None
        with torch.inference_mode():
            picture = previews.of(edit, self._code(self._model, edit))
        return None if picture is None else to_uint8(picture[None], max_px)[0]

    def _render(self, model: Model, edits: list[Edit], max_px: int | None) -> list[np.ndarray]:
        codes = [self._code(model, edit) for edit in edits]
        alone = model.previews if len(edits) == 1 else None
        if alone and max_px is not None and max_px <= SIDE and (known := alone.exact(edits[0], codes[0])) is not None:
            return to_uint8(known[None], max_px)
        pictures: list[np.ndarray] = []
        for (mode, seed, steps), run in groupby(
            range(len(edits)), lambda i: (edits[i].noise_mode, edits[i].noise_seed, edits[i].steps)
        ):
            run = list(run)
            poses = torch.tensor([edits[i].pose for i in run], device=self.device) if self.codes.pose else None
            parts = torch.stack([codes[i] for i in run]).split(self._chunk)
            own = self._own([edits[i] for i in run]) if mode == "photo" else None
            moved, noises = (
                [None] * len(parts) if whole is None else whole.split(self._chunk) for whole in (poses, own)
            )
            kept = "const" if mode == "photo" else mode
            for part, pose, noise in zip(parts, moved, noises, strict=True):
                with self._lock_of(part):
                    began = time.perf_counter()
                    images = model.render(part, noise_mode=kept, noise_seed=seed, pose=pose, steps=steps, noise=noise)
                    pictures += to_uint8(images, max_px)
                    if alone:
                        alone.note(edits[0], codes[0], images[0], time.perf_counter() - began)
        return pictures

    def _lock_of(self, part: Tensor) -> threading.Lock:
        """What synthesis of these codes holds."""
        return self._lock if len(part) == 1 else self._batches

    def _code(self, model: Model, edit: Edit) -> Tensor:
        with self._coding:
            return model.code(edit)

    def _own(self, edits: Sequence[Edit]) -> Tensor:  # [N, *codes.noise]
        """The noise images that edits bring along."""
        images = [edit.noise.numpy() for edit in edits if edit.noise is not None]
        return torch.from_numpy(np.stack(images).astype(np.float32)).to(self.device)

    def noise(self, edit: Edit) -> np.ndarray | None:
        """The noise image that an edit's picture is made of, float32; None where the generator takes none."""
        if not isinstance(self.generator, Autoencoder):
            return None
        if edit.noise_mode == "photo":
            return self._own([edit])[0].cpu().numpy()
        return self.generator.noise_images(1, edit.noise_mode, edit.noise_seed)[0].cpu().numpy()

    @staticmethod
    def noise_between(here: np.ndarray, there: np.ndarray, t: float) -> np.ndarray:
        """The noise image between two, at `t` of the way, 0 to 1."""
        return latents.interpolate_noise(torch.tensor(here), torch.tensor(there), t).numpy()

    @property
    def _chunk(self) -> int:
        """Pictures that are synthesised at once."""
        features = MAX_BATCH_FEATURES_CPU if self.device.type == "cpu" else MAX_BATCH_FEATURES
        most = min(MAX_BATCH_PIXELS // self.resolution**2, features // self.generator.features)
        return max(most, 1)

    def ws(self, edit: Edit) -> Tensor:
        """The code that an edit renders, float32 `[rows, dim]`."""
        with torch.inference_mode():
            return self._code(self._model, edit).clone()

    def measure_effects(self, progress: Callable[[float], None] | None = None, thorough: bool = False) -> float | None:
        """Measure how much every direction changes the picture at the expansion distance, unless that is known.

        Sets `Direction.effect` and keeps the result beside the checkpoint. Of a large generator on a CPU reduced
        pictures of few samples tell it, unless it is to be `thorough`, which can take hours; returns how wrong that is,
        see `Measured`, or None. Takes the engine's lock only for one direction at a time, so that pictures go on being
        rendered; `progress` gets the fraction done, and ends it by an exception.
        """
        model = self._model
        if model.directions.effects() and not (thorough and model.error is not None):
            return model.error
        quick = not thorough and self._reduced(model)
        dims = range(self.generator.codes.dim)
        checked = list(dims)[:: -(-len(dims) // effects.CHECKED)] if quick else []
        # A checked column costs as much as many quick ones.
        weight = effects.SAMPLES / (effects.QUICK_SAMPLES * effects.QUICK_SHARE)
        total = len(dims) + weight * len(checked)

        def measure(dims: Sequence[int], quick: bool, before: float, each: float) -> list[float]:
            found: list[float] = []
            for effect in self._effects(model, dims, quick):
                found.append(effect)
                if progress is not None:
                    progress((before + each * len(found)) / total)
            return found

        found = measure(dims, quick, 0, 1)
        error = None
        if checked:
            whole = measure(checked, False, len(dims), weight)
            error = float(np.sqrt(np.mean([(found[d] - w) ** 2 for d, w in zip(checked, whole, strict=True)])))
        self._tell(model, with_measured(model, Measured(tuple(found), model.directions.captions(), error)))
        return error

    def caption(self, captions: Mapping[int, Caption]) -> None:
        """Say in words what factors do, by column of the basis; kept with the effects, once those are measured."""
        self._tell(self._model, replace(self._model, directions=self._model.directions.with_captions(captions)))

    def _tell(self, model: Model, measured: Model) -> None:
        """Keep what was measured of `model`, and show it unless another checkpoint took its place meanwhile."""
        _save_measured(measured)
        with self._lock:
            if self._model is model:
                self._model = measured

    @property
    def effects_error(self) -> float | None:
        """How wrong measured effects are, see `Measured`."""
        return self._model.error

    def _reduced(self, model: Model) -> bool:
        """Whether effects are measured on reduced pictures: whole ones would take hours."""
        return model.previews is not None and isinstance(model.render, Lower) and self.resolution >= LARGE

    def _measured_before(self, before: Model, model: Model) -> Measured | None:
        """Effects of all columns where `before` knows them but for newly taught domains; None where it does not."""
        known = before.directions.effects()
        as_far = before.effects_key["distance"] == model.effects_key["distance"]
        if len(known) < model.checkpoint.generator.codes.dim or not as_far or model.directions.effects():
            return None
        taught = [direction.dim for direction in model.directions if direction.id not in before.directions.by_id]
        known |= zip(taught, self._effects(model, taught, before.error is not None), strict=True)
        effects_of_all = tuple(known[dim] for dim in range(len(known)))
        return Measured(effects_of_all, before.directions.captions(), before.error)

    def _effects(self, model: Model, dims: Sequence[int], quick: bool) -> Iterator[float]:
        """Effects of columns of the basis on always the same samples, one by one."""
        rng = torch.Generator().manual_seed(1)
        seeds = torch.randint(2**31, (effects.SAMPLES,), generator=rng).tolist()
        if quick:
            seeds = seeds[: effects.QUICK_SAMPLES]
        with torch.inference_mode():
            codes = torch.stack([self._code(model, Edit(seed=seed)) for seed in seeds])
        columns = model.directions.basis[:, list(dims)]

        # Those of a picture at rest: a comparison needs no more.
        steps = self.codes.steps[-2] if self.codes.steps else None

        def render(codes: Tensor) -> Tensor:
            with self._lock_of(codes), torch.inference_mode():
                return model.render(codes, steps=steps)

        def reduced(code: Tensor) -> Tensor:
            with torch.inference_mode():
                assert isinstance(model.render, Lower)
                picture = model.render.lower(code, "const", None, effects.QUICK_SHARE)
            return render(code) if picture is None else picture

        def synthesize(codes: Tensor) -> Tensor:
            parts = codes.split(1) if quick else codes.split(self._chunk)
            return torch.cat([(reduced if quick else render)(part) for part in parts])

        return latents.measure_effects(synthesize, model.perceptual, codes, columns, model.directions.distance)


def _save_measured(model: Model) -> None:
    known = model.directions.effects()
    if known and (path := model.checkpoint.path) is not None:
        measured = Measured(tuple(known[dim] for dim in range(len(known))), model.directions.captions(), model.error)
        effects.save(effects.path_beside(path), model.effects_key, measured)


def to_uint8(images: Tensor, max_px: int | None = None) -> list[np.ndarray]:
    """`[N, C, H, W]` in [-1, 1] -> N arrays uint8 `[H, W, 3]`; halved by area until the side is at most `max_px`."""
    pixels = to_pixels(halved(images, max_px)).permute(0, 2, 3, 1)
    return list(pixels.expand(-1, -1, -1, 3).contiguous().cpu().numpy())
