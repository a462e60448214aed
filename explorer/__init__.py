"""Domain Explorer: load a domain-expanded StyleGAN2, move along its directions, see the picture follow.

import explorer
checkpoint = explorer.load(explorer.DEFAULT)
engine = explorer.Engine(checkpoint)
image = engine.render(explorer.Edit(seed=3, strengths={0: 2.5}))  # uint8 [H, W, 3]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer import actions, latents
    from explorer.actions import run
    from explorer.edit import Direction, Edit, EditError, Latent, Noise
    from explorer.engine import Engine
    from explorer.refused import Refused
    from explorer.shipped import DEFAULT
    from explorer.weights import Checkpoint, CheckpointError, UnsafeCheckpointError, load

__all__ = [
    "DEFAULT",
    "Checkpoint",
    "CheckpointError",
    "Direction",
    "Edit",
    "EditError",
    "Engine",
    "Latent",
    "Noise",
    "Refused",
    "UnsafeCheckpointError",
    "actions",
    "latents",
    "load",
    "run",
]
__version__ = "0.2.0"

# Where each name lives. They are imported when they are first asked for: `domain-explorer --help` needs no torch.
HOMES = {
    "edit": ("Direction", "Edit", "EditError", "Latent", "Noise"),
    "engine": ("Engine",),
    "refused": ("Refused",),
    "shipped": ("DEFAULT",),
    "weights": ("Checkpoint", "CheckpointError", "UnsafeCheckpointError", "load"),
    "actions": ("actions", "run"),
    "latents": ("latents",),
}


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            module = import_module(f"explorer.{home}")
            globals()[name] = module if name == home else getattr(module, name)
            return globals()[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
