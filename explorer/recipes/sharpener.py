"""The sharpener: small pictures to twice their size, learned from large ones and from styles drawn on them.

`domain-explorer train sharpener RUN --data PICTURES`; `--resume` continues RUN, bit for bit in float32 on a CPU. The
target is a large picture; what goes in is the same reduced and a little spoiled, since generated pictures are neither
clean nor all reduced by the same filter. The loss is the mean absolute error and, a little, the word of a critic that
sees patches of about 20 px without their light and colour (Isola et al., arXiv 1611.07004, section 3.2): by the error
alone fur is a mean of all furs that could be there. What the critic leaves of a weave of 2 px goes again where the run
ends without it (`--resume --lambda-adv 0`). Knows no generator; `benchmarks/sharpener.py` measures the result.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from explorer.networks.pixels import from_array, from_pixels
from explorer.networks.sharpener import SCALE, Sharpener, SharpenerConfig, detail, enlarged
from explorer.styles import ALL_STYLES, PHOTO, render
from explorer.training import losses
from explorer.training.data import Pictures, shown_pictures
from explorer.training.descent import descend, follow
from explorer.training.draws import share
from explorer.training.loop import Journal, course
from explorer.training.options import check_numbers, option
from explorer.training.run import Folder, RunError
from explorer.weights.parts import save_part

CUTS = 4  # from every picture: a style is drawn once for all of them
SHEET = 8  # pictures on a sheet
# Styles whose pattern, in pixels, does not survive being halved: nothing true could be learned of it.
FINE = ("woodcut", "pointillism", "mosaic", "cross stitch", "halftone", "night vision", "glitch", "stained glass")
REDUCTIONS = (Image.Resampling.BOX, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)

Picture = np.ndarray  # [H, W, 3], uint8


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder. `kimg` means thousands of cuts shown."""

    data: str = option("", "a folder or zip of pictures, larger than what is to be sharpened", path=True)
    held_out: float = option(0.05, "fraction of the pictures never trained on, chosen by their names' hash")
    resolution: int = option(256, "px of the pictures", fixed=True)
    size: int = option(40, "px of a cut before it is sharpened; even", fixed=True)
    width: int = option(SharpenerConfig.width, "channels", fixed=True)
    blocks: int = option(SharpenerConfig.blocks, "residual blocks", fixed=True)
    drawn: float = option(0.5, "fraction of the pictures that are drawn in a random style")
    batch: int = option(16, f"cuts a step, {CUTS} of every picture, over all processes", fixed=True)
    kimg: float = option(50.0, "when to stop")
    lr: float = option(0.001, "the learning rate")
    d_lr: float = option(0.0005, "the critic's")
    anneal_kimg: float = option(25.0, "both rates fall linearly to 0 over the end of the run")
    lambda_adv: float = option(0.01, "weight of the critic's word; 0 for none")
    adv_kimg: float = option(10.0, "when the critic is first asked")
    r1_gamma: float = option(1.0, "weight of R1, times 1/2")
    r1_every: int = option(8, "steps")
    ema_kimg: float = option(2.0, "half-life")
    seed: int = option(0, "of weights, data order and every random number")
    workers: int = option(0, "processes that decode pictures")
    checkpoint_minutes: float = option(3.0, "minutes between two checkpoints")

    def __post_init__(self) -> None:
        check_numbers(self, "batch", "size", "r1_every")
        if self.batch % CUTS:
            raise RunError(f"--batch is a multiple of {CUTS}, the cuts from one picture, got {self.batch}")
        if self.drawn > 1:
            raise RunError(f"--drawn is a fraction of at most 1, got {self.drawn:g}")
        if self.size % 2 or 4 * self.size > self.resolution:
            raise RunError(f"--size is even and at most a quarter of the {self.resolution} px, got {self.size}")


class Critic(nn.Module):
    """Logits for overlapping patches of a picture, of which it sees the detail alone: [N, 3, H, W] -> [N, 1, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(64, 64, 3, 1, 1), nn.LeakyReLU(0.2)),
            nn.Conv2d(64, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(detail(images))


class Trainer:
    """The sharpener, its critic, their optimisers and the step count, and what one step does to them."""

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator, self.device = config, accelerator, accelerator.device
        self.step = 0
        self.share = share(config.batch // CUTS, accelerator.process_index, accelerator.num_processes, 1)
        torch.manual_seed(config.seed)
        shape = SharpenerConfig(config.width, config.blocks)
        self.S, self.ema, self.D = Sharpener(shape), Sharpener(shape), Critic()
        self.ema.load_state_dict(self.S.state_dict())
        self.ema.eval().requires_grad_(False)
        for network in (self.S, self.ema, self.D):
            network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.s_optimiser = torch.optim.Adam(self.S.parameters(), config.lr, (0.9, 0.99), fused=True)
        self.d_optimiser = torch.optim.Adam(self.D.parameters(), config.d_lr, (0.0, 0.99), fused=True)

    @property
    def seen(self) -> int:
        """Cuts shown so far."""
        return self.step * self.config.batch

    def train_step(self, pictures: Tensor) -> dict[str, Tensor]:
        """One step on cuts from this process's pictures, uint8 `[share, 3, R, R]`; returns figures to log."""
        config, rate = self.config, self.rate()
        made = [
            cuts(picture.permute(1, 2, 0).numpy(), config, np.random.default_rng((config.seed, self.step, int(place))))
            for picture, place in zip(pictures, self.share, strict=True)
        ]
        small, real = (from_array(np.concatenate(part)).to(self.device) for part in zip(*made, strict=True))
        images = self.S(small)
        figures = {"error": (images - real).abs().mean()}
        loss, weights, critic = figures["error"], list(self.S.parameters()), list(self.D.parameters())
        d_gradient = None
        if config.lambda_adv and self.seen >= 1000 * config.adv_kimg:
            fake_logits = self.D(images)
            loss = loss + config.lambda_adv * losses.generator_loss(fake_logits)
            figures["D"] = penalised = losses.discriminator_loss(self.D(real), fake_logits)
            if config.r1_gamma and self.step % config.r1_every == 0:
                figures["R1"] = losses.gradient_penalty(lambda x: self.D(x).mean(dim=(1, 2, 3)), real)
                penalised = penalised + figures["R1"] * (config.r1_gamma / 2 * config.r1_every)
            d_gradient = torch.autograd.grad(penalised, critic, retain_graph=True)
        descend(self.s_optimiser, weights, torch.autograd.grad(loss, weights), config.lr * rate, self.accelerator)
        if d_gradient is not None:
            descend(self.d_optimiser, critic, d_gradient, config.d_lr * rate, self.accelerator)
        self.step += 1
        self.update_ema()
        return {name: value.detach() for name, value in (figures | {"loss": loss}).items()}

    def rate(self) -> float:
        """Fraction of the learning rates at this step."""
        left = self.config.kimg - self.seen / 1000
        return min(1.0, left / self.config.anneal_kimg) if self.config.anneal_kimg else 1.0

    def update_ema(self) -> None:
        follow(self.ema, self.S, self.config.batch, self.seen, self.config.ema_kimg)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and data order follow from the step."""
        return {
            "step": self.step,
            "sharpener": self.S.state_dict(),
            "ema": self.ema.state_dict(),
            "critic": self.D.state_dict(),
            "s_optimiser": self.s_optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.S.load_state_dict(state["sharpener"])
        self.ema.load_state_dict(state["ema"])
        self.D.load_state_dict(state["critic"])
        self.s_optimiser.load_state_dict(state["s_optimiser"])
        self.d_optimiser.load_state_dict(state["d_optimiser"])

    @torch.no_grad()
    def samples(self, shown: Tensor) -> Tensor:  # uint8 [N, 3, R, R] -> [3 N, 3, R, R], rows of 8
        """Pictures, below them their halves enlarged, below that sharpened."""
        real = from_pixels(shown.to(self.device))
        small = nn.functional.interpolate(real, scale_factor=1 / SCALE, mode="bicubic", antialias=True)
        return torch.cat([real, enlarged(small), self.ema(small)])


def cuts(picture: Picture, config: Config, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """CUTS from a picture, uint8: small ones `[CUTS, size, size, 3]` and what they should become, SCALE times as large.

    Strokes have their width in pixels. Those of a style drawn on the picture at its size are half as wide in the small
    ones as a generator's; so half of the styles, and every FINE one, are drawn at half the size and enlarged, which
    teaches strokes as wide as they will be and that nothing finer lies behind them. Half of the targets are
    the picture reduced once: sharper than any photo at its full size.
    """
    style = str(rng.choice(list(ALL_STYLES))) if rng.random() < config.drawn else PHOTO
    half = config.resolution // SCALE
    if style != PHOTO and (style in FINE or rng.random() < 0.5):
        small = render(style, resized(picture, half, Image.Resampling.LANCZOS), rng)
        target = resized(small, SCALE * half, Image.Resampling.LANCZOS)
    else:
        target = render(style, picture, rng)
        if rng.random() < 0.5:
            target = resized(target, half, reduction(rng))
        small = resized(target, len(target) // SCALE, reduction(rng))
    small = spoiled(small, rng)
    size, pairs = config.size, []
    for _ in range(CUTS):
        row, column = rng.integers(0, len(small) - size + 1, 2)
        place = np.s_[SCALE * row : SCALE * (row + size), SCALE * column : SCALE * (column + size)]
        pairs.append((small[row : row + size, column : column + size], target[place]))
    inputs, targets = zip(*pairs, strict=True)
    return np.stack(inputs), np.stack(targets)


def spoiled(picture: Picture, rng: np.random.Generator) -> Picture:
    """A little soft, dotted, noisy or packed as JPEG, each now and then: a generator's pictures are some of all that.

    At 128 px `cats128-source` has 3 to 4 times the power of photos next to the highest frequency, and no less below it:
    dots and stripes of 2 px that come and go.
    """
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8))
    if rng.random() < 0.5:
        picture = added(picture, dots(picture.shape, rng) * rng.uniform(0, 8))
    if rng.random() < 0.5:
        noise = rng.standard_normal((*picture.shape[:2], 3 if rng.random() < 0.5 else 1))
        picture = added(picture, noise * rng.uniform(0, 5))
    if rng.random() < 0.2:
        packed = io.BytesIO()
        Image.fromarray(picture).save(packed, "JPEG", quality=int(rng.integers(70, 96)))
        picture = np.array(Image.open(packed))
    return picture


def dots(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:  # -> [H, W, 1], of unit variance
    """What a generator's enlargements leave: the highest frequency across, down or both, in changing strength."""
    rows, columns = np.indices(shape[:2])
    strength = cv2.GaussianBlur(rng.standard_normal(shape[:2]).astype(np.float32), (0, 0), rng.uniform(0.7, 2.5))
    phase = (rows, columns, rows + columns)[rng.integers(3)]
    return (strength / strength.std() * (1 - 2 * (phase % 2)))[..., None]


def added(picture: Picture, noise: np.ndarray) -> Picture:  # noise [H, W, 1 or 3]
    """A picture with noise on it."""
    return np.clip(picture + noise + 0.5, 0, 255).astype(np.uint8)


def reduction(rng: np.random.Generator) -> Image.Resampling:
    """One of the filters that pictures are reduced by."""
    return REDUCTIONS[rng.integers(len(REDUCTIONS))]


def resized(picture: Picture, side: int, how: Image.Resampling) -> Picture:
    """A square picture at another size."""
    return np.array(Image.fromarray(picture).resize((side, side), how))


def train(folder: Folder, config: Config, accelerator: Accelerator) -> int:
    """See `course`."""
    cv2.setNumThreads(1)  # pictures are small: threads would only wait for each other
    trainer = Trainer(config, accelerator)
    pictures = Pictures(config.data, config.resolution, config.held_out)
    accelerator.print(pictures, file=sys.stderr)
    shown = shown_pictures(pictures, config.held_out, SHEET)
    folder.restore(trainer.load_state)
    batches = pictures.batches(config.batch // CUTS, config.seed, trainer.step, trainer.share, config.workers)

    def publish(journal: Journal) -> None:
        meta = {"cuts_seen": trainer.seen, "data": Path(config.data).name}
        save_part(trainer.ema, folder.path / "sharpener.safetensors", meta)
        journal.images("held-out pictures, enlarged, sharpened", trainer.samples(shown))

    return course(
        folder,
        config,
        accelerator,
        trainer,
        advance=lambda: trainer.train_step(next(batches)[0]),
        publish=publish,
        advice="a lower --lr, or a lower --lambda-adv",
    )
