"""Long jobs: a command of this program as a process of its own, in a folder of its own.

The folder is the only memory. `job.json` says what was started, with the process's number and start time; `log.txt` is
what it printed; the command itself writes `progress.json`, `losses.jsonl` and what it makes. So a page may close and a
server may end: whoever looks at the folder later finds the job. Knows no Gradio, no engine, and not what it runs.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import filelock
import psutil

from explorer.folders import data_home
from explorer.refused import Refused
from explorer.replacing import replacing, sweep

ROOT = Path(__file__).parents[2]  # where `python -m explorer` is found
WAITING = "waiting"
RUNNING = ("preparing", "training", "paused", "stopping")
ENDED = ("done", "stopped", "failed")
NICENESS = 10  # pictures on the page go first
SWEEP_SECONDS = 60.0  # how long a half-written file was left alone
LOG_TAIL = 8192
MESSAGE = 500  # characters
LOCK_SECONDS = 10.0
LAST_WORDS = re.compile(r"(error: .+|\w*(Error|Exception|Interrupt)\b.*)")  # our own sentence, or a traceback's end
SILENT_END = "It ended without a word, as when the computer is switched off or its memory is full."


class JobError(Refused):
    """A job that cannot be started, stopped or found; the message is one sentence on what to do."""


@dataclass(frozen=True)
class Job:
    """A process in a folder.

    Attributes:
        folder: where it writes; its name identifies the job.
        command: what was started, as a list of arguments.
        resume: the command that continues it once it has ended; empty where it cannot be continued.
        about: plain JSON data of whoever started it.
        pid, created: the process, and what `identity` says of it; a number alone may belong to another by now.
        started: when the job was asked for.
        waits: whether it is in line still, for others to end.
    """

    folder: Path
    command: tuple[str, ...]
    resume: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    pid: int = 0
    created: str = ""
    started: float = 0.0
    waits: bool = False

    @property
    def id(self) -> str:
        return self.folder.name

    def process(self) -> psutil.Process | None:
        """The living process; None once it has ended."""
        try:
            process = psutil.Process(self.pid)
            return process if identity(self.pid) == self.created and process.status() != psutil.STATUS_ZOMBIE else None
        except (psutil.Error, OSError, ValueError, OverflowError):
            return None


@dataclass(frozen=True)
class Status:
    """How a job stands: `state` is WAITING or one of RUNNING or ENDED, the rest is what the command said last."""

    state: str
    step: int = 0
    steps: int = 0
    images_per_second: float = 0.0
    seconds_left: float | None = None
    message: str = ""


def identity(pid: int) -> str:
    """Tells the process with this number from all that had it before: no clock that may be set is asked.

    On Linux in ticks since the machine was started and that start's name. Raises psutil.Error or OSError where there is
    none.
    """
    stat = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():
        return f"{psutil.Process(pid).create_time():.2f}"
    ticks = stat.read_text().rpartition(")")[2].split()[19]  # the 22nd field; the second may hold anything
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {ticks}"


def default_root() -> Path:
    """Where lessons are kept."""
    return data_home() / "lessons"


class Jobs:
    """The jobs in the folders under `root`; one runs at a time, whichever server started it, the others wait in line.

    `ready` may change a job that waited when its turn comes.
    """

    def __init__(self, root: Path, ready: Callable[[Job], Job] = lambda job: job) -> None:
        self.root, self.ready = root, ready
        for folder in (*root.glob("*/"), *root.glob("*/*/")):
            sweep(folder, seconds=SWEEP_SECONDS)

    def all(self) -> list[Job]:
        """Newest first. Folders without a readable `job.json` are passed over."""
        files = self.root.glob("*/job.json") if self.root.is_dir() else ()
        jobs = [job for file in files if (job := read_job(file.parent)) is not None]
        return sorted(jobs, key=lambda job: job.started, reverse=True)

    def damaged(self) -> list[str]:
        """The folders whose `job.json` cannot be read, by their names."""
        files = sorted(self.root.glob("*/job.json")) if self.root.is_dir() else ()
        return [file.parent.name for file in files if read_job(file.parent) is None]

    def find(self, id_: Any) -> Job:
        """The job of this id. Raises JobError where there is none."""
        job = next((job for job in self.all() if job.id == id_), None)
        if job is None:
            raise JobError("This lesson is no longer there: its folder was moved or deleted.")
        return job

    def running(self) -> Job | None:
        return next((job for job in self.all() if job.process() is not None), None)

    def waiting(self) -> list[Job]:
        """The line, first come first."""
        return [job for job in reversed(self.all()) if job.waits]

    def start(self, title: str, prepare: Callable[[Path], Job]) -> Job:
        """Start what `prepare` returns for a new, empty folder; where another job is running, it waits in line."""
        with self._alone():
            busy = self.running() is not None or bool(self.waiting())
            folder = self.root / f"{time.strftime('%Y%m%d-%H%M%S')}-{slug(title)}"
            try:
                folder.mkdir()
            except OSError as error:
                raise JobError(f"The folder {folder} cannot be made: {error.strerror}.") from None
            try:
                job = replace(prepare(folder), started=time.time())
                return write_job(replace(job, waits=True)) if busy else self._launch(job)
            except Exception:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def resume(self, job: Job) -> Job:
        """Go on with a job that has ended."""
        if not job.resume:
            raise JobError("This lesson cannot be continued; start a new one.")
        with self._alone():
            if (running := self.running()) is not None:
                title = running.about.get("name", "another")
                raise JobError(f"The lesson “{title}” is still running: wait until it ends, or stop it first.")
            (job.folder / "stop").unlink(missing_ok=True)
            return self._launch(replace(job, command=job.resume))

    def go_on(self) -> None:
        """Start the first job in line, where none is running."""
        if self.running() is not None or not self.waiting():
            return
        with self._alone():
            if self.running() is None and (line := self.waiting()):  # nobody else did meanwhile
                self._launch(self.ready(line[0]))

    def leave(self, job: Job) -> None:
        """Take a job out of the line. Raises JobError where it has begun."""
        with self._alone():
            if job.id not in {waiting.id for waiting in self.waiting()}:
                raise JobError("This lesson has begun already: stop it instead.")
            shutil.rmtree(job.folder, ignore_errors=True)

    def _launch(self, job: Job) -> Job:
        job, process = launch(job)
        # No zombie stays while this server lives, and the next in line begins without a page being open.
        threading.Thread(target=self._after, args=(process,), daemon=True).start()
        return job

    def _after(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        with suppress(JobError):  # the next look tries again
            self.go_on()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else starts a job meanwhile. Raises JobError where the folder cannot be used."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(self.root / ".lock", timeout=LOCK_SECONDS).acquire()
        except (OSError, filelock.Timeout) as error:
            raise JobError(f"The folder {self.root} cannot be used: {error}.") from None
        with lock:
            yield


def launch(job: Job) -> tuple[Job, subprocess.Popen[bytes]]:
    """Start the command as the leader of its own session, so that neither page nor server end it."""
    threads = str(max((os.cpu_count() or 2) - 1, 1))  # one core stays free for pictures
    quiet = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONUNBUFFERED": "1"}
    with (job.folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            job.command,
            cwd=ROOT,
            env=quiet | dict(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    job = replace(job, pid=process.pid, created=identity(process.pid), waits=False)
    write_job(job)
    with suppress(psutil.Error):  # it has ended already, or this system has other ideas of niceness
        psutil.Process(process.pid).nice(NICENESS)
    return job, process


def write_job(job: Job) -> Job:
    """Write down what the job is, in its folder."""
    write_json(job.folder / "job.json", {k: v for k, v in asdict(job).items() if k != "folder"})
    return job


def status(job: Job) -> Status:
    """How the job stands, from its folder and its process."""
    if job.waits:
        return Status(WAITING, steps=int(number(job.about.get("steps")) or 0))
    process = job.process()
    told = read_json(job.folder / "progress.json")
    known = Status(
        state=str(told.get("state", "preparing"))[:MESSAGE],
        step=int(number(told.get("step")) or 0),
        steps=int(number(told.get("steps")) or number(job.about.get("steps")) or 0),
        images_per_second=number(told.get("images_per_second")) or 0.0,
        seconds_left=number(told.get("seconds_left")),
        message=str(told.get("message") or "")[:MESSAGE],
    )
    if process is not None:
        return replace(known, state=_living(job, process, known.state))
    if known.state in ("done", "stopped"):
        return known
    if (job.folder / "stop").exists():
        return replace(known, state="stopped", message="")
    return replace(known, state="failed", message=last_words(job) or known.message or SILENT_END)


def _living(job: Job, process: psutil.Process, told: str) -> str:
    if (job.folder / "stop").exists():
        return "stopping"
    with suppress(psutil.Error):  # it ends just now; the next look says how
        if process.status() == psutil.STATUS_STOPPED:
            return "paused"
    return told if told in RUNNING else "training"


def last_words(job: Job) -> str:
    """The last line of the log that says what went wrong; empty where none does."""
    try:
        with (job.folder / "log.txt").open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - LOG_TAIL, 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    told = [line.strip() for line in lines if line.strip()]
    if not told or not LAST_WORDS.fullmatch(told[-1]):
        return ""
    return told[-1].removeprefix("error: ")[:MESSAGE]


def losses(job: Job, points: int = 160) -> dict[str, list[tuple[int, float]]]:
    """`{name: [(step, value), ...]}`, each thinned to the means of at most `points` stretches."""
    curves: dict[str, list[tuple[int, float]]] = {}
    try:
        lines = (job.folder / "losses.jsonl").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return curves
    for line in lines:
        try:
            entry = json.loads(line)
            step = int(entry.pop("step"))
            values = {name: float(value) for name, value in entry.pop("losses", entry).items() if math.isfinite(value)}
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue  # a line that is being written
        for name, value in values.items():
            curves.setdefault(name, []).append((step, value))
    return {name: _thinned(curve, points) for name, curve in curves.items()}


def _thinned(curve: list[tuple[int, float]], points: int) -> list[tuple[int, float]]:
    size = -(-len(curve) // points)
    parts = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def pause(job: Job) -> None:
    for process in _family(job):
        process.suspend()


def unpause(job: Job) -> None:
    for process in _family(job):
        process.resume()


def stop(job: Job) -> None:
    """Ask the command to save and end, as Ctrl-C does."""
    family = _family(job)
    (job.folder / "stop").touch()
    for process in family:
        process.resume()  # a stopped process hears nothing else
    family[0].send_signal(signal.SIGINT)


def _family(job: Job) -> list[psutil.Process]:
    process = job.process()
    if process is None:
        raise JobError("This lesson has ended already.")
    return [process, *process.children(recursive=True)]


def read_job(folder: Path) -> Job | None:
    """The job of a folder; None where there is none or its `job.json` is damaged."""
    data = read_json(folder / "job.json")
    try:
        commands = {key: tuple(data.pop(key)) for key in ("command", "resume")}
        job = Job(folder=folder, **commands, **data)
    except (KeyError, TypeError):
        return None
    words = all(isinstance(word, str) for word in (*job.command, *job.resume))
    numbers = type(job.pid) is int and number(job.started) is not None
    return job if words and numbers and isinstance(job.about, dict) and isinstance(job.waits, bool) else None


def number(value: Any) -> float | None:
    """A finite number as it stands in a file; None for anything else."""
    try:
        return float(value) if type(value) in (int, float) and math.isfinite(value) else None
    except OverflowError:  # an int of more than 300 digits
        return None


def read_json(path: Path) -> dict[str, Any]:
    """An object from a file; empty where there is none or it is no JSON object."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2))


def slug(title: str) -> str:
    """`Pencil sketch` -> `pencil-sketch`, for the name of a folder."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "lesson"
