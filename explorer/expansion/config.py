"""`domains.toml`: settings of a run at the top level, then one `[[domain]]` a domain; checked, resolved, written back.

A domain has `name`, `type` (one of `tasks.TASKS`), perhaps `dim` (its direction) and `weight`; what else stands there
are arguments of its task. Knows no networks: whether directions are free is the matter of `plan`.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from explorer.expansion.tasks import TASKS
from explorer.expansion.tasks.task import ExpansionError
from explorer.training.options import option
from explorer.weights.checkpoint import MAX_ABOUT
from explorer.weights.clip import TEACHERS

Kind = TypeVar("Kind")
PATHS = ("data", "discriminator", "original", "image", "images", "folder")  # settings that name files
FIGURES = ("replay", "kept domains", "source", "path", "R1")  # a run's own, beside its domains' losses
UNSAFE = set('/\\:*?"<>|')  # a domain's name is a file's name too


@dataclass(frozen=True)
class Domain:
    """One domain to learn. `dim` None takes the least effective free direction; `arguments` are its task's.

    `about` is a sentence on it, shown with its name.
    """

    name: str
    type: str
    dim: int | None
    weight: float
    arguments: Any
    about: str = ""


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder as `config.toml`."""

    source: str = option("", "the checkpoint to expand")
    discriminator: str = option("", "a file with the discriminator that the source lacks")
    original: str = option("", "the generator that an expanded source was made from, where it is not found beside it")
    replace: tuple[str, ...] = option((), "domains of the source to be learned anew, on their directions")
    remove: tuple[str, ...] = option((), "domains of the source to be given up")
    plain: bool = option(False, "adaptation for comparison: the first domain alone, no projection, no replay")
    data: str = option("", "pictures the source was trained on; without them its own samples stand in for them")
    steps: int = option(2000, "when to stop")
    batch: int = option(16, "samples a step, over all processes")
    accumulate: int = option(1, "parts of a batch computed one after the other: less memory")
    lr: float = option(0.001, "the generator's learning rate")
    warmup: int = option(0, "steps at first in which domains learn by the styles of their own directions alone")
    warmup_side: int = option(0, "px of a side that is looked at then; 0: 128 of 512 or more, else all")
    warmup_lr: float = option(0.01, "the generator's learning rate then")
    grow: float = option(0.0, "channels for the new domains alone, in parts of each width; nothing else learns then")
    d_lr: float = option(0.001, "the discriminators' learning rate")
    anneal: float = option(0.2, "part of the run at whose end the learning rates have fallen to 0")
    distance: float = option(0.0, "how far along its direction a domain lies; 0 for 20 * sqrt(dim / 512)")
    lambda_expand: float = option(1.0, "weight of the tasks' own losses")
    lambda_src: float = option(1.0, "weight of the source's GAN loss; 0 needs no discriminator")
    lambda_lpips: float = option(10.0, "weight of the perceptual distance in replay")
    lambda_l2: float = option(10.0, "weight of the squared error in replay")
    source_every: int = option(1, "steps between two with the source's GAN loss, which then counts as much more")
    r1_gamma: float = option(10.0, "weight of R1, times 1/2")
    r1_every: int = option(16, "steps with the source's GAN loss between two with R1")
    path_weight: float = option(0.0, "of the path-length penalty; 2 in the paper")
    path_every: int = option(4, "steps between two with it")
    ema_kimg: float = option(10.0, "half-life of the averaged generator")
    ema_ramp: float = option(0.05, "a younger run's half-life is at most this fraction of its age")
    clip: tuple[str, ...] = option(TEACHERS, "CLIP models that judge: names or files, see `weights.clip`")
    clip_weights: tuple[float, ...] = option((), "their weights; 1 each where there are none")
    views: int = option(4, "augmented versions of a picture that CLIP sees, the picture itself first")
    pool: int = option(1024, "pictures whose noise images a diffusion autoencoder finds before the first step")
    seed: int = option(0, "of every random number")
    precision: str = option("auto", "fp32, bf16, fp16, or auto: bf16 where the hardware multiplies in it")
    compile: bool = option(False, "compiled epilogues, on a CPU in bf16: a minute more at first, faster steps after it")
    checkpoint_minutes: float = option(3.0, "minutes between two checkpoints")
    domains: tuple[Domain, ...] = field(default=())

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
                raise ExpansionError(f"{entry.name} must be a number of at least 0, got {value}")
        for name in ("steps", "batch", "accumulate", "source_every", "r1_every", "path_every", "views", "pool"):
            if getattr(self, name) < 1:
                raise ExpansionError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.clip or (self.clip_weights and len(self.clip_weights) != len(self.clip)):
            raise ExpansionError(f"{len(self.clip)} CLIP models need as many clip_weights, got {self.clip_weights}")
        if not all(math.isfinite(weight) and weight >= 0 for weight in self.clip_weights):
            raise ExpansionError(f"clip_weights must be numbers of at least 0, got {self.clip_weights}")
        if self.precision not in ("auto", "fp32", "bf16", "fp16"):
            raise ExpansionError(f"precision must be auto, fp32, bf16 or fp16, got {self.precision}")
        if not self.domains and not self.remove:
            raise ExpansionError("the configuration names no domain: add a [[domain]] with name and type")
        names = [domain.name for domain in self.domains]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ExpansionError(f"two domains are called {twice[0]!r}: names must differ")


def read_config(path: str | Path, **changes: Any) -> Config:
    """The configuration in a TOML file, with `changes` to its settings. Raises ExpansionError with one sentence.

    Paths in it are taken from the file's own folder, where there is such a file, else from the working folder.
    """
    path, text = Path(path), ""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows' editors may begin with a mark
        values = tomllib.loads(text)
    except OSError as error:
        raise ExpansionError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        hint = "; in double quotes a backslash is written twice, or as /" if "\\" in text else ""
        raise ExpansionError(f"{path} is no TOML: {error}{hint}") from None
    return config_from(values, path.parent, **changes)


def config_from(values: Mapping[str, Any], folder: Path = Path(), **changes: Any) -> Config:
    """The configuration in plain data as TOML gives it."""
    tables = values.get("domain", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ExpansionError("a domain is written as [[domain]], with two brackets")
    if "domains" in values:
        raise ExpansionError("a domain is written as [[domain]], not domains")
    domains = tuple(_domain(_resolved(table, folder), index) for index, table in enumerate(tables))
    settings = _resolved({name: value for name, value in values.items() if name != "domain"}, folder)
    return fill(Config, {**settings, **changes, "domains": domains}, "the configuration")


def _domain(table: dict[str, Any], index: int) -> Domain:
    arguments = dict(table)
    name, kind = arguments.pop("name", None), arguments.pop("type", None)
    if not isinstance(name, str) or not name.strip():
        raise ExpansionError(f"domain {index + 1} has no name")
    where = f"domain {name!r}"
    if name.isdigit() or name.startswith(".") or UNSAFE & set(name) or not name.isprintable() or len(name) > 100:
        raise ExpansionError(f"{where}: a name is letters, digits and spaces, and not a number alone")
    if name in FIGURES:
        raise ExpansionError(f"{where}: the run has a figure of that name; choose another one")
    if kind not in TASKS:
        raise ExpansionError(f"{where}: type must be one of {', '.join(TASKS)}, got {kind!r}")
    dim, weight, about = arguments.pop("dim", None), arguments.pop("weight", 1.0), arguments.pop("about", "")
    if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int)):
        raise ExpansionError(f"{where}: dim must be the number of a direction, got {dim!r}")
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
        raise ExpansionError(f"{where}: weight must be a positive number, got {weight!r}")
    if not isinstance(about, str) or len(about) > MAX_ABOUT or (about and not about.isprintable()):
        raise ExpansionError(f"{where}: about must be one sentence of at most {MAX_ABOUT} characters, got {about!r}")
    return Domain(name, kind, dim, float(weight), fill(TASKS[kind].Arguments, arguments, where), about)


def fill(kind: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """A settings dataclass from plain data. Raises ExpansionError for unknown, missing and ill-typed settings."""
    hints = get_type_hints(kind)
    if unknown := sorted(values.keys() - hints.keys()):
        known = ", ".join(name for name in hints if name != "domains")
        raise ExpansionError(f"{where}: unknown setting {unknown[0]!r}; there are: {known}")
    needed = [entry.name for entry in fields(kind) if entry.default is MISSING and entry.name not in values]  # type: ignore[arg-type]
    if needed:
        raise ExpansionError(f"{where}: {needed[0]} is missing")
    checked = {name: _checked(f"{where}: {name}", value, hints[name]) for name, value in values.items()}
    try:
        return kind(**checked)
    except ExpansionError as error:
        raise ExpansionError(f"{where}: {error}" if kind is not Config else str(error)) from None


def _checked(name: str, value: Any, kind: Any) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ExpansionError(f"{name} must be a number, got {value}")
    if kind in (int, float, str, bool) and type(value) is kind:
        return value
    part = {tuple[str, ...]: str, tuple[float, ...]: (int, float)}.get(kind)
    if part is not None:
        values = value if isinstance(value, (list, tuple)) else [value]
        if all(isinstance(v, part) and not isinstance(v, bool) for v in values):
            return tuple(v if part is str else float(v) for v in values)
    if kind == tuple[Domain, ...]:
        return value
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(kind, "a list")
    raise ExpansionError(f"{name} must be {words}, got {value!r}")


def _resolved(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The same with paths that hold from everywhere."""

    def resolved(text: Any) -> Any:
        if not isinstance(text, str) or not text:
            return text
        return str(((folder / text) if (folder / text).exists() else Path(text)).absolute())

    return {name: resolved(value) if name in PATHS else value for name, value in table.items()}


def to_toml(config: Config) -> str:
    """The configuration as TOML that `config_from` reads; JSON's texts, numbers and lists are TOML's."""

    def lines(values: Mapping[str, Any]) -> str:
        return "".join(f"{k} = {json.dumps(v, ensure_ascii=False)}\n" for k, v in values.items() if v is not None)

    top = {entry.name: getattr(config, entry.name) for entry in fields(config) if entry.name != "domains"}
    text = lines(top)
    for domain in config.domains:
        head = {"name": domain.name, "type": domain.type, "dim": domain.dim, "weight": domain.weight}
        head |= {"about": domain.about or None}
        text += "\n[[domain]]\n" + lines(head | asdict(domain.arguments))
    return text


def with_dims(config: Config, dims: Mapping[str, int]) -> Config:
    """The configuration with the directions that its domains were given."""
    return replace(config, domains=tuple(replace(d, dim=dims.get(d.name, d.dim)) for d in config.domains))
