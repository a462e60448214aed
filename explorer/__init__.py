"""Domain Explorer: load a domain-expanded StyleGAN2, move along its directions, see the picture follow.

import explorer
checkpoint = explorer.load(explorer.DEFAULT)
engine = explorer.Engine(checkpoint)
image = engine.render(explorer.Edit(seed=3, strengths={0: 2.5}))  # uint8 [H, W, 3]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer import latents
    from explorer.edit import Direction, Edit, EditError, Latent
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
    "Refused",
    "UnsafeCheckpointError",
    "latents",
    "load",
]
__version__ = "0.2.0"

# Where each name lives. They are imported when they are first asked for: `domain-explorer --help` needs no torch.
_MODULES = {
    "explorer.edit": ("Direction", "Edit", "EditError", "Latent"),
    "explorer.engine": ("Engine",),
    "explorer.refused": ("Refused",),
    "explorer.shipped": ("DEFAULT",),
    "explorer.weights": ("Checkpoint", "CheckpointError", "UnsafeCheckpointError", "load"),
}


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    if name == "latents":
        return import_module("explorer.latents")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
