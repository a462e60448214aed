"""CLIP (arXiv 2103.00020) as the rest of the program sees it: pictures and texts to unit vectors, all differentiable.

The towers are open_clip's modules; this module adds what must be the same for every one of them: pictures in [-1, 1] of
any size, averaged prompts, zero-shot scores and intermediate features. Knows no files (see `explorer.weights.clip`)
and no training. open_clip is imported on first use: it brings torchvision and timm, which take seconds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from explorer.refused import Refused

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's own training pictures, RGB in [0, 1]
STD = (0.26862954, 0.26130258, 0.27577711)
VOCABULARY = 49408  # of open_clip's own tokenizer
FEATURE_LAYERS = 5  # intermediate features, spread evenly over the image tower

# What a field of ClipConfig may be: bounds a file's claims before anything is built.
LIMITS = {
    "image_size": (32, 1024),
    "width": (8, 2048),
    "patch_size": (2, 64),
    "embed_dim": (8, 4096),
    "context_length": (8, 256),
    "text_width": (8, 2048),
    "text_layers": (1, 48),
    "text_heads": (1, 64),
}
Tokenizer = Callable[[list[str]], Tensor]  # texts -> [N, context_length] int64


@dataclass(frozen=True)
class ClipConfig:
    """Shape of a model of our own; plain data, stored in native files as JSON.

    `layers` holds four numbers for a residual network (blocks a stage; stem and stages halve the picture five times)
    or one for a vision transformer of `patch_size`. Raises ValueError where a number is out of bounds or parts do not
    fit.
    """

    image_size: int = 64
    layers: tuple[int, ...] = (1, 2, 2, 1)
    width: int = 32
    patch_size: int = 8
    embed_dim: int = 256
    context_length: int = 24
    text_width: int = 128
    text_layers: int = 3
    text_heads: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} must lie between {low} and {high}, got {getattr(self, name)}")
        if len(self.layers) not in (1, 4) or not all(1 <= n <= 48 for n in self.layers):
            raise ValueError(f"layers must be four block counts or one depth, from 1 to 48, got {self.layers}")
        if self.image_size % (step := 32 if self.convolutional else self.patch_size):
            raise ValueError(f"image_size must be a multiple of {step}, got {self.image_size}")
        if self.width % (2 if self.convolutional else self.head_width) or self.text_width % self.text_heads:
            raise ValueError("the widths are no multiples of their heads")

    @property
    def convolutional(self) -> bool:
        return len(self.layers) == 4

    @property
    def head_width(self) -> int:
        """Channels of one attention head of the image tower; small towers get small heads, or they would have one."""
        return min(64, self.width) if self.convolutional else min(32, self.width)


class Clip(nn.Module):
    """An open_clip model, its tokenizer and its preprocessing under one name.

    `name` says which model it is, in reports and beside every figure. `config` is None for models of other makers.
    Raises ValueError where a picture has not three channels.
    """

    model: Any  # open_clip promises no type: CLIP, CustomTextCLIP or CoCa
    tokenizer: Tokenizer
    image_size: int
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        name: str,
        config: ClipConfig | None = None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.name, self.config = model, tokenizer, name, config
        size = model.visual.image_size
        self.image_size = size[0] if isinstance(size, (tuple, list)) else size
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1] -> [N, 3, size, size], normalised
        """The shorter side to the model's size, the centre of the longer one; differentiable in the images."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"pictures must be [N, 3, H, W], got {list(images.shape)}")
        height, width = images.shape[2:]
        if (height, width) != (self.image_size, self.image_size):
            scale = self.image_size / min(height, width)
            size = [max(self.image_size, round(side * scale)) for side in (height, width)]
            dtype = images.dtype  # PyTorch's antialiased resizing has no 16-bit form on a CPU
            images = F.interpolate(images.float(), size=size, mode="bicubic", antialias=True).to(dtype)
            top, left = ((side - self.image_size) // 2 for side in size)
            images = images[:, :, top : top + self.image_size, left : left + self.image_size]
        return torch.addcmul((0.5 - self.mean) / self.std, images, 0.5 / self.std)

    def encode_image(self, images: Tensor) -> Tensor:  # [N, 3, H, W] in [-1, 1] -> [N, E], unit length
        """Directions of pictures; differentiable."""
        return F.normalize(self.model.encode_image(self.preprocess(images)), dim=-1)

    def encode_tokens(self, tokens: Tensor) -> Tensor:  # [N, context_length] int64 -> [N, E], unit length
        """Directions of tokenised texts."""
        return F.normalize(self.model.encode_text(tokens), dim=-1)

    def encode_text(self, texts: Sequence[str]) -> Tensor:  # N texts -> [N, E], unit length
        """Directions of texts. Raises ValueError for an empty one: it would get a direction that means nothing."""
        if not texts or any(not text.strip() for text in texts):
            raise Refused("a prompt is empty: write what the picture should look like")
        return self.encode_tokens(self.tokenizer(list(texts)).to(self.mean.device))

    def encode_prompts(self, classes: Sequence[Sequence[str]]) -> Tensor:  # C lists of texts -> [C, E], unit length
        """One direction a class: the mean over its prompts (prompt ensembling, section 3.1.4 of the paper)."""
        flat = self.encode_text([text for prompts in classes for text in prompts])
        parts = flat.split([len(prompts) for prompts in classes])
        return F.normalize(torch.stack([part.mean(dim=0) for part in parts]), dim=-1)

    def scores(self, images: Tensor, directions: Tensor) -> Tensor:  # [N, 3, H, W], [C, E] -> [N, C], rows sum to 1
        """Zero-shot probabilities of the classes whose text directions are given, at the model's own temperature."""
        return (self.scale * self.encode_image(images) @ directions.t()).softmax(dim=-1)

    @property
    def scale(self) -> Tensor:
        """Inverse temperature of the logits."""
        return self.model.logit_scale.exp()

    def features(self, images: Tensor) -> list[Tensor]:  # [N, 3, H, W] in [-1, 1] -> FEATURE_LAYERS x [N, C, h, w]
        """Intermediate features of the image tower from its first layers to its last; differentiable."""
        found = self.model.visual.forward_intermediates(self.preprocess(images), intermediates_only=True)
        layers = found["image_intermediates"]
        count = min(FEATURE_LAYERS, len(layers))
        return [layers[round(i * (len(layers) - 1) / max(count - 1, 1))] for i in range(count)]


def build_clip(config: ClipConfig, name: str) -> Clip:
    """A model of our own with random weights from torch's global generator, float32, in training mode."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(
        image_size=config.image_size,
        layers=config.layers if config.convolutional else config.layers[0],  # type: ignore[arg-type]
        width=config.width,
        patch_size=config.patch_size,
        head_width=config.head_width,
    )
    text = CLIPTextCfg(
        context_length=config.context_length,
        vocab_size=VOCABULARY,
        width=config.text_width,
        heads=config.text_heads,
        layers=config.text_layers,
    )
    return Clip(CLIP(config.embed_dim, vision, text), simple_tokenizer(config.context_length), name, config)


def folded(clip: Clip, dtype: torch.dtype = torch.float32) -> Clip:
    """A frozen copy that gives the same vectors faster, computing in `dtype`.

    In evaluation a batch normalisation is an affine map of each channel, and its convolution can do that by itself;
    apart, the two cost a third of a backward pass on a CPU. Models of other makers are only copied: where their
    normalisations stand is not known.
    """
    clip = copy.deepcopy(clip).eval().requires_grad_(False)
    if clip.config is not None and clip.config.convolutional:
        for parent in list(clip.model.visual.modules()):
            for (name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                    setattr(parent, norm_name, nn.Identity())
        clip.model.visual.attnpool = PooledAttention(clip.model.visual.attnpool)
    return clip.to(dtype)


class PooledAttention(nn.Module):
    """The attention pooling of CLIP's residual towers, asked for the one token that is used instead of for all."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.positions, self.heads = pool.positional_embedding, pool.num_heads
        self.query, self.key, self.value, self.out = pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj

    def forward(self, x: Tensor) -> Tensor:  # [N, C, H, W] -> [N, E]
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1) + self.positions  # [N, T, C]
        shape = (self.heads, -1)
        query, keys, values = (
            project(part).unflatten(2, shape)  # [N, 1 or T, heads, C / heads]
            for project, part in ((self.query, tokens[:, :1]), (self.key, tokens), (self.value, tokens))
        )
        weights = ((query * keys).sum(dim=3, keepdim=True) / math.sqrt(query.shape[3])).softmax(dim=1)
        return self.out((weights * values).sum(dim=1).flatten(1))


def simple_tokenizer(context_length: int) -> Tokenizer:
    """open_clip's own tokenizer; its vocabulary comes with the package. Longer texts are cut."""
    from open_clip import tokenizer

    return lambda texts: tokenizer.tokenize(texts, context_length)
