"""The Teach tab: the generator learns a new domain in a free direction, while the page shows what it has learned.

A lesson is `python -m explorer expand` as a process of its own (`explorer.ui.jobs`); this tab starts it, looks at its
folder, and shows pictures of its newest network. Knows no training.
"""

from __future__ import annotations

import shlex
import shutil
import threading
import tomllib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import numpy as np

from explorer.edit import Edit
from explorer.engine import Engine, captions
from explorer.engine.costs import lesson_cost, lesson_parts
from explorer.engine.judging import Judging
from explorer.extras import require
from explorer.replacing import replacing
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
BEST = "best.safetensors"  # the network of which the judge saw most
SEEN = "seen.json"  # {network: [pictures in which it saw it, step]}
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
        lessons.ready = on_top
        self.preview = Preview(engine)
        self.kept = network_stamp(engine.checkpoint.path), newest_beside(engine.checkpoint.path)
        self.filed = ""  # the name under which what was kept is opened later
        self.measured: float | None = None  # part of the directions, while they are being measured

    def look(self, request: dict[str, Any]) -> dict[str, Any]:
        """For `{id, stamp}`: how the lesson `id` stands, and pictures newer than `stamp`; where it is null, the newest

        that has begun.
        """
        if not self.read_only:
            self.lessons.go_on()  # whoever started what ran before may be gone
        lessons = [job for job in self.lessons.all() if is_lesson(job)]
        begun = [job for job in lessons if not job.waits] or lessons
        job = next((job for job in lessons if job.id == request.get("id")), begun[0] if begun else None)
        stamp = self.preview.stamp(job)
        answer: dict[str, Any] = {
            "lesson": None if job is None else self._describe(job),
            "lessons": [
                {"id": job.id, "name": job.about["name"], "state": jobs.status(job).state} for job in lessons[:LISTED]
            ],
            "line": [{"id": job.id, "name": job.about["name"]} for job in reversed(lessons) if job.waits],
            "running": self.lessons.running() is not None,
            "generator": self._generator(lessons),
            "closed": self.read_only,
        }
        if stamp != request.get("stamp"):
            shown = self.preview.pictures(job, stamp)
            answer |= {"stamp": stamp, "full": shown.full, "pictures": shown.pictures, "verdict": shown.verdict}
            answer["lesson"] = None if job is None else self._describe(job)  # the best may be another now
        return answer

    def styles(self, request: dict[str, Any]) -> dict[str, Any]:
        """`{styles: [{name, picture}]}`: every style made by code, drawn over one of the generator's pictures."""
        return {"styles": [{"name": name, "picture": picture} for name, picture in self.preview.styles().items()]}

    def teach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Start the lesson that the form asks for, or let it wait in line; `{id, waits}`.

        What waits will learn on top of what the lessons before it made, so that all of them can be kept.
        """
        self._refuse_strangers()
        require("train")
        checkpoint = self.engine.checkpoint
        source = checkpoint.path
        if source is None:
            raise LessonError("This generator lies in no file: save it first.")
        home, original = home_of(source), original_of(checkpoint)
        before = [job for job in (self.lessons.running(), *self.lessons.waiting()) if job is not None]
        before = [job for job in before if (job.about.get("home"), job.about.get("original")) == (str(home), original)]
        taken = [*domains_of(checkpoint), *(str(job.about.get("name")) for job in before)]
        used = {job.about.get("dim") for job in before}
        free = [direction.dim for direction in self._free() if direction.dim not in used]
        lesson = Lesson.read(request, taken, free)

        def prepare(folder: Path) -> Job:
            job = lesson.job(folder, source, has_critic(checkpoint), home, original, lesson_parts(self.engine))
            return replace(job, about={**job.about, "before": [job.id for job in before]})

        job = self.lessons.start(lesson.name, prepare)
        return {"id": job.id, "waits": job.waits}

    def act(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pause, unpause, stop, resume, keep, save or take out of the line the lesson `id`; or measure the directions,

        with no lesson. To keep is to keep the last or, with `best`, what the judge saw most of.
        """
        self._refuse_strangers()
        if request.get("what") == "measure":
            self._measure()
            return {}
        job = self.lessons.find(request.get("id"))
        if not is_lesson(job):
            raise LessonError(f"The folder {job.id} is damaged: it does not say which lesson this was.")
        acts = {"pause": jobs.pause, "unpause": jobs.unpause, "stop": jobs.stop}
        acts |= {"resume": self.lessons.resume, "leave": self.lessons.leave}
        what = request.get("what")
        if what in acts:
            acts[what](job)
        elif what == "keep":
            self._keep(job, job.folder / (BEST if request.get("best") is True else NETWORK))
        elif what == "save":
            return {"saved": self._save(job, request.get("file"))}
        else:
            raise LessonError("A lesson can be paused, continued, stopped, kept or saved.")
        return {}

    def _refuse_strangers(self) -> None:
        if self.read_only:
            raise LessonError(READ_ONLY)

    def _keep(self, job: Job, network: Path) -> None:
        """Let the engine render what the lesson made, unless that would take something away from the page."""
        if self.measured is not None:
            raise LessonError("Directions are being measured: keep this lesson when that is done.")
        stamps = network_stamp(network), newest_beside(network)  # before it is read: a newer one is not kept yet
        new, now = load(network), self.engine.checkpoint
        if not same_family(new, now):
            raise LessonError(
                f"This lesson belongs to another generator ({Path(job.about['source']).name}): open that one."
            )
        missing = [f"“{domain}”" for domain in domains_of(now) if domain not in domains_of(new)]
        if missing:
            lost = ", ".join(missing)
            raise LessonError(f"This lesson began without {lost}, which would be lost. Teach it again to have both.")
        copy_parts(now, network, ("encoder", "judge"))
        if network.name == BEST:
            copy_parts(load(job.folder / NETWORK), network, ("discriminator",))
        self.engine.replace(new)
        self.kept, self.filed = stamps, self._file(job, new)

    def _kept(self, job: Job) -> bool:
        """Whether the engine has this lesson, as it was chosen, and it has not learned on since."""
        path = self.engine.checkpoint.path
        return (
            path is not None and path.parent == job.folder and self.kept == (network_stamp(path), newest_beside(path))
        )

    def _measure(self) -> None:
        """Measure in the background how much every direction changes the picture, unless that is going on."""
        if self.measured is not None:
            return
        self.measured = 0.0

        def work() -> None:
            step_back()
            try:
                self.engine.measure_effects(lambda part: setattr(self, "measured", part))
                captions.measure(self.engine)
            finally:
                self.measured = None

        threading.Thread(target=work, daemon=True).start()

    def _save(self, job: Job, file: Any) -> str:
        """Write the lesson's network beside the other checkpoints; returns the path. Never replaces a file."""
        path = file_in(Path(job.about["home"]), file)
        made = self.engine.checkpoint if self._kept(job) else load(job.folder / NETWORK)
        write_new(made, path, expanded_from=job.about["original"])
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
        kept = self._kept(job)
        best, last = seen_in(job, BEST), seen_in(job, NETWORK)
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
            "best": {"seen": best[0], "step": best[1], "of": JUDGED} if best and last and best[0] > last[0] else None,
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
            verdict = self._verdict(engine, job, stamp)
        edits = [Edit(seed=seed, strengths={domain: strength}) for strength in strengths for seed in SEEDS]
        pictures = engine.render(edits, max_px=PREVIEW_PX)
        return Shown(len(strengths) > 1, [data_uri(picture, exact=False) for picture in pictures], verdict)

    def _verdict(self, engine: Engine, job: Job, stamp: str) -> str:
        """In how many pictures the judge sees what was to be learned; empty where it does not know the word.

        The network of which it saw most so far is kept beside the last one.
        """
        domain = job.about["name"]
        edits = [Edit(seed=seed, strengths={domain: 1.0}) for seed in range(JUDGED)]
        seen = self._judging.seen(self.engine.checkpoint, engine, edits, str(job.about.get("target", domain)))
        if seen is None:
            return ""
        word, count = seen
        best, step = seen_in(job, BEST), jobs.status(job).step
        told = jobs.read_json(job.folder / SEEN) | {NETWORK: [count, step]}
        with suppress(OSError):  # a folder that cannot be written to has no best
            # Of equals the one that learned longer; unless the lesson has written the next one meanwhile.
            if (best is None or count >= best[0]) and self.stamp(job) == stamp:
                link(job.folder / NETWORK, job.folder / BEST)
                told[BEST] = [count, step]
            jobs.write_json(job.folder / SEEN, told)
        return f"The judge sees “{word}” in {count} of {JUDGED} pictures at full strength."


def network_stamp(path: Path | None) -> tuple[Path, int] | None:
    """A file as it is now, by name and time; None where there is none."""
    try:
        return None if path is None else (path, path.stat().st_mtime_ns)
    except OSError:
        return None


def newest_beside(path: Path | None) -> tuple[Path, int] | None:
    """The newest network of the lesson that a file belongs to, as it is now."""
    return None if path is None else network_stamp(path.with_name(NETWORK))


def link(source: Path, target: Path) -> None:
    """The same file under another name, in the place of what is there: lessons replace files, never write into them."""
    with replacing(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            temporary.hardlink_to(source)
        except OSError:  # this disk has no links
            shutil.copyfile(source, temporary)


def seen_in(job: Job, network: str) -> tuple[int, int] | None:
    """What the judge saw of a lesson's network, and after how many steps; None where that is not known."""
    entry = jobs.read_json(job.folder / SEEN).get(network)
    if not isinstance(entry, list) or len(entry) != 2 or not all(type(number) is int for number in entry):
        return None
    return (entry[0], entry[1]) if (job.folder / network).exists() else None


def on_top(job: Job) -> Job:
    """The lesson whose turn it is, taught to what the last lesson before it in line made, where it made something."""
    before = job.about.get("before")
    networks = [job.folder.parent / str(id_) / NETWORK for id_ in (before if isinstance(before, list) else [])]
    made = next((path for path in reversed(networks) if path.exists()), None)
    previous = None if made is None else jobs.read_job(made.parent)
    if made is None or previous is None or not is_lesson(previous):
        return job
    source = job.about["source"]
    command = tuple(str(made) if word == source else word for word in job.command)
    what = f"{job.about['what']}, on top of “{previous.about['name']}”"
    return replace(job, command=command, about={**job.about, "source": str(made), "what": what})


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
