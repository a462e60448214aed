"""What long work on a large generator takes on this CPU, said before it begins. Knows no interface.

Estimates from how long the engine's last pictures took; the factors were measured at 1024 px, one thread, float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from explorer.engine.engine import Engine
from explorer.inversion import Settings
from explorer.inversion.search import costs_of, sides_of
from explorer.networks.family import HELD, LARGE, WARM_SIDE
from explorer.weights.parts import part_of

STEP = 5.2  # pictures that a step of a search takes as long as, there and back
SAMPLE_SMALL, SAMPLE_WHOLE = 3.5, 9.0  # that a sample of a lesson does; of whole pictures estimated, not measured
BATCH, PARTS = 16, 4  # samples of a step of a lesson, and the parts in which they are computed


@dataclass(frozen=True)
class Cost:
    """What work takes.

    Attributes:
        seconds: of one step, the mean over all of them.
        bytes: of memory, beside what the engine holds.
        px: side of the pictures that are looked at at the end.
    """

    seconds: float
    bytes: int
    px: int


def search_cost(engine: Engine, settings: Settings) -> Cost | None:
    """Of the search for one photo. None where that is not known or a matter of seconds:

    of smaller generators, on a GPU, for a method that does not search, and before the first picture.
    """
    picture, generator = engine.picture_seconds, engine.generator
    if picture is None or engine.resolution < LARGE or settings.method not in ("in_domain", "clip_guided"):
        return None
    encoded = bool(settings.lambda_dom) and part_of(engine.checkpoint, "encoder") is not None
    costs = costs_of(sides_of(generator, encoded, settings.steps))
    return Cost(STEP * picture * sum(costs) / len(costs), 4 * HELD * generator.features, engine.resolution)


def lesson_cost(engine: Engine, reduced: bool) -> Cost | None:
    """Of a lesson, `reduced` where its domain can be learned from smaller pictures; None as above."""
    picture, generator, px = engine.picture_seconds, engine.generator, engine.resolution
    if picture is None or px < LARGE:
        return None
    if reduced:
        px = next(side for side in generator.sides if side >= WARM_SIDE)
    sample = (SAMPLE_WHOLE if px == engine.resolution else SAMPLE_SMALL) * picture
    numbers = BATCH // PARTS * HELD * generator.features * px // engine.resolution
    return Cost(BATCH * sample, 4 * numbers, px)


def lesson_parts(engine: Engine) -> int:
    """In how many parts a step of a lesson is computed."""
    return PARTS if engine.resolution >= LARGE else 1
