"""Networks: generators of every family, discriminator and encoder as plain torch modules.

Knows no files (see `explorer.weights`), no latent edits (see `explorer.latents`) and no speed tricks (see
`explorer.engine`): these modules are the readable, differentiable definition that everything else is held against.
"""

from explorer.networks.discriminator import Discriminator, DiscriminatorConfig
from explorer.networks.encoder import Encoder, EncoderConfig
from explorer.networks.family import Codes, Generator, StyleLayer
from explorer.networks.stylegan2 import StyleGAN2, StyleGAN2Config
from explorer.networks.stylegan3 import StyleGAN3, StyleGAN3Config

# Every kind of generator by the name that native files give it.
FAMILIES: dict[str, type[Generator]] = {kind.family: kind for kind in (StyleGAN2, StyleGAN3)}

__all__ = [
    "FAMILIES",
    "Codes",
    "Discriminator",
    "DiscriminatorConfig",
    "Encoder",
    "EncoderConfig",
    "Generator",
    "StyleGAN2",
    "StyleGAN2Config",
    "StyleGAN3",
    "StyleGAN3Config",
    "StyleLayer",
]
