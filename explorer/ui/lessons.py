"""What a visitor asks the generator to learn: checked, and written down as the job of `python -m explorer expand`.

A lesson is a style made by code, words ("photo" -> "pencil sketch"), one picture, or several. Knows no Gradio, no
engine and no process.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL import Image

from explorer.refused import Refused
from explorer.styles import ALL_STYLES
from explorer.ui.jobs import Job

MAX_STEPS = 100_000
MAX_PICTURES = 200
MAX_BYTES = 4 * 2**20  # of one picture; the browser sends them scaled down
MAX_TOTAL = 72 * 2**20  # of all pictures of a lesson, as text
MAX_SIDE = 2048
MAX_NAME, MAX_TEXT = 40, 200
CHECKPOINT_MINUTES = 0.5  # how old the pictures on the page may be
NAME = re.compile(r"\w[\w \-'.,&+()]*")

Kind = Literal["style", "words", "picture", "individual", "kind"]
TASKS: dict[Kind, str] = {
    "style": "style",
    "words": "nada",
    "picture": "one_shot_clip",
    "individual": "mystyle",
    "kind": "image_folder",
}
REDUCED: tuple[Kind, ...] = ("style", "words", "individual")  # learned from small pictures of a large generator
FEWEST: dict[Kind, int] = {"picture": 1, "individual": 3, "kind": 10}
# The published weights are for 1024 px and a CLIP that saw the world. Most domains of the embedded
# default were taught by these.
WEIGHTS: dict[Kind, dict[str, float]] = {
    "style": {"lambda_l2": 4.0},
    "words": {"lambda_global": 0.5, "lambda_content": 1.0},
    "picture": {
        "lambda_align": 2.0,
        "lambda_consistency": 2.0,
        "lambda_patch": 0.3,
        "lambda_direction": 3.0,
        "lambda_critic": 2.0,
    },
    "individual": {"lambda_near": 1.0},
    "kind": {"lambda_content": 1.5},
}


class LessonError(Refused):
    """A lesson that cannot be; the message is one sentence on what to do."""


@dataclass(frozen=True)
class Lesson:
    """What to learn, under which name, along which direction, for how long."""

    kind: Kind
    name: str
    dim: int
    steps: int
    source: str = ""
    target: str = ""
    pictures: tuple[bytes, ...] = ()  # PNG

    @classmethod
    def read(cls, request: Any, taken: Collection[str], free: Sequence[int]) -> Lesson:
        """From the page's request. `taken` are the names of domains, `free` the directions, least effective first.

        Raises LessonError.
        """
        if not isinstance(request, dict) or request.get("kind") not in list(TASKS):
            raise LessonError("Choose a style, words, one picture or several pictures to learn from.")
        kind: Kind = request["kind"]
        steps = request.get("steps")
        if not isinstance(steps, int) or isinstance(steps, bool) or not 1 <= steps <= MAX_STEPS:
            raise LessonError(f"Steps must be a whole number from 1 to {MAX_STEPS:,}.")
        if not free:
            raise LessonError("Every direction of this generator is in use already: there is no room for a new domain.")
        dim = free[0] if request.get("dim") is None else request["dim"]
        if dim not in free:
            raise LessonError(f"Direction {dim} is not free: choose another one.")
        name = checked_name(request.get("name"), taken)
        if kind == "style":
            if request.get("target") not in list(ALL_STYLES):
                raise LessonError("Choose one of the styles.")
            return cls(kind, name, dim, steps, target=request["target"])
        if kind == "words":
            source = _text(request.get("source"), "Say what the pictures show now, like “photo”.")
            target = _text(request.get("target"), "Say what they should become, like “pencil sketch”.")
            if source.casefold() == target.casefold():
                raise LessonError("Both texts are the same: there is nothing to learn between them.")
            return cls(kind, name, dim, steps, source, target)
        return cls(kind, name, dim, steps, pictures=_pictures(request.get("pictures"), kind))

    def job(self, folder: Path, source: Path, critic: bool, home: Path, original: str, parts: int = 1) -> Job:
        """Write the lesson's settings and pictures into `folder`; returns the job that learns it.

        Args:
            source: the checkpoint to teach.
            critic: whether it has a discriminator, in it or beside it.
            home: the folder in which checkpoints of this family are kept.
            original: name of the file there that holds the generator before its first lesson.
            parts: of a step that are computed one after the other, which takes less memory.
        """
        for index, picture in enumerate(self.pictures):
            path = folder / "pictures" / f"{index + 1:03}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(picture)
        # Warm-up to the end: a domain arrives within minutes on a CPU, and nothing else of the generator can change.
        settings: dict[str, Any] = {"steps": self.steps, "warmup": self.steps, "checkpoint_minutes": CHECKPOINT_MINUTES}
        if not critic:
            settings["lambda_src"] = 0.0
        if parts > 1:
            settings["accumulate"] = parts
        (folder / "lesson.toml").write_text(toml(settings, self._domain(folder)), encoding="utf-8")
        expand = (sys.executable, "-m", "explorer", "expand")
        out = ("--out", str(folder))
        about: dict[str, Any] = {"name": self.name, "steps": self.steps, "what": self.what(), "dim": self.dim}
        about |= {"source": str(source), "home": str(home), "original": original}
        if self.target:
            about["target"] = self.target
        command = (*expand, str(source), "--config", str(folder / "lesson.toml"), *out)
        return Job(folder, command, resume=(*expand, "--resume", *out), about=about)

    def _domain(self, folder: Path) -> dict[str, Any]:
        domain = {"name": self.name, "type": TASKS[self.kind], "dim": self.dim, **WEIGHTS[self.kind]}
        if self.kind == "style":
            return domain | {"style": self.target}
        if self.kind == "words":
            return domain | {"source": self.source, "target": self.target}
        if self.kind == "picture":
            return domain | {"image": str(folder / "pictures" / "001.png")}
        return domain | {"folder": str(folder / "pictures")}

    def what(self) -> str:
        """One line for people."""
        if self.kind == "style":
            return f"the style “{self.target}”"
        if self.kind == "words":
            return f"“{self.source}” to “{self.target}”"
        if self.kind == "picture":
            return "from one picture"
        return f"from {len(self.pictures)} pictures of one {self.kind}"


def checked_name(value: Any, taken: Collection[str]) -> str:
    """The name of a domain as it is typed. Raises LessonError for none, for a number and for one that is `taken`."""
    name = " ".join(value.split()) if isinstance(value, str) else ""
    if not name:
        raise LessonError("Give the domain a name.")
    if len(name) > MAX_NAME or not NAME.fullmatch(name) or name.isdigit():
        raise LessonError(f"A name is up to {MAX_NAME} letters, digits and spaces, and not a number alone.")
    if name.casefold() in {other.casefold() for other in taken}:
        raise LessonError(f"This generator already has a domain “{name}”: choose another name.")
    return name


def _text(value: Any, missing: str) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise LessonError(missing)
    if len(text) > MAX_TEXT or not text.isprintable():
        raise LessonError(f"A text is at most {MAX_TEXT} characters long.")
    return text


def _pictures(value: Any, kind: Kind) -> tuple[bytes, ...]:
    uris = value if isinstance(value, list) else []
    if kind == "picture" and len(uris) != 1:
        raise LessonError("Choose one picture to learn from.")
    if len(uris) < FEWEST[kind]:
        raise LessonError(f"Choose at least {FEWEST[kind]} pictures; there are {len(uris)}.")
    if len(uris) > MAX_PICTURES:
        raise LessonError(f"Choose at most {MAX_PICTURES} pictures; there are {len(uris)}.")
    if sum(len(uri) for uri in uris if isinstance(uri, str)) > MAX_TOTAL:
        raise LessonError(f"These pictures have more than {MAX_TOTAL >> 20} MB together: choose fewer or smaller ones.")
    return tuple(_png(uri, index) for index, uri in enumerate(uris))


def _png(uri: Any, index: int) -> bytes:
    """A data URI, decoded and written again, so that nothing but pixels reaches the disk."""
    try:
        head, _, data = uri.partition(",")
        if not head.startswith("data:image/") or len(data) > MAX_BYTES:
            raise ValueError
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True)), formats=("PNG", "JPEG", "WEBP")) as image:
            if max(image.size) > MAX_SIDE:
                raise ValueError
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "PNG", compress_level=1)
            return buffer.getvalue()
    except Exception:  # Pillow's decoders have no common error
        raise LessonError(f"Picture {index + 1} cannot be read; use JPEG, PNG or WebP files.") from None


def toml(settings: dict[str, Any], domain: dict[str, Any]) -> str:
    """Settings at the top, then one `[[domain]]`. A JSON string without control characters is a TOML string."""

    def line(key: str, value: Any) -> str:
        return f"{key} = {json.dumps(value, ensure_ascii=False)}\n"

    top = "".join(line(*item) for item in settings.items())
    return f"{top}\n[[domain]]\n" + "".join(line(*item) for item in domain.items())
