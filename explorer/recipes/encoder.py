"""The domain-guided encoder of in-domain inversion: pictures to codes of a frozen generator, trained on real pictures.

`python -m explorer.recipes.encoder RUN --data PICTURES --generator CHECKPOINT`; `--resume` continues RUN, bit for bit
in float32 on a CPU. Source: In-Domain GAN Inversion (arXiv 2004.00049), equations 1 and 2. Ours beside it: half of each
batch is decoded in W and half in W+, so that both outputs learn, and codes of generated pictures are regressed, which
teaches the map before pictures can. Knows no inversion by optimisation and no interface.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from explorer.latents import sample_codes
from explorer.metrics import load_perceptual
from explorer.networks import Discriminator, DiscriminatorConfig, Encoder, EncoderConfig
from explorer.networks.encoder import ResidualDown
from explorer.networks.fuse import fuse
from explorer.networks.pixels import from_pixels
from explorer.training import losses
from explorer.training.data import Pictures, shown_pictures
from explorer.training.descent import descend, follow
from explorer.training.draws import Draws, share
from explorer.training.loop import Journal, course
from explorer.training.options import check_numbers, check_widths, doubling, option
from explorer.training.run import Folder, RunError, training_dtype
from explorer.weights import DEFAULT, Checkpoint, load
from explorer.weights.parts import load_discriminator, load_encoder, part_of, save_part

SHEET = 24  # pictures on a sheet, each above its reconstructions
SCALE_SAMPLES = 4096  # codes for the statistics of W


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder. `kimg` means thousands of images shown."""

    data: str = option("", "a folder or zip of pictures", path=True)
    held_out: float = option(0.05, "fraction of the pictures never trained on, chosen by their names' hash")
    generator: str = option(str(DEFAULT), "the checkpoint whose codes the encoder finds", fixed=True, path=True)
    mirror: bool = option(True, "half of the pictures are flipped left to right")
    channels: tuple[int, ...] = option((), "widths from 4 px up; else 32 at last, doubling to 256", fixed=True)
    start_from: str = option(
        "",
        "an encoder, of any generator, for pictures as large or half as large: all but its two last layers is the "
        "starting point",
        fixed=True,
        path=True,
    )
    keep_heads: bool = option(
        False, "keep those two as well: it was made for an earlier state of this generator", fixed=True
    )
    batch: int = option(32, "images a step, over all processes", fixed=True)
    kimg: float = option(200.0, "when to stop")
    lr: float = option(0.001, "the encoder's learning rate; the paper's 1e-4 is for layers without equalised rates")
    d_lr: float = option(0.001, "the discriminator's")
    anneal_kimg: float = option(50.0, "both rates fall linearly to 0 over the end of the run")
    lambda_pixel: float = option(1.0, "weight of the mean squared error")
    lambda_perceptual: float = option(1.0, "weight of the perceptual distance in use")
    lambda_adv: float = option(0.02, "weight of the discriminator's word on reconstructions; 0 for none")
    lambda_offsets: float = option(0.05, "weight of the offsets' mean square, in units of W's spread")
    lambda_code: float = option(0.5, "weight of the codes' error on generated pictures, in units of W's spread")
    generated: float = option(0.25, "generated pictures for each real one, in quarters up to 1")
    r1_gamma: float = option(1.0, "weight of R1, times 1/2")
    r1_every: int = option(16, "steps")
    ema_kimg: float = option(5.0, "half-life")
    seed: int = option(0, "of weights, data order and every random number")
    precision: str = option("auto", "fp32, bf16, or auto: bf16 where the hardware multiplies in it")
    compile: bool = option(True, "compiled epilogues, on a CPU in bf16")
    workers: int = option(0, "processes that decode pictures")
    checkpoint_minutes: float = option(3.0, "minutes between two checkpoints")

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        check_numbers(self, "batch", "r1_every")
        if self.generated > 1:
            raise RunError(f"--generated is at most 1 for each real one, got {self.generated:g}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise RunError(f"--precision must be auto, fp32 or bf16, got {self.precision}")


class Trainer:
    """The encoder, its critic, their optimisers and the step count, and what one step does to them."""

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        self.step = 0
        self.share = share(config.batch, accelerator.process_index, accelerator.num_processes, min(4, config.batch))
        self.dtype = training_dtype(config.precision, self.device)
        torch.manual_seed(config.seed)
        source = load(config.generator)
        self.G, self.source = source.generator.to(self.device), Path(config.generator).name
        if self.G.classes:
            raise RunError(f"{self.source} has {self.G.classes} classes: encoders are for generators without classes")
        resolution, codes = self.G.resolution, self.G.codes
        channels = config.channels or doubling(resolution, 256)
        check_widths("channels", channels, resolution)
        shape = EncoderConfig(resolution, channels, codes.dim, codes.rows, self.G.channels)
        self.E, self.ema = Encoder(shape), Encoder(shape)
        with torch.no_grad():
            w = sample_codes(self.G, SCALE_SAMPLES)[:, 0]
        self.E.mean.copy_(self.G.mean)
        self.E.scale.copy_(w.std(dim=0).square().mean().sqrt())
        if config.start_from:
            start_from(load_encoder(Path(config.start_from))[0], self.E, config.keep_heads)
        self.ema.load_state_dict(self.E.state_dict())
        self.ema.eval().requires_grad_(False)
        self.D = (critic_of(source) or Discriminator(DiscriminatorConfig(resolution, channels))).train()
        self.D.requires_grad_(True)
        for network in (self.E, self.D, self.ema):
            network.to(self.device)
        if config.compile and self.dtype == torch.bfloat16 and self.device.type == "cpu":
            fuse(self.G)
        self.perceptual = load_perceptual(self.device, self.dtype)
        self.e_optimiser = torch.optim.Adam(self.E.parameters(), config.lr, (0.0, 0.99), fused=True)
        self.d_optimiser = torch.optim.Adam(self.D.parameters(), config.d_lr, (0.0, 0.99), fused=True)

    @property
    def seen(self) -> int:
        """Real pictures shown so far."""
        return self.step * self.config.batch

    def train_step(self, real: Tensor) -> dict[str, Tensor]:
        """One step on this process's share of the batch, uint8 `[share, 3, H, W]`; returns figures to log."""
        config = self.config
        draws = Draws(config.seed, self.step, config.batch, self.share, self.device)
        real = from_pixels(real.to(self.device))
        if config.mirror:
            real = torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real)
        # Chosen by place in the whole batch, whose quarters every process has its part of.
        chosen = self.share < round(4 * config.generated) * config.batch // 4 * bool(config.lambda_code)
        plus = (self.share >= config.batch // 2).to(self.device).view(-1, 1, 1)
        z = draws.normal(self.G.codes.z_dim)[chosen.to(self.device)]
        with torch.no_grad():
            codes = self.G.draw(z)[:, 0]
            pictures = torch.cat([real, self.G.synthesize(self.G.codes.repeat(codes), dtype=self.dtype)])
        w, offsets = self.E(pictures, self.dtype)
        figures: dict[str, Tensor] = {}
        if len(codes):
            figures["code"] = ((w[len(real) :] - codes) / self.E.scale).square().mean()
        w, offsets = w[: len(real)], offsets[: len(real)]
        ws = self.G.codes.repeat(w) + torch.where(plus, offsets, 0)
        images = self.G.synthesize(ws, dtype=self.dtype)
        figures["pixel"] = (images - real).square().mean()
        figures["perceptual"] = self.perceptual(images, real).mean()
        figures["offsets"] = (offsets / self.E.scale).square().mean()
        loss = (
            config.lambda_pixel * figures["pixel"]
            + config.lambda_perceptual * figures["perceptual"]
            + config.lambda_offsets * figures["offsets"]
        )
        if len(codes):
            loss = loss + config.lambda_code * figures["code"]
        rate, weights, critic = self.rate(), list(self.E.parameters()), list(self.D.parameters())
        if config.lambda_adv:
            fake_logits, real_logits = self.D(images, None, self.dtype), self.D(real, None, self.dtype)
            loss = loss + config.lambda_adv * losses.generator_loss(fake_logits)
            figures["D"] = losses.discriminator_loss(real_logits, fake_logits)
            d_gradient = self.critic_gradient(figures, critic, real)
            descend(self.e_optimiser, weights, torch.autograd.grad(loss, weights), config.lr * rate, self.accelerator)
            descend(self.d_optimiser, critic, d_gradient, config.d_lr * rate, self.accelerator)
        else:
            descend(self.e_optimiser, weights, torch.autograd.grad(loss, weights), config.lr * rate, self.accelerator)
        self.step += 1
        self.update_ema()
        return {name: value.detach() for name, value in (figures | {"loss": loss}).items()}

    def critic_gradient(self, figures: dict[str, Tensor], weights: list[nn.Parameter], real: Tensor) -> list[Tensor]:
        """Gradient of the discriminator's loss, of R1 too where its turn is; the graph stays for the encoder's."""
        gradient = list(torch.autograd.grad(figures["D"], weights, retain_graph=True))
        if self.step % self.config.r1_every or not self.config.r1_gamma:
            return gradient
        figures["R1"] = losses.gradient_penalty(lambda x: self.D(x, None, self.dtype), real)
        scaled = figures["R1"] * (self.config.r1_gamma / 2 * self.config.r1_every)
        extra = torch.autograd.grad(scaled, weights, allow_unused=True)
        return [g if e is None else g + e for g, e in zip(gradient, extra, strict=True)]

    def rate(self) -> float:
        """Fraction of the learning rates at this step."""
        left = self.config.kimg - self.seen / 1000
        return min(1.0, left / self.config.anneal_kimg) if self.config.anneal_kimg else 1.0

    def update_ema(self) -> None:
        follow(self.ema, self.E, self.config.batch, self.seen, self.config.ema_kimg)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and data order follow from the step."""
        return {
            "step": self.step,
            "encoder": self.E.state_dict(),
            "ema": self.ema.state_dict(),
            "discriminator": self.D.state_dict(),
            "e_optimiser": self.e_optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.E.load_state_dict(state["encoder"])
        self.ema.load_state_dict(state["ema"])
        self.D.load_state_dict(state["discriminator"])
        self.e_optimiser.load_state_dict(state["e_optimiser"])
        self.d_optimiser.load_state_dict(state["d_optimiser"])

    @torch.no_grad()
    def samples(self, real: Tensor) -> Tensor:  # uint8 [N, 3, H, W] -> [3 N, 3, H, W], rows of 8
        """Eight pictures, below them what W gives, below that what W+ gives; then the next eight."""
        real = from_pixels(real.to(self.device))
        w, offsets = self.ema(real)
        ws = self.G.codes.repeat(w)
        kinds = [real, self.G.synthesize(ws), self.G.synthesize(ws + offsets)]
        return torch.cat([part for parts in zip(*(kind.split(8) for kind in kinds), strict=True) for part in parts])


def start_from(encoder: Encoder, mine: Encoder, keep_heads: bool = False) -> None:
    """Load what an encoder sees of pictures; what it says of W is another generator's and stays out, or is kept.

    An encoder for pictures half as large sees at first a picture that the first block has halved, and nothing more.
    Raises RunError where it has another shape.
    """
    if half := mine.config.doubles(encoder.config):
        first = mine.blocks[0]
        assert isinstance(first, ResidualDown)
        first.pass_on()
    elif not encoder.config.looks_like(mine.config):
        raise RunError(f"the encoder to start from has another shape, {encoder.config}; wanted is {mine.config}")
    seen: dict[str, Tensor] = {
        name: value for name, value in encoder.named_parameters() if keep_heads or not name.startswith("to_")
    }
    if half:
        seen = {re.sub(r"^blocks\.(\d+)", lambda found: f"blocks.{int(found[1]) + 1}", k): v for k, v in seen.items()}
    for name in seen.keys() & {"to_offsets.weight", "to_offsets.bias"}:  # a larger generator's further rows add nothing
        wanted = torch.zeros_like(mine.get_parameter(name))
        wanted[: len(seen[name])] = seen[name]
        seen[name] = wanted
    mine.load_state_dict(seen, strict=False)


def critic_of(checkpoint: Checkpoint) -> Discriminator | None:
    """The discriminator in a checkpoint or beside it."""
    if checkpoint.critic is None and (path := part_of(checkpoint, "discriminator")) is not None:
        return load_discriminator(path)[0]
    return checkpoint.discriminator


def train(folder: Folder, config: Config, accelerator: Accelerator) -> int:
    """See `course`."""
    trainer = Trainer(config, accelerator)
    pictures = Pictures(config.data, trainer.G.resolution, config.held_out)
    accelerator.print(pictures, file=sys.stderr)
    shown = shown_pictures(pictures, config.held_out, SHEET)
    folder.restore(trainer.load_state)
    batches = pictures.batches(config.batch, config.seed, trainer.step, trainer.share, config.workers)

    def publish(journal: Journal) -> None:
        meta = {"pictures_seen": trainer.seen, "data": Path(config.data).name, "generator": trainer.source}
        save_part(trainer.ema, folder.path / "encoder.safetensors", meta, half=False)
        journal.images("held-out pictures, W, W+", trainer.samples(shown))

    return course(
        folder,
        config,
        accelerator,
        trainer,
        advance=lambda: trainer.train_step(next(batches)[0]),
        publish=publish,
        advice="a lower --lr",
    )
