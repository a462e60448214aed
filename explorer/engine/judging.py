"""What the judge of a generator sees in an engine's pictures: how far a domain was learned.

The judge is a classifier of real photos in many styles (`explorer.recipes.judge`), which took no part in teaching.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from explorer.edit import Edit
from explorer.engine.engine import Engine
from explorer.networks.judge import Judge
from explorer.networks.pixels import from_array
from explorer.weights import Checkpoint, CheckpointError
from explorer.weights.parts import load_judge, part_of

NO_STYLE = ("photo", "nothing")  # classes that nobody teaches


class Judging:
    """The judges beside checkpoints; the last one stays in memory."""

    def __init__(self) -> None:
        self._last: tuple[Path, Judge | None] | None = None

    def judge(self, checkpoint: Checkpoint) -> Judge | None:
        """The judge beside a checkpoint; None where there is none that can be read."""
        path = part_of(checkpoint, "judge")
        if path is None:
            return None
        if self._last is None or self._last[0] != path:
            try:
                self._last = path, load_judge(path)[0]
            except CheckpointError:
                self._last = path, None
        return self._last[1]

    def words(self, checkpoint: Checkpoint) -> list[str]:
        """The styles that a checkpoint's judge can tell apart, which are those that its CLIP was taught."""
        judge = self.judge(checkpoint)
        return [] if judge is None else [name for name in judge.config.classes if name not in NO_STYLE]

    def seen(self, checkpoint: Checkpoint, engine: Engine, edits: Sequence[Edit], word: str) -> tuple[str, int] | None:
        """How the judge of `checkpoint` writes `word`, and in how many of the engine's pictures it sees that.

        None where it does not know the word, in whatever case and spacing.
        """
        written = " ".join(word.split()).casefold()
        known = next((name for name in self.words(checkpoint) if name.casefold() == written), None)
        judge = self.judge(checkpoint)
        if judge is None or known is None:
            return None
        with torch.inference_mode():
            chosen = judge(from_array(np.stack(engine.render(list(edits))))).argmax(dim=1)
        return known, int((chosen == judge.config.classes.index(known)).sum())
