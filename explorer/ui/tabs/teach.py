"""The Teach tab: the generator learns a new domain in a free direction, while the page shows what it has learned.

A lesson is `python -m explorer expand` as a process of its own (`explorer.ui.jobs`); this tab starts it, looks at its
folder, and shows pictures of its newest network. Knows no training.
"""

from __future__ import annotations

import shlex
import threading
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import numpy as np

from explorer.edit import Edit
from explorer.engine import Engine
from explorer.engine.costs import lesson_cost, lesson_parts
from explorer.engine.judging import Judging
from explorer.extras import require
from explorer.styles import ALL_STYLES, render
from explorer.ui import assets, jobs
from explorer.ui.gate import step_back
from explorer.ui.jobs import Job, Jobs
from explorer.ui.lessons import REDUCED, Kind, Lesson, LessonError
from explorer.ui.own import MODELS, copy_parts, file_in, write, write_new
from explorer.ui.pictures import data_uri
from explorer.ui.visitors import served
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.folder import meta_of
from explorer.weights.parts import part_of

SEEDS = (1, 4, 7, 12)
STRENGTHS = (0.0, 0.5, 1.0)
PREVIEW_PX = 256
LENGTHS = {"quick": 60, "good": 120, "thorough": 400}
OFFERED = 12  # free directions to choose from
LISTED = 12  # earlier lessons to look at
NETWORK = "network.safetensors"
JUDGED = 16  # pictures of a lesson that the judge looks at
NO_CRITIC = "This generator comes without its discriminator: what it knows is kept by comparing pictures alone."
READ_ONLY = "This page is open to everybody, so lessons cannot be started or changed here."


def build(engine: Engine, name: str, max_px: int | None, read_only: bool = False) -> gr.HTML:
    """The panel. `read_only` is for pages that strangers can open: lessons are shown there, never started."""
    classroom = Classroom(engine, name, Jobs(jobs.default_root()), read_only)

    return gr.HTML(
        value={},
        html_template=assets.read("teach.html"),
        css_template=assets.read("teach.css"),
        js_on_load=assets.script("teach/main.js"),
        apply_default_css=False,
        elem_id="teach",
        server_functions=[served(work) for work in (classroom.look, classroom.styles, classroom.teach, classroom.act)],
    )


class Classroom:
    """What the panel may ask for, of one engine and the lessons on this machine."""

    def __init__(self, engine: Engine, name: str, lessons: Jobs, read_only: bool = False) -> None:
        self.engine, self.name, self.lessons, self.read_only = engine, name, lessons, read_only
        self.preview = Preview(engine)
        self.kept = network_stamp(engine.checkpoint.path)
        self.filed = ""  # the name under which what was kept is opened later
        self.measured: float | None = None  # part of the directions, while they are being measured

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{id, stamp}`: how the lesson `id` (the newest where null) stands, and pictures newer than `stamp`."""
        lessons = [job for job in self.lessons.all() if is_lesson(job)]
        job = next((job for job in lessons if job.id == request.get("id")), lessons[0] if lessons else None)
        stamp = self.preview.stamp(job)
        answer: dict[str, Any] = {
            "lesson": None if job is None else self._describe(job),
            "lessons": [
                {"id": job.id, "name": job.about["name"], "state": jobs.status(job).state} for job in lessons[:LISTED]
            ],
            "running": self.lessons.running() is not None,
            "generator": self._generator(lessons),
            "closed": self.read_only,
        }
        if stamp != request.get("stamp"):
            shown = self.preview.pictures(job, stamp)
            answer |= {"stamp": stamp, "full": shown.full, "pictures": shown.pictures, "verdict": shown.verdict}
        return answer

    def styles(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{styles: [{name, picture}]}`: every style made by code, drawn over one of the generator's pictures."""
        return {"styles": [{"name": name, "picture": picture} for name, picture in self.preview.styles().items()]}

    def teach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start the lesson that the form asks for; `{id}`."""
        self._refuse_strangers()
        require("train")
        checkpoint = self.engine.checkpoint
        lesson = Lesson.read(request, domains_of(checkpoint), [direction.dim for direction in self._free()])
        source = checkpoint.path
        if source is None:
            raise LessonError("This generator lies in no file: save it first.")

        def prepare(folder: Path) -> Job:
            home, parts = home_of(source), lesson_parts(self.engine)
            return lesson.job(folder, source, has_critic(checkpoint), home, original_of(checkpoint), parts)

        return {"id": self.lessons.start(lesson.name, prepare).id}

    def act(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pause, unpause, stop, resume, keep or save the lesson `id`; or measure the directions, with no lesson."""
        self._refuse_strangers()
        if request.get("what") == "measure":
            self._measure()
            return {}
        job = self.lessons.find(request.get("id"))
        if not is_lesson(job):
            raise LessonError(f"The folder {job.id} is damaged: it does not say which lesson this was.")
        acts = {"pause": jobs.pause, "unpause": jobs.unpause, "stop": jobs.stop, "resume": self.lessons.resume}
        what = request.get("what")
        if what in acts:
            acts[what](job)
        elif what == "keep":
            self._keep(job)
        elif what == "save":
            return {"saved": self._save(job, request.get("file"))}
        else:
            raise LessonError("A lesson can be paused, continued, stopped, kept or saved.")
        return {}

    def _refuse_strangers(self) -> None:
        if self.read_only:
            raise LessonError(READ_ONLY)

    def _keep(self, job: Job) -> None:
        """Let the engine render what the lesson made, unless that would take something away from the page."""
        if self.measured is not None:
            raise LessonError("Directions are being measured: keep this lesson when that is done.")
        stamp = network_stamp(job.folder / NETWORK)  # before it is read: a newer one is not kept yet
        new, now = load(job.folder / NETWORK), self.engine.checkpoint
        if not same_family(new, now):
            raise LessonError(
                f"This lesson belongs to another generator ({Path(job.about['source']).name}): open that one."
            )
        missing = [f"“{domain}”" for domain in domains_of(now) if domain not in domains_of(new)]
        if missing:
            lost = ", ".join(missing)
            raise LessonError(f"This lesson began without {lost}, which would be lost. Teach it again to have both.")
        copy_parts(now, job.folder / NETWORK, ("encoder", "judge"))  # its discriminator it has
        self.engine.replace(new)
        self.kept, self.filed = stamp, self._file(job, new)

    def _measure(self) -> None:
        """Measure in the background how much every direction changes the picture, unless that is going on."""
        if self.measured is not None:
            return
        self.measured = 0.0

        def work() -> None:
            step_back()
            try:
                self.engine.measure_effects(lambda part: setattr(self, "measured", part))
            finally:
                self.measured = None

        threading.Thread(target=work, daemon=True).start()

    def _save(self, job: Job, file: Any) -> str:
        """Write the lesson's network beside the other checkpoints; returns the path. Never replaces a file."""
        path = file_in(Path(job.about["home"]), file)
        write_new(load(job.folder / NETWORK), path, expanded_from=job.about["original"])
        return str(path)

    def _file(self, job: Job, checkpoint: Checkpoint) -> str:
        """Write what was kept among the user's own generators; its name there, empty where that cannot be written.

        The lesson that is kept once more takes the place of what it was.
        """
        folder, stem = self.lessons.root.with_name(MODELS), f"{self.name}-{jobs.slug(job.about['name'])}"
        paths = [folder / f"{name}.safetensors" for name in (stem, *(f"{stem}-{number}" for number in range(2, 100)))]
        free = (path for path in paths if not path.exists() or meta_of(path).get("lesson") == job.id)
        with suppress(CheckpointError, OSError, StopIteration):
            write(checkpoint, path := next(free), expanded_from=job.about["original"], lesson=job.id)
            return path.stem
        return ""

    def _free(self) -> list[Any]:
        """Directions that hold no domain, least effective first; where that was not measured, the last column first."""
        free = [direction for direction in self.engine.directions if direction.group in ("factors", "dormant")]
        return sorted(free, key=lambda d: (0.0 if d.effect is None else d.effect, -d.dim))

    def _generator(self, lessons: list[Job]) -> dict[str, Any]:
        return {
            "name": self.name,
            "domains": domains_of(self.engine.checkpoint),
            "free": [{"dim": direction.dim, "effect": direction.effect} for direction in self._free()[:OFFERED]],
            "measured": self.measured,
            "note": self._note(),
            "words": self.preview.words(),
            "lengths": dict.fromkeys(get_args(Kind), LENGTHS),
            "seconds_per_step": pace(lessons),
            "estimates": estimates(self.engine),
        }

    def _note(self) -> str:
        notes = [] if has_critic(self.engine.checkpoint) else [NO_CRITIC]
        damaged = [*self.lessons.damaged(), *(job.id for job in self.lessons.all() if not is_lesson(job))]
        if damaged:
            notes.append(f"Folders of lessons that are damaged and passed over: {', '.join(damaged)}.")
        return " ".join(notes)

    def _describe(self, job: Job) -> dict[str, Any]:
        status = jobs.status(job)
        name = job.about["name"]
        curves = jobs.losses(job)
        titles = {name: "Loss of the new domain", "replay": "Change of what it knew"}
        network = job.folder / NETWORK
        kept = self.engine.checkpoint.path == network and self.kept == network_stamp(network)
        return {
            "id": job.id,
            "name": name,
            "what": job.about["what"],
            "state": status.state,
            "step": status.step,
            "steps": status.steps,
            "seconds_left": status.seconds_left,
            "images_per_second": status.images_per_second,
            "message": status.message,
            "curves": [{"title": title, "points": curves[key]} for key, title in titles.items() if key in curves],
            "command": shlex.join(job.command),
            "ready": (job.folder / NETWORK).exists(),
            "resumable": bool(job.resume) and status.state != "done" and (job.folder / "checkpoint.pt").exists(),
            "kept": kept,
            "filed": self.filed if kept else "",
            "file": f"{self.name}-{jobs.slug(name)}",
        }


@dataclass(frozen=True)
class Shown:
    """What there is to see: whether all of STRENGTHS or only the first, data URIs, strength after strength, and what
    the judge says of a domain that it knows."""

    full: bool
    pictures: list[str]
    verdict: str = ""


class Preview:
    """Pictures of the same few seeds: of the generator, or of what a lesson's newest network makes of them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._kept: tuple[str, Shown] | None = None
        self._styles: tuple[Checkpoint, dict[str, str]] | None = None
        self._judging = Judging()

    def words(self) -> list[str]:
        """What the generator's judge can tell apart."""
        return self._judging.words(self.engine.checkpoint)

    def styles(self) -> dict[str, str]:
        """Data URIs by the names of styles."""
        checkpoint = self.engine.checkpoint
        with self._lock:
            if self._styles is None or self._styles[0] is not checkpoint:
                picture = self.engine.render(Edit(seed=SEEDS[0]), max_px=PREVIEW_PX)
                drawn = [(name, render(name, picture, np.random.default_rng(0))) for name in ALL_STYLES]
                self._styles = checkpoint, {name: data_uri(pixels, exact=False) for name, pixels in drawn}
            return self._styles[1]

    def stamp(self, job: Job | None) -> str:
        """Names the pictures that there are to see; it changes when they do."""
        changed = None if job is None else network_stamp(job.folder / NETWORK)
        return f"{self.engine.checkpoint.path}" if job is None or changed is None else f"{job.id} {changed[1]}"

    def pictures(self, job: Job | None, stamp: str) -> Shown:
        with self._lock:
            if self._kept is None or self._kept[0] != stamp:
                self._kept = (stamp, self._render(job, stamp))
            return self._kept[1]

    def _render(self, job: Job | None, stamp: str) -> Shown:
        engine, strengths, domain, verdict = self.engine, STRENGTHS[:1], "", ""
        if job is not None and stamp.startswith(job.id):
            engine = Engine(load(job.folder / NETWORK), str(self.engine.device), self.engine.precision)
            strengths, domain = STRENGTHS, job.about["name"]
            verdict = self._verdict(engine, domain, str(job.about.get("target", domain)))
        edits = [Edit(seed=seed, strengths={domain: strength}) for strength in strengths for seed in SEEDS]
        pictures = engine.render(edits, max_px=PREVIEW_PX)
        return Shown(len(strengths) > 1, [data_uri(picture, exact=False) for picture in pictures], verdict)

    def _verdict(self, engine: Engine, domain: str, word: str) -> str:
        """In how many pictures the judge sees what was to be learned; empty where it does not know the word."""
        edits = [Edit(seed=seed, strengths={domain: 1.0}) for seed in range(JUDGED)]
        seen = self._judging.seen(self.engine.checkpoint, engine, edits, word)
        return "" if seen is None else f"The judge sees “{seen[0]}” in {seen[1]} of {JUDGED} pictures at full strength."


def network_stamp(path: Path | None) -> tuple[Path, int] | None:
    """A file as it is now, by name and time; None where there is none."""
    try:
        return None if path is None else (path, path.stat().st_mtime_ns)
    except OSError:
        return None


def is_lesson(job: Job) -> bool:
    """Whether the job's folder says all that `Lesson.job` wrote down."""
    return all(isinstance(job.about.get(key), str) for key in ("name", "what", "source", "home", "original"))


def domains_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    return () if checkpoint.expansion is None else checkpoint.expansion.domains


def same_family(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether both are the same source generator, taught differently: teaching never changes the mapping network."""
    a, b = (checkpoint.generator.mean.cpu() for checkpoint in (one, other))
    return a.shape == b.shape and bool((a == b).all().item())


def has_critic(checkpoint: Checkpoint) -> bool:
    """Whether a discriminator is in the checkpoint or beside it, where `expand` looks for it."""
    return checkpoint.critic is not None or part_of(checkpoint, "discriminator") is not None


def original_of(checkpoint: Checkpoint) -> str:
    """Name of the file with the generator before its first lesson, in the folder `home_of` the checkpoint."""
    assert checkpoint.path is not None
    made_by = jobs.read_job(checkpoint.path.parent)
    if made_by is not None and is_lesson(made_by):
        return made_by.about["original"]
    return str(checkpoint.meta.get("expanded_from", checkpoint.path.name))


def home_of(source: Path) -> Path:
    """The folder with the checkpoints of this family: not that of a lesson."""
    made_by = jobs.read_job(source.parent)
    return Path(made_by.about["home"]) if made_by is not None and is_lesson(made_by) else source.parent


def estimates(engine: Engine) -> dict[str, dict[str, float]]:
    """By kind of lesson what a step takes, where that is long: `{seconds, gigabytes, px}`, see `Cost`."""
    known = {kind: lesson_cost(engine, kind in REDUCED) for kind in get_args(Kind)}
    return {k: {"seconds": c.seconds, "gigabytes": c.bytes / 1e9, "px": c.px} for k, c in known.items() if c}


def pace(lessons: list[Job]) -> float | None:
    """Seconds a step took in the newest lesson that got far enough to tell; None where none did."""
    for job in lessons:
        rate = jobs.status(job).images_per_second
        try:
            batch = tomllib.loads((job.folder / "config.toml").read_text()).get("batch")
        except (OSError, ValueError):  # no TOML, or no text
            continue
        if rate > 0 and isinstance(batch, int):
            return batch / rate
    return None
