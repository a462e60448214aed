"""What is shown of an edit while a slider moves, where exact pictures take too long: `docs/guide.md` says how it looks.

In this order: the blend of the two exact pictures between which the code lies; the nearest one, moved by what a small
share of the network makes of the code. Knows no checkpoint. Inference only.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import replace

import torch
from torch import Tensor

from explorer.edit import Edit
from explorer.engine.frames import Frames, sharpened
from explorer.engine.renderers import Lower, Renderer
from explorer.foreign import brief
from explorer.refused import Refused

SECONDS = 0.06  # that a picture may take while a slider moves: a twelfth of a second with the way to the page
TIMED = 5  # last whole pictures, of which the fastest says how fast this machine is: others may have been busy


def allowed_seconds() -> float:
    """SECONDS, or what EXPLORER_PREVIEW_SECONDS says. Raises Refused where that is no number."""
    text = os.environ.get("EXPLORER_PREVIEW_SECONDS", "")
    try:
        return float(text) if text else SECONDS
    except ValueError:
        raise Refused(f"EXPLORER_PREVIEW_SECONDS is a number of seconds, got {brief(text)}") from None


class Previews:
    """The previews of one generator; `seconds` is what a picture may take before it is previewed."""

    def __init__(self, render: Renderer, seconds: float) -> None:
        self.seconds = seconds
        self.frames = Frames()
        self._lower = render.lower if isinstance(render, Lower) else None
        self._took: deque[float] = deque(maxlen=TIMED)
        self._row: Tensor | None = None  # first row of the last code

    @property
    def took(self) -> float | None:
        """Seconds of an exact picture, as the last ones took; None before the first."""
        return min(self._took, default=None)

    @property
    def slow(self) -> bool:
        """Whether exact pictures take longer here than a moving slider can wait, as the last ones did."""
        return bool(self._took) and min(self._took) > self.seconds

    def note(
        self,
        edit: Edit,
        code: Tensor,  # [rows, dim]
        picture: Tensor,  # [C, H, W]
        seconds: float,
    ) -> None:
        """Learn from an exact picture that was made alone. Not thread-safe."""
        # A picture that begins like the last one takes less time: most of that is used again.
        if self._row is None or not torch.equal(self._row, code[0]):
            self._took.append(seconds)
        self._row = code[0].clone()
        if self.slow:
            self.frames.add(drag_of(edit), code, picture)

    def exact(self, edit: Edit, code: Tensor) -> Tensor | None:  # [C, side, side]
        """The exact picture in a preview's size, where it is known."""
        frame = self.frames.at(drag_of(edit), code)
        return None if frame is None else frame.picture

    def of(self, edit: Edit, code: Tensor) -> Tensor | None:  # [C, side, side]
        """The preview of an edit; None where pictures are quick, or nothing is known of this drag. Thread-safe."""
        if not self.slow:
            return None
        between = self.frames.between(drag_of(edit), code)
        return self._moved(edit, code) if between is None else between

    def _moved(self, edit: Edit, code: Tensor) -> Tensor | None:
        """The nearest exact picture, moved by the change of the picture so far at a smaller side."""
        frame = self.frames.nearest(drag_of(edit), code)
        if frame is None or (now := self._smaller(edit, code)) is None:
            return None
        side = now.shape[-1]
        if side not in frame.smaller and (before := self._smaller(edit, frame.code)) is not None:
            frame.smaller[before.shape[-1]] = before
        return sharpened(frame, now) if side in frame.smaller else None

    def _smaller(self, edit: Edit, code: Tensor) -> Tensor | None:  # [C, side, side]
        if self._lower is None or edit.noise_mode == "photo":
            return None
        image = self._lower(code[None], edit.noise_mode, edit.noise_seed, self.seconds / min(self._took))
        return None if image is None else image[0]


def drag_of(edit: Edit) -> Edit:
    """What stays as it is while sliders move: edits that have it in common are shown by each other's pictures."""
    return replace(edit, truncation_psi=1.0, truncation_cutoff=None, strengths={}, layers={})
