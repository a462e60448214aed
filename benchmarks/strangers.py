"""How well `explorer.inversion.likeness` tells a generator's own kind of photos from others.

`python -m benchmarks.strangers --data PICTURES --others FOLDER` prints, as JSON, quantiles of both figures and
how many are called strange: of held-out photos, and of squares of all sizes cut out of pictures of anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from explorer.inversion import Networks, gather
from explorer.inversion.faces import Box, crop
from explorer.inversion.likeness import Likeness, centre, likeness
from explorer.networks.pixels import from_array, from_pixels
from explorer.photos import PhotoError, open_photo
from explorer.refused import Refused
from explorer.training.data import Pictures
from explorer.weights import DEFAULT, load

HELD_OUT = 0.05  # of the photos, as in training
BATCH, SQUARES, SMALLEST = 64, 12, 0.25  # squares of a picture, as parts of its shorter side
QUANTILES = (0.01, 0.05, 0.5, 0.95, 0.99)


def squares(file: Path, resolution: int) -> Iterator[Tensor]:  # [3, R, R]
    """The middle of a picture and squares of seeded sizes and places; the middle alone of one that is small."""
    picture, numbers = open_photo(file), np.random.default_rng(0)
    yield from_array(crop(picture, None, resolution))
    shorter = min(picture.size)
    for part in numbers.uniform(SMALLEST, 1, SQUARES - 1 if shorter > 2 * resolution else 0):
        size = int(part * shorter)
        left, top = (int(numbers.integers(side - size + 1)) for side in picture.size)
        yield from_array(crop(picture, Box(left, top, size), resolution))


def tell(networks: Networks, middle: Tensor, photos: Tensor) -> list[Likeness]:  # [E], [N, 3, R, R]
    """The likeness of any number of photos."""
    return [one for part in photos.split(BATCH) for one in likeness(networks, middle, part)]


def measure(networks: Networks, data: str, folder: Path) -> dict[str, Any]:
    """The summaries of held-out photos and of others, and how many squares of each of these pictures are strange."""
    middle, others = centre(networks), {}
    if middle is None:
        raise Refused("this needs CLIP that knows such pictures, and an encoder beside the generator")
    side = networks.generator.resolution
    own = Pictures(data, side, HELD_OUT, held_out=True)
    photos = from_pixels(torch.stack([own[i][0] for i in range(len(own))]))
    for file in sorted(folder.iterdir()):
        try:
            others[file.stem] = tell(networks, middle, torch.stack(list(squares(file, side))))
        except PhotoError as error:
            print(f"passed over: {file.name}: {error}", file=sys.stderr)
    return {
        "held out": summary(tell(networks, middle, photos)),
        "others": summary([one for found in others.values() for one in found]),
        "strange of": {name: float(np.mean([one.strange for one in found])) for name, found in others.items()},
    }


def summary(found: list[Likeness]) -> dict[str, Any]:
    """How many are strange, and quantiles of the figures."""
    columns = {name: [getattr(one, name) for one in found] for name in ("likeness", "distance", "match")}
    quantiles = {name: np.quantile(values, QUANTILES).round(3).tolist() for name, values in columns.items()}
    return {"count": len(found), "strange": float(np.mean([one.strange for one in found])), "at": QUANTILES} | quantiles


def main(argv: list[str] | None = None) -> int:
    """Print the figures of a generator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", nargs="?", default=DEFAULT)
    parser.add_argument("--data", required=True, help="photos of the generator's kind: a folder or zip")
    parser.add_argument("--others", required=True, type=Path, help="a folder of pictures of anything else")
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(measure(gather(load(arguments.checkpoint)), arguments.data, arguments.others), indent=2))
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
