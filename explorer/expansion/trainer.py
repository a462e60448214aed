"""One step of domain expansion: projected codes, the tasks' losses, replay, the source's GAN loss.

Source: Nitzan et al., "Domain Expansion of Image Generators" (arXiv 2301.05225), section 3.2. Only what makes pictures
of codes learns (`Generator.learnable`). Knows no files and no schedule of reports.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from torch.func import functional_call

from explorer.expansion.batch import Batch, Noise, Rendered
from explorer.expansion.config import Config, ExpansionError
from explorer.expansion.plan import Plan
from explorer.expansion.tasks import Task
from explorer.expansion.tasks.task import Shown, Studio
from explorer.expansion.tasks.views import NUMBERS, views
from explorer.latents import Expansion, project
from explorer.networks import Generator
from explorer.networks.family import LARGE, WARM_SIDE, Synthesizer
from explorer.networks.fuse import fuse, unfused
from explorer.networks.pixels import as_rgb, from_pixels
from explorer.training import losses
from explorer.training.data import Order, Pictures
from explorer.training.descent import added, average, descend
from explorer.training.draws import Draws, share

HALF_SCALE = 2.0**10  # float16 forgets gradients below 6e-8
TASK_SEEDS = 1_000_003  # apart, so that no domain's random numbers depend on which others had samples
Gradient = list[Tensor]


class Trainer:
    """The networks, their optimisers and the step count: what a checkpoint holds, and what one step does to it.

    `start` is the generator as it came in; if it had domains, it teaches those that are kept. The original source, on
    whose base subspace everything is replayed, is `studio.networks.generator`. `free` are masks of the weights of
    channels that sleep on that subspace (`networks.growing`): where there are some, they and the styles along the new
    directions learn, and nothing else.
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
        free: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config, self.plan, self.studio, self.accelerator = config, plan, studio, accelerator
        self.source, self.device, self.dtype = studio.networks.generator, studio.device, studio.dtype
        self.expansion, self.step = plan.expansion, 0
        self.steps = self.source.codes.steps[1] if self.source.codes.steps else None
        self.side = warmup_side(self.source, config.warmup_side, tasks)
        self.tasks = nn.ModuleList(tasks)
        self.G = copy.deepcopy(start).requires_grad_(False)
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
        self.weights = list(self.G.learnable().values())
        for weight in self.weights:
            weight.requires_grad_(True)
        self.critics = [*(self.D.parameters() if self.D is not None else ()), *self.tasks.parameters()]
        self.g_optimiser = torch.optim.Adam(self.weights, config.lr, (0.0, 0.99), fused=True)
        self.d_optimiser = (
            torch.optim.Adam(self.critics, config.d_lr, (0.0, 0.99), fused=True) if self.critics else None
        )
        self.before = {name: weight.detach().clone() for name, weight in self.G.learnable().items()}
        self.free = {} if free is None else free
        self.odds = torch.tensor([config.domains[i].weight for i in range(len(tasks))]).cumsum(0)

    @property
    def seen(self) -> int:
        """Samples shown so far."""
        return self.step * self.config.batch

    @property
    def warming(self) -> bool:
        """Whether only the styles along the new directions learn, and channels that sleep elsewhere: the base subspace

        and all other domains cannot move, so nothing has to be replayed, and domains arrive in a fraction of the steps.
        Ours.
        """
        return (self.step < self.config.warmup or bool(self.free)) and not self.config.plain

    @property
    def alone(self) -> bool:
        """Whether a step shows the domains only: there is no base to keep, or nothing that could move it."""
        return self.config.plain or self.warming

    @torch.no_grad()
    def keep_base(self) -> None:
        """Undo all of a step but what the new directions add to the styles.

        Codes of the base subspace have the mean code's components along them; the styles' biases take those back.
        """
        new = self.expansion.basis[:, [self.expansion.dim(name) for name in self.plan.new]].to(self.device)
        layers, mean = self.G.style_layers(), self.expansion.mean.to(self.device)
        added = [(layer.weight - self.before[f"{layer.name}.weight"]) @ new @ new.t() for layer in layers]
        for name, weight in self.G.learnable().items():
            before = self.before[name]
            weight.copy_(torch.where(self.free[name], weight, before) if name in self.free else before)
        for layer, change in zip(layers, added, strict=True):
            layer.weight.add_(change)
            layer.bias.sub_(layer.weight_gain / layer.bias_gain * (change @ mean))

    def train_step(self) -> dict[str, Tensor]:
        """One step of all networks; returns figures to log, a domain's loss under its name where it had samples."""
        count, figures = len(self.shares), {}
        mine = [torch.zeros_like(weight) for weight in self.weights]
        theirs = [torch.zeros_like(weight) for weight in self.critics]
        for part in self.shares:
            g_gradient, d_gradient, found = self.gradients(part)
            for totals, gradients in ((mine, g_gradient), (theirs, d_gradient)):
                for total, gradient in zip(totals, gradients, strict=True):
                    if gradient is not None:
                        total.add_(gradient, alpha=1 / count)
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
        batch = self.sample(part)
        pictures = self.render(batch)
        shown = self.shown(batch, pictures)
        logits = self.judged(batch, pictures)
        total, figures = self.generator_loss(batch, pictures, shown, logits)
        d_total, d_figures = self.critics_loss(batch, shown, logits)
        lengthened: Sequence[Any] = [None] * len(self.weights)
        if self.config.path_weight and not self.alone and self.step % self.config.path_every == 0:
            lengthened, figures["path"] = self.path_gradient(batch)
        theirs: Sequence[Any] = [None] * len(self.critics)
        if d_total.requires_grad:  # before the generator's: compiled parts of its graph serve once
            theirs = self.derivatives(d_total, self.critics, keep=True)
        mine = added(self.derivatives(total, self.weights), lengthened)
        return mine, theirs, {name: value.detach() for name, value in (figures | d_figures).items()}

    def sample(self, part: Tensor) -> Batch:
        """Codes without truncation, each sample's domain, and where that shows them."""
        draws = Draws(self.config.seed, self.step, self.config.batch, part, self.device)
        ws, labels, domain = self.random_codes(draws)
        members = [(domain == i).nonzero().flatten() for i in range(len(self.tasks))]
        by_domain = [self.draws_of(i, part[mine.cpu()]) for i, mine in enumerate(members)]
        for i, mine in enumerate(members):
            if len(mine):
                ws = ws.index_copy(0, mine, self.task(i).codes(ws[mine], by_domain[i], self.step))
        replayed = bool(self.plan.kept) and not self.alone
        old = (part % 2 == 0).nonzero().flatten().to(self.device) if replayed else domain[:0]
        return Batch(part, labels, members, draws, by_domain, Noise(draws), *self.codes(ws, domain), old)

    def judged(self, batch: Batch, pictures: Rendered) -> Tensor | None:  # [n, 1]
        """The source's discriminator on the base subspace; None where there is none, or where it is not its turn."""
        if self.D is None or self.alone or self.step % self.config.source_every:
            return None
        return self.D(pictures.base, batch.labels, self.dtype)

    def generator_loss(
        self, batch: Batch, pictures: Rendered, shown: dict[int, Shown], logits: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the generator learns from: the tasks, replay, and the source's GAN loss."""
        config, count = self.config, len(batch.base)
        figures = {self.plan.new[i]: self.task(i).loss(scene) for i, scene in shown.items()}
        total = pictures.truth.new_zeros(())
        for i in shown:
            total = total + config.lambda_expand * len(batch.members[i]) / count * figures[self.plan.new[i]]
        if not self.alone:
            figures["replay"] = self.replay(pictures.base, pictures.truth)
            total = total + figures["replay"]
        if len(batch.old):
            figures["kept domains"] = self.replay(pictures.old, pictures.old_truth)
            total = total + figures["kept domains"] * (2 * len(batch.old) / count)  # as much as if all were shown
        if logits is not None:
            figures["source"] = losses.generator_loss(logits)
            total = total + config.lambda_src * config.source_every * figures["source"]
        return total, figures

    def critics_loss(
        self, batch: Batch, shown: dict[int, Shown], logits: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the source's discriminator and those of the tasks learn from, on the generator's own pictures."""
        total, found = batch.base.new_zeros(()), {}
        if logits is not None:
            total, found = self.source_critic_loss(logits, batch)
        for i, scene in shown.items():
            loss = self.task(i).critic_loss(replace(scene, images=scene.images.detach()))
            if loss is not None:
                total = total + len(batch.members[i]) / len(batch.base) * loss
                found[f"{self.plan.new[i]}, critic"] = loss
        return total, found

    def draws_of(self, domain: int, mine: Tensor) -> Draws:
        """Random numbers of a domain's own: which others have samples makes no difference to them."""
        seed = self.config.seed + TASK_SEEDS * (domain + 1)
        return Draws(seed, self.step, self.config.batch, mine, self.device)

    def random_codes(self, draws: Draws) -> tuple[Tensor, Tensor | None, Tensor]:
        """Codes `[n, rows, dim]` without truncation, labels `[n, classes]`, each sample's domain `[n]`."""
        z, labels, classes = draws.normal(self.source.codes.z_dim), None, self.source.classes
        if classes:
            labels = F.one_hot(draws.integers(0, classes), classes).float()
        with torch.no_grad():
            ws = self.source.draw(z, labels)
        return ws, labels, self.domains_of(draws)

    def domains_of(self, draws: Draws) -> Tensor:  # [n], int64
        """Each sample's domain, by the domains' weights; 0 where there are none."""
        odds = self.odds.to(self.device)
        if not len(odds):
            return torch.zeros(len(draws.share), dtype=torch.int64, device=self.device)
        return torch.bucketize(draws.uniform() * odds[-1:], odds, right=True)

    def codes(self, ws: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """proj_base(w), and proj_i(w) = proj_base(w) + s v_i (equation 3), both `[n, rows, dim]`.

        Plain adaptation: w itself, twice.
        """
        if self.config.plain:
            return ws, ws
        base = project(ws, self.expansion)
        if not self.tasks:
            return base, base[:0]
        dims = torch.tensor([self.expansion.dim(name) for name in self.plan.new], device=ws.device)
        step = self.expansion.distance * self.expansion.basis.to(ws)[:, dims[domain]].t()  # [n, dim]
        return base, base + step[:, None]

    def render(self, batch: Batch) -> Rendered:
        """All pictures of a batch: one pass for all of them, but for samples of a domain that leaves layers frozen."""
        every = torch.arange(len(batch.base), device=self.device)
        with torch.no_grad():
            truth = self.synthesize(self.source, batch.base, batch.noise.of(every))
        frozen = [self.frozen(i, batch.base[mine]) for i, mine in enumerate(batch.members)]
        apart = [mine for mine, names in zip(batch.members, frozen, strict=True) if names]
        together = every[~torch.isin(every, torch.cat(apart))] if apart else every[: len(batch.moved)]
        kept, target = self.kept_codes(batch.base[batch.old], batch.draws, batch.old)
        first = every[:0] if self.alone else every
        ws = torch.cat([batch.base[first], batch.moved[together], kept])
        images = self.synthesize(self.G, ws, batch.noise.of(first, together, batch.old))
        base, moved, old = images.split([len(first), len(together), len(batch.old)])
        if apart:
            moved = torch.zeros(len(batch.moved), *moved.shape[1:], device=self.device).index_copy(0, together, moved)
            for mine, names in zip(batch.members, frozen, strict=True):
                if names:
                    inputs = batch.moved[mine], "random", batch.noise.of(mine), self.dtype, None, self.steps
                    moved = moved.index_copy(0, mine, self.synthesize_frozen(names, inputs))
        return Rendered(base, truth, moved, old, self.taught(target, batch, old))

    def synthesize(self, network: Generator, codes: Tensor, noise: Callable[[int, int], Tensor]) -> Tensor:
        """Pictures `[n, 3, R, R]`; of a kind that makes them step by step, in as many steps as at rest in the page.

        Smaller ones while a large generator warms up.
        """
        if self.warming and self.side is not None:
            return network.coarse(codes, self.side, self.dtype, "random", noise)
        return network.synthesize(codes, "random", noise, self.dtype, steps=self.steps)

    def frozen(self, domain: int, base: Tensor) -> frozenset[str]:
        """Names of the parameters that a domain leaves alone this step."""
        return self.task(domain).frozen(base) if len(base) else frozenset()

    def synthesize_frozen(self, names: frozenset[str], inputs: tuple[Any, ...]) -> Tensor:  # [n, 3, R, R]
        """`G.synthesize(*inputs)`, or as it is while warming up, without gradients for the parameters `names`."""
        parts = {f"generator.{n}": p.detach() if n in names else p for n, p in self.G.learnable().items()}
        return functional_call(Synthesizer(self.G, self.side if self.warming else None), parts, inputs)

    @torch.no_grad()
    def taught(self, target: Tensor, batch: Batch, old: Tensor) -> Tensor:  # [n, 3, R, R]
        """What pictures of kept domains must look like."""
        if self.teacher is None or not len(batch.old):
            return old
        return self.synthesize(self.teacher, target, batch.noise.of(batch.old))

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
        whole = Expansion(self.expansion.basis, self.plan.before, 1.0, names, self.expansion.mean)
        return base + step, project(base, whole) + step

    def shown(self, batch: Batch, pictures: Rendered) -> dict[int, Shown]:
        """What every task with samples sees; CLIP looks once at the samples of all tasks that want it.

        Beyond [-1, 1] a generator can please a judge with what no file and no screen shows.
        """
        before = as_rgb((pictures.truth if self.alone else pictures.base.detach()).clamp(-1, 1))
        after, members, draws = as_rgb(pictures.moved.clamp(-1, 1)), batch.members, batch.draws_by_domain
        seen = self.judged_by_clip(after, before, members, draws)
        return {
            i: Shown(after[mine], before[mine], batch.base[mine], *seen.get(i, ((), ())), draws[i], self.step)
            for i, mine in enumerate(members)
            if len(mine)
        }

    def judged_by_clip(
        self, after: Tensor, before: Tensor, members: list[Tensor], draws: list[Draws]
    ) -> dict[int, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """What every CLIP sees of the pictures after and before, for each task that asks for it and has samples."""
        asking = [i for i, mine in enumerate(members) if len(mine) and self.task(i).uses_clip]
        if not asking:
            return {}
        chosen = torch.cat([members[i] for i in asking])
        numbers = torch.cat([draws[i].uniform(self.config.views - 1, NUMBERS) for i in asking])
        sizes = [len(members[i]) for i in asking]
        moved = [e.split(sizes, dim=1) for e in self.embeddings(after[chosen], numbers)]
        with torch.no_grad():
            still = [e.split(sizes, dim=1) for e in self.embeddings(before[chosen], numbers)]
        return {i: (tuple(e[k] for e in moved), tuple(e[k] for e in still)) for k, i in enumerate(asking)}

    def embeddings(self, images: Tensor, numbers: Tensor) -> list[Tensor]:  # -> eyes x [views, n, E]
        """Directions of augmented versions of pictures, for every CLIP."""
        size = max(eye.clip.image_size for eye in self.studio.eyes)
        seen = views(images, numbers, size)
        return [eye(seen.flatten(0, 1)).unflatten(0, seen.shape[:2]) for eye in self.studio.eyes]

    def replay(self, images: Tensor, truth: Tensor) -> Tensor:  # [n, 3, H, W], same -> scalar
        """lambda_lpips * LPIPS + lambda_l2 * MSE to what a frozen generator makes of the same code and noise."""
        total = images.new_zeros(())
        if self.config.lambda_lpips:
            total = total + self.config.lambda_lpips * self.studio.perceptual_to(as_rgb(truth))(as_rgb(images)).mean()
        return total + self.config.lambda_l2 * F.mse_loss(images, truth)

    def source_critic_loss(self, fake_logits: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The discriminator's loss on real pictures and projected fakes, with lazy R1.

        The fakes' logits are shared with the generator's loss: each loss is differentiated for its own weights only.
        """
        config, D = self.config, self.D
        assert D is not None
        real, c = self.real(batch)
        loss = losses.discriminator_loss(D(real, c, self.dtype), fake_logits)
        figures = {"D": loss}
        if config.r1_gamma and self.step // config.source_every % config.r1_every == 0:
            figures["R1"] = losses.gradient_penalty(lambda x: D(x, c, self.dtype), real)
            loss = loss + figures["R1"] * (config.r1_gamma / 2 * config.r1_every)
        return loss, figures

    def real(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Pictures `[n, 3, R, R]` that the source was trained on, half of them flipped, and their labels.

        Where there are none, the source's own samples stand in for them, with the batch's labels.
        """
        draws, c = batch.draws, batch.labels
        if self.pictures is None or self.order is None:
            with torch.no_grad():
                ws = self.source.draw(draws.normal(self.source.codes.z_dim), c)
                return self.synthesize(self.source, ws, draws.noise), c
        indices = self.order.at(self.step)[batch.part].tolist()
        pixels, labels = zip(*(self.pictures[i] for i in indices), strict=True)
        real = from_pixels(torch.stack(pixels).to(self.device))
        if c is not None:
            c = F.one_hot(torch.tensor(labels, device=self.device), self.source.classes).float()
        if self.source.channels == 1:
            real = real.mean(dim=1, keepdim=True)
        return torch.where(draws.uniform(1, 1, 1) < 0.5, real.flip(3), real), c

    def path_gradient(self, batch: Batch) -> tuple[Sequence[Any], Tensor]:
        """Gradient of the path-length penalty (StyleGAN2, equation 4) on the base subspace, and the mean length."""
        ws = batch.base.detach().requires_grad_()
        every = torch.arange(len(ws), device=self.device)
        with unfused(self.G):
            images = self.synthesize(self.G, ws, batch.noise.of(every))
            lengths = losses.path_lengths(images, ws, batch.draws.normal(*images.shape[1:]))
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
        for mine, theirs in zip(self.ema.learnable().values(), self.weights, strict=True):
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


def warmup_side(generator: Generator, asked: int, tasks: Sequence[Task]) -> int | None:
    """The side of the pictures that a warm-up looks at; None for whole ones. Raises ExpansionError where it cannot be.

    Style changes of the layers below it are learned; what is finer than its pixels stays as it was.
    """
    blind = sorted({type(task).__name__ for task in tasks if not task.any_side})
    if not asked:
        reduced = generator.resolution >= LARGE and not blind
        side = next(side for side in generator.sides if side >= WARM_SIDE) if reduced else generator.resolution
        return None if side == generator.resolution else side
    if asked not in generator.sides:
        known = ", ".join(map(str, generator.sides))
        raise ExpansionError(f"warmup_side must be a side that pictures have on their way here, {known}, got {asked}")
    if asked != generator.resolution and blind:
        raise ExpansionError(f"warmup_side must be 0 for {', '.join(blind)}, which looks at whole pictures")
    return None if asked == generator.resolution else asked
