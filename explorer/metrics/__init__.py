"""Figures about pictures: perceptual distance. Knows no interface and trains nothing."""

from explorer.metrics.perceptual import Perceptual, load_perceptual

__all__ = ["Perceptual", "load_perceptual"]
