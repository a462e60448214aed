"""The command line that the trainers share: a run's folder, `--resume`, `--cpu`, and one flag for each setting.

Knows no model; a trainer brings its `Config` and its loop.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from explorer.networks.hardware import tune_allocator
from explorer.training.options import add_options, settings_from
from explorer.training.run import Folder, RunError, leave, processes


def add_arguments(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """The flags; only settings given appear in the namespace, so that a resumed run keeps the rest."""
    parser.add_argument("run_folder", metavar="RUN", type=Path, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue RUN; other flags then change its settings")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")
    add_options(parser, config)


def run(arguments: argparse.Namespace, config: type[Any], train: Callable[[Folder, Any, Accelerator], int]) -> str:
    """Start or resume the run that the parsed arguments ask for; returns one line on how it ended.

    Where a signal ended it, the process ends with 128 and the signal's number, after saving.

    Raises RunError, DataError or another ValueError with one sentence where it cannot start or go on.
    """
    tune_allocator()
    folder = Folder(arguments.run_folder)
    settings = settings_from(config, arguments, folder.read_config() if arguments.resume else {})
    if not settings.data:
        raise RunError("name the pictures to train on with --data")
    if folder.path.resolve().is_relative_to(Path(settings.data).resolve()):
        raise RunError(f"{folder.path} lies among the pictures of {settings.data}: name another folder for the run")
    with processes(arguments.cpu) as accelerator, folder.held() if accelerator.is_main_process else nullcontext():
        if accelerator.is_main_process and not arguments.resume:
            folder.create(asdict(settings))
        seen = train(folder, settings, accelerator)
    total = round(1000 * settings.kimg)
    text = f"{folder.path}: {seen} of {total} images"
    return text if seen >= total else leave(text)
