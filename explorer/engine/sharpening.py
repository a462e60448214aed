"""Pictures of small generators, made larger by the sharpener that comes with the program: likely, not true.

So whoever shows or writes one says so, and nothing is measured or searched for on it. Inference only.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from explorer.networks.pixels import from_array, to_pixels
from explorer.networks.sharpener import SCALE, Sharpener
from explorer.refused import Refused
from explorer.shipped import FOLDER, check
from explorer.weights.parts import load_sharpener

SMALLEST, LARGEST = 64, 128  # px of the pictures that it was taught on
FILE = "cats-sharpener.safetensors"


class SharpenError(Refused):
    """Pictures that the sharpener is not for; the message says which it is for."""


def sharp_side(resolution: int) -> int | None:
    """The side of a sharpened picture; None where its own is none that the sharpener was taught."""
    return SCALE * resolution if SMALLEST <= resolution <= LARGEST else None


def sharpened(picture: np.ndarray, device: torch.device) -> np.ndarray:  # uint8 [H, W, 3] -> [SCALE H, SCALE W, 3]
    """A picture at `sharp_side`. Raises SharpenError where there is none, MissingFile where the file is not there."""
    if sharp_side(side := picture.shape[0]) is None:
        raise SharpenError(f"pictures of {SMALLEST} to {LARGEST} px are sharpened, not those of {side}: leave that out")
    with torch.inference_mode():
        image = sharpener(device)(from_array(picture)[None].to(device))[0]
    return to_pixels(image).permute(1, 2, 0).contiguous().cpu().numpy()


@cache
def sharpener(device: torch.device) -> Sharpener:
    """The shipped one, on a device."""
    check(FOLDER / FILE)
    return load_sharpener(FOLDER / FILE)[0].to(device)
