"""The one loop of every trainer: steps, checkpoints, interruption, and what to do when the losses are no numbers.

Knows no network and no picture: a trainer brings a step, and what to save. `Journal` is how the trainers of one model
report; domain expansion has a report of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from explorer.training.run import Diverged, Interruption, Progress, anywhere, sheet

REPORT_SECONDS = 20.0
Figures = dict[str, Tensor]  # of one step, scalars by name


def steps_of(kimg: float, batch: int) -> int:
    """The steps of a run over so many thousand pictures."""
    return math.ceil(1000 * kimg / batch)


class Steps(Protocol):
    """A trainer as the loop sees it."""

    step: int


def loop(
    trainer: Steps,
    last: int,  # step at which the run ends
    accelerator: Accelerator,
    interruption: Interruption,
    *,
    advance: Callable[[], Figures],
    report: Callable[[Figures], None],
    save: Callable[[], None],
    minutes: float,  # between two checkpoints
    advice: str,  # what to do about losses that are no longer finite
) -> bool:
    """Step until `last` or an interruption, and save at the end; returns whether it was interrupted before the end.

    Raises Diverged on NaN or infinity, with the last good checkpoint kept.
    """
    saved, stop = time.monotonic(), False
    while trainer.step < last and not stop:
        figures = advance()
        finite = bool(torch.stack([value.detach() for value in figures.values()]).isfinite().all())
        stop, diverged = anywhere(accelerator, interruption.asked, not finite)
        if diverged:
            raise Diverged(f"the losses are no longer finite after {trainer.step} steps; {advice}")
        report(figures)
        if time.monotonic() - saved > 60 * minutes:
            save()
            saved = time.monotonic()
    save()
    return stop and trainer.step < last


class Journal:
    """Progress on stderr, and figures and samples for TensorBoard in a run's folder; silent but in the main process."""

    def __init__(self, folder: Path, accelerator: Accelerator, batch: int, kimg: float, step: int) -> None:
        self.batch, main = batch, accelerator.is_main_process
        self.writer = SummaryWriter(str(folder), purge_step=step * batch) if main else None
        self.progress = Progress(int(1000 * kimg), step * batch)
        self.reported = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.writer:
            self.writer.close()

    def report(self, step: int, figures: Figures) -> None:
        """Print and note the figures of a step, every REPORT_SECONDS."""
        if self.writer is None or time.monotonic() - self.reported < REPORT_SECONDS:
            return
        self.reported = time.monotonic()
        values = {name: float(value) for name, value in figures.items()}
        values["images per second"] = self.progress.report(step * self.batch, values)
        self.scalars(step, values)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Note figures."""
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step * self.batch)

    def images(self, step: int, name: str, images: Tensor) -> None:  # [N, 3, H, W] in [-1, 1]
        """Note a sheet of pictures."""
        if self.writer:
            self.writer.add_image(name, sheet(images), step * self.batch)
