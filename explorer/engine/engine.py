"""`Engine`: renders edits of one checkpoint, thread-safe and as fast as the device allows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explorer import latents
from explorer.edit import Direction, DirectionId, Edit, EditError
from explorer.engine import effects
from explorer.engine.synthesis import Synthesis
from explorer.metrics import load_perceptual
from explorer.networks.hardware import DTYPES, choose_device, choose_precision, tune_allocator
from explorer.weights import Checkpoint

MAX_BATCH_PIXELS = 8 * 1024 * 1024  # pictures are synthesised in batches of at most this many pixels
KEPT_CODES = 256  # mapped seeds kept, about 40 KB each for 1024 px W+
FACTORS = 64  # basis columns called factors; the rest, least effective last, are candidates for dormancy
FACTOR_LIMIT = 4.0  # range of a factor's slider in standard deviations of W; pictures fall apart beyond
NORM_SAMPLES = 4096  # codes for the statistics of W


class Engine:
    """Renders `Edit`s of one checkpoint.

    Args:
        checkpoint: what `explorer.load` returned.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto", "fp32" (exact), "bf16" or "fp16". "auto" is bf16 where the CPU multiplies it natively, fp16
            on CUDA, else fp32.

    Attributes:
        directions: every slider: domains first, then factors from most to least effect, then dormant ones.
        distance: length in W of strength 1 of a domain; without an expansion, the mean distance of codes from w_avg.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "auto", precision: str = "auto") -> None:
        self.checkpoint = checkpoint
        self.device = choose_device(device)
        self.precision = choose_precision(precision, self.device)
        tune_allocator()
        self.generator = checkpoint.generator.to(self.device)
        self.synthesis = Synthesis(self.generator, DTYPES[self.precision])
        self._lock = threading.Lock()
        self._codes: OrderedDict[tuple, Tensor] = OrderedDict()
        expansion = checkpoint.expansion
        self._basis = (latents.factorize(self.generator) if expansion is None else expansion.basis).to(self.device)
        self._measure_w()
        self.perceptual = load_perceptual(self.device)
        self._effects_key = {
            "weights": effects.fingerprint(self.generator),
            "metric": self.perceptual.name,
            "samples": effects.SAMPLES,
            "distance": round(self.distance, 4),
        }
        path = checkpoint.path
        self._set_directions(None if path is None else effects.load(effects.path_beside(path), self._effects_key))

    def replace(self, checkpoint: Checkpoint) -> None:
        """Render `checkpoint` from now on, on the same device; a picture in the making is finished with the old one."""
        new = Engine(checkpoint, str(self.device), self.precision)
        new._lock = self._lock  # whoever waits for it goes on with the new generator
        new._take_effects(self)
        with self._lock:
            self.__dict__.update(vars(new))

    @property
    def img_resolution(self) -> int:
        return self.generator.img_resolution

    @property
    def num_ws(self) -> int:
        return self.generator.num_ws

    def direction(self, direction: DirectionId) -> Direction:
        """The direction of this name or number. Raises `EditError` where the generator has none such."""
        try:
            return self._by_id[direction]
        except KeyError:
            domains = ", ".join(repr(d.id) for d in self.directions if d.group == "domains") or "none"
            raise EditError(
                f"this generator has no direction {direction!r}; it has directions by number up to"
                f" {self.generator.w_dim - 1}, and the domains {domains}"
            ) from None

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
        with self._lock, torch.inference_mode():
            pictures = self._render(edits, max_px)
        return pictures[0] if isinstance(edit, Edit) else pictures

    def _render(self, edits: list[Edit], max_px: int | None) -> list[np.ndarray]:
        ws = [self._ws(edit) for edit in edits]
        chunk = max(MAX_BATCH_PIXELS // self.img_resolution**2, 1)
        pictures: list[np.ndarray] = []
        for (mode, seed), run in groupby(range(len(edits)), lambda i: (edits[i].noise_mode, edits[i].noise_seed)):
            run = list(run)
            for start in range(0, len(run), chunk):
                part = run[start : start + chunk]
                images = self.synthesis(torch.stack([ws[i] for i in part]), noise_mode=mode, noise_seed=seed)
                pictures += to_uint8(images, max_px)
        return pictures

    def ws(self, edit: Edit) -> Tensor:
        """The code that an edit renders, float32 `[num_ws, w_dim]`."""
        with self._lock, torch.inference_mode():
            return self._ws(edit).clone()

    def _ws(self, edit: Edit) -> Tensor:
        ws = self._code(edit)
        expansion = self.checkpoint.expansion
        if edit.project and expansion is not None:
            ws = latents.project(ws, expansion)
        for direction_id, strength, layers in edit.moves():
            direction = self.direction(direction_id)
            if layers is not None and layers[1] > self.num_ws:
                raise EditError(f"layers of {direction_id!r} must end by row {self.num_ws}, got {layers}")
            ws = latents.move(ws, self._basis[:, direction.dim], strength * direction.unit, layers)
        return ws

    def _code(self, edit: Edit) -> Tensor:  # [num_ws, w_dim]
        key = (edit.seed, edit.latent, edit.class_index, edit.truncation_psi, edit.truncation_cutoff)
        if key in self._codes:
            self._codes.move_to_end(key)
            return self._codes[key]
        if edit.latent is not None:
            code = self._from_latent(edit)
        else:
            z = latents.sample_z(1, self.generator.z_dim, edit.seed)
            code = self.generator.mapping(
                z.to(self.device), self._label(edit.class_index), edit.truncation_psi, edit.truncation_cutoff
            )[0]
        self._codes[key] = code
        if len(self._codes) > KEPT_CODES:
            self._codes.popitem(last=False)
        return code

    def _from_latent(self, edit: Edit) -> Tensor:
        assert edit.latent is not None
        code = torch.from_numpy(edit.latent.numpy().copy()).to(self.device)
        expected = (self.num_ws, self.generator.w_dim)
        if code.shape not in (expected, expected[1:]):
            raise EditError(f"a latent of this generator is {expected[1:]} or {expected}, got {edit.latent.shape}")
        return code.expand(expected).clone()

    def _label(self, class_index: int | None) -> Tensor | None:
        classes = self.generator.c_dim
        if not classes:
            return None
        index = class_index or 0
        if index >= classes:
            raise EditError(f"class_index must be below {classes}, got {index}")
        return F.one_hot(torch.tensor([index]), classes).float().to(self.device)

    @torch.inference_mode()
    def _measure_w(self) -> None:
        z = latents.sample_z(NORM_SAMPLES, self.generator.z_dim, seed=0).to(self.device)
        c, classes = None, self.generator.c_dim
        if classes:
            c = F.one_hot(torch.arange(NORM_SAMPLES) % classes, classes).float().to(self.device)
        w = self.generator.mapping(z, c)[:, 0]
        self._scales = latents.direction_scales(w, self._basis).tolist()
        expansion = self.checkpoint.expansion
        norm = (w - self.generator.mapping.w_avg).norm(dim=1).mean().item()
        self.distance = norm if expansion is None else expansion.distance

    def measure_effects(self, progress: Callable[[float], None] | None = None) -> None:
        """Measure how much every direction changes the picture at the expansion distance, unless that is known.

        Sets `Direction.effect` and keeps the result beside the checkpoint. Takes the engine's lock only for one
        direction at a time, so that pictures go on being rendered; `progress` gets the fraction done.
        """
        if self.directions[0].effect is not None:
            return
        measured = []
        for effect in self._effects(range(self.generator.w_dim)):
            measured.append(effect)
            if progress is not None:
                progress(len(measured) / self.generator.w_dim)
        self._keep_effects(measured)

    def _take_effects(self, before: Engine) -> None:
        """Take over what was measured of the same generator before it was taught; measure its new domains alone."""
        known = {direction.dim: direction.effect for direction in before.directions if direction.effect is not None}
        as_far = before._effects_key["distance"] == self._effects_key["distance"]
        if len(known) < self.generator.w_dim or not as_far or self.directions[0].effect is not None:
            return
        taught = [direction.dim for direction in self.directions if direction.id not in before._by_id]
        known.update(zip(taught, self._effects(taught), strict=True))
        self._keep_effects([known[dim] for dim in range(self.generator.w_dim)])

    def _effects(self, dims: Sequence[int]) -> Iterator[float]:
        """Effects of columns of the basis on always the same samples, one by one."""
        rng = torch.Generator().manual_seed(1)
        edits = [Edit(seed=int(seed)) for seed in torch.randint(2**31, (effects.SAMPLES,), generator=rng)]
        ws = torch.stack([self.ws(edit) for edit in edits])
        columns = self._basis[:, list(dims)]
        return latents.measure_effects(self._synthesize, self.perceptual, ws, columns, self.distance)

    def _keep_effects(self, measured: list[float]) -> None:
        if self.checkpoint.path is not None:
            effects.save(effects.path_beside(self.checkpoint.path), self._effects_key, measured)
        self._set_directions(measured)

    def _synthesize(self, ws: Tensor) -> Tensor:
        chunk = max(MAX_BATCH_PIXELS // self.img_resolution**2, 1)
        with self._lock, torch.inference_mode():
            return torch.cat([self.synthesis(part) for part in ws.split(chunk)])

    def _set_directions(self, measured: list[float] | None) -> None:
        directions = self._build_directions()
        if measured is not None:
            directions = tuple(replace(direction, effect=measured[direction.dim]) for direction in directions)
        self.directions = directions
        self._by_id = {direction.id: direction for direction in directions}

    def _build_directions(self) -> tuple[Direction, ...]:
        expansion = self.checkpoint.expansion
        names = {} if expansion is None else dict(zip(expansion.dims, expansion.domains, strict=True))
        domains = [Direction(name, name, "domains", dim, self.distance, -0.5, 1.5) for dim, name in names.items()]
        free = [dim for dim in range(self.generator.w_dim) if dim not in names]
        factors = [
            Direction(dim, f"Factor {dim}", "factors", dim, self._scales[dim], -FACTOR_LIMIT, FACTOR_LIMIT)
            for dim in free[:FACTORS]
        ]
        dormant = [Direction(dim, f"Dormant {dim}", "dormant", dim, self.distance, -1.5, 1.5) for dim in free[FACTORS:]]
        return tuple(domains + factors + dormant)


def to_uint8(images: Tensor, max_px: int | None = None) -> list[np.ndarray]:
    """`[N, C, H, W]` in [-1, 1] -> N arrays uint8 `[H, W, 3]`; halved by area until the side is at most `max_px`."""
    images = images.float().clamp(-1, 1)
    while max_px is not None and images.shape[-1] > max_px:
        images = F.avg_pool2d(images, 2)
    pixels = (images * 127.5 + 128).clamp_max(255).to(torch.uint8).permute(0, 2, 3, 1)
    return list(pixels.expand(-1, -1, -1, 3).contiguous().cpu().numpy())
