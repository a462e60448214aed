"""The one loop of every trainer: steps, checkpoints, interruption, and what to do when the losses are no numbers.

Knows no network and no picture: a trainer brings a step, and what to save. `course` is the whole way of the trainers of
one model, reported by a `Journal`; domain expansion has a report of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict
from typing import Any, ClassVar, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from explorer.training.run import Diverged, Folder, Interruption, Progress, anywhere, sheet

REPORT_SECONDS = 20.0
Figures = dict[str, Tensor]  # of one step, scalars by name


def steps_of(kimg: float, batch: int) -> int:
    """The steps of a run over so many thousand pictures."""
    return math.ceil(1000 * kimg / batch)


class Steps(Protocol):
    """A trainer as the loop sees it."""

    step: int


class Trainer(Steps, Protocol):
    """And as `course` sees it."""

    def state(self) -> dict[str, Any]:
        """All that is needed to continue."""
        ...


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
    """Progress on stderr, figures for TensorBoard and sheets in a run's folder; of the main process alone."""

    def __init__(self, folder: Folder, trainer: Steps, batch: int, kimg: float) -> None:
        self.folder, self.trainer, self.batch = folder, trainer, batch
        self.writer = SummaryWriter(str(folder.path), purge_step=self.seen)
        self.progress = Progress(int(1000 * kimg), self.seen)
        self.reported = time.monotonic()

    @property
    def seen(self) -> int:
        """Pictures so far."""
        return self.trainer.step * self.batch

    def report(self, figures: Figures) -> None:
        """Print and note the figures of a step, every REPORT_SECONDS."""
        if time.monotonic() - self.reported < REPORT_SECONDS:
            return
        self.reported = time.monotonic()
        values = {name: float(value) for name, value in figures.items()}
        values["images per second"] = self.progress.report(self.seen, values)
        self.scalars(values)

    def scalars(self, values: Mapping[str, float]) -> None:
        """Note figures."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, self.seen)

    def images(self, name: str, images: Tensor) -> None:  # [N, 3, H, W] in [-1, 1]
        """Note a sheet of pictures, and write it."""
        self.folder.save_sheet(f"{self.seen:08}", images)
        self.writer.add_image(name, sheet(images), self.seen)


class Settings(Protocol):
    """What every recipe's `Config`, a frozen dataclass, holds besides its own."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def batch(self) -> int: ...
    @property
    def kimg(self) -> float: ...
    @property
    def checkpoint_minutes(self) -> float: ...


def course(
    folder: Folder,
    config: Settings,
    accelerator: Accelerator,
    trainer: Trainer,
    *,
    advance: Callable[[], Figures],
    publish: Callable[[Journal], None],  # what a checkpoint writes besides the trainer's state; in the main process
    advice: str,  # settings to resume with where the losses are no longer finite
) -> int:
    """Train from where `trainer` stands until `config.kimg` or an interruption; returns the pictures seen."""
    main = accelerator.is_main_process
    if main:
        folder.write_config(asdict(config))  # now that the run can go on with it
    journal = Journal(folder, trainer, config.batch, config.kimg) if main else None

    def save() -> None:
        if journal:
            folder.save(trainer.state())
            publish(journal)

    with closing(journal.writer) if journal else nullcontext(), Interruption() as interruption:
        loop(
            trainer,
            steps_of(config.kimg, config.batch),
            accelerator,
            interruption,
            advance=advance,
            report=journal.report if journal else lambda figures: None,
            save=save,
            minutes=config.checkpoint_minutes,
            advice=f"the last checkpoint in {folder.path} is good: resume it with {advice}",
        )
    return trainer.step * config.batch
