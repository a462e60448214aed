"""What a run tells others while it trains: `progress.json`, `losses.jsonl`, sample grids, TensorBoard.

    progress.json   how it stands, replaced in one step about every two seconds
    losses.jsonl    one line a report: the step and the losses, a domain's under its name, means since the last line
    samples/        one grid a domain: strengths 0, 1/2 and 1 from top to bottom, always the same eight codes

Knows no networks and no losses.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from explorer.replacing import replacing
from explorer.training.run import duration, sheet

SECONDS = 2.0  # between two reports
LINE_SECONDS = 20.0  # between two lines on stderr
State = Literal["preparing", "training", "done", "stopped", "failed"]


class Report:
    """The reports of the run in `folder`; a silent one (`told` False) belongs to a process that is not the first."""

    def __init__(self, folder: Path, steps: int, batch: int, step: int = 0, told: bool = True) -> None:
        self.folder, self.steps, self.batch, self.told = folder, steps, batch, told
        self.began = self.step = step
        self.start = self.last = self.line = time.monotonic()
        self.losses: dict[str, float] = {}
        self._sums: dict[str, tuple[Tensor, int]] = {}
        self._writer: SummaryWriter | None = None

    def add(self, step: int, figures: dict[str, Tensor]) -> None:
        """Take in one step's figures; report when it is time."""
        self.step = step
        for name, value in figures.items():
            total, count = self._sums.get(name, (value.new_zeros(()), 0))
            self._sums[name] = total + value, count + 1
        if time.monotonic() - self.last >= SECONDS:
            self.tell("training")

    def begin(self, step: int) -> None:
        """The first step comes now: speed is counted from here."""
        self.began = self.step = step
        self.start = time.monotonic()
        self.tell("training")

    def tell(self, state: State, message: str = "") -> None:
        """Write down how the run stands."""
        self.last = time.monotonic()
        means = {name: float(total / count) for name, (total, count) in self._sums.items()}
        self._sums.clear()
        if not self.told:
            return
        self.losses |= means
        rate = (self.step - self.began) * self.batch / max(self.last - self.start, 1e-9)
        left = (self.steps - self.step) * self.batch / rate if rate else None
        known: dict[str, Any] = {"state": state, "step": self.step, "steps": self.steps}
        known |= {"images_per_second": round(rate, 3), "seconds_left": None if left is None else round(left, 1)}
        write_text(self.folder / "progress.json", json.dumps(known | {"losses": self.losses, "message": message}))
        if means:
            with (self.folder / "losses.jsonl").open("a") as file:
                file.write(json.dumps({"step": self.step, "losses": means}) + "\n")
            for name, value in means.items():
                self.writer.add_scalar(f"loss/{name}", value, self.step)
        if state != "training" or self.last - self.line > LINE_SECONDS:
            self.line = self.last
            told = f"{state}  step {self.step} of {self.steps}  {rate:.1f} images/s"
            told += "" if left is None else f"  {duration(left)} left"
            told += "".join(f"  {name} {value:.3g}" for name, value in self.losses.items())
            print(f"{told}  {message}".rstrip(), file=sys.stderr, flush=True)

    def grid(self, name: str, images: Tensor, columns: int) -> None:
        """A domain's newest pictures `[N, 3, H, W]`, row by row."""
        pixels = sheet(images, columns)
        path = self.folder / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(temporary, "PNG")
        self.writer.add_image(f"samples/{name}", pixels, self.step)

    @property
    def writer(self) -> SummaryWriter:
        if self._writer is None:
            self._writer = SummaryWriter(str(self.folder), purge_step=self.step)
        return self._writer

    def close(self) -> None:
        if self._writer is not None:
            with suppress(OSError):  # a full disk: TensorBoard's curves end here, the run's own files say why
                self._writer.close()


def write_text(path: Path, text: str) -> None:
    """The whole text or what was there before, whoever looks when."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
