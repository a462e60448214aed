"""Laws of writing: a file is whole or not there, and what killed processes left goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from explorer.replacing import replacing, sweep

WRITER = (
    "import sys, time; from pathlib import Path; from explorer.replacing import replacing\n"
    "with replacing(Path(sys.argv[1])) as path:\n"
    "    path.write_bytes(b'half'); print(path.name, flush=True); time.sleep(60)"
)
ROOT = Path(__file__).parents[1]


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def kill_while_writing(path: Path) -> str:
    """The hidden name that a killed process wrote to."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout
        name = process.stdout.readline().decode().strip()
        process.send_signal(signal.SIGKILL)
    return name


def test_a_kill_leaves_the_old_file_and_the_next_writing_clears_up(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(b"old")
    name = kill_while_writing(path)
    assert name.startswith(".cat.png.")
    assert name.endswith(".png")
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == [name]
    with replacing(path, sync=True) as temporary:
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert leftovers(tmp_path) == []


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "cat"
    path.write_bytes(b"old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_two_writers_of_one_process_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "cat"
    with replacing(path) as first, replacing(path) as second:
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert path.read_bytes() == b"1"


def test_a_sweep_takes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    name = kill_while_writing(tmp_path / "a")
    dead = name.removeprefix(".a.").partition("-")[0]
    others = [".gitignore", ".lock", ".a.0", ".a.b", f".a.{os.getpid()}", f".a.{os.getpid()}-0123abcd"]
    for other in (*others, f".b.{dead}"):
        (tmp_path / other).touch()
    (tmp_path / f".folder.{dead}").mkdir()
    sweep(tmp_path, seconds=60)
    assert leftovers(tmp_path) == sorted([*others, name, f".b.{dead}", f".folder.{dead}"])
    sweep(tmp_path, "a")
    assert leftovers(tmp_path) == sorted([*others, f".b.{dead}", f".folder.{dead}"])
    os.utime(tmp_path / f".b.{dead}", (0, time.time() - 61))
    sweep(tmp_path, seconds=60)
    assert leftovers(tmp_path) == sorted([*others, f".folder.{dead}"])
    sweep(tmp_path / "nowhere")
