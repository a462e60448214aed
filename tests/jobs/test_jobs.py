"""Laws of long jobs: a job is its folder; it outlives page and server, is found again, and one runs at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from explorer.ui import jobs
from explorer.ui.jobs import Job, JobError, Jobs

# Counts in `progress.json` until it is told to stop; `finish` and `break` are files that end it otherwise.
COUNTER = """
import json, os, sys, time
from pathlib import Path
folder, step = Path(sys.argv[1]), 0
def tell(state):
    (folder / "new").write_text(json.dumps({"state": state, "step": step, "steps": 1000, "message": ""}))
    os.replace(folder / "new", folder / "progress.json")
try:
    while not (folder / "finish").exists():
        step += 1
        tell("training")
        time.sleep(0.01)
        if (folder / "break").exists():
            sys.exit("some words\\nerror: the pictures cannot be read")
    tell("done")
except KeyboardInterrupt:
    tell("stopped")
"""


def counter(folder: Path) -> Job:
    command = (sys.executable, "-c", COUNTER, str(folder))
    return Job(folder, command, resume=command, about={"name": "counting"})


def until(true: Callable[[], bool]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen in ten seconds")


@pytest.fixture
def lessons(tmp_path: Path) -> Iterator[Jobs]:
    lessons = Jobs(tmp_path / "lessons")
    yield lessons
    for job in lessons.waiting():
        lessons.leave(job)  # or it would begin as soon as the others end
    for job in lessons.all():
        if (process := job.process()) is not None:
            process.kill()
            until(lambda job=job: job.process() is None)


@pytest.fixture
def job(lessons: Jobs) -> Job:
    job = lessons.start("Counting 1, 2!", counter)
    until(lambda: jobs.status(job).state == "training" and jobs.status(job).step > 3)
    return job


def test_whoever_looks_later_finds_the_job(job: Job, lessons: Jobs) -> None:
    found = Jobs(lessons.root).all()
    assert found == [job]
    assert lessons.find(job.id) == job == lessons.running()
    assert job.id.endswith("-counting-1-2")


def test_a_job_outlives_the_server_that_started_it(lessons: Jobs) -> None:
    server = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_jobs import counter; from explorer.ui.jobs import Jobs\n"
        "Jobs(Path(sys.argv[2])).start('child', counter); print('started', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", server, str(Path(__file__).parent), str(lessons.root)]
    with subprocess.Popen(command, cwd=jobs.ROOT, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout
        assert process.stdout.readline() == b"started\n"
        os.killpg(process.pid, signal.SIGKILL)  # as a closing terminal would, to all of its children
    (job,) = lessons.all()
    until(lambda: jobs.status(job).step > 3)
    step = jobs.status(job).step
    until(lambda: jobs.status(job).step > step)
    jobs.stop(job)
    until(lambda: jobs.status(job).state == "stopped")


def test_one_job_runs_at_a_time_and_the_next_in_line_when_it_ends(job: Job, lessons: Jobs) -> None:
    second, third, fourth = (lessons.start(title, counter) for title in ("second", "third", "fourth"))
    assert lessons.waiting() == [second, third, fourth]
    assert [jobs.status(job).state for job in lessons.all()] == ["waiting", "waiting", "waiting", "training"]
    lessons.go_on()
    assert lessons.running() == job
    lessons.leave(third)
    assert lessons.waiting() == [second, fourth]
    with pytest.raises(JobError, match="begun already"):
        lessons.leave(job)
    (job.folder / "finish").touch()
    until(lambda: lessons.running() is not None and lessons.waiting() == [fourth])  # nobody looked
    assert lessons.running() == lessons.find(second.id)
    with pytest.raises(JobError, match="“counting” is still running"):
        lessons.resume(job)


def test_who_comes_after_a_lost_server_goes_on_with_the_line(lessons: Jobs) -> None:
    """The line is in the folders; a job may learn when its turn comes what those before it made."""
    first = lessons.start("first", counter)
    lessons.start("second", counter)
    process = first.process()
    assert process
    lost, lessons.go_on = lessons.go_on, lambda: None  # the server that would go on is gone
    process.kill()
    until(lambda: first.process() is None)
    later = Jobs(lessons.root, lambda job: replace(job, about={"name": "ready"}))
    later.go_on()
    until(lambda: later.running() is not None)
    assert [(job.about["name"], job.waits) for job in later.all()] == [("ready", False), ("counting", False)]
    lost()
    assert len(later.all()) == 2


def test_pause_holds_it_still_until_it_goes_on(job: Job) -> None:
    jobs.pause(job)
    until(lambda: jobs.status(job).state == "paused")
    step = jobs.status(job).step
    time.sleep(0.2)
    assert jobs.status(job).step == step
    jobs.unpause(job)
    until(lambda: jobs.status(job).step > step)


def test_stop_is_a_ctrl_c_even_for_a_paused_job_and_it_can_be_resumed(job: Job, lessons: Jobs) -> None:
    jobs.pause(job)
    jobs.stop(job)
    until(lambda: jobs.status(job).state == "stopped")
    with pytest.raises(JobError, match="has ended"):
        jobs.pause(job)
    again = lessons.resume(job)
    assert again.folder == job.folder
    assert again.started == job.started
    until(lambda: jobs.status(again).state == "training")


def test_a_stop_before_the_command_listens_is_a_stop_too(lessons: Jobs) -> None:
    job = lessons.start("deaf", lambda folder: Job(folder, (sys.executable, "-c", "import time; time.sleep(60)")))
    jobs.stop(job)
    until(lambda: jobs.status(job).state == "stopped")
    with pytest.raises(JobError, match="cannot be continued"):
        lessons.resume(job)


def test_a_failure_says_its_last_error(job: Job) -> None:
    (job.folder / "break").touch()
    until(lambda: jobs.status(job).state == "failed")
    assert jobs.status(job).message == "the pictures cannot be read"


def test_a_traceback_is_told_by_its_last_line(lessons: Jobs) -> None:
    job = lessons.start("bad", lambda folder: Job(folder, (sys.executable, "-c", "raise ValueError('no room')")))
    until(lambda: jobs.status(job).state == "failed")
    assert jobs.status(job).message == "ValueError: no room"


def test_a_kill_is_a_failure_with_words_of_its_own(job: Job) -> None:
    process = job.process()
    assert process
    process.kill()
    until(lambda: jobs.status(job).state == "failed")
    assert jobs.status(job).message == jobs.SILENT_END


def test_a_number_that_now_belongs_to_another_process_is_not_the_job(lessons: Jobs) -> None:
    folder = lessons.root / "old"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        told = {
            "command": ["x"],
            "resume": [],
            "about": {"name": "old"},
            "pid": other.pid,
            "created": "another start 1",
        }
        (folder / "job.json").write_text(json.dumps(told))
        (job,) = lessons.all()
        assert lessons.running() is None
        with pytest.raises(JobError, match="has ended"):
            jobs.stop(job)
        assert other.poll() is None
        other.kill()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="elsewhere the system's own start time is asked")
def test_a_clock_that_is_set_changes_no_job(job: Job, lessons: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for a clock that was set, which a test cannot do: psutil then tells other times of the same process."""
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) + 3600)
    monkeypatch.setattr(time, "time", lambda before=time.time: before() + 3600)
    assert jobs.status(job).state == "training"
    assert lessons.running() == job
    with pytest.raises(JobError, match="still running"):
        lessons.resume(job)
    jobs.stop(job)
    until(lambda: jobs.status(job).state == "stopped")


@pytest.mark.parametrize(("boot", "ticks"), [("", " 1"), ("another boot", "")])
def test_a_process_is_known_by_its_start_and_the_machines(job: Job, boot: str, ticks: str) -> None:
    now = job.created.split()
    assert len(now) == 2
    assert replace(job, created=f"{boot or now[0]} {ticks or now[1]}").process() is None
    assert job.process()


BROKEN = {"command": ["x"], "resume": []}


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", '{"pid": 1}', "[" * 10**5, '"\\ud800'),
        *(
            json.dumps(BROKEN | change)
            for change in (
                *({"other": 1}, {"command": [1]}, {"command": 5}, {"about": 3}, {"about": None}, {"pid": "1"}),
                *({"pid": 1.5}, {"pid": True}, {"started": "now"}, {"started": None}, {"started": float("nan")}),
            )
        ),
    ],
)
def test_a_damaged_folder_is_told_and_passed_over(job: Job, lessons: Jobs, text: str) -> None:
    (lessons.root / "odd").mkdir(parents=True)
    (lessons.root / "odd" / "job.json").write_text(text)
    assert lessons.all() == [job]
    assert lessons.damaged() == ["odd"]
    with pytest.raises(JobError, match="no longer there"):
        lessons.find("odd")


@pytest.mark.parametrize("value", ["x", [], {}, 1e999, float("nan"), True, 10**400, -5, None])
def test_damaged_progress_is_no_progress(job: Job, value: object) -> None:
    process = job.process()
    assert process
    process.kill()
    until(lambda: job.process() is None)
    keys = ("state", "step", "steps", "images_per_second", "seconds_left", "message")
    (job.folder / "progress.json").write_text(json.dumps(dict.fromkeys(keys, value)))
    line = json.dumps({"step": 1, "losses": {"sketch": value}}) + "\n" + json.dumps({"step": value, "losses": {"a": 1}})
    (job.folder / "losses.jsonl").write_text(line)
    status = jobs.status(job)
    assert status.state == "failed"
    curves = {name: curve for name, curve in jobs.losses(job).items() if curve}
    json.dumps([asdict(status), curves], allow_nan=False)  # as it is sent to the page
    (job.folder / "losses.jsonl").write_bytes(b"\xff\xfe")
    assert jobs.losses(job) == {}


def test_what_cannot_be_prepared_leaves_no_folder(lessons: Jobs) -> None:
    def fail(folder: Path) -> Job:
        (folder / "part").touch()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        lessons.start("bad", fail)
    assert [path.name for path in lessons.root.iterdir() if path.is_dir()] == []


def test_losses_are_thinned_to_means_and_half_written_lines_are_passed_over(tmp_path: Path) -> None:
    lines = [json.dumps({"step": step, "losses": {"sketch": float(step % 2), "replay": 0.5}}) for step in range(1, 401)]
    (tmp_path / "losses.jsonl").write_text("\n".join(lines) + '\n{"step": 401, "los')
    curves = jobs.losses(Job(tmp_path, ()), points=100)
    assert len(curves["sketch"]) == 100
    assert curves["sketch"][-1] == (400, 0.5)
    assert {value for _, value in curves["sketch"]} == {0.5}
    assert jobs.losses(Job(tmp_path / "none", ())) == {}
