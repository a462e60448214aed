"""A small CLIP from pictures, styles made of them, and captions: contrastive, every matching pair of a batch positive.

`python -m explorer.recipes.clip RUN --data PICTURES`; `--resume` continues RUN, bit for bit in float32 on a CPU.
Several processes: `torchrun --standalone --nproc-per-node 2 -m explorer.recipes.clip ...`. Sources: CLIP (arXiv
2103.00020), UniCL (arXiv 2204.03610). Knows no generator and no interface; `zeroshot` measures the result.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from explorer.networks.clip import ClipConfig, build_clip
from explorer.recipes.pairs import Batch, build_bank, draw
from explorer.recipes.zeroshot import load_pixels, measure, retrieved
from explorer.styles import STYLES
from explorer.training.data import DataError, Pictures
from explorer.training.loop import Journal, course
from explorer.training.options import check_numbers, option
from explorer.training.run import Folder, RunError, anywhere, training_dtype
from explorer.weights.clip import save_clip

MAX_SCALE = math.log(100)  # section 2.5 of the CLIP paper
GLANCE = 16  # held-out photos, in all styles, that are measured at a checkpoint
BANK = "styles.npy"


@dataclass(frozen=True)
class Config:
    """Everything that decides a run's result; saved in its folder. `kimg` means thousands of images shown.

    Raises RunError or another ValueError, with one sentence, for settings that cannot work.
    """

    data: str = option("", "a folder or zip of pictures; dataset.json beside them names their coats", path=True)
    name: str = option("clip", "what the model is called in reports")
    held_out: float = option(0.05, "fraction of the pictures never trained on, chosen by their names' hash")
    resolution: int = option(64, "px", fixed=True)
    layers: tuple[int, ...] = option((1, 2, 2, 1), "blocks of four stages, or one number: a transformer", fixed=True)
    width: int = option(32, "channels of the image tower's first stage", fixed=True)
    patch_size: int = option(8, "px, of a transformer", fixed=True)
    embed_dim: int = option(256, "length of the vectors that pictures and texts share", fixed=True)
    context_length: int = option(24, "tokens", fixed=True)
    text_width: int = option(128, "channels of the text tower", fixed=True)
    text_layers: int = option(3, "layers of the text tower", fixed=True)
    styles_per_photo: int = option(5, f"styled pictures made of every photo before training, at most {len(STYLES)}")
    batch: int = option(128, "images a step, over all processes", fixed=True)
    captions: int = option(64, "captions a step; they belong to the first images")
    kimg: float = option(400.0, "when to stop")
    lr: float = option(1e-3, "the highest learning rate, reached after a warm-up, falling to 0 as a cosine")
    warmup_kimg: float = option(12.0, "length of the warm-up")
    weight_decay: float = option(0.05, "of matrices, embeddings excepted")
    attack_every: int = option(4, "one image of this many is changed against the model before it sees it; 0: none")
    attack_size: float = option(0.03, "by how much at most; pictures reach from -1 to 1")
    seed: int = option(0, "of weights, styles and every random number")
    precision: str = option("auto", "fp32, bf16, or auto: bf16 where the hardware multiplies in it")
    checkpoint_minutes: float = option(4.0, "minutes between two checkpoints")

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(int(n) for n in self.layers))
        check_numbers(self, "batch", "resolution", "styles_per_photo", "text_layers")
        if not 0 < self.captions <= self.batch:
            raise RunError(f"--captions must lie between 1 and the batch of {self.batch}, got {self.captions}")
        if self.styles_per_photo > len(STYLES):
            raise RunError(f"--styles-per-photo must be at most {len(STYLES)}, as many as there are styles")
        if self.attack_every < 0:
            raise RunError(f"--attack-every must be 1 or more, or 0 for none, got {self.attack_every}")
        if not 0 <= self.seed < 2**63:
            raise RunError(f"--seed must be a number from 0 to {2**63 - 1}, got {self.seed}")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise RunError(f"--precision must be auto, fp32 or bf16, got {self.precision}")
        try:
            _ = self.shape
        except ValueError as error:  # it calls the settings as we do, all but one
            raise RunError(str(error).replace("image_size", "--resolution")) from None

    @property
    def shape(self) -> ClipConfig:
        """The model's part. Raises ValueError where it does not fit together."""
        return ClipConfig(
            self.resolution,
            self.layers,
            self.width,
            self.patch_size,
            self.embed_dim,
            self.context_length,
            self.text_width,
            self.text_layers,
        )


class Trainer:
    """The model, its optimiser and the step count: what a checkpoint holds, and what one step does to it."""

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.device = accelerator.device
        self.dtype = training_dtype(config.precision, self.device)
        self.step = 0
        if config.batch % accelerator.num_processes or config.captions % accelerator.num_processes:
            raise RunError(f"batch and captions must be multiples of the {accelerator.num_processes} processes")
        counts = config.batch // accelerator.num_processes, int(self.victims().sum())
        smallest = config.shape.convolutional and config.resolution == 32  # its last maps are of a single pixel
        if any(anywhere(accelerator, smallest and 1 in counts)):
            raise RunError(
                "batch normalisation at 32 px needs two images or more a step and process, of those attacked too: raise"
                f" --batch, now {config.batch}, or lower --attack-every, now {config.attack_every} (0: none)"
            )
        torch.manual_seed(config.seed)
        # channels_last: convolutions of small pictures take two thirds of the time on a CPU
        self.clip = build_clip(config.shape, config.name).to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        decayed = [p for n, p in self.clip.named_parameters() if p.ndim > 1 and "embedding" not in n]
        others = [p for n, p in self.clip.named_parameters() if p.ndim <= 1 or "embedding" in n]
        groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, config.lr, (0.9, 0.98), fused=True)

    @property
    def seen(self) -> int:
        """Images shown so far."""
        return self.step * self.config.batch

    def rate(self) -> float:
        """The learning rate of this step."""
        kimg, warm = self.seen / 1000, self.config.warmup_kimg
        if kimg < warm:
            return self.config.lr * (kimg + self.config.batch / 1000) / (warm + self.config.batch / 1000)
        past = min(1.0, (kimg - warm) / max(self.config.kimg - warm, 1e-9))
        return self.config.lr * 0.5 * (1 + math.cos(math.pi * past))

    def train_step(self, batch: Batch) -> dict[str, Tensor]:
        """One step on this process's share of the whole batch; returns figures to log."""
        self.clip.train()
        tokens = self.clip.tokenizer([caption.text for caption in batch.captions])
        images = self.mine(batch.images).to(self.device, memory_format=torch.channels_last)
        match = batch.match.to(self.device)
        with self.precision():
            texts = self.everyone(self.clip.encode_tokens(self.mine(tokens).to(self.device)).float())
        images = self.attacked(images, self.mine(match), texts.detach())
        with self.precision():
            pictures = self.everyone(self.clip.encode_image(images).float())
        logits = self.clip.scale * pictures @ texts.t()
        loss = (contrast(logits, match) + contrast(logits.t(), match.t())) / 2
        loss.backward()
        self.descend()
        hit = match.gather(1, logits.argmax(1, keepdim=True)).mean()
        return {"loss": loss.detach(), "image to text": hit, "scale": self.clip.scale.detach()}

    def attacked(self, images: Tensor, match: Tensor, texts: Tensor) -> Tensor:
        """Some images moved against their captions, by one signed step of the size of a faint noise.

        A teacher of generators must not be fooled by such noise: it is the first thing a generator would find.
        Source: fast adversarial training (Wong et al., arXiv 2001.03994), where the step starts at a random point; ours
        starts at the augmented picture.
        """
        chosen = self.victims()
        if not chosen.any():
            return images
        victims = images[chosen].requires_grad_()
        with self.precision():
            pictures = self.clip.encode_image(victims).float()
        loss = contrast(self.clip.scale.detach() * pictures @ texts.t(), match[chosen])
        (gradient,) = torch.autograd.grad(loss, victims)
        moved = images.clone()
        moved[chosen] = (victims + self.config.attack_size * gradient.sign()).detach().clamp(-1, 1)
        return moved

    def victims(self) -> Tensor:  # [batch / processes], bool
        """Which images of this process are attacked: one of every `attack_every` in the whole batch."""
        places = torch.arange(self.config.batch, device=self.device)
        return self.mine(places % self.config.attack_every == 0 if self.config.attack_every else places < 0)

    def precision(self) -> torch.autocast:
        """The towers' arithmetic."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def mine(self, whole: Tensor) -> Tensor:
        """This process's consecutive part."""
        size = len(whole) // self.accelerator.num_processes
        return whole[self.accelerator.process_index * size :][:size]

    def everyone(self, part: Tensor) -> Tensor:  # [n, E] -> [n * processes, E]
        """The parts of all processes in order, with a gradient through this one's.

        Gradients are averaged over processes in the end, but a picture is seen by one of them only: hence the factor.
        """
        processes = self.accelerator.num_processes
        if processes == 1:
            return part
        parts = list(self.accelerator.gather(part.detach()).chunk(processes))  # type: ignore[union-attr]
        parts[self.accelerator.process_index] = part * processes - part.detach() * (processes - 1)
        return torch.cat(parts)

    def descend(self) -> None:
        """One step along the mean gradient of all processes."""
        rate = self.rate()
        for group in self.optimiser.param_groups:
            group["lr"] = rate
            if self.accelerator.num_processes > 1:
                for weight in group["params"]:
                    weight.grad = self.accelerator.reduce(weight.grad, "mean")
        self.optimiser.step()
        self.optimiser.zero_grad()
        with torch.no_grad():
            self.clip.model.logit_scale.clamp_(0, MAX_SCALE)
        self.step += 1

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and batches follow from the step."""
        return {"step": self.step, "clip": self.clip.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.clip.load_state_dict(state["clip"])
        self.optimiser.load_state_dict(state["optimiser"])


def contrast(logits: Tensor, match: Tensor) -> Tensor:  # [N, M], [N, M] of 0 and 1 -> scalar
    """Cross-entropy of every row to the even distribution over its matches (UniCL, equation 2), if it has any."""
    matches = match.sum(1)
    rows = -(match * logits.log_softmax(1)).sum(1) / matches.clamp(min=1)
    return rows[matches > 0].mean()


def train(folder: Folder, config: Config, accelerator: Accelerator) -> int:
    """See `course`."""
    trainer = Trainer(config, accelerator)
    folder.restore(trainer.load_state)
    pictures = Pictures(config.data, config.resolution, config.held_out)
    accelerator.print(pictures, file=sys.stderr)
    photos, coats = load_pixels(pictures)
    unseen = load_held_out(config) if accelerator.is_main_process else None
    with accelerator.main_process_first():  # the others read what the first has written
        bank = build_bank(photos, coats, config.styles_per_photo, config.seed, folder.path / BANK)

    def advance() -> dict[str, Tensor]:
        rng = np.random.default_rng((config.seed, trainer.step))
        return trainer.train_step(draw(bank, config.batch, config.captions, rng))

    def publish(journal: Journal) -> None:
        export(trainer, folder)
        if unseen:
            glance(trainer, *unseen, journal)

    return course(folder, config, accelerator, trainer, advance=advance, publish=publish, advice="a lower --lr")


def export(trainer: Trainer, folder: Folder) -> Path:
    """The model in the program's own format, float16, beside the checkpoint."""
    meta = {"images_seen": trainer.seen, "data": Path(trainer.config.data).name, "held_out": trainer.config.held_out}
    return save_clip(trainer.clip, folder.path / "clip.safetensors", meta)


def load_held_out(config: Config) -> tuple[np.ndarray, list[str | None]] | None:
    """The held-out pictures and their coats; None where so small a set has none."""
    try:
        pictures = Pictures(config.data, config.resolution, config.held_out, held_out=True)
    except DataError:
        return None
    return load_pixels(pictures)


def glance(trainer: Trainer, pixels: np.ndarray, coats: list[str | None], journal: Journal) -> None:
    """Figures on a few held-out pictures, and a sheet of what the styles' prompts find among them."""
    clip = trainer.clip.eval()
    figures = measure(clip, pixels[: 20 * GLANCE], coats[: 20 * GLANCE], GLANCE)
    scalars = {f"held out/{name}": value for name, value in figures.items() if isinstance(value, float)}
    journal.scalars(scalars)
    journal.images("found by the styles' prompts", retrieved(clip, pixels[:GLANCE]))
