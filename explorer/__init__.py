"""Domain Explorer: load a domain-expanded StyleGAN2, move along its directions, see the picture follow.

import explorer
checkpoint = explorer.load("checkpoints/cats64.safetensors")
engine = explorer.Engine(checkpoint)
image = engine.render(explorer.Edit(seed=3, strengths={0: 2.5}))  # uint8 [H, W, 3]
"""

from explorer import latents
from explorer.edit import Direction, Edit, EditError, Latent
from explorer.engine import Engine
from explorer.weights import DEFAULT, Checkpoint, CheckpointError, UnsafeCheckpointError, load

__all__ = [
    "DEFAULT",
    "Checkpoint",
    "CheckpointError",
    "Direction",
    "Edit",
    "EditError",
    "Engine",
    "Latent",
    "UnsafeCheckpointError",
    "latents",
    "load",
]
