"""Kills commands at random moments, and holds what they leave to a promise: the old file or the new one, whole.

    python -m tests.kills --kills 200 --seed 0    # make kills

Each command runs to its end once, then again and again in a child that has the heavy libraries already, and is killed
(SIGKILL) at a moment drawn from the time it takes. Afterwards every file that has a name of its own must open; the
command, given once more (a run is resumed where there is one), must succeed; and nothing of a dead process may remain,
neither hidden beside the files nor among the temporary ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import torch
from PIL import Image

from explorer import cli, load
from explorer.expansion.config import config_from, to_toml
from explorer.replacing import HIDDEN
from explorer.weights.inventory import read_part
from tests.expansion.tiny_expansion import NADA, SETTINGS, write_clip, write_source
from tests.training.tiny import flags
from tests.training.tiny import write_pictures as write_zip

PATIENCE = 120  # seconds
Words = Sequence[str]


def train(inputs: Path, out: Path) -> Words:
    return ["train", "gan", str(out / "run"), *flags(inputs / "data.zip", 6, checkpoint_minutes=0)]


def expand(inputs: Path, out: Path) -> Words:
    start = [str(inputs / "source.safetensors"), "--config", str(inputs / "domains.toml")]
    return ["expand", *start, "--out", str(out / "run"), "--cpu"]


def convert(inputs: Path, out: Path) -> Words:
    return ["convert", str(inputs / "source.safetensors"), str(out / "new.safetensors")]


def shown(command: str, *arguments: str) -> Callable[[Path, Path], Words]:
    """A command that makes the last one of its arguments from the inputs' generator."""

    def words(inputs: Path, out: Path) -> Words:
        *rest, name = arguments
        edits = [] if command == "render" else [str(inputs / "edits.json")]
        return [command, *edits, "--checkpoint", str(inputs / "source.safetensors"), *rest, "--out", str(out / name)]

    return words


COMMANDS: dict[str, Callable[[Path, Path], Words]] = {
    "train": train,
    "expand": expand,
    "convert": convert,
    "animate": shown("animate", "--px", "256", "--frames", "40", "new.mp4"),
    "bundle": shown("bundle", "--px", "1024", "new.zip"),
    "save": shown("render", "--px", "4096", "new.png"),
}


def write_inputs(folder: Path) -> None:
    write_source(folder / "source.safetensors")
    write_zip(folder / "data.zip")
    write_clip(folder / "clip.safetensors")
    clip = [str(folder / "clip.safetensors")]
    settings = SETTINGS | {"steps": 6, "checkpoint_minutes": 0.0, "clip": clip}
    domains = [NADA | {"name": "sketch"}]
    (folder / "domains.toml").write_text(to_toml(config_from(settings | {"domain": domains})))
    (folder / "edits.json").write_text(json.dumps([{"seed": seed} for seed in range(4)]))


def child(words: Words, temporary: Path) -> int:
    """The number of a new process that carries out a command."""
    number = os.fork()
    if number == 0:
        os.setsid()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        output = os.open(temporary.parent / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(output, descriptor)
        os._exit(cli.main(words))
    return number


def ended(number: int) -> int:
    """The exit code of a process. Raises TimeoutError where it does not end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(number, signal.SIGKILL)
    raise TimeoutError(f"it did not end within {PATIENCE} s")


def open_whole(path: Path) -> None:
    """Raises any error where a file is not whole."""
    match path.suffix:
        case ".safetensors":
            if read_part(path) is None:
                load(path)
        case ".pt":
            torch.load(path, weights_only=True)
        case ".png" | ".jpg":
            with Image.open(path) as picture:
                picture.load()
        case ".json":
            json.loads(path.read_text())
        case ".toml":
            tomllib.loads(path.read_text())
        case ".zip":
            with zipfile.ZipFile(path) as archive:
                assert archive.testzip() is None
        case ".mp4":
            film = cv2.VideoCapture(str(path))
            expected = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
            assert expected > 0
            assert all(film.read()[0] for _ in range(expected))


def faults(name: str, inputs: Path, out: Path, temporary: Path, after: float) -> list[str]:
    """What is wrong after one kill `after` so many seconds."""
    number = child(COMMANDS[name](inputs, out), temporary)
    time.sleep(after)
    os.killpg(number, signal.SIGKILL)
    ended(number)
    found = []
    for path in sorted(out.rglob("*")):
        if path.is_file() and not HIDDEN.fullmatch(path.name):
            try:
                open_whole(path)
            except Exception as error:
                found.append(f"{path.relative_to(out)} is not whole: {error!r}"[:300])
    words = COMMANDS[name](inputs, out)
    if name == "train" and (out / "run" / "config.json").exists():
        words = ["train", "gan", str(out / "run"), "--resume", "--cpu"]
    if name == "expand" and (out / "run" / "config.toml").exists():
        words = ["expand", "--resume", "--out", str(out / "run"), "--cpu"]
    if ended(child(words, temporary)):
        found.append(f"given once more it fails: {(out.parent / 'output.txt').read_text()[-500:]}")
    hidden = [path for path in out.rglob(".*") if path.is_file() and HIDDEN.fullmatch(path.name)]
    found += [f"left behind: {path.name}" for path in (*hidden, *temporary.iterdir())]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill commands at random moments and look at what they leave.")
    parser.add_argument("--kills", type=int, default=200, help="over all commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=COMMANDS, help="one command")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a child has no threads of its parent's
    rng, wrong = random.Random(arguments.seed), 0
    names = [arguments.only] if arguments.only else list(COMMANDS)
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        root = Path(folder)
        inputs, out, temporary = root / "inputs", root / "out", root / "temporary"
        for made in (inputs, out, temporary):
            made.mkdir()
        write_inputs(inputs)
        for index, name in enumerate(names):
            began = time.monotonic()
            if ended(child(COMMANDS[name](inputs, out), temporary)):
                sys.exit(f"{name} does not run: {(root / 'output.txt').read_text()}")
            seconds = time.monotonic() - began
            kills = len(range(index, arguments.kills, len(names)))
            for _ in range(kills):
                if (out / "run").exists():  # a run begins anew; a file takes the place of the one before
                    shutil.rmtree(out / "run")
                after = rng.uniform(0, seconds)
                found = faults(name, inputs, out, temporary, after)
                wrong += bool(found)
                for fault in found:
                    print(f"  {name}, after {after:.3f} of {seconds:.3f} s: {fault}", flush=True)
            print(f"{name}: killed {kills} times within {seconds:.2f} s", flush=True)
            shutil.rmtree(out)
            out.mkdir()
    print(f"{wrong} of {arguments.kills} kills left something wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
