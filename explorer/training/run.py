"""A run's folder: its configuration, its checkpoints, its progress, and how it is interrupted. Shared by all trainers.

    config.json        the resolved configuration; the only one a resumed run obeys
    checkpoint.pt      everything needed to continue; replaced in one step, so it is whole at all times
    checkpoint-1.pt    the one before
    .lock              held while a process trains here
    samples/           one sheet of samples a checkpoint
    events.*           TensorBoard

Knows no networks: a checkpoint is a dict of tensors, numbers and strings.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor

from explorer.networks.hardware import cpu_multiplies_bf16
from explorer.networks.pixels import as_rgb, to_pixels
from explorer.refused import Refused
from explorer.replacing import replacing, sweep

CHECKPOINTS = ("checkpoint.pt", "checkpoint-1.pt")  # a kill between two renames leaves only the second


class RunError(Refused):
    """A run that cannot start or go on; the message is one sentence on what to do."""


class Diverged(RunError):
    """Training produced NaN or infinity. The last good checkpoint was kept."""


class Folder:
    """The run folder at `path`. `create` refuses a folder that already holds a run."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def create(self, config: dict[str, Any]) -> None:
        """Begin a new run. Raises RunError where there is one that got as far as a checkpoint."""
        if any((self.path / name).exists() for name in CHECKPOINTS):
            raise RunError(f"{self.path} already holds a run: continue it with --resume, or name another folder")
        self.write_config(config)

    def write_config(self, config: dict[str, Any]) -> None:
        """Save the resolved configuration, in a folder that is made where it is missing."""
        self.path.mkdir(parents=True, exist_ok=True)
        with replacing(self.path / "config.json", sync=True) as path:
            path.write_text(json.dumps(config, indent=2) + "\n")

    def read_config(self) -> dict[str, Any]:
        """The configuration of the run. Raises RunError where there is none."""
        try:
            config = json.loads((self.path / "config.json").read_text())
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path} holds no run to resume: {error}") from None
        if not isinstance(config, dict):
            raise RunError(f"{self.path} holds no run to resume: config.json has no settings")
        return config

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder, made where it is missing, for this process; a killed one lets go.

        Raises RunError where another one trains in it.
        """
        try:
            with FileLock(self.path / ".lock", timeout=0):
                for folder in (self.path, self.path / "samples"):
                    sweep(folder)  # nobody else writes here
                yield
        except Timeout:
            raise RunError(f"another process is training in {self.path}: wait for it or stop it") from None

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` as the newest checkpoint; the one before stays as `checkpoint-1.pt`.

        Raises Diverged, and writes nothing, where a tensor of it holds NaN or infinity, and RunError where there is no
        room for it.
        """
        if name := _not_finite(state):
            raise Diverged(f"{name} holds NaN or infinity; the checkpoints in {self.path} are older and good")
        newest = self.path / "checkpoint.pt"
        with replacing(newest, sync=True) as path:
            try:
                torch.save(state, path)
            except RuntimeError as error:
                kept = ", the one before stays" if newest.exists() else ""
                raise RunError(f"{newest} cannot be written{kept}: is the disk full?") from error
            if newest.exists():
                os.replace(newest, self.path / "checkpoint-1.pt")

    def load(self) -> dict[str, Any] | None:
        """The newest checkpoint on the CPU; None for a run that has none yet. Nothing in the file is executed.

        Where the newest is damaged, the one before it, and stderr says so. Raises RunError where none can be read.
        """
        found = [self.path / name for name in CHECKPOINTS if (self.path / name).exists()]
        for path in found:
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except Exception:  # damage has many names: EOFError, UnpicklingError, IndexError...
                print(f"{path} is damaged and passed over", file=sys.stderr)
        if found:
            raise RunError(f"no checkpoint in {self.path} can be read: start again in another folder")
        return None

    def restore(self, load_state: Callable[[dict[str, Any]], None]) -> None:
        """Hand the newest checkpoint, if there is one, to a trainer. Raises RunError where it is of other networks."""
        if (state := self.load()) is None:
            return
        try:
            load_state(state)
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise RunError(
                f"the checkpoint in {self.path} is of other networks than these settings ask for ({reason}): resume it"
                " with the settings that it was begun with"
            ) from None

    def save_sheet(self, name: str, images: Tensor, columns: int = 8) -> Path:
        """Write images `[N, 3, H, W]` in [-1, 1] as one PNG, row by row."""
        path = self.path / "samples" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary:
            Image.fromarray(sheet(images, columns).permute(1, 2, 0).numpy()).save(temporary)
        return path


def sheet(images: Tensor, columns: int = 8) -> Tensor:  # [N, 1 or 3, H, W] -> uint8 [3, rows * H, columns * W]
    """Tile images in [-1, 1] row by row; places left over in the last row are black."""
    pixels = to_pixels(as_rgb(images.detach().cpu()))
    missing = -len(pixels) % columns
    pixels = torch.cat([pixels, pixels.new_zeros(missing, *pixels.shape[1:])])
    rows = pixels.unflatten(0, (-1, columns))  # [rows, columns, 3, H, W]
    return rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)


def _not_finite(state: Any, name: str = "") -> str | None:
    """The name of the first tensor with NaN or infinity."""
    if isinstance(state, Tensor):
        return None if not state.is_floating_point() or state.isfinite().all() else name
    items = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list | tuple) else ()
    return next((bad for key, value in items if (bad := _not_finite(value, f"{name}.{key}".strip(".")))), None)


def training_dtype(precision: str, device: torch.device) -> torch.dtype:
    """What is asked for; "auto" is bfloat16 where the hardware multiplies in it, else float32."""
    if precision == "auto":
        fast = (
            torch.cuda.is_bf16_supported(including_emulation=False) if device.type == "cuda" else cpu_multiplies_bf16()
        )
        return torch.bfloat16 if fast else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@contextmanager
def processes(cpu: bool) -> Iterator[Accelerator]:
    """The processes of a run, on the CPU alone if `cpu`. When the block has ended, so has their group, threads too.

    A thread of a group that outlives the interpreter can abort the process, the run long saved: it lets go of a tensor
    and asks for the interpreter's lock (github.com/pytorch/pytorch/issues/190489).
    """
    import_module("torch.distributed.nn")  # its functions keep, as their default, a group that is there at their import
    accelerator = Accelerator(cpu=cpu)
    yield accelerator
    accelerator.end_training()


def anywhere(accelerator: Accelerator, *flags: bool) -> list[bool]:
    """Each flag: is it raised in any process?"""
    if accelerator.num_processes == 1:
        return list(flags)
    raised = torch.tensor(flags, dtype=torch.float32, device=accelerator.device)
    raised = accelerator.reduce(raised, "sum")
    assert isinstance(raised, Tensor)
    return (raised > 0).tolist()


class Interruption:
    """Turns the first Ctrl-C or termination signal into a flag that the loop reads; the second one stops at once.

    A command that ended so tells its exit code with `leave`.
    """

    number = signal.SIGINT  # of the process's last one

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interruption:
        self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        Interruption.number = signal.Signals(number)
        print(f"\n{signal.Signals(number).name}: saving after this step", file=sys.stderr, flush=True)


def leave(text: str) -> NoReturn:
    """End the process after a signal ended its training; what it had reached is saved. Shells expect 128 + n then."""
    print(text)
    raise SystemExit(128 + Interruption.number)


class Progress:
    """One line a report: images seen, images/s since the last one, time left. On a terminal the line is redrawn."""

    def __init__(self, total: int, seen: int) -> None:
        self.total, self.seen, self.time = total, seen, time.monotonic()

    def report(self, seen: int, figures: dict[str, float]) -> float:
        """Print the line; returns images/s."""
        now = time.monotonic()
        rate = (seen - self.seen) / max(now - self.time, 1e-9)
        self.seen, self.time = seen, now
        left = (self.total - seen) / rate if rate > 0 else float("inf")
        parts = [f"{100 * seen / self.total:5.1f} %", f"{seen / 1000:.1f}k of {self.total / 1000:.1f}k images"]
        parts += [f"{rate:.1f} images/s", f"{duration(left)} left"]
        parts += [f"{name} {value:.3g}" for name, value in figures.items()]
        terminal = sys.stderr.isatty()
        text = "  ".join(parts)
        print(f"\r{text[:160]:160}" if terminal else text, end="" if terminal else "\n", file=sys.stderr, flush=True)
        return rate


def duration(seconds: float) -> str:
    """3:05 h, 4:10 min or 12 s."""
    if seconds == float("inf"):
        return "unknown time"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
