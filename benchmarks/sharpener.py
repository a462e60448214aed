"""How near the shipped sharpener comes to pictures that it was not trained on, beside plain enlargements.

`python -m benchmarks.sharpener --data PICTURES` prints, as JSON, the mean PSNR in dB and perceptual distance of
held-out pictures that were halved (and halved twice) and made as large again: bicubic, Lanczos, sharpened.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from explorer.engine.sharpening import FILE
from explorer.metrics import load_perceptual
from explorer.networks.pixels import from_array, to_pixels
from explorer.recipes.sharpener import resized
from explorer.shipped import FOLDER
from explorer.styles import PHOTO, STYLES, render
from explorer.training.data import Pictures
from explorer.weights.parts import load_sharpener

HELD_OUT = 0.05  # as in training
Picture = np.ndarray  # [H, W, 3], uint8


def measure(data: str, file: Path, side: int, count: int) -> dict[str, Any]:
    """Means over held-out pictures, and over the same ones in a random style each."""
    network, perceptual = load_sharpener(file)[0], load_perceptual()

    def sharpened(picture: Picture, to: int) -> Picture:
        while len(picture) < to:
            with torch.inference_mode():
                picture = to_pixels(network(from_array(picture)[None]))[0].permute(1, 2, 0).numpy()
        return picture

    ways: dict[str, Callable[[Picture, int], Picture]] = {
        "bicubic": lambda picture, to: resized(picture, to, Image.Resampling.BICUBIC),
        "lanczos": lambda picture, to: resized(picture, to, Image.Resampling.LANCZOS),
        "sharpened": sharpened,
    }
    pictures, rng = Pictures(data, side, HELD_OUT, held_out=True), np.random.default_rng(0)
    photos = [pictures[i][0].permute(1, 2, 0).numpy() for i in range(min(count, len(pictures)))]
    styled = [render(str(rng.choice(list(STYLES))), photo, rng) for photo in photos]
    found: dict[str, Any] = {"distance": perceptual.name, "pictures": len(photos), "px": side}
    for kind, truths in ((PHOTO, photos), ("drawn", styled)):
        for times in (2, 4):
            small = [resized(truth, side // times, Image.Resampling.LANCZOS) for truth in truths]
            for name, enlarge in ways.items():
                figures = [
                    _figures(enlarge(x, side), truth, perceptual) for x, truth in zip(small, truths, strict=True)
                ]
                psnr, distance = np.mean(figures, axis=0).tolist()
                found[f"{kind}, x{times}, {name}"] = {"psnr": round(psnr, 2), "perceptual": round(distance, 4)}
    return found


def _figures(made: Picture, truth: Picture, perceptual: Any) -> tuple[float, float]:
    error = np.square(made.astype(float) - truth).mean()
    with torch.inference_mode():
        distance = perceptual(from_array(made)[None], from_array(truth)[None])
    return 10 * np.log10(255**2 / error), float(distance)


def main(argv: list[str] | None = None) -> int:
    """Print the figures of a sharpener."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="a folder or zip of pictures")
    parser.add_argument("--file", type=Path, default=FOLDER / FILE)
    parser.add_argument("--side", type=int, default=256, help="px of the pictures")
    parser.add_argument("--count", type=int, default=64)
    arguments = parser.parse_args(argv)
    print(json.dumps(measure(arguments.data, arguments.file, arguments.side, arguments.count), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
