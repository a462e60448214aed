"""Whether a photo is one of what a generator makes, before anything is searched for. Knows no search.

Two figures: how near CLIP sees the photo to the generator's own pictures, and how far the photo is from what the
encoder makes of it. The second alone says little: an encoder rebuilds smooth pictures of anything. The bar was measured
on the embedded default: the card of its encoder has the figures, `benchmarks.strangers` measures them anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from explorer.inversion.networks import Networks
from explorer.latents import sample_codes

WEIGHT, LEAST = 0.2, 0.55  # of the distance; a match below is strange: 4 % of held-out cats, 81 % of other pictures
SAMPLES, PSI = 128, 0.7  # of the generator's own pictures
OUTER, OWN = 0.05, 0.6  # all but this part of them must be as near to their middle
STRANGE = (
    "This does not look like what this generator makes. It can be rebuilt, but what comes out will be more a picture of"
    " its own than yours."
)


@dataclass(frozen=True)
class Likeness:
    """How a photo looks beside a generator's own pictures.

    Attributes:
        likeness: cosine of CLIP's directions of the photo and of the generator's mean picture, in [-1, 1].
        distance: perceptual distance of the photo and what the encoder's code in W makes, from 0 on.
    """

    likeness: float
    distance: float

    @property
    def match(self) -> float:
        """Both in one number, the higher the more of the generator's kind."""
        return self.likeness - WEIGHT * self.distance

    @property
    def strange(self) -> bool:
        """Whether only one in twenty photos of the right kind is as unlike."""
        return self.match < LEAST


@torch.no_grad()
def centre(networks: Networks) -> Tensor | None:  # [E], of length 1
    """The direction in which CLIP sees the generator's own pictures, on average.

    None where nothing tells: without CLIP, without an encoder that was trained beside the generator, and where CLIP
    knows so little of such pictures that it sees the generator's own ones as apart as strange photos.
    """
    if networks.clip is None or networks.encoder is None:
        return None
    ws = sample_codes(networks.generator, SAMPLES, psi=PSI)
    seen = torch.cat([networks.clip.encode_image(networks.render(part).clamp(-1, 1)) for part in ws.split(32)])
    middle = torch.nn.functional.normalize(seen.float().mean(dim=0), dim=0)
    return middle if (seen.float() @ middle).quantile(OUTER) > OWN else None


@torch.no_grad()
def likeness(networks: Networks, middle: Tensor, photos: Tensor) -> list[Likeness]:  # [E], [N, 3, R, R] in [-1, 1]
    """The likeness of photos to the pictures around `middle`, see `centre`."""
    assert networks.clip is not None
    photos = photos.to(networks.device)
    w, _ = networks.encode(photos, exact=True)
    rebuilt = networks.render(networks.generator.codes.repeat(w), exact=True).clamp(-1, 1)
    near = networks.clip.encode_image(photos).float() @ middle
    far = networks.perceptual(rebuilt, photos)
    return [Likeness(*pair) for pair in torch.stack([near, far], dim=1).tolist()]
