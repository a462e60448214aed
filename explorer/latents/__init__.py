"""Pure functions on codes of W `[..., dim]` and W+ `[..., rows, dim]`: basis, projection, composition, dormancy.

Knows no files, no interface and no engine; a renderer or a perceptual distance comes in as a function.
"""

from explorer.latents.basis import direction_scales, factorize
from explorer.latents.dormancy import measure_effects
from explorer.latents.expansion import Expansion, compose, project, published_distance
from explorer.latents.paths import interpolate, interpolate_noise, move
from explorer.latents.sampling import sample_codes, sample_z

__all__ = [
    "Expansion",
    "compose",
    "direction_scales",
    "factorize",
    "interpolate",
    "interpolate_noise",
    "measure_effects",
    "move",
    "project",
    "published_distance",
    "sample_codes",
    "sample_z",
]
