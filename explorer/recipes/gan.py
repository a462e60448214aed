"""StyleGAN2 from pictures: non-saturating loss, lazy R1, style mixing, EMA, and dormant directions on purpose.

`python -m explorer.recipes.gan RUN --data PICTURES`; `--resume` continues RUN, bit for bit in float32 on a CPU.
Several processes: `torchrun --standalone --nproc-per-node 2 -m explorer.recipes.gan ...`. Source: StyleGAN2 (arXiv
1912.04958). Knows no domain expansion and no interface.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from explorer.latents import sample_z
from explorer.networks import Discriminator, DiscriminatorConfig, StyleGAN2, StyleGAN2Config
from explorer.networks.fuse import fuse, unfused
from explorer.networks.growing import grow_discriminator, grow_generator
from explorer.networks.pixels import from_pixels
from explorer.networks.recompute import recompute
from explorer.recipes import dormancy
from explorer.recipes.matching import Matching
from explorer.recipes.vision import VisionCritic
from explorer.training import losses
from explorer.training.augment import KINDS, adapted, augment
from explorer.training.data import Pictures
from explorer.training.descent import added, average, descend
from explorer.training.draws import Draws, share
from explorer.training.loop import Journal, course
from explorer.training.options import check_numbers, check_widths, doubling, option
from explorer.training.run import Folder, RunError, training_dtype
from explorer.weights import Checkpoint, load

SHEET = 48  # samples on a sheet
KNOWN = 20_000  # real pictures whose features are matched
PATH_SEED = 1_000_003  # apart: path lengths have codes of their own


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder. `kimg` means thousands of images shown."""

    data: str = option("", "a folder or zip of pictures", path=True)
    held_out: float = option(0.05, "fraction of the pictures never trained on, chosen by their names' hash")
    labels: bool = option(False, "a conditional generator: classes from dataset.json, else from folders", fixed=True)
    mirror: bool = option(True, "half of the pictures are flipped left to right")
    augment: str = option("", "DiffAugment for small data sets, comma-separated: color,translation,cutout")
    augment_target: float = option(0.0, "augment the part of the pictures at which D's mean sign on real ones is this")
    augment_kimg: float = option(500.0, "over which that part can rise from 0 to 1, or fall")
    resolution: int = option(64, "px", fixed=True)
    g_channels: tuple[int, ...] = option((), "widths from 4 px up; else 32 at last, doubling to 192", fixed=True)
    d_channels: tuple[int, ...] = option((), "widths from 4 px up; else 32 at last, doubling to 256", fixed=True)
    z_dim: int = option(512, "width of the latent z", fixed=True)
    w_dim: int = option(512, "width of the style code w", fixed=True)
    mapping_layers: int = option(4, "layers from z to w", fixed=True)
    start_from: str = option(
        "", "a checkpoint whose networks are the starting point, grown where these are larger", fixed=True, path=True
    )
    batch: int = option(32, "images a step, over all processes", fixed=True)
    accumulate: int = option(1, "parts of a process's batch, one after the other: less memory, the same step")
    checkpointing: bool = option(
        False, "blocks compute their features again instead of keeping them: less memory, more work; parts save more"
    )
    kimg: float = option(1000.0, "when to stop")
    g_lr: float = option(0.0025, "the generator's learning rate")
    d_lr: float = option(0.0025, "the discriminator's learning rate")
    freeze_kimg: float = option(0.0, "only the discriminator learns at first: for a trained generator with a new one")
    ramp_kimg: float = option(0.0, "afterwards the generator's rate rises from 0 to g_lr over this")
    anneal_kimg: float = option(0.0, "both rates fall linearly to 0 over the end of the run")
    r1_gamma: float = option(0.1, "weight of R1, times 1/2")
    r1_every: int = option(16, "steps")
    path_weight: float = option(0.0, "2 in the paper")
    path_every: int = option(4, "steps")
    vision: str = option("", "a frozen ImageNet network for a second critic, as efficientnet-lite1; see `vision`")
    vision_px: int = option(96, "its resolution")
    vision_weight: float = option(1.0, "of its loss for the generator")
    vision_lr: float = option(4.0, "its learning rate, as a multiple of d_lr: little must learn much")
    vision_augment: str = option("color,translation", "DiffAugment of what it sees")
    match: str = option("", "an ImageNet network on whose features the Frechet distance is a loss; see `matching`")
    match_px: int = option(96, "its resolution")
    match_weight: float = option(0.5, "of that loss")
    style_mixing: float = option(0.9, "probability")
    ema_kimg: float = option(10.0, "half-life")
    ema_ramp: float = option(0.05, "a younger run's half-life is at most this fraction of its age")
    style_decay: float = option(1.0, "factor a step on the style weights; see `dormancy`")
    style_threshold: float = option(0.0, "how much their smallest singular values are lowered a step")
    style_dormant: int = option(256, "how many are lowered: directions to be emptied")
    style_every: int = option(16, "steps between two thresholdings, which then do the work of all of them")
    style_keep: int = option(
        0, "directions of W that stay in use; all others are emptied at the start and stay so", fixed=True
    )
    seed: int = option(0, "of weights, data order and every random number")
    precision: str = option("auto", "fp32, bf16, or auto: bf16 where the hardware multiplies in it")
    compile: bool = option(True, "compiled epilogues, on a CPU in bf16")
    workers: int = option(0, "processes that decode pictures")
    checkpoint_minutes: float = option(3.0, "minutes between two checkpoints")

    def __post_init__(self) -> None:
        for name, most in (("g_channels", 192), ("d_channels", 256)):
            widths = tuple(getattr(self, name)) or doubling(self.resolution, most)
            object.__setattr__(self, name, widths)
            check_widths(name, widths, self.resolution)
        if unknown := {*kinds(self.augment), *kinds(self.vision_augment)} - set(KINDS):
            raise RunError(f"augmentations are {', '.join(KINDS)}, not {', '.join(sorted(unknown))}")
        if not 0 <= self.augment_target < 1 or self.augment_kimg <= 0:
            raise RunError("--augment-target must be 0 or more and below 1, and --augment-kimg more than 0")
        if self.augment_target and not self.augment:
            raise RunError("--augment-target needs --augment: say which augmentations to adapt")
        counts = (
            "batch",
            "accumulate",
            "resolution",
            "z_dim",
            "w_dim",
            "mapping_layers",
            "r1_every",
            "path_every",
            "style_every",
        )
        check_numbers(self, *counts)
        if self.style_mixing > 1:
            raise RunError(f"--style-mixing is a probability, at most 1, got {self.style_mixing:g}")
        if not 0 <= self.style_keep <= self.w_dim:
            raise RunError(
                f"--style-keep is 0, or directions of the {self.w_dim} that there are, got {self.style_keep}"
            )
        if self.precision not in ("auto", "fp32", "bf16"):
            raise RunError(f"--precision must be auto, fp32 or bf16, got {self.precision}")


def kinds(text: str) -> tuple[str, ...]:
    """The kinds of DiffAugment that a comma-separated setting asks for."""
    return tuple(kind for part in text.split(",") if (kind := part.strip()))


@dataclass(frozen=True)
class Found:
    """What a part of a step's batch leaves.

    Attributes:
        mine, theirs: gradients for the generator, none where it does not learn, and for the critics.
        figures: to log.
        followed: means over its samples that running means take in.
        real: `[n, 3, H, W]`, the real pictures as the discriminator saw them.
    """

    mine: Sequence[Tensor]
    theirs: Sequence[Tensor]
    figures: dict[str, Tensor]
    followed: dict[str, Tensor]
    real: Tensor


def means(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Each figure's mean over parts of one size."""
    return {name: torch.stack([part[name].detach() for part in parts]).mean(dim=0) for name in parts[0]}


class Trainer:
    """The networks, their optimisers and the step count: what a checkpoint holds, and what one step does to it."""

    def __init__(
        self, config: Config, classes: Sequence[str], accelerator: Accelerator, real: Iterable[Tensor] = ()
    ) -> None:
        self.config, self.classes, self.accelerator = config, tuple(classes), accelerator
        self.device = accelerator.device
        self.step = 0
        self.path_mean = torch.zeros((), device=self.device)
        self.augmented = torch.zeros((), device=self.device) if config.augment_target else None
        parts, rank = accelerator.num_processes * config.accumulate, accelerator.process_index * config.accumulate
        self.shares = [share(config.batch, rank + i, parts, min(4, config.batch)) for i in range(config.accumulate)]
        self.share = torch.cat(self.shares)
        self.dtype = training_dtype(config.precision, self.device)
        torch.manual_seed(config.seed)
        c_dim = len(classes) if config.labels else 0
        generator = StyleGAN2Config(
            config.resolution,
            config.g_channels,
            z_dim=config.z_dim,
            c_dim=c_dim,
            w_dim=config.w_dim,
            mapping_layers=config.mapping_layers,
        )
        discriminator = DiscriminatorConfig(
            config.resolution, config.d_channels, c_dim=c_dim, cmap_dim=config.w_dim if c_dim else 0
        )
        self.G = StyleGAN2(generator)
        self.D = Discriminator(discriminator)
        self.ema = StyleGAN2(generator)
        if config.start_from:
            start_from(load(config.start_from), self.G, self.D)
        self.kept = dormancy.kept_projection(self.G, config.style_keep) if config.style_keep else None
        if self.kept is not None:
            dormancy.keep(self.G, self.kept)
        self.ema.load_state_dict(self.G.state_dict())
        self.ema.eval().requires_grad_(False)
        self.vision = VisionCritic(config.vision, config.vision_px, self.dtype) if config.vision else None
        self.matching = None
        if config.match:
            self.matching = Matching(config.match, config.match_px, real, self.device, self.dtype)
        for network in (self.G, self.D, self.ema, self.vision):
            if network is not None:
                network.to(self.device)
        if config.compile and self.dtype == torch.bfloat16 and self.device.type == "cpu":
            fuse(self.G)
        if config.checkpointing:
            recompute(self.G)
            recompute(self.D)
        self.g_optimiser = torch.optim.Adam(self.G.parameters(), config.g_lr, (0.0, 0.99), fused=True)
        groups: list[dict[str, Any]] = [{"params": list(self.D.parameters())}]
        if self.vision:
            groups.append({"params": list(self.vision.parameters()), "times": config.vision_lr})
        self.d_optimiser = torch.optim.Adam(groups, config.d_lr, (0.0, 0.99), fused=True)

    def critics(self) -> list[nn.Parameter]:
        """The weights that learn to tell real from fake."""
        return [*self.D.parameters(), *(self.vision.parameters() if self.vision else ())]

    @property
    def seen(self) -> int:
        """Images shown so far."""
        return self.step * self.config.batch

    def rates(self) -> tuple[float, float]:
        """Learning rates of generator and discriminator at this step."""
        config, kimg = self.config, self.seen / 1000
        end = min(1.0, (config.kimg - kimg) / config.anneal_kimg) if config.anneal_kimg else 1.0
        awake = kimg - config.freeze_kimg
        begin = min(1.0, awake / config.ramp_kimg) if config.ramp_kimg else float(awake >= 0)
        return config.g_lr * max(begin, 0.0) * end, config.d_lr * end

    def train_step(self, real: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """One step of both networks on this process's share of the batch; returns figures to log.

        `real` is uint8 `[share, 3, H, W]`, `labels` int64 `[share]`, in the order of `share`. Every loss is a mean over
        samples, so the gradients of the batch's parts average to its own.
        """
        config, count = self.config, len(self.shares)
        g_rate, d_rate = self.rates()
        g_weights, d_weights = list(self.G.parameters()), self.critics()
        c = nn.functional.one_hot(labels.to(self.device), len(self.classes)).float() if config.labels else None
        shown = list(zip(self.shares, [None] * count if c is None else c.chunk(count), strict=True))
        mine: list[Any] = [None] * len(g_weights)
        theirs: list[Any] = [None] * len(d_weights)
        figures, followed = [], []
        for (part, condition), pictures in zip(shown, real.chunk(count), strict=True):
            found = self.gradients(part, condition, pictures, g_weights if g_rate > 0 else [], d_weights)
            theirs = added(theirs, found.theirs)
            if g_rate > 0:
                mine = added(mine, found.mine)
            if self.step % config.r1_every == 0 and config.r1_gamma:
                extra, found.figures["R1"] = self.r1_gradient(found.real, condition, d_weights)
                theirs = added(theirs, extra)
            figures.append(found.figures)
            followed.append(found.followed)
        told = means(figures)
        told |= self.follow(means(followed))
        if g_rate > 0:
            if self.step % config.path_every == 0 and config.path_weight:
                extra, told["path"] = self.path_gradient(shown, g_weights)
                mine = added(mine, extra)
            descend(self.g_optimiser, g_weights, mine, g_rate, self.accelerator)
            told |= self.tend_styles()
        descend(self.d_optimiser, d_weights, theirs, d_rate, self.accelerator)
        self.step += 1
        self.update_ema()
        return {name: value.detach() for name, value in told.items()}

    def gradients(
        self,
        part: Tensor,  # [n], its samples' places in the whole batch
        c: Tensor | None,  # [n, classes]
        real: Tensor,  # uint8 [n, 3, H, W]
        g_weights: list[nn.Parameter],  # none where the generator does not learn
        d_weights: list[nn.Parameter],
    ) -> Found:
        """A part's gradients, as its share of the batch's mean.

        Both networks learn from the same forward pass: each loss is differentiated for its own network's weights only,
        and both are stepped together.
        """
        config = self.config
        draws = Draws(config.seed, self.step, config.batch, part, self.device)
        real = from_pixels(real.to(self.device))
        if config.mirror:
            real = torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real)
        with torch.set_grad_enabled(bool(g_weights)):
            ws, w_mean = self.sample_codes(draws, c)
            fake = self.G.synthesis(ws, "random", draws.noise, self.dtype)
        real, fake = (augment(x, kinds(config.augment), draws, self.augmented) for x in (real, fake))
        real_logits, fake_logits = self.D(real, c, self.dtype), self.D(fake, c, self.dtype)
        d_loss = losses.discriminator_loss(real_logits, fake_logits)
        g_loss = losses.generator_loss(fake_logits)
        figures = {"D": d_loss, "G": g_loss, "real": real_logits.mean(), "fake": fake_logits.mean()}
        followed = {"w": w_mean, "sign": real_logits.detach().sign().mean()}
        if self.vision:
            views = (augment(x, kinds(config.vision_augment), draws) for x in (real, fake))
            logits = zip(*map(self.vision, views), strict=True)
            pairs = [(losses.discriminator_loss(r, f), losses.generator_loss(f)) for r, f in logits]
            figures["D vision"], figures["G vision"] = (sum(part) / len(pairs) for part in zip(*pairs, strict=True))
            d_loss = d_loss + figures["D vision"]
            g_loss = g_loss + config.vision_weight * figures["G vision"]
        if self.matching:
            figures["match"], features = self.matching(fake)
            g_loss = g_loss + config.match_weight * figures["match"]
            followed |= {"features": features.mean(dim=0), "products": features.t() @ features / len(features)}
        portion = 1 / len(self.shares)
        theirs = torch.autograd.grad(d_loss * portion, d_weights, retain_graph=bool(g_weights))
        mine = torch.autograd.grad(g_loss * portion, g_weights) if g_weights else ()
        return Found(mine, theirs, {name: value.detach() for name, value in figures.items()}, followed, real)

    def r1_gradient(
        self, real: Tensor, c: Tensor | None, weights: list[nn.Parameter]
    ) -> tuple[Sequence[Tensor | None], Tensor]:
        """A part's share of the gradient of R1, at the weight of a lazy one, and its penalty."""
        penalty = losses.gradient_penalty(lambda x: self.D(x, c, self.dtype), real)
        scaled = penalty * (self.config.r1_gamma / 2 * self.config.r1_every / len(self.shares))
        return torch.autograd.grad(scaled, weights, allow_unused=True), penalty.detach()

    def follow(self, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Take what a step has seen into the running means; returns how much is augmented, where that adapts."""
        config = self.config
        self.G.mapping.w_avg.lerp_(average(self.accelerator, seen["w"]), 0.002)
        if self.matching:
            mean, products = (average(self.accelerator, seen[name]) for name in ("features", "products"))
            self.matching.follow(mean, products, config.batch)
        if self.augmented is None:
            return {}
        sign, step = average(self.accelerator, seen["sign"]), config.batch / (1000 * config.augment_kimg)
        self.augmented = adapted(self.augmented, sign, config.augment_target, step)
        return {"augmented": self.augmented}

    def sample_codes(self, draws: Draws, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """Codes `[share, rows, dim]`, mixed (StyleGAN, arXiv 1812.04948, section 3.1), and their mean before."""
        ws = self.G.mapping(draws.normal(self.G.z_dim), c)
        w_mean = ws[:, 0].detach().mean(dim=0)
        if self.config.style_mixing:
            second = self.G.mapping(draws.normal(self.G.z_dim), c)
            rows = self.G.codes.rows
            row = torch.arange(rows, device=self.device)
            cut = draws.integers(1, rows, 1)
            mixed = (row >= cut) & (draws.uniform(1) < self.config.style_mixing)  # [share, rows]
            ws = torch.where(mixed[:, :, None], second, ws)
        return ws, w_mean

    def path_gradient(
        self, shown: Sequence[tuple[Tensor, Tensor | None]], weights: list[nn.Parameter]
    ) -> tuple[Sequence[Tensor | None], Tensor]:
        """Gradient of the path-length penalty (StyleGAN2, equation 4) on fresh codes, and the mean length.

        `shown` are the batch's parts and their labels. The running mean takes in all their lengths before there is a
        penalty, so all parts but the first are made twice.
        """
        config = self.config
        portion = config.path_weight * config.path_every / len(shown)

        def derived(lengths: Tensor) -> Sequence[Tensor | None]:
            penalty = (lengths - self.path_mean).square().mean() * portion
            return torch.autograd.grad(penalty, weights, allow_unused=True)

        with unfused(self.G):
            found = [self.path_lengths(*part).detach() for part in shown[1:]]
            first = self.path_lengths(*shown[0])
            mean = torch.stack([lengths.mean() for lengths in (first.detach(), *found)]).mean()
            self.path_mean = self.path_mean.lerp(average(self.accelerator, mean), 0.01)
            gradient = derived(first)
            for part in shown[1:]:
                gradient = added(gradient, derived(self.path_lengths(*part)))
        return gradient, self.path_mean

    def path_lengths(self, part: Tensor, c: Tensor | None) -> Tensor:  # [n], [n, classes] -> [n]
        """Of a part's own codes, differentiable."""
        draws = Draws(self.config.seed + PATH_SEED, self.step, self.config.batch, part, self.device)
        ws, _ = self.sample_codes(draws, c)
        images = self.G.synthesis(ws, "random", draws.noise, self.dtype)
        return losses.path_lengths(images, ws, draws.normal(*images.shape[1:]))

    def tend_styles(self) -> dict[str, Tensor]:
        """Empty the style directions that nothing holds (see `dormancy`); returns how empty they have become."""
        config = self.config
        if config.style_decay < 1:
            dormancy.decay(self.G, config.style_decay)
        if self.kept is not None:
            dormancy.keep(self.G, self.kept)
        if config.style_threshold and self.step % config.style_every == 0:
            amount = config.style_threshold * config.style_every
            values = dormancy.threshold(self.G, amount, config.style_dormant)
            return {"largest singular value": values[-1], "directions below 1": (values < 1).sum()}
        return {}

    @torch.no_grad()
    def update_ema(self) -> None:
        """Exponential moving average of the generator (ProGAN, arXiv 1710.10196, section 6) with ramp-up."""
        config = self.config
        age = max(self.seen - 1000 * config.freeze_kimg, 1)
        half_life = min(1000 * config.ema_kimg, age * config.ema_ramp) if config.ema_ramp else 1000 * config.ema_kimg
        weight = 1 - 0.5 ** (config.batch / max(half_life, 1e-8))
        for mine, theirs in zip(self.ema.parameters(), self.G.parameters(), strict=True):
            mine.lerp_(theirs, weight)
        for mine, theirs in zip(self.ema.buffers(), self.G.buffers(), strict=True):
            mine.copy_(theirs)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and data order follow from the step."""
        return {
            "step": self.step,
            "generator": self.G.state_dict(),
            "discriminator": self.D.state_dict(),
            "vision": self.vision.state_dict() if self.vision else {},
            "matching": self.matching.state_dict() if self.matching else {},
            "ema": self.ema.state_dict(),
            "g_optimiser": self.g_optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
            "path_mean": self.path_mean,
            "augmented": self.augmented,
            "kept": self.kept,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.G.load_state_dict(state["generator"])
        self.D.load_state_dict(state["discriminator"])
        if self.vision:
            self.vision.load_state_dict(state["vision"])
        if self.matching and state.get("matching"):
            self.matching.load_state_dict(state["matching"])
        self.ema.load_state_dict(state["ema"])
        self.g_optimiser.load_state_dict(state["g_optimiser"])
        self.d_optimiser.load_state_dict(state["d_optimiser"])
        self.path_mean = state["path_mean"].to(self.device)
        if self.augmented is not None and state.get("augmented") is not None:
            self.augmented = state["augmented"].to(self.device)
        self.kept = None if state["kept"] is None else state["kept"].to(self.device)

    @torch.no_grad()
    def samples(self, count: int = SHEET) -> Tensor:  # [count, 3, H, W]
        """Pictures of the averaged generator for always the same codes, truncated at psi 0.7."""
        z = sample_z(count, self.ema.z_dim, seed=0)
        c = torch.arange(count) % max(len(self.classes), 1)
        labels = nn.functional.one_hot(c, len(self.classes)).float() if self.config.labels else None
        parts = zip(z.split(8), labels.split(8) if labels is not None else [None] * count, strict=False)
        to = self.device
        return torch.cat([self.ema(a.to(to), None if b is None else b.to(to), 0.7).cpu() for a, b in parts])

    def checkpoint(self) -> Checkpoint:
        """The averaged generator and the discriminator as the program's own kind of checkpoint."""
        meta: dict[str, Any] = {"images_seen": self.seen, "data": Path(self.config.data).name}
        if self.config.labels:
            meta["classes"] = list(self.classes)
        return Checkpoint(self.ema, self.D, meta=meta)


def known(pictures: Pictures) -> Iterator[Tensor]:  # float32 [N, 3, H, W] in [-1, 1]
    """Batches of up to KNOWN pictures spread over all, for the moments of real features."""
    indices = torch.linspace(0, len(pictures) - 1, min(len(pictures), KNOWN)).long().tolist()
    for begin in range(0, len(indices), 64):
        yield from_pixels(torch.stack([pictures[i][0] for i in indices[begin : begin + 64]]))


def start_from(checkpoint: Checkpoint, generator: StyleGAN2, discriminator: Discriminator) -> None:
    """Begin with what a checkpoint has, grown where these networks are larger; see `growing`.

    Raises RunError where its networks do not fit into these.
    """
    if not isinstance(checkpoint.generator, StyleGAN2):
        raise RunError(f"start from a StyleGAN2: this is a {checkpoint.generator.family}")
    try:
        grow_generator(checkpoint.generator, generator)
        if (critic := checkpoint.discriminator) is not None:
            grow_discriminator(critic, discriminator)
    except ValueError as error:
        raise RunError(f"cannot start from this checkpoint: {error}") from None


def train(folder: Folder, config: Config, accelerator: Accelerator) -> int:
    """See `course`."""
    pictures = Pictures(config.data, config.resolution, config.held_out, labelled=config.labels)
    accelerator.print(pictures, file=sys.stderr)
    trainer = Trainer(config, pictures.classes, accelerator, known(pictures))
    folder.restore(trainer.load_state)
    batches = pictures.batches(config.batch, config.seed, trainer.step, trainer.share, config.workers)

    def publish(journal: Journal) -> None:
        trainer.checkpoint().save(folder.path / "network.safetensors")
        journal.images("samples", trainer.samples())

    return course(
        folder,
        config,
        accelerator,
        trainer,
        advance=lambda: trainer.train_step(*next(batches)),
        publish=publish,
        advice="lower --g-lr and --d-lr or a higher --r1-gamma",
    )
