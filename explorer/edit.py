"""What a user asks for, as plain frozen data: `Edit` is the request, the cache key, the JSON and the share link.

Knows no torch, no generator and no interface: whether a direction exists is for the engine to say.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import Any, ClassVar, Literal, Self

import numpy as np

from explorer.foreign import brief, parse_json
from explorer.refused import Refused

VERSION = 2  # 1 holds no noise image, and is written where there is none
DirectionId = str | int  # a domain's name, or the number of a basis column
Layers = tuple[int, int]  # rows [start, stop) of ws
MAX_SEED = 2**32 - 1
LARGEST = 1e6  # of a strength or a truncation: far beyond what any picture survives
MAX_STRENGTHS = 4096  # directions that one edit moves: as many as the widest W has that is read
MAX_NAME = 1000  # characters of a direction's name
MAX_NUMBERS = 2**20  # of one code, or one noise image
MAX_STEPS = 250  # of one picture: as many as an exact way back to a photo takes
NOISE_MODES = ("const", "none", "random", "photo")
POSE = ("rotate", "shift_x", "shift_y")


class EditError(Refused):
    """An edit that cannot be: the message says what was expected."""


@dataclass(frozen=True)
class _Numbers:
    """A tensor as hashable bytes, so that an `Edit` can hold a photo."""

    shape: tuple[int, ...]
    data: bytes

    called: ClassVar[str]
    form: ClassVar[str]
    axes: ClassVar[tuple[int, ...]]  # how many there may be
    dtype: ClassVar[np.dtype]

    def __post_init__(self) -> None:
        sizes = self.shape if isinstance(self.shape, (list, tuple)) else ()
        if len(sizes) not in self.axes or not all(_is_whole(n) and 1 <= n <= MAX_NUMBERS for n in sizes):
            raise EditError(f"{self.called} is {self.form}, got shape {brief(self.shape)}")
        if (numbers := math.prod(sizes)) > MAX_NUMBERS:
            raise EditError(f"{self.called} has at most {MAX_NUMBERS:,} numbers, got shape {brief(sizes)}")
        object.__setattr__(self, "shape", tuple(int(n) for n in sizes))
        wanted = self.dtype.itemsize * numbers
        if not isinstance(self.data, bytes) or len(self.data) != wanted:
            size = len(self.data) if isinstance(self.data, bytes) else brief(self.data)
            raise EditError(f"{self.called} of shape {self.shape} needs {wanted} bytes, got {size}")
        if not np.isfinite(np.frombuffer(self.data, self.dtype)).all():
            raise EditError(f"{self.called} must be finite, this one has NaN or infinite values")

    @classmethod
    def of(cls, array: Any) -> Self:
        """From anything numpy reads that has such axes."""
        with np.errstate(over="ignore"):  # too large becomes infinite, which is refused
            values = np.ascontiguousarray(array, dtype=cls.dtype)
        return cls(values.shape, values.tobytes())

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Of `{shape, data}`, the bytes in base64. Raises EditError for anything else."""
        expected = f"{cls.called} is {{shape, data}} with base64 {cls.dtype.name} data"
        shape, text = (data.get("shape"), data.get("data")) if isinstance(data, Mapping) else (None, None)
        if not isinstance(shape, (list, tuple)) or not isinstance(text, str):
            raise EditError(f"{expected}, got {brief(data)}")
        try:
            return cls(tuple(shape), base64.b64decode(text, validate=True))
        except ValueError as error:
            raise EditError(f"{expected}: {brief(error, 200)}") from None

    def to_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "data": base64.b64encode(self.data).decode()}

    def numpy(self) -> np.ndarray:
        """The values as they are kept, read-only."""
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


class Latent(_Numbers):
    """A code in W `(dim,)` or W+ `(rows, dim)`, float32."""

    called, form, axes, dtype = "a latent", "(dim,) or (rows, dim)", (1, 2), np.dtype("<f4")


class Noise(_Numbers):
    """The noise image that a photo was made of, `(channels, height, width)`: float16, finer than pictures show."""

    called, form, axes, dtype = "a noise image", "(channels, height, width)", (3,), np.dtype("<f2")


@dataclass(frozen=True)
class Caption:
    """What a direction does, in words, and the part of the pictures looked at in which that was seen, 0 to 1."""

    words: str
    certainty: float


@dataclass(frozen=True)
class Direction:
    """One slider: a column of the basis of W, or a vector of its own, what it is called and how far it goes.

    `unit` is the length in W of strength 1 (a domain's published distance; a standard deviation of W for a factor; an
    attribute's amount of 1; the vector itself). `dim` is its column, -1 for a vector of its own.
    `[low, high]` is the slider's range. `effect` is the measured change of the picture at the expansion distance, as a
    fraction of the distance between two random pictures; None until it has been measured. `caption` is None until then
    too, and where no words fit; `about` is what the file of a domain says of it, or "".
    """

    id: DirectionId
    label: str
    group: Literal["domains", "attributes", "own", "factors", "dormant"]
    dim: int
    unit: float
    low: float
    high: float
    effect: float | None = None
    caption: Caption | None = None
    about: str = ""


@dataclass(frozen=True)
class Edit:
    """One picture: a code, how it is truncated, and how far it is moved along which directions.

    Equal edits are equal pictures (but for `noise_mode` "random" without const seeds): strengths are kept sorted and
    without zeros, so the order in which sliders were moved does not matter.

    Attributes:
        seed: the random code, 0 to 2^32 - 1; ignored where `latent` is given.
        latent: a code of a photo or another program; it is used as it is, without truncation.
        class_index: label of a conditional generator; None is class 0 there and nothing elsewhere.
        truncation_psi: 1 is the generator's own spread, 0 the mean picture.
        truncation_cutoff: truncate only the first so many rows of ws.
        noise_mode: "const", "none", "random" (then drawn from `noise_seed`) or "photo" (then it is `noise`).
        noise: the noise image of a photo, from which a diffusion autoencoder makes it again.
        rotate, shift_x, shift_y: how the picture is turned, in degrees counterclockwise, and then shifted to the right
            and down, in picture widths (only a generator with a pose can).
        steps: in how many steps the picture is made, 1 to 250, or the nearest number that exists; None for the
            generator's own (only one that makes its pictures step by step has any).
        project: take the code to the base subspace before moving it (only an expanded generator has one).
        strengths: `{direction: strength}`; 1 is the direction's unit.
        layers: `{direction: (start, stop)}`, rows of ws that the direction moves; all where absent.
    """

    seed: int = 0
    latent: Latent | None = None
    class_index: int | None = None
    truncation_psi: float = 0.7
    truncation_cutoff: int | None = None
    noise_mode: Literal["const", "none", "random", "photo"] = "const"
    noise_seed: int = 0
    noise: Noise | None = None
    rotate: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    steps: int | None = None
    project: bool = True
    strengths: Mapping[DirectionId, float] | Iterable[tuple[DirectionId, float]] = ()
    layers: Mapping[DirectionId, Layers] | Iterable[tuple[DirectionId, Layers]] = ()

    def __post_init__(self) -> None:
        for name in ("seed", "noise_seed"):
            object.__setattr__(self, name, _integer(name, getattr(self, name), 0, MAX_SEED))
        for name in ("class_index", "truncation_cutoff"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _integer(name, getattr(self, name), 0, 2**31))
        if self.steps is not None:
            object.__setattr__(self, "steps", _integer("steps", self.steps, 1, MAX_STEPS))
        for name in ("truncation_psi", *POSE):
            object.__setattr__(self, name, _number(name, getattr(self, name)))
        if not isinstance(self.noise_mode, str) or self.noise_mode not in NOISE_MODES:
            raise EditError(f"noise_mode must be {', '.join(NOISE_MODES)}, got {brief(self.noise_mode)}")
        if not (self.noise is None or isinstance(self.noise, Noise)):
            raise EditError(f"noise must be a Noise, got {type(self.noise).__name__}")
        if self.noise_mode == "photo" and self.noise is None:
            raise EditError("noise_mode photo needs the noise image of a photo in noise")
        if not isinstance(self.project, bool):
            raise EditError(f"project must be true or false, got {brief(self.project)}")
        if not (self.latent is None or isinstance(self.latent, Latent)):
            raise EditError(f"latent must be a Latent, got {type(self.latent).__name__}")
        pairs = _pairs("strengths", self.strengths)
        strengths = {k: _number(f"the strength of {brief(k)}", v) for k, v in pairs.items()}
        strengths = {k: v for k, v in strengths.items() if v != 0}
        layers = {k: _layers(k, v) for k, v in _pairs("layers", self.layers).items() if k in strengths}
        object.__setattr__(self, "strengths", _canonical(strengths))
        object.__setattr__(self, "layers", _canonical(layers))

    @property
    def pose(self) -> tuple[float, float, float]:
        """Turn and shift, as `Generator.synthesize` takes them."""
        return self.rotate, self.shift_x, self.shift_y

    def moves(self) -> list[tuple[DirectionId, float, Layers | None]]:
        """(direction, strength, rows or None for all), in a fixed order."""
        layers = dict(self.layers)
        return [(direction, strength, layers.get(direction)) for direction, strength in dict(self.strengths).items()]

    def with_strength(self, direction: DirectionId, strength: float) -> Edit:
        """This edit with one slider at `strength`."""
        return replace(self, strengths=dict(self.strengths) | {direction: strength})

    def to_json(self) -> dict[str, Any]:
        """Plain data that `json.dumps` takes; only what differs from the default, and the format's version."""
        out: dict[str, Any] = {"version": VERSION if self.noise is not None else 1}
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            if isinstance(value, _Numbers):
                value = value.to_json()
            elif isinstance(value, tuple):
                value = [[key, list(entry) if isinstance(entry, tuple) else entry] for key, entry in value]
            out[field.name] = value
        return out

    @classmethod
    def from_json(cls, data: Any) -> Edit:
        """The edit that `to_json` (or `json.dumps` of it) describes. Raises `EditError` on anything else."""
        if isinstance(data, (str, bytes)):
            try:
                data = parse_json(data)
            except ValueError as error:
                raise EditError(f"an edit is a JSON object; this is no JSON: {brief(error)}") from None
        if not isinstance(data, Mapping):
            raise EditError(f"an edit is a JSON object, got {type(data).__name__}")
        values = dict(data)
        version = values.pop("version", VERSION)
        if not isinstance(version, int) or version > VERSION:
            raise EditError(
                f"this edit has format version {brief(version)}, this program reads up to {VERSION}: update it"
            )
        names = {field.name for field in fields(cls)}
        if unknown := [name for name in values if name not in names]:
            raise EditError(f"an edit has no {', '.join(map(brief, unknown[:3]))}")
        for name, kind in (("latent", Latent), ("noise", Noise)):
            if values.get(name) is not None:
                values[name] = kind.from_json(values[name])
        return cls(**values)


def _pairs(name: str, value: Any) -> dict[DirectionId, Any]:
    """`{direction: value}` of a mapping or of pairs; nothing is hashed before it is known to be a name or a number."""
    try:
        entries = value.items() if isinstance(value, Mapping) else value
        pairs = [(int(key) if _is_whole(key) else key, entry) for key, entry in islice(entries, MAX_STRENGTHS + 1)]
    except (TypeError, ValueError):
        raise EditError(f"{name} must map directions to values, got {brief(value)}") from None
    if len(pairs) > MAX_STRENGTHS:
        raise EditError(f"{name} has more than {MAX_STRENGTHS:,} entries: no generator has so many directions")
    unique: dict[DirectionId, Any] = {}
    for key, entry in pairs:
        if not ((_is_whole(key) and abs(key) < 2**31) or (isinstance(key, str) and len(key) <= MAX_NAME)):
            raise EditError(f"a direction is a domain's name or a number, got {brief(key)}")
        if key in unique:
            raise EditError(f"{brief(key)} is given twice in {name}: give one value for it")
        unique[key] = entry
    return unique


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _canonical(pairs: dict[DirectionId, Any]) -> tuple[tuple[DirectionId, Any], ...]:
    return tuple(sorted(pairs.items(), key=lambda pair: (isinstance(pair[0], str), pair[0])))


def _integer(name: str, value: Any, low: int, high: int) -> int:
    if not _is_whole(value) or not low <= value <= high:
        raise EditError(f"{name} must be a whole number from {low} to {high}, got {brief(value)}")
    return int(value)


def _number(name: str, value: Any) -> float:
    number = _is_whole(value) or isinstance(value, (float, np.floating))
    if not number or not abs(value) <= LARGEST:  # NaN is not
        raise EditError(f"{name} must be a number from {-LARGEST:g} to {LARGEST:g}, got {brief(value)}")
    return float(value)


def _layers(direction: DirectionId, value: Any) -> Layers:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise EditError(f"the layers of {brief(direction)} must be (start, stop), got {brief(value)}")
    start, stop = _integer("start", value[0], 0, 1000), _integer("stop", value[1], 0, 1000)
    if start >= stop:
        raise EditError(f"the layers of {brief(direction)} must have start < stop, got {brief(value)}")
    return start, stop
