"""One step of domain expansion: projected codes, the tasks' losses, replay, the source's GAN loss.

Source: Nitzan et al., "Domain Expansion of Image Generators" (arXiv 2301.05225), section 3.2. Only the synthesis
network learns; the mapping network stays as it is. Knows no files and no schedule of reports.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.func import functional_call

from explorer.expansion.config import Config
from explorer.expansion.plan import Plan
from explorer.expansion.tasks import Task
from explorer.expansion.tasks.task import Shown, Studio
from explorer.expansion.tasks.views import NUMBERS, views
from explorer.latents import Expansion, project
from explorer.networks import Generator
from explorer.networks.layers import FullyConnected
from explorer.training import losses
from explorer.training.data import Order, Pictures
from explorer.training.descent import average, descend
from explorer.training.draws import Draws, share
from explorer.training.fuse import fuse, unfused

HALF_SCALE = 2.0**10  # float16 forgets gradients below 6e-8
TASK_SEEDS = 1_000_003  # apart, so that no domain's random numbers depend on which others had samples
Gradient = list[Tensor]


class Noise:
    """The noise images of a step's samples: whoever renders the same rows gets the same noise."""

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._drawn: dict[tuple[int, int], Tensor] = {}

    def of(self, *parts: Tensor) -> Callable[[int, int], Tensor]:
        """A source for `synthesis`, for the given rows one part after the other."""
        asked: dict[int, int] = {}
        rows = torch.cat(parts)

        def draw(_: int, resolution: int) -> Tensor:
            key = resolution, asked.get(resolution, 0)  # the layers of a resolution ask in their order
            asked[resolution] = key[1] + 1
            if key not in self._drawn:
                self._drawn[key] = self._draws.noise(_, resolution)
            return self._drawn[key][rows]

        return draw


class Trainer:
    """The networks, their optimisers and the step count: what a checkpoint holds, and what one step does to it.

    `start` is the generator as it came in; if it had domains, it teaches those that are kept. The original source, on
    whose base subspace everything is replayed, is `studio.networks.generator`.
    """

    def __init__(
        self,
        config: Config,
        plan: Plan,
        start: Generator,
        studio: Studio,
        tasks: Sequence[Task],
        pictures: Pictures | None,
        accelerator: Accelerator,
    ) -> None:
        self.config, self.plan, self.studio, self.accelerator = config, plan, studio, accelerator
        self.source, self.device, self.dtype = studio.networks.generator, studio.device, studio.dtype
        self.expansion, self.step = plan.expansion, 0
        self.tasks = nn.ModuleList(tasks)
        self.G = copy.deepcopy(start).requires_grad_(False)
        self.G.synthesis.requires_grad_(True)
        self.ema = copy.deepcopy(start).eval().requires_grad_(False)
        self.teacher = copy.deepcopy(start).eval().requires_grad_(False) if plan.kept else None
        replayed = config.lambda_src > 0 and not config.plain
        self.D = None
        if replayed and studio.discriminator is not None:
            self.D = copy.deepcopy(studio.discriminator).requires_grad_(True)
        self.path_mean = torch.zeros((), device=self.device)
        parts, rank = accelerator.num_processes * config.accumulate, accelerator.process_index * config.accumulate
        self.shares = [share(config.batch, rank + i, parts, min(4, config.batch)) for i in range(config.accumulate)]
        self.pictures = pictures
        self.order = None if pictures is None else Order(len(pictures), config.batch, config.seed)
        if config.compile and self.dtype == torch.bfloat16 and self.device.type == "cpu":
            fuse(self.G)
        self.weights = list(self.G.synthesis.parameters())
        self.critics = [*(self.D.parameters() if self.D is not None else ()), *self.tasks.parameters()]
        self.g_optimiser = torch.optim.Adam(self.weights, config.lr, (0.0, 0.99), fused=True)
        self.d_optimiser = (
            torch.optim.Adam(self.critics, config.d_lr, (0.0, 0.99), fused=True) if self.critics else None
        )
        parameters = sorted(self.G.synthesis.named_parameters())  # every bias before its weight
        self.before = {name: p.detach().clone() for name, p in parameters}
        self.odds = torch.tensor([config.domains[i].weight for i in range(len(tasks))]).cumsum(0)

    @property
    def seen(self) -> int:
        """Samples shown so far."""
        return self.step * self.config.batch

    @property
    def warming(self) -> bool:
        """Whether only the styles along the new directions learn: the base subspace and all other domains cannot move,

        so nothing has to be replayed, and domains arrive in a fraction of the steps. Ours.
        """
        return self.step < self.config.warmup and not self.config.plain

    @torch.no_grad()
    def keep_base(self) -> None:
        """Undo all of a step but what the new directions add to the styles.

        Codes of the base subspace have w_avg's components along them; the styles' biases take those back.
        """
        new = self.expansion.basis[:, [self.expansion.dim(name) for name in self.plan.new]].to(self.device)
        w_avg, synthesis = self.expansion.w_avg.to(self.device), self.G.synthesis
        for name, before in self.before.items():
            weight = synthesis.get_parameter(name)
            if not name.endswith("affine.weight"):
                weight.copy_(before)
                continue
            added = (weight - before) @ new @ new.t()
            weight.copy_(before + added)
            layer, bias = synthesis.get_submodule(name.removesuffix(".weight")), name.replace("weight", "bias")
            assert isinstance(layer, FullyConnected)
            taken = layer.weight_gain / layer.bias_gain * (added @ w_avg)
            synthesis.get_parameter(bias).copy_(self.before[bias] - taken)

    def train_step(self) -> dict[str, Tensor]:
        """One step of all networks; returns figures to log, a domain's loss under its name where it had samples."""
        count, figures = len(self.shares), {}
        mine = [torch.zeros_like(weight) for weight in self.weights]
        theirs = [torch.zeros_like(weight) for weight in self.critics]
        for part in self.shares:
            g_gradient, d_gradient, found = self.gradients(part)
            mine = [a if b is None else a.add_(b, alpha=1 / count) for a, b in zip(mine, g_gradient, strict=True)]
            theirs = [a if b is None else a.add_(b, alpha=1 / count) for a, b in zip(theirs, d_gradient, strict=True)]
            figures |= found
        end = self.config.anneal * self.config.steps
        rate = min(1.0, (self.config.steps - self.step) / end) if end else 1.0
        lr = self.config.warmup_lr if self.warming else self.config.lr
        descend(self.g_optimiser, self.weights, mine, lr * rate, self.accelerator)
        if self.warming:
            self.keep_base()
        if self.d_optimiser is not None:
            descend(self.d_optimiser, self.critics, theirs, self.config.d_lr * rate, self.accelerator)
        self.step += 1
        self.update_ema()
        return figures

    def gradients(self, part: Tensor) -> tuple[Sequence[Any], Sequence[Any], dict[str, Tensor]]:
        """Gradients for generator and discriminators on one share of the batch, and figures."""
        config = self.config
        draws = Draws(config.seed, self.step, config.batch, part, self.device)
        ws, c, domain = self.sample(draws)
        noise = Noise(draws)
        rows = [(domain == i).nonzero().flatten() for i in range(len(self.tasks))]
        by_domain = [self.draws_of(i, part[mine.cpu()]) for i, mine in enumerate(rows)]
        for i, mine in enumerate(rows):
            if len(mine):
                ws = ws.index_copy(0, mine, self.task(i).codes(ws[mine], by_domain[i], self.step))
        every = torch.arange(len(ws), device=self.device)
        alone = config.plain or self.warming  # the domains' pictures only
        old = (part % 2 == 0).nonzero().flatten().to(self.device) if self.plan.kept and not alone else every[:0]
        base, moved = self.codes(ws, domain)
        with torch.no_grad():
            truth = self.source.synthesis(base, "random", noise.of(every), self.dtype)
        images, after, old_images, old_truth = self.render(base, moved, rows, old, noise, draws)
        before = truth if alone else images.detach()
        shown = self.shown(after, before, base, rows, by_domain)
        scale = {i: len(rows[i]) / len(ws) for i in shown}
        task_losses = {i: self.task(i).loss(scene) for i, scene in shown.items()}
        figures = {self.plan.new[i]: loss for i, loss in task_losses.items()}
        total = sum((config.lambda_expand * scale[i] * loss for i, loss in task_losses.items()), truth.new_zeros(()))
        if not alone:
            figures["replay"] = self.replay(images, truth)
            total = total + figures["replay"]
        if len(old):
            figures["kept domains"] = self.replay(old_images, old_truth)
            total = total + figures["kept domains"] * (2 * len(old) / len(ws))  # as much as if all were shown
        d_total = truth.new_zeros(())
        if self.D is not None and not alone and self.step % config.source_every == 0:
            logits = self.D(images, c, self.dtype)
            figures["source"] = losses.generator_loss(logits)
            total = total + config.lambda_src * config.source_every * figures["source"]
            d_total, found = self.source_critic_loss(logits, c, part, draws)
            figures |= found
        extra: Sequence[Any] = [None] * len(self.weights)
        if config.path_weight and not alone and self.step % config.path_every == 0:
            extra, figures["path"] = self.path_gradient(base, noise.of(every), draws)
        for i, scene in shown.items():
            aside = Shown(**{**vars(scene), "images": scene.images.detach()})
            if (loss := self.task(i).critic_loss(aside)) is not None:
                d_total = d_total + scale[i] * loss
                figures[f"{self.plan.new[i]}, critic"] = loss
        theirs: Sequence[Any] = [None] * len(self.critics)
        if d_total.requires_grad:  # before the generator's: compiled parts of its graph serve once
            theirs = self.derivatives(d_total, self.critics, keep=True)
        mine = self.derivatives(total, self.weights)
        mine = [b if a is None else a if b is None else a + b for a, b in zip(mine, extra, strict=True)]
        return mine, theirs, {name: value.detach() for name, value in figures.items()}

    def draws_of(self, domain: int, mine: Tensor) -> Draws:
        """Random numbers of a domain's own: which others have samples makes no difference to them."""
        seed = self.config.seed + TASK_SEEDS * (domain + 1)
        return Draws(seed, self.step, self.config.batch, mine, self.device)

    def sample(self, draws: Draws) -> tuple[Tensor, Tensor | None, Tensor]:
        """Codes `[n, num_ws, w_dim]` without truncation, labels `[n, c_dim]`, each sample's domain `[n]`."""
        generator = self.source
        z, c = draws.normal(generator.z_dim), None
        if generator.c_dim:
            c = F.one_hot(draws.integers(0, generator.c_dim), generator.c_dim).float()
        with torch.no_grad():
            ws = generator.mapping(z, c)
        odds = self.odds.to(self.device)
        domain = torch.bucketize(draws.uniform() * odds[-1:], odds, right=True) if len(odds) else ws.new_zeros(len(ws))
        return ws, c, domain

    def codes(self, ws: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """proj_base(w), and proj_i(w) = proj_base(w) + s v_i (equation 3), both `[n, num_ws, w_dim]`.

        Plain adaptation: w itself, twice.
        """
        if self.config.plain:
            return ws, ws
        base = project(ws, self.expansion)
        if not self.tasks:
            return base, base[:0]
        dims = torch.tensor([self.expansion.dim(name) for name in self.plan.new], device=ws.device)
        step = self.expansion.distance * self.expansion.basis.to(ws)[:, dims[domain]].t()  # [n, w_dim]
        return base, base + step[:, None]

    def render(
        self, base: Tensor, moved: Tensor, rows: list[Tensor], old: Tensor, noise: Noise, draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pictures of the base subspace, of the new domains, of kept domains, and what the last must look like.

        One pass for all of them, except for samples of a domain that leaves layers frozen.
        """
        every = torch.arange(len(base), device=self.device)
        frozen = [self.task(i).frozen(base[r]) if len(r) else frozenset() for i, r in enumerate(rows)]
        apart = [r for r, names in zip(rows, frozen, strict=True) if names]
        together = every[~torch.isin(every, torch.cat(apart))] if apart else every[: len(moved)]
        kept, target = self.kept_codes(base[old], draws, old)
        first = every[:0] if self.config.plain or self.warming else every
        ws = torch.cat([base[first], moved[together], kept])
        images = self.G.synthesis(ws, "random", noise.of(first, together, old), self.dtype)
        images, after, old_images = images.split([len(first), len(together), len(old)])
        if apart:
            whole = torch.zeros(len(moved), *after.shape[1:], device=self.device).index_copy(0, together, after)
            for mine, names in zip(rows, frozen, strict=True):
                if names:
                    parts = {n: p.detach() if n in names else p for n, p in self.G.synthesis.named_parameters()}
                    inputs = (moved[mine], "random", noise.of(mine), self.dtype)
                    whole = whole.index_copy(0, mine, functional_call(self.G.synthesis, parts, inputs))
            after = whole
        with torch.no_grad():
            teacher = self.teacher
            truth = (
                old_images
                if teacher is None or not len(old)
                else teacher.synthesis(target, "random", noise.of(old), self.dtype)
            )
        return images, after, old_images, truth

    def kept_codes(self, base: Tensor, draws: Draws, old: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of kept domains, one drawn for every sample, and the same without what any domain ever occupied.

        The teacher must not see directions that have been given up: there it still shows what they held.
        """
        if not len(base):
            return base, base
        which = draws.integers(0, len(self.plan.kept))[old]
        dims = torch.tensor([self.expansion.dim(name) for name in self.plan.kept], device=base.device)
        step = self.expansion.distance * self.expansion.basis.to(base)[:, dims[which]].t()[:, None]
        names = tuple(map(str, self.plan.before))
        whole = Expansion(self.expansion.basis, self.plan.before, 1.0, names, self.expansion.w_avg)
        return base + step, project(base, whole) + step

    def shown(
        self, after: Tensor, before: Tensor, ws: Tensor, rows: list[Tensor], draws: list[Draws]
    ) -> dict[int, Shown]:
        """What every task with samples sees; CLIP looks once at the samples of all tasks that want it.

        Beyond [-1, 1] a generator can please a judge with what no file and no screen shows.
        """
        after, before = after.clamp(-1, 1), before.clamp(-1, 1)
        seeing = [i for i, mine in enumerate(rows) if len(mine) and self.task(i).uses_clip]
        parts: dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = {}
        if seeing:
            chosen = torch.cat([rows[i] for i in seeing])
            told = torch.cat([draws[i].uniform(self.config.views - 1, NUMBERS) for i in seeing])
            a = self.embeddings(after[chosen], told)
            with torch.no_grad():
                b = self.embeddings(before[chosen], told)
            sizes = [len(rows[i]) for i in seeing]
            split = [list(zip(*(e.split(sizes, dim=1) for e in each), strict=True)) for each in (a, b)]
            parts = {i: (split[0][k], split[1][k]) for k, i in enumerate(seeing)}
        return {
            i: Shown(after[mine], before[mine], ws[mine], *parts.get(i, ((), ())), draws[i], self.step)
            for i, mine in enumerate(rows)
            if len(mine)
        }

    def embeddings(self, images: Tensor, numbers: Tensor) -> list[Tensor]:  # -> eyes x [views, n, E]
        """Directions of augmented versions of pictures, for every CLIP."""
        size = max(eye.clip.image_size for eye in self.studio.eyes)
        seen = views(images, numbers, size)
        return [eye(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]) for eye in self.studio.eyes]

    def replay(self, images: Tensor, truth: Tensor) -> Tensor:  # [n, 3, H, W], same -> scalar
        """lambda_lpips * LPIPS + lambda_l2 * MSE to what a frozen generator makes of the same code and noise."""
        total = images.new_zeros(())
        if self.config.lambda_lpips:
            total = total + self.config.lambda_lpips * self.studio.perceptual_to(truth)(images).mean()
        return total + self.config.lambda_l2 * F.mse_loss(images, truth)

    def source_critic_loss(
        self, fake_logits: Tensor, c: Tensor | None, part: Tensor, draws: Draws
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on real pictures and projected fakes, with lazy R1.

        The fakes' logits are shared with the generator's loss: each loss is differentiated for its own weights only.
        """
        config, D = self.config, self.D
        assert D is not None
        real, c = self.real(part, c, draws)
        loss = losses.discriminator_loss(D(real, c, self.dtype), fake_logits)
        figures = {"D": loss}
        if config.r1_gamma and self.step // config.source_every % config.r1_every == 0:
            figures["R1"] = losses.gradient_penalty(lambda x: D(x, c, self.dtype), real)
            loss = loss + figures["R1"] * (config.r1_gamma / 2 * config.r1_every)
        return loss, figures

    def real(self, part: Tensor, c: Tensor | None, draws: Draws) -> tuple[Tensor, Tensor | None]:
        """Pictures `[n, 3, R, R]` that the source was trained on, half of them flipped, and their labels.

        Where there are none, the source's own samples stand in for them, with the labels given.
        """
        if self.pictures is None or self.order is None:
            with torch.no_grad():
                ws = self.source.mapping(draws.normal(self.source.z_dim), c)
                return self.source.synthesis(ws, "random", draws.noise, self.dtype), c
        found, labels = zip(*(self.pictures[i] for i in self.order.at(self.step)[part].tolist()), strict=True)
        real = torch.stack(found).to(self.device).float() / 127.5 - 1
        if c is not None:
            c = F.one_hot(torch.tensor(labels, device=self.device), self.source.c_dim).float()
        return torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real), c

    def path_gradient(self, base: Tensor, noise: Any, draws: Draws) -> tuple[Sequence[Any], Tensor]:
        """Gradient of the path-length penalty (StyleGAN2, equation 4) on the base subspace, and the mean length."""
        ws = base.detach().requires_grad_()
        with unfused(self.G):
            images = self.G.synthesis(ws, "random", noise, self.dtype)
            lengths = losses.path_lengths(images, ws, draws.normal(*images.shape[1:]))
        self.path_mean = self.path_mean.lerp(average(self.accelerator, lengths.detach().mean()), 0.01)
        penalty = (lengths - self.path_mean).square().mean() * (self.config.path_weight * self.config.path_every)
        return self.derivatives(penalty, self.weights), self.path_mean

    def derivatives(self, loss: Tensor, weights: list, keep: bool = False) -> Sequence[Any]:
        """Gradients; through float16 they pass enlarged, and what overflows there counts as 0, as in StyleGAN2-ADA."""
        if self.dtype != torch.float16:
            return torch.autograd.grad(loss, weights, retain_graph=keep, allow_unused=True)
        found = torch.autograd.grad(loss * HALF_SCALE, weights, retain_graph=keep, allow_unused=True)
        return [g if g is None else (g / HALF_SCALE).nan_to_num(0, 0, 0) for g in found]

    def task(self, index: int) -> Task:
        task = self.tasks[index]
        assert isinstance(task, Task)
        return task

    @torch.no_grad()
    def update_ema(self) -> None:
        """Exponential moving average (ProGAN, arXiv 1710.10196, section 6) with ramp-up."""
        config = self.config
        half_life = 1000 * config.ema_kimg
        half_life = min(half_life, self.seen * config.ema_ramp) if config.ema_ramp else half_life
        weight = 1 - 0.5 ** (config.batch / max(half_life, 1e-8))
        for mine, theirs in zip(self.ema.synthesis.parameters(), self.weights, strict=True):
            mine.lerp_(theirs, weight)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers and data order follow from the step."""
        return {
            "step": self.step,
            "generator": self.G.state_dict(),
            "ema": self.ema.state_dict(),
            "discriminator": {} if self.D is None else self.D.state_dict(),
            "tasks": self.tasks.state_dict(),
            "g_optimiser": self.g_optimiser.state_dict(),
            "d_optimiser": {} if self.d_optimiser is None else self.d_optimiser.state_dict(),
            "path_mean": self.path_mean,
            "basis": self.expansion.basis,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.step = state["step"]
        self.G.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        if self.D is not None:
            self.D.load_state_dict(state["discriminator"])
        self.tasks.load_state_dict(state["tasks"])
        self.g_optimiser.load_state_dict(state["g_optimiser"])
        if self.d_optimiser is not None:
            self.d_optimiser.load_state_dict(state["d_optimiser"])
        self.path_mean = state["path_mean"].to(self.device)
