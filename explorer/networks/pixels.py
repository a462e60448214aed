"""Pictures as numbers: uint8 as files hold them, floats in [-1, 1] as networks take and make them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def from_pixels(pixels: Tensor) -> Tensor:  # uint8, any shape -> float32 in [-1, 1]
    """What networks take."""
    return pixels.to(torch.float32) / 127.5 - 1


def from_array(pixels: np.ndarray) -> Tensor:  # uint8 [..., H, W, C] -> float32 [..., C, H, W] in [-1, 1]
    """Likewise, of a picture or several as Pillow and OpenCV hold them; the array stays as it is."""
    return from_pixels(torch.from_numpy(np.array(pixels)).movedim(-1, -3))  # torch wants an array that it may write


def as_rgb(images: Tensor) -> Tensor:  # [N, 1 or 3, H, W] -> [N, 3, H, W]
    """Grey pictures in three channels, as networks that look at pictures want them."""
    return images.expand(-1, 3, -1, -1)


def to_pixels(images: Tensor) -> Tensor:  # about [-1, 1], any shape -> uint8
    """What files hold: 0 is at -1, 255 at 1, each level as wide as the others, what lies beyond is cut off."""
    return (images * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def as_shown(images: Tensor) -> Tensor:  # about [-1, 1], any shape -> float32 in [-1, 1]
    """Pictures rounded to 8 bits, as everybody sees them."""
    return from_pixels(to_pixels(images))
