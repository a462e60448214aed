"""Diffusion Autoencoders from nothing: encoder, U-Net and the diffusion of random codes, learned side by side.

`python -m explorer.recipes.diffae RUN --data PICTURES`; `--resume` continues RUN, bit for bit in float32 on a CPU.
Source: Diffusion Autoencoders (arXiv 2111.15640), sections 3 and 4; with `--predicts eps` its own objective, whose
published settings are in docs/guide.md. Ours, for small models on a CPU: a rectified flow (arXiv 2209.03003) on patches
of pixels, with times of a logit-normal distribution (arXiv 2403.03206, section 3.1), which needs a few evaluations a
picture; styles that begin at zero and decay, so that directions of the code that nothing uses stay dormant; and codes
that are normalised while they are learned: what the encoder says of small pictures at first differs by a hundredth from
one to the next, which would take long to be heard. Afterwards that is a part of its last layer.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from explorer.networks.diffae import DiffAE, DiffAEConfig, Prediction
from explorer.networks.diffusion import TIMES, constant_schedule, levels, mixed
from explorer.networks.pixels import from_pixels
from explorer.training.data import Pictures, shown_pictures
from explorer.training.descent import average, descend
from explorer.training.draws import Draws, share
from explorer.training.loop import Journal, course
from explorer.training.options import check_numbers, option
from explorer.training.run import Folder, RunError, training_dtype
from explorer.weights import Checkpoint

SHEET = 16  # pictures on a sheet
WAY_BACK = 20  # steps to the noise images of a sheet


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder. `kimg` means thousands of images shown."""

    data: str = option("", "a folder or zip of pictures", path=True)
    held_out: float = option(0.05, "fraction of the pictures never trained on, chosen by their names' hash")
    resolution: int = option(64, "side of the pictures in pixels", fixed=True)
    mirror: bool = option(True, "half of the pictures are flipped left to right")
    predicts: str = option("v", "v, a flow's velocity, or eps, the noise, as published", fixed=True)
    patch: int = option(2, "side of the squares of pixels that the networks take for one; 1 as published", fixed=True)
    net_ch: int = option(32, "width of the first level", fixed=True)
    net_ch_mult: tuple[int, ...] = option((1, 2, 4), "times that, the U-Net's levels from the side down", fixed=True)
    enc_ch_mult: tuple[int, ...] = option((1, 2, 4, 4), "and the encoder's", fixed=True)
    res_blocks: int = option(1, "residual blocks a level, in both", fixed=True)
    attention: tuple[int, ...] = option((8,), "sides of the features that look at each other", fixed=True)
    heads: int = option(1, "of the attention", fixed=True)
    embed_dim: int = option(128, "width of the time's embedding", fixed=True)
    z_dim: int = option(256, "width of a code", fixed=True)
    latent_layers: int = option(6, "of the network that random codes come from", fixed=True)
    latent_hidden: int = option(512, "its width", fixed=True)
    dropout: float = option(0.0, "of the U-Net's features; published: 0.1")
    style_decay: float = option(5e-4, "by which styles shrink every step; 0, as published: they begin at random")
    batch: int = option(32, "images a step, over all processes", fixed=True)
    kimg: float = option(200.0, "when to stop")
    lr: float = option(1e-3, "the learning rate of encoder and U-Net; published: 1e-4")
    latent_lr: float = option(5e-4, "of the network that random codes come from; published: 1e-4")
    latent_draws: int = option(8, "noises a code that it learns from every step")
    latent_decay: float = option(0.01, "its weight decay")
    anneal_kimg: float = option(50.0, "both rates fall linearly to 0 over the end of the run; published: 0")
    max_norm: float = option(1.0, "longer gradients are shortened to this length")
    ema_kimg: float = option(5.0, "half-life")
    seed: int = option(0, "of weights, data order and every random number")
    precision: str = option("auto", "fp32, bf16, or auto: bf16 where the hardware multiplies in it")
    workers: int = option(0, "processes that decode pictures")
    checkpoint_minutes: float = option(5.0, "minutes between two checkpoints")

    def __post_init__(self) -> None:
        for name in ("net_ch_mult", "enc_ch_mult", "attention"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_numbers(self, "batch", "resolution", "latent_layers", "latent_draws")
        if self.dropout >= 1 or self.style_decay >= 1:
            raise RunError("--dropout and --style-decay are below 1")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise RunError(f"--precision must be auto, fp32 or bf16, got {self.precision}")
        self.shape()

    def shape(self) -> DiffAEConfig:
        """The generator's. Raises RunError where its parts do not fit."""
        predictions: dict[str, Prediction] = {"eps": "eps", "v": "v"}
        if self.predicts not in predictions:
            raise RunError(f"--predicts is v or eps, got {self.predicts}")
        try:
            return DiffAEConfig(
                img_resolution=self.resolution,
                net_ch=self.net_ch,
                net_ch_mult=self.net_ch_mult,
                enc_ch_mult=self.enc_ch_mult,
                res_blocks=self.res_blocks,
                enc_res_blocks=self.res_blocks,
                attention=self.attention,
                enc_attention=self.attention,
                heads=self.heads,
                embed_dim=self.embed_dim,
                z_dim=self.z_dim,
                latent_layers=self.latent_layers,
                latent_hidden=self.latent_hidden,
                latent_skip=tuple(range(1, self.latent_layers)),
                predicts=predictions[self.predicts],
                patch=self.patch,
            )
        except ValueError as error:
            raise RunError(f"these networks do not fit together: {error}") from None


class Trainer:
    """The networks, their average, their optimisers and the step count, and what one step does to them."""

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        self.step = 0
        self.share = share(config.batch, accelerator.process_index, accelerator.num_processes, 1)
        self.dtype = training_dtype(config.precision, self.device)
        torch.manual_seed(config.seed)
        self.G = network_of(config)
        for module in self.G.modules():
            if isinstance(module, nn.Dropout):
                module.p = config.dropout
        self.styles = [weight for layer in self.G.style_layers() for weight in (layer.weight, layer.bias)]
        if config.style_decay:
            for weight in self.styles:
                nn.init.zeros_(weight)
        self.ema = deepcopy(self.G).eval().requires_grad_(False).to(self.device)
        self.G.train().to(self.device)
        # Of what the encoder says, on average: itself, its square; and of SiLU of the codes.
        self.mean, self.square, self.u_mean = torch.zeros(3, config.z_dim, device=self.device).unbind()
        self.latent = list(self.G.latent.parameters())
        apart = {id(weight) for weight in self.latent}
        self.weights = [weight for weight in self.G.parameters() if id(weight) not in apart]
        self.optimiser = torch.optim.AdamW(self.weights, config.lr, weight_decay=0.0, fused=True)
        self.latent_optimiser = torch.optim.AdamW(
            self.latent, config.latent_lr, weight_decay=config.latent_decay, fused=True
        )

    @property
    def seen(self) -> int:
        """Pictures shown so far."""
        return self.step * self.config.batch

    def train_step(self, real: Tensor) -> dict[str, Tensor]:
        """One step on this process's share of the batch, uint8 `[share, 3, H, W]`; returns figures to log."""
        config = self.config
        draws = Draws(config.seed, self.step, config.batch, self.share, self.device)
        real = from_pixels(real.to(self.device))
        if config.mirror:
            real = torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real)
        torch.manual_seed(int(draws.integers(0, 2**31)[0]))  # dropout's numbers
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            z = self.normalized(self.G.encode(real).float())
            loss = self.denoising(real, F.silu(z), draws)
        latent_loss = self.latent_denoising(z.detach(), draws)
        rate = self.rate()
        for optimiser, weights, value, own in (
            (self.optimiser, self.weights, loss, config.lr),
            (self.latent_optimiser, self.latent, latent_loss, config.latent_lr),
        ):
            gradient = torch.autograd.grad(value, weights)
            descend(optimiser, weights, gradient, own * rate, self.accelerator, config.max_norm)
        with torch.no_grad():
            for weight in self.styles:
                weight.mul_(1 - config.style_decay * rate)
        self.step += 1
        self.update_ema()
        return {"loss": loss.detach(), "codes": latent_loss.detach()}

    def denoising(self, real: Tensor, u: Tensor, draws: Draws) -> Tensor:
        """The error of what the network predicts of noised pictures."""
        noise = draws.normal(*real.shape[1:])
        said, wanted = self.G.denoising(real, noise, self.G.times(draws.normal()), u.unsqueeze(1))
        return (said - wanted).square().mean()

    def latent_denoising(self, z: Tensor, draws: Draws) -> Tensor:
        """The mean absolute error of the noise that is seen in codes; the paper's appendix A."""
        count = self.config.latent_draws
        t = draws.integers(0, TIMES, count).flatten()
        noise = draws.normal(count, z.shape[1]).flatten(0, 1)
        noised = mixed(z.repeat_interleave(count, dim=0), noise, levels(constant_schedule(), t))
        return (self.G.latent.eps(noised, t) - noise).abs().mean()

    def normalized(self, z: Tensor) -> Tensor:  # [share, z_dim], both
        """What the encoder says as codes of mean 0 and deviation 1, by averages that follow all processes' batches."""
        weight = self._ema_weight(self.seen + self.config.batch)
        with torch.no_grad():
            now = average(self.accelerator, torch.stack([z.mean(dim=0), z.square().mean(dim=0)]))
            self.mean.lerp_(now[0], weight)
            self.square.lerp_(now[1], weight)
            z_mean, std = self.mean.clone(), self.std()
        z = (z - z_mean) / std
        with torch.no_grad():
            self.u_mean.lerp_(average(self.accelerator, F.silu(z).mean(dim=0)), weight)
        return z

    def std(self) -> Tensor:  # [z_dim]
        """The deviation of what the encoder says."""
        return (self.square - self.mean.square()).clamp_min(1e-8).sqrt()

    def rate(self) -> float:
        """Fraction of the learning rates at this step."""
        left = self.config.kimg - self.seen / 1000
        return min(1.0, left / self.config.anneal_kimg) if self.config.anneal_kimg else 1.0

    def _ema_weight(self, seen: int) -> float:
        half_life = min(1000 * self.config.ema_kimg, seen * 0.05)
        return 1 - 0.5 ** (self.config.batch / max(half_life, 1e-8))

    @torch.no_grad()
    def update_ema(self) -> None:
        """Exponential moving average of the networks."""
        weight = self._ema_weight(self.seen)
        for mine, theirs in zip(self.ema.parameters(), self.G.parameters(), strict=True):
            mine.lerp_(theirs, weight)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and data order follow from the step."""
        return {
            "step": self.step,
            "generator": self.G.state_dict(),
            "ema": self.ema.state_dict(),
            "codes": torch.stack([self.mean, self.square, self.u_mean]),
            "optimiser": self.optimiser.state_dict(),
            "latent_optimiser": self.latent_optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.G.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        for value, saved in zip((self.mean, self.square, self.u_mean), state["codes"], strict=True):
            value.copy_(saved)
        self.optimiser.load_state_dict(state["optimiser"])
        self.latent_optimiser.load_state_dict(state["latent_optimiser"])

    @torch.no_grad()
    def network(self) -> DiffAE:
        """The averaged networks; the normalisation of codes is a part of the encoder's last layer."""
        made = deepcopy(self.ema)
        last = made.encoder.out[3]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.div_(self.std()[:, None, None, None])
        last.bias.sub_(self.mean).div_(self.std())
        made.u_mean.copy_(self.u_mean)
        return made

    def checkpoint(self) -> Checkpoint:
        """The averaged networks as a file has them."""
        meta = {"name": "diffusion autoencoder", "pictures_seen": self.seen, "data": Path(self.config.data).name}
        return Checkpoint(self.network(), meta=meta)

    @torch.no_grad()
    def samples(self, real: Tensor) -> Tensor:  # uint8 [N, 3, H, W] -> [4 N, 3, H, W], rows of 8
        """Eight pictures; of their codes, with the common noise and with their own; random ones. Then eight more."""
        network, real = self.network(), from_pixels(real.to(self.device))
        z, common = network.encode(real), network.noise_const.expand_as(real)
        back = network.invert(real, z, WAY_BACK)
        rng = torch.Generator().manual_seed(self.config.seed)
        random = network.latent.sample(torch.randn(z.shape, generator=rng).to(self.device))
        kinds = [real, network.decode(z, common), network.decode(z, back, WAY_BACK), network.decode(random, common)]
        return torch.cat([part for parts in zip(*(kind.split(8) for kind in kinds), strict=True) for part in parts])


def network_of(config: Config) -> DiffAE:
    """The networks, with numbers to begin with. Raises RunError where they do not fit together."""
    try:
        return DiffAE(config.shape())
    except ValueError as error:
        raise RunError(f"these networks do not fit together: {error}") from None


def train(folder: Folder, config: Config, accelerator: Accelerator) -> int:
    """See `course`."""
    pictures = Pictures(config.data, config.resolution, config.held_out)
    accelerator.print(pictures, file=sys.stderr)
    shown = shown_pictures(pictures, config.held_out, SHEET)
    trainer = Trainer(config, accelerator)
    folder.restore(trainer.load_state)
    batches = pictures.batches(config.batch, config.seed, trainer.step, trainer.share, config.workers)

    def publish(journal: Journal) -> None:
        trainer.checkpoint().save(folder.path / "network.safetensors")
        journal.images("held-out pictures, common noise, own noise, random codes", trainer.samples(shown))

    return course(
        folder,
        config,
        accelerator,
        trainer,
        advance=lambda: trainer.train_step(next(batches)[0]),
        publish=publish,
        advice="a lower --lr",
    )
