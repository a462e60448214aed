"""What an `Edit` means to one generator: the code that it renders. Random codes are kept for the next edit."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor

from explorer import latents
from explorer.edit import Edit, EditError, Noise
from explorer.engine.directions import Directions
from explorer.networks import Generator

KEPT_CODES = 256  # about 40 KB each for 1024 px W+


class Coder:
    """`Edit -> code` for one generator. Not thread-safe; the engine holds the lock."""

    def __init__(self, generator: Generator, expansion: latents.Expansion | None, directions: Directions) -> None:
        self.generator, self.expansion, self.directions = generator, expansion, directions
        self._drawn: OrderedDict[tuple, Tensor] = OrderedDict()

    def __call__(self, edit: Edit) -> Tensor:  # [rows, dim], float32
        """The code of an edit. Raises `EditError` where it does not fit the generator."""
        codes = self.generator.codes
        if edit.noise is not None:
            self._check_noise(edit.noise)
        if codes.noise_modes and edit.noise_mode not in (*codes.noise_modes, "photo"):
            raise EditError(f"noise_mode of this generator is {', '.join(codes.noise_modes)}, got {edit.noise_mode!r}")
        if any(edit.pose) and not codes.pose:
            raise EditError("this generator cannot turn or shift its pictures: leave rotate and shift at 0")
        if edit.steps is not None and not codes.steps:
            raise EditError("this generator makes its pictures at once: leave steps away")
        code = self._origin(edit)
        if edit.project and self.expansion is not None:
            code = latents.project(code, self.expansion)
        for name, strength, layers in edit.moves():
            direction = self.directions[name]
            if layers is not None and layers[1] > codes.rows:
                raise EditError(f"layers of {name!r} must end by row {codes.rows}, got {layers}")
            code = latents.move(code, self.directions.vector(direction), strength * direction.unit, layers)
        return code

    def _check_noise(self, noise: Noise) -> None:
        if not (expected := self.generator.codes.noise):
            raise EditError("this generator makes no picture of a noise image: leave noise away")
        if noise.shape != expected:
            raise EditError(f"a noise image of this generator is {expected}, got {noise.shape}")

    def _origin(self, edit: Edit) -> Tensor:  # [rows, dim]
        """The code before it is projected and moved."""
        key = (edit.seed, edit.latent, edit.class_index, edit.truncation_psi, edit.truncation_cutoff)
        if key in self._drawn:
            self._drawn.move_to_end(key)
            return self._drawn[key]
        code = self._drawn[key] = self._random(edit) if edit.latent is None else self._from_latent(edit)
        if len(self._drawn) > KEPT_CODES:
            self._drawn.popitem(last=False)
        return code

    def _random(self, edit: Edit) -> Tensor:
        generator = self.generator
        z = latents.sample_z(1, generator.codes.z_dim, edit.seed).to(generator.device)
        return generator.draw(z, self._label(edit.class_index), edit.truncation_psi, edit.truncation_cutoff)[0]

    def _from_latent(self, edit: Edit) -> Tensor:
        assert edit.latent is not None
        code = torch.from_numpy(edit.latent.numpy().copy()).to(self.generator.device)
        expected = (self.generator.codes.rows, self.generator.codes.dim)
        if code.shape not in (expected, expected[1:]):
            raise EditError(f"a latent of this generator is {expected[1:]} or {expected}, got {edit.latent.shape}")
        return code.expand(expected).clone()

    def _label(self, class_index: int | None) -> Tensor | None:  # [1]
        classes = self.generator.classes
        if not classes:
            return None
        index = class_index or 0
        if index >= classes:
            raise EditError(f"class_index must be below {classes}, got {index}")
        return torch.tensor([index])
