"""What an inversion is asked to do, as plain frozen data. Knows no torch and no networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from explorer.refused import Refused

Method = Literal["encoder", "in_domain", "clip_guided", "ddim"]
Space = Literal["w", "w+offsets", "w+"]
METHODS: tuple[Method, ...] = get_args(Method)
SPACES: tuple[Space, ...] = get_args(Space)
MAX_STEPS = 10_000
MAX_TEXT = 300

# What each space costs, in one sentence, for whoever has to choose.
SPACE_NOTES: dict[Space, str] = {
    "w": "One code for all layers: a little less like the photo, but every slider works as on any other picture.",
    "w+offsets": "One code and small changes to it in every layer: closer to the photo, and sliders still work well.",
    "w+": "A code of its own for every layer: closest to the photo, and sliders change it least faithfully.",
}


class InversionError(Refused):
    """An inversion that cannot be; the message is one sentence on what was expected."""


@dataclass(frozen=True)
class Settings:
    """How to look for the code of a photo. `defaults(method)` gives the published values.

    Attributes:
        method: "encoder" (one pass), "in_domain" (arXiv 2004.00049, section 3.2), "clip_guided" (arXiv 2203.09301), or,
            of a diffusion autoencoder, "ddim" (its encoder, and the sampler backwards: arXiv 2111.15640, equation 8).
        space: where the code may lie, see SPACE_NOTES.
        steps, lr: of Adam, or steps of the way back; "encoder" takes none.
        lambda_pixel, lambda_lpips: weights of the mean squared error and of the perceptual distance.
        lambda_clip: weight of CLIP's cosine distance over eight augmentations.
        lambda_dom: weight of the domain regulariser, mean (ws - E(G(ws)))^2.
        lambda_w: pull to the mean code, mean (w - mean)^2.
        lambda_offsets: pull of the offsets to zero, mean offset^2; only in the space "w+offsets".
        text, text_weight: words that the picture should fit too, and CLIP's weight for them; "" for none.
        tune_steps: steps of pivotal tuning afterwards (arXiv 2106.05744), 0 for none.
        seed: of the augmentations.
    """

    method: Method = "in_domain"
    space: Space = "w"
    steps: int = 100
    lr: float = 0.01
    lambda_pixel: float = 1.0
    lambda_lpips: float = 1.0
    lambda_clip: float = 0.0
    lambda_dom: float = 2.0
    lambda_w: float = 0.0
    lambda_offsets: float = 0.1
    text: str = ""
    text_weight: float = 0.5
    tune_steps: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InversionError(f"method must be {', '.join(METHODS)}, got {self.method!r}")
        if self.space not in SPACES:
            raise InversionError(f"space must be {', '.join(SPACES)}, got {self.space!r}")
        for name, most in (("steps", MAX_STEPS), ("tune_steps", MAX_STEPS), ("seed", 2**32 - 1)):
            _check_integer(name, getattr(self, name), most)
        for field in fields(self):
            if field.name.startswith("lambda_") or field.name in ("lr", "text_weight"):
                _check_weight(field.name, getattr(self, field.name))
        if self.lr == 0:
            raise InversionError("lr must be larger than 0")
        if not isinstance(self.text, str) or len(self.text) > MAX_TEXT:
            raise InversionError(f"text must be words, at most {MAX_TEXT} letters of them")


PUBLISHED: dict[Method, dict[str, Any]] = {
    "encoder": {"steps": 0},
    # arXiv 2004.00049: pixel 1, lambda_dom 2, Adam 0.01, 100 steps; its 5e-5 weighs raw VGG features, ours are of unit
    # length as those of LPIPS, which the encoders after it (arXiv 2008.00951) weigh 0.8.
    "in_domain": {"lambda_lpips": 0.8},
    "ddim": {"steps": 250},
    # arXiv 2203.09301, section 3.1, but for its 1000 steps: our small generators are there after 300.
    "clip_guided": {"steps": 300, "lambda_clip": 1.0, "lambda_dom": 0.0, "lambda_w": 0.01},
}


def defaults(method: Method) -> Settings:
    """The published settings of a method. Raises InversionError for an unknown one."""
    return Settings(method=method, **PUBLISHED.get(method, {}))


def _check_integer(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise InversionError(f"{name} must be a whole number from 0 to {most}, got {value!r}")


def _check_weight(name: str, value: Any) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InversionError(f"{name} must be a number of at least 0, got {value!r}")
