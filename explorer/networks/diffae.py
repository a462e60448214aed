"""Diffusion Autoencoder (arXiv 2111.15640): a picture is a semantic code z and a noise image x_T.

The encoder makes z of a picture; a U-Net `eps(x, t, z)` denoises x_T to the picture of z in a few steps, and the same
steps backwards make the x_T of a picture. Random codes come from a diffusion of their own. Names of tensors follow the
published checkpoints. In every block z passes the same SiLU first, so the decoder is a function of u = SiLU(z): what
the rest of the program calls the code is u, in which each block's styles are linear. Plain and differentiable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.networks import diffusion
from explorer.networks.family import Autoencoder, Codes, NoiseMode, NoiseSeed, StyleLayer

LATENT_STEPS = 20  # of the diffusion of codes, unless told: the paper's
GROUPS = (32, 24, 16, 12, 8)  # of a normalisation, the first that divides; up to 32 channels have one each

Prediction = Literal["eps", "v"]
# Steps of a picture while a slider moves, once it rests, and unless told (the paper's); and of the way back.
STEPS: dict[Prediction, tuple[int, ...]] = {"eps": (5, 10, 20), "v": (4, 8, 20)}
BACK: dict[Prediction, int] = {"eps": 250, "v": 50}
# (x [N, 3, S, S], t) -> what the network predicts at time t of the 1000-step scale
Predict = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True)
class DiffAEConfig:
    """Everything that fixes a Diffusion Autoencoder's shape; plain data.

    Attributes:
        img_resolution: side of the pictures in pixels.
        net_ch, net_ch_mult: width of the U-Net's levels, from the picture's side down, `net_ch * net_ch_mult[i]`.
        enc_ch_mult: the same of the encoder.
        res_blocks, enc_res_blocks: residual blocks a level.
        attention, enc_attention: sides at which the features look at each other.
        heads: of the attention.
        embed_dim: width of the time's embedding.
        z_dim: width of z.
        latent_layers, latent_hidden, latent_skip: of the network that random codes come from; 0 layers for none.
        predicts: "eps", the noise, as published; or "v", a flow's velocity, which takes fewer steps.
        patch: side of the squares of pixels that the U-Net takes for one; 1 as published.

    Raises ValueError where the parts do not fit.
    """

    img_resolution: int
    net_ch: int
    net_ch_mult: tuple[int, ...]
    enc_ch_mult: tuple[int, ...]
    res_blocks: int = 2
    enc_res_blocks: int = 2
    attention: tuple[int, ...] = (16,)
    enc_attention: tuple[int, ...] = (16,)
    heads: int = 1
    embed_dim: int = 512
    z_dim: int = 512
    latent_layers: int = 0
    latent_hidden: int = 2048
    latent_skip: tuple[int, ...] = ()
    predicts: Prediction = "eps"
    patch: int = 1

    def __post_init__(self) -> None:
        for name in ("net_ch_mult", "enc_ch_mult", "attention", "enc_attention", "latent_skip"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in ("net_ch", "res_blocks", "enc_res_blocks", "heads", "embed_dim", "z_dim", "patch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("net_ch_mult", "enc_ch_mult"):
            multiples = getattr(self, name)
            if not multiples or min(multiples) < 1:
                raise ValueError(f"{name} must be positive numbers, got {multiples}")
            side = self.img_resolution // self.patch
            if side < 1 or self.img_resolution % self.patch or side % 2 ** (len(multiples) - 1):
                pixels = f"{self.img_resolution} px" + (f" in patches of {self.patch}" if self.patch > 1 else "")
                raise ValueError(f"{pixels} cannot be halved {len(multiples) - 1} times ({name})")
        if self.predicts not in ("eps", "v"):
            raise ValueError(f"predicts must be eps or v, got {self.predicts!r}")
        if self.latent_layers and self.latent_hidden < 1:
            raise ValueError(f"latent_hidden must be positive, got {self.latent_hidden}")


def normalization(channels: int) -> nn.GroupNorm:
    """Group normalisation. Raises ValueError for a width that no usual number of groups divides."""
    groups = channels if channels <= 32 else next((g for g in GROUPS if channels % g == 0), 0)
    if not groups:
        raise ValueError(f"{channels} channels cannot be normalised in {', '.join(map(str, GROUPS))} groups")
    return nn.GroupNorm(groups, channels)


def time_features(t: Tensor, width: int) -> Tensor:  # [N] -> [N, width]
    """Cosines, then sines, of geometrically falling frequencies (Transformer, arXiv 1706.03762)."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / half))
    angles = t.float()[:, None] * frequencies
    return F.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))


def resample(x: Tensor, scale: int) -> Tensor:
    """Twice the size by repeating (1), half of it by means (-1), or the same (0)."""
    if scale > 0:
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.avg_pool2d(x, 2) if scale < 0 else x


class ResidualBlock(nn.Module):
    """Normalise, convolve, twice; time and code scale the features between. The encoder's blocks have neither.

    `scale` 1 doubles the size, -1 halves it.
    """

    def __init__(self, n_in: int, n_out: int, config: DiffAEConfig | None = None, scale: int = 0) -> None:
        super().__init__()
        self.scale = scale
        self.in_layers = nn.Sequential(normalization(n_in), nn.SiLU(), nn.Conv2d(n_in, n_out, 3, padding=1))
        self.conditioned = config is not None
        if config is not None:
            self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.embed_dim, 2 * n_out))
            self.cond_emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(config.z_dim, n_out))
            last = nn.Conv2d(n_out, n_out, 3, padding=1)
            nn.init.zeros_(last.weight)
            self.out_layers = nn.Sequential(normalization(n_out), nn.SiLU(), nn.Dropout(0.1), last)
        self.skip_connection = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)

    def forward(self, x: Tensor, time: Tensor | None, u: Tensor | None) -> Tensor:
        """`time` is SiLU of the time's embedding, `u` is SiLU(z)."""
        norm, act, conv = self.in_layers
        h = conv(resample(act(norm(x)), self.scale))
        x = resample(x, self.scale)
        if self.conditioned:
            norm, *rest = self.out_layers
            scale, shift = self.emb_layers[1](time)[:, :, None, None].chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
            h = h * (1 + self.cond_emb_layers[1](u)[:, :, None, None])
            for layer in rest:
                h = layer(h)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    """Every pixel looks at every other; heads are split before q, k and v."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = normalization(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        nn.init.zeros_(self.proj_out.weight)

    def forward(self, x: Tensor, *_: Tensor | None) -> Tensor:
        flat = x.flatten(2)
        q, k, v = self.qkv(self.norm(flat)).unflatten(1, (self.heads, 3, -1)).unbind(2)  # [N, heads, d, pixels]
        seen = F.scaled_dot_product_attention(q.mT, k.mT, v.mT)
        return (flat + self.proj_out(seen.mT.flatten(1, 2))).view_as(x)


class Stage(nn.ModuleList):
    """Layers one after the other; those that want time and code get them."""

    def forward(self, x: Tensor, time: Tensor | None = None, u: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x) if isinstance(layer, nn.Conv2d) else layer(x, time, u)
        return x


def down_path(
    config: DiffAEConfig, multiples: tuple[int, ...], blocks: int, attention: tuple[int, ...], conditioned: bool
) -> tuple[nn.ModuleList, nn.ModuleList, list[list[int]]]:
    """Input stages, middle and, for every level, the widths of what the input stages hand on."""
    condition = config if conditioned else None
    side, width = config.img_resolution // config.patch, multiples[0] * config.net_ch
    stages = nn.ModuleList([Stage([nn.Conv2d(3 * config.patch**2, width, 3, padding=1)])])
    widths = [[width]]
    for level, multiple in enumerate(multiples):
        for _ in range(blocks):
            stage = Stage([ResidualBlock(width, multiple * config.net_ch, condition)])
            width = multiple * config.net_ch
            if side in attention:
                stage.append(Attention(width, config.heads))
            stages.append(stage)
            widths[level].append(width)
        if level + 1 < len(multiples):
            side //= 2
            stages.append(Stage([ResidualBlock(width, width, condition, -1)]))
            widths.append([width])
    around = (ResidualBlock(width, width, condition) for _ in range(2))
    return stages, Stage([next(around), Attention(width, config.heads), next(around)]), widths


class SemanticEncoder(nn.Module):
    """A picture `[N, 3, S, S]` -> z `[N, z_dim]`."""

    def __init__(self, config: DiffAEConfig) -> None:
        super().__init__()
        self.patch = config.patch
        self.input_blocks, self.middle_block, widths = down_path(
            config, config.enc_ch_mult, config.enc_res_blocks, config.enc_attention, conditioned=False
        )
        width = widths[-1][-1]
        self.out = nn.Sequential(
            normalization(width), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, config.z_dim, 1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_unshuffle(x, self.patch)
        for stage in self.input_blocks:
            x = stage(x)
        return self.out(self.middle_block(x))


class TimeEmbedding(nn.Module):
    """Features of a time -> its embedding."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.time_embed = nn.Sequential(nn.Linear(n_in, n_out), nn.SiLU(), nn.Linear(n_out, n_out))

    def forward(self, features: Tensor) -> Tensor:
        return self.time_embed(features)


class LatentLayer(nn.Module):
    """One layer of the network that random codes come from: the time scales, then a normalisation."""

    def __init__(self, n_in: int, n_out: int, embed_dim: int | None) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out)
        if embed_dim is not None:
            self.linear_emb = nn.Linear(embed_dim, n_out)
            self.norm = nn.LayerNorm(n_out)

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        h = self.linear(h)
        return F.silu(self.norm(h * (1 + self.linear_emb(time)))) if hasattr(self, "norm") else h


class LatentDiffusion(nn.Module):
    """Random codes: a diffusion over codes that are normalised by their mean and deviation over the training set.

    Without layers random codes are normal ones of that mean and deviation, which look like no picture in particular.
    """

    TIME_FEATURES = 64
    mean: Tensor
    std: Tensor

    def __init__(self, config: DiffAEConfig) -> None:
        super().__init__()
        width, hidden, layers = config.z_dim, config.latent_hidden, config.latent_layers
        self.skip = frozenset(config.latent_skip)
        self.layers = nn.ModuleList()
        for index in range(layers):
            last = index == layers - 1
            n_in = (hidden if index else width) + (width if index in self.skip else 0)
            self.layers.append(LatentLayer(n_in, width if last else hidden, None if last else width))
        if layers:
            self.time_embed = nn.Sequential(nn.Linear(self.TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def eps(self, n: Tensor, t: Tensor | int) -> Tensor:  # [N, z_dim] -> [N, z_dim]
        """The noise in normalised codes `n` at time `t`."""
        time = F.silu(self.time_embed(time_features(_times(t, n), self.TIME_FEATURES)))
        h = n
        for index, layer in enumerate(self.layers):
            h = layer(torch.cat([h, n], dim=1) if index in self.skip else h, time)
        return h

    def denormalized(self, n: Tensor) -> Tensor:
        return n * self.std + self.mean

    def sample(self, noise: Tensor, steps: int = LATENT_STEPS) -> Tensor:  # [N, z_dim], normal -> [N, z_dim]
        """z of noise. Raises ValueError for a number of steps that no stride gives."""
        n = noise
        if self.layers:
            *_, (_, n, _) = diffusion.denoise(self.eps, noise, diffusion.constant_schedule(), steps, clamp=False)
        return self.denormalized(n)


# The attributes of CelebA (arXiv 1411.7766) in the order of its list.
LIST = (
    "5 o Clock Shadow, Arched Eyebrows, Attractive, Bags Under Eyes, Bald, Bangs, Big Lips, Big Nose, "
    "Black Hair, Blond Hair, Blurry, Brown Hair, Bushy Eyebrows, Chubby, Double Chin, Eyeglasses, Goatee, "
    "Gray Hair, Heavy Makeup, High Cheekbones, Male, Mouth Slightly Open, Mustache, Narrow Eyes, No Beard, "
    "Oval Face, Pale Skin, Pointy Nose, Receding Hairline, Rosy Cheeks, Sideburns, Smiling, Straight Hair, "
    "Wavy Hair, Wearing Earrings, Wearing Hat, Wearing Lipstick, Wearing Necklace, Wearing Necktie, Young"
)
CELEBA = tuple(LIST.split(", "))
SLOPES = 1000  # codes over which the slope of SiLU is taken


@dataclass(frozen=True)
class Attributes:
    """Linear classifiers of normalised codes (arXiv 2111.15640, section 4.3).

    Attributes:
        weight: `[attributes, z_dim]`.
        mean, std: `[z_dim]`, by which codes are normalised.
    """

    weight: Tensor
    mean: Tensor
    std: Tensor

    def edit(self, z: Tensor, index: int, amount: float) -> Tensor:  # [N, z_dim] -> [N, z_dim]
        """Codes with more of an attribute; +-0.3 shows well. Raises ValueError for one that there is not."""
        if not 0 <= index < len(self.weight):
            raise ValueError(f"there are attributes 0 to {len(self.weight) - 1}, got {index}")
        step = amount * math.sqrt(z.shape[1]) * F.normalize(self.weight[index], dim=0)
        return ((z - self.mean) / self.std + step) * self.std + self.mean

    @property
    def names(self) -> tuple[str, ...]:
        """Those of CelebA's list where there are as many, else numbers."""
        if len(self.weight) == len(CELEBA):
            return CELEBA
        return tuple(f"Attribute {index}" for index in range(len(self.weight)))

    def directions(self) -> Tensor:  # [attributes, z_dim]
        """What an amount of 1 of each adds to u = SiLU(z), to the first order and in the mean over codes.

        `edit` moves z along a line, which u follows by the derivative of SiLU, another one for every code.
        """
        rng = torch.Generator().manual_seed(0)
        z = torch.randn(SLOPES, self.weight.shape[1], generator=rng) * self.std + self.mean
        slope = z.sigmoid() * (1 + z * (1 - z.sigmoid()))
        steps = math.sqrt(self.weight.shape[1]) * F.normalize(self.weight, dim=1) * self.std
        return steps * slope.mean(dim=0)


def _times(t: Tensor | float, x: Tensor) -> Tensor:  # [N]
    return t if isinstance(t, Tensor) else torch.full((len(x),), t, device=x.device)


class DiffAE(Autoencoder):
    """Encoder, U-Net and, where there is one, the diffusion that random codes come from.

    A code has one row, u = SiLU(z). The noise image x_T is what noise is to a StyleGAN: "const" is the file's own,
    "random" one by seed.
    """

    family = "diffae"
    Config = DiffAEConfig
    config: DiffAEConfig
    noise_const: Tensor
    u_mean: Tensor
    attributes: Callable[[str | Path], Attributes]  # of a file; whoever reads files puts it here

    def __init__(self, config: DiffAEConfig) -> None:
        super().__init__()
        self.config = config
        noise, steps = (3, config.img_resolution, config.img_resolution), STEPS[config.predicts]
        self.codes = Codes(1, config.z_dim, config.z_dim, ("const", "random"), steps=steps, noise=noise)
        self.back = BACK[config.predicts]
        self.resolution, self.channels, self.classes = config.img_resolution, 3, 0
        self.time_embed = TimeEmbedding(config.net_ch, config.embed_dim)
        self.input_blocks, self.middle_block, widths = down_path(
            config, config.net_ch_mult, config.res_blocks, config.attention, conditioned=True
        )
        self.output_blocks = nn.ModuleList(self._up_path(widths))
        width = config.net_ch_mult[0] * config.net_ch
        last = nn.Conv2d(width, 3 * config.patch**2, 3, padding=1)
        nn.init.zeros_(last.weight)
        self.out = nn.Sequential(normalization(width), nn.SiLU(), last)
        self.encoder = SemanticEncoder(config)
        self.latent = LatentDiffusion(config)
        self.register_buffer("noise_const", torch.randn(3, config.img_resolution, config.img_resolution))
        self.register_buffer("u_mean", torch.zeros(config.z_dim))

    def _up_path(self, widths: list[list[int]]) -> Iterator[Stage]:
        """`widths` of the skips are used up; the stages know by them how many there are."""
        config, width = self.config, widths[-1][-1]
        for level in reversed(range(len(widths))):
            side, multiple = (config.img_resolution // config.patch) >> level, config.net_ch_mult[level]
            while widths[level]:
                stage = Stage([ResidualBlock(width + widths[level].pop(), multiple * config.net_ch, config)])
                width = multiple * config.net_ch
                if side in config.attention:
                    stage.append(Attention(width, config.heads))
                if level and not widths[level]:
                    stage.append(ResidualBlock(width, width, config, 1))
                yield stage

    def encode(self, x: Tensor) -> Tensor:  # [N, 3, S, S] in [-1, 1] -> [N, z_dim]
        """The semantic codes z of pictures."""
        return self.encoder(x)

    def eps(self, x: Tensor, t: Tensor | int, z: Tensor) -> Tensor:  # [N, 3, S, S] -> [N, 3, S, S]
        """The noise in pictures `x` of codes `z` at time `t`, an integer in 0..999 or one for each."""
        return self.eps_of(x, t, F.silu(z))

    def eps_of(self, x: Tensor, t: Tensor | int, u: Tensor) -> Tensor:
        """The same for u = SiLU(z), all that the network sees of a code."""
        if self.config.predicts == "eps":
            return self.net(x, _times(t, x), u)
        level = diffusion.levels(diffusion.linear_schedule(), torch.as_tensor(t)).view(-1, 1, 1, 1).to(x)
        time, size = diffusion.flow_time(level)
        x = x / size
        return x + (1 - time) * self.velocity(x, time.flatten(), u)

    def velocity(self, x: Tensor, t: Tensor | float, u: Tensor) -> Tensor:
        """Of the flow at pictures `x`, of which the noise is the part `t`, in [0, 1], one or one for each."""
        return self.net(x, diffusion.TIMES * _times(t, x), u)

    def net(self, x: Tensor, t: Tensor, u: Tensor) -> Tensor:
        """What the network itself predicts: `config.predicts`."""
        time = F.silu(self.time_embed(time_features(t, self.config.net_ch)))
        skips: list[Tensor] = []
        x = F.pixel_unshuffle(x, self.config.patch)
        for stage in self.input_blocks:
            skips.append(x := stage(x, time, u))
        x = self.middle_block(x, time, u)
        for stage in self.output_blocks:
            x = stage(torch.cat([x, skips.pop()], dim=1), time, u)
        return F.pixel_shuffle(self.out(x), self.config.patch)

    def predicting(self, u: Tensor) -> Predict:
        """The network at codes u = SiLU(z) `[N, z_dim]`."""
        return lambda x, t: self.net(x, _times(t, x), u)

    def nearest(self, steps: int) -> int:
        """The number of steps next to `steps` that exists: of a network that predicts noise, that a stride gives."""
        return diffusion.nearest_steps(steps) if self.config.predicts == "eps" else steps

    def denoised(self, predict: Predict, x_T: Tensor, steps: int, clamp: bool = True) -> Tensor:
        """Pictures of noise images, by a network at the codes wanted. Raises ValueError for steps that do not exist."""
        if self.config.predicts == "eps":
            way = diffusion.denoise(predict, x_T, diffusion.linear_schedule(), steps, clamp)
        else:
            way = diffusion.flow(lambda x, t: predict(x, diffusion.TIMES * t), x_T, steps)
        *_, (_, x, _) = way
        return x.clamp(-1, 1) if clamp else x

    def noising(self, predict: Predict, x0: Tensor, steps: int) -> Iterator[tuple[int, Tensor]]:
        """The way back: (steps left, x) after each; the last x is the noise image. Raises ValueError as `denoised`."""
        if self.config.predicts == "eps":
            yield from diffusion.noise_of(predict, x0, diffusion.linear_schedule(), steps)
        else:
            for left, x, _ in diffusion.flow(lambda x, t: predict(x, diffusion.TIMES * t), x0, steps, back=True):
                yield left, x

    def decode(self, z: Tensor, x_T: Tensor, steps: int | None = None, clamp: bool = True) -> Tensor:
        """Pictures `[N, 3, S, S]` of codes and noise images.

        Raises ValueError for steps that no stride gives, of a network that predicts noise.
        """
        return self.denoised(self.predicting(F.silu(z)), x_T, steps or self.codes.steps[-1], clamp)

    def invert(self, x0: Tensor, z: Tensor, steps: int | None = None) -> Tensor:
        """The noise images of pictures with their codes, in 250 steps, or 50 of a flow, unless told.

        Raises ValueError for steps that no stride gives, of a network that predicts noise.
        """
        *_, (_, x) = self.noising(self.predicting(F.silu(z)), x0, steps or self.back)
        return x

    def codes_of(self, photos: Tensor) -> Tensor:
        return F.silu(self.encode(photos)).unsqueeze(1)

    def noise_of(self, photos: Tensor, codes: Tensor, steps: int) -> Iterator[tuple[int, Tensor]]:
        return self.noising(self.predicting(codes[:, 0]), photos, self.nearest(steps))

    @property
    def mean(self) -> Tensor:
        return self.u_mean

    def draw(self, z: Tensor, labels: Tensor | None = None, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        u = F.silu(self.latent.sample(z))
        return (u if cutoff == 0 else self.u_mean.lerp(u, psi)).unsqueeze(1)

    def synthesize(
        self,
        codes: Tensor,
        noise_mode: NoiseMode = "const",
        noise_seed: NoiseSeed = None,
        dtype: torch.dtype = torch.float32,
        pose: Tensor | None = None,
        steps: int | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        x_T = self.noise_images(len(codes), noise_mode, noise_seed) if noise is None else noise
        with torch.autocast(codes.device.type, dtype, enabled=dtype != torch.float32):
            return self.denoised(self.predicting(codes[:, 0]), x_T, self.nearest(steps or self.codes.steps[-1])).float()

    def times(self, numbers: Tensor) -> Tensor:
        if self.config.predicts == "eps":  # all equally often
            return (diffusion.TIMES * torch.special.ndtr(numbers)).long().clamp(max=diffusion.TIMES - 1)
        return numbers.sigmoid()  # the middle more often than both ends (arXiv 2403.03206, section 3.1)

    def denoising(self, pictures: Tensor, noise: Tensor, times: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        if self.config.predicts == "eps":  # equation 6 of the paper
            noised = diffusion.mixed(pictures, noise, diffusion.levels(diffusion.linear_schedule(), times))
            return self.net(noised, times, codes[:, 0]), noise
        noised = torch.lerp(pictures, noise, times[:, None, None, None])
        return self.velocity(noised, times, codes[:, 0]), noise - pictures

    def noise_images(self, count: int, noise_mode: NoiseMode, noise_seed: NoiseSeed) -> Tensor:
        if noise_mode not in self.codes.noise_modes:
            raise ValueError(f"noise_mode must be {' or '.join(self.codes.noise_modes)}, got {noise_mode!r}")
        if noise_mode == "const":
            return self.noise_const.expand(count, -1, -1, -1)
        if isinstance(noise_seed, int):  # the same for every picture, however many are made at once
            return self._noise(1, noise_seed).to(self.device).expand(count, -1, -1, -1)
        return self._noise(count, noise_seed).to(self.device)

    def _noise(self, count: int, source: NoiseSeed) -> Tensor:  # [N, 3, S, S]
        side = self.resolution
        if callable(source):
            return torch.cat([source(count, side) for _ in range(3)], dim=1)
        rng = None if source is None else torch.Generator().manual_seed(source)
        return torch.randn(count, 3, side, side, generator=rng)

    @property
    def features(self) -> int:
        """Of the decoder's first level, where a skip is joined, or of the widest below."""
        config = self.config
        side = config.img_resolution // config.patch
        widths = [(2 * m * config.net_ch, side >> i) for i, m in enumerate(config.net_ch_mult)]
        return max(width * side**2 for width, side in widths)

    def style_layers(self) -> tuple[StyleLayer, ...]:
        return tuple(
            StyleLayer(
                name=f"{name}.cond_emb_layers.1",
                feeds=name,
                row=0,
                weight=block.cond_emb_layers[1].get_parameter("weight"),
                bias=block.cond_emb_layers[1].get_parameter("bias"),
                weight_gain=1.0,
                bias_gain=1.0,
                colors=False,
                in_basis=True,
            )
            for name, block in self.named_modules()
            if isinstance(block, ResidualBlock) and block.conditioned
        )

    def learnable(self) -> dict[str, nn.Parameter]:
        apart = ("encoder.", "latent.")
        return {name: parameter for name, parameter in self.named_parameters() if not name.startswith(apart)}

    def describe(self) -> list[str]:
        config = self.config
        encoder = sum(parameter.numel() for parameter in self.encoder.parameters()) / 1e6
        latent = f"a diffusion of {config.latent_layers} layers" if config.latent_layers else "their spread alone"
        return [
            f"generator: diffusion autoencoder, {self.resolution} x {self.resolution} px, 3 channels, no classes,"
            f" {self.parameter_count() / 1e6:.2f} million parameters, {encoder:.2f} of them in its encoder",
            f"  z: {config.z_dim} numbers, of a picture by the encoder, at random by {latent}; edited as SiLU(z)",
            f"  U-Net: {config.net_ch} channels times {' '.join(map(str, config.net_ch_mult))},"
            f" {config.res_blocks} blocks a level, attention at {' and '.join(map(str, config.attention))} px,"
            f" predicts {'noise' if config.predicts == 'eps' else 'velocities'}, patches of {config.patch} px",
        ]
