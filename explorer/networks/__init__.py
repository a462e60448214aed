"""Networks: StyleGAN2's generator and discriminator and an encoder as plain torch modules.

Knows no files (see `explorer.weights`), no latent edits (see `explorer.latents`) and no speed tricks (see
`explorer.engine`): these modules are the readable, differentiable definition that everything else is held against.
"""

from explorer.networks.discriminator import Discriminator, DiscriminatorConfig
from explorer.networks.encoder import Encoder, EncoderConfig
from explorer.networks.generator import Generator, GeneratorConfig

__all__ = ["Discriminator", "DiscriminatorConfig", "Encoder", "EncoderConfig", "Generator", "GeneratorConfig"]
