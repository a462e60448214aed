"""A run of domain expansion from its folder: start, resume, the loop, what is written and when.

    config.toml                 the resolved configuration; the only one a resumed run obeys
    source.safetensors          the original generator, frozen; its discriminator beside it
    incoming.safetensors        an expanded source as it came in, which teaches the domains that are kept
    network.safetensors         the newest averaged generator with all its domains; its discriminator beside it
    mappers/                    latent mappers of the domains that ask for one (`mining`)
    checkpoint.pt, -1.pt        all that is needed to continue

and what `report` lists. Everything a resumed run needs but CLIP and pictures lies in the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor

from explorer import shipped
from explorer.expansion import mining
from explorer.expansion.config import Config, ExpansionError, read_config, to_toml, with_dims
from explorer.expansion.denoising import DenoisingTrainer
from explorer.expansion.plan import make_plan
from explorer.expansion.report import Report, write_text
from explorer.expansion.tasks import TASKS
from explorer.expansion.tasks.nada import Nada
from explorer.expansion.tasks.task import Eye, Studio
from explorer.expansion.trainer import Trainer
from explorer.inversion import gather
from explorer.latents import compose, factorize, project, sample_codes
from explorer.networks import Discriminator, Generator
from explorer.networks.family import HELD, LARGE, Autoencoder
from explorer.networks.growing import can_sleep, grow_asleep
from explorer.networks.hardware import tune_allocator
from explorer.training.data import Pictures
from explorer.training.loop import loop
from explorer.training.run import Folder, Interruption, RunError, anywhere, duration, leave, processes, training_dtype
from explorer.weights import Checkpoint, load
from explorer.weights.clip import load_clip
from explorer.weights.parts import load_discriminator, part_of, save_part

SHOWN = 8  # codes on a grid
STRENGTHS = (0.0, 0.5, 1.0)
LONG = 1800  # seconds from which on a GPU is worth a word
NETWORK = "network.safetensors"


def expand(
    source: str | Path | None,
    config: Config | str | Path | None,
    out: str | Path,
    resume: bool = False,
    cpu: bool = False,
    **changes: Any,
) -> Path:
    """Teach a generator the domains of `config`; returns the expanded checkpoint's path.

    Args:
        source: a checkpoint; expanded or not. None for a resumed run.
        config: a `Config` or the path of a TOML file; None for a resumed run, which keeps its own.
        out: the run's folder. `resume` continues what is there, bit for bit in float32 on a CPU.
        cpu: do not use a GPU.
        changes: to settings of the configuration, as `steps=500`.

    Raises a ValueError with one sentence where it cannot start, or cannot go on (`Diverged`).
    """
    tune_allocator()
    folder = Folder(out)
    with processes(cpu) as accelerator:
        if not resume:
            settings = new_run(folder.path, source, config, changes, accelerator)
        elif not (folder.path / "config.toml").is_file():
            raise RunError(f"{folder.path} holds no run to resume")
        elif source is not None or config is not None:
            raise RunError("a resumed run keeps its generator and its configuration: give --out and --resume alone")
        else:
            settings = read_config(folder.path / "config.toml", **changes)
        with folder.held() if accelerator.is_main_process else nullcontext():
            _run(folder, settings, changes, accelerator)
    return folder.path / NETWORK


def _run(folder: Folder, settings: Config, changes: dict[str, Any], accelerator: Accelerator) -> None:
    """Prepare and train, or go on, in a folder that is held; how it ended is in its report."""
    report = Report(folder.path, settings.steps, settings.batch, told=accelerator.is_main_process)
    report.tell("preparing")
    try:
        with Interruption() as interruption:
            trainer = prepare(folder, settings, accelerator)
            if changes and accelerator.is_main_process:
                write_text(folder.path / "config.toml", to_toml(settings))
            tell_cost(trainer)
            stopped = train(folder, trainer, report, interruption)
        report.tell("stopped" if stopped else "done")
    except BaseException as error:
        asked = isinstance(error, KeyboardInterrupt)
        with suppress(OSError):  # a full disk has no room for it; the error itself is told
            report.tell("stopped" if asked else "failed", "" if asked else str(error).strip().split("\n")[0][:500])
        raise
    finally:
        report.close()


def tell_cost(trainer: Trainer) -> None:
    """Say what a run takes on a CPU, before its first step, where that is long."""
    config, generator, part = trainer.config, trainer.source, trainer.shares[0][:1]
    if trainer.device.type != "cpu" or generator.resolution < LARGE or not trainer.warming:
        return
    seconds = 0.0
    for _ in range(2):  # the first one also lays networks out
        began = time.perf_counter()
        trainer.gradients(part)  # what it says is not used
        seconds = (time.perf_counter() - began) * config.batch
    steps, side = min(config.warmup, config.steps) - trainer.step, trainer.side or generator.resolution
    at_once = len(trainer.shares[0]) * 4 * HELD * generator.features * side / generator.resolution
    text = f"warm-up at {side} px: about {seconds:.0f} s a step, {duration(steps * seconds)} in all, with"
    text += f" {at_once / 1e9:.1f} GB of memory beside the networks (accumulate = 4 takes less)"
    if config.steps > config.warmup:
        text += f"; {config.steps - config.warmup} steps after it look at whole pictures, and take many times as long"
    if steps * seconds > LONG:
        text += "; a GPU is far quicker"
    print(text, file=sys.stderr, flush=True)


def new_run(
    folder: Path, source: Any, config: Config | str | Path | None, changes: dict[str, Any], accelerator: Accelerator
) -> Config:
    """Check everything that can be checked at once, then make the folder. Returns the resolved configuration."""
    if source is None or config is None:
        raise ExpansionError("name the generator to expand and its configuration: SOURCE --config FILE")
    if (folder / NETWORK).exists() and accelerator.is_main_process:
        raise RunError(f"{folder} already holds a run: continue it with --resume, or name another folder")
    accelerator.wait_for_everyone()
    settings = replace(config, **changes) if isinstance(config, Config) else read_config(config, **changes)
    checkpoint = load(source)
    critic = discriminator_for(checkpoint, settings)
    original = find_original(checkpoint, settings)
    basis = torch.eye(checkpoint.generator.codes.dim) if checkpoint.expansion is None else checkpoint.expansion.basis
    plan = make_plan(settings, basis, checkpoint.generator.mean, checkpoint.expansion)  # names, directions
    dims = dict(zip(plan.expansion.domains, plan.expansion.dims, strict=True))
    settings = with_dims(replace(settings, source=str(checkpoint.path or source)), dims)
    if settings.grow and not can_sleep(checkpoint.generator):
        raise ExpansionError("grow needs a StyleGAN2 of the architecture skip or orig: leave it out")
    if accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("source-discriminator", "incoming"):  # of a start that failed
            (folder / f"{name}.safetensors").unlink(missing_ok=True)
        meta = {"name": checkpoint.meta.get("name", "source")}
        Checkpoint(original, meta=meta).save(folder / "source.safetensors")
        if critic is not None:
            save_part(critic, folder / "source-discriminator.safetensors", meta, half=False)
        if checkpoint.expansion is not None:
            replace(checkpoint, critic=None).save(folder / "incoming.safetensors")
        write_text(folder / "config.toml", to_toml(settings))
    accelerator.wait_for_everyone()
    return settings


def discriminator_for(checkpoint: Checkpoint, config: Config) -> Discriminator | None:
    """The source's discriminator: of the file that the configuration names, of the checkpoint, or beside it."""
    beside = part_of(checkpoint, "discriminator")
    critic = checkpoint.discriminator
    if config.discriminator:
        try:
            critic = load_discriminator(Path(config.discriminator))[0]
        except ValueError:
            critic = load(config.discriminator).discriminator
            if critic is None:
                raise ExpansionError(f"{config.discriminator} holds no discriminator") from None
    elif critic is None and beside is not None:
        critic = load_discriminator(beside)[0]
    generator = checkpoint.generator
    if critic is not None and (critic.img_resolution, critic.c_dim) != (generator.resolution, generator.classes):
        raise ExpansionError(
            f"the discriminator is for {critic.img_resolution} px and {critic.c_dim} classes, the generator for"
            f" {generator.resolution} px and {generator.classes}: bring the one that it was trained with"
        )
    if critic is None and config.lambda_src > 0 and not config.plain and not isinstance(generator, Autoencoder):
        raise ExpansionError(
            "this source has no discriminator: bring one with --discriminator FILE, or set lambda_src = 0"
        )
    return critic


def find_original(checkpoint: Checkpoint, config: Config) -> Generator:
    """The generator that an expanded one was made from; itself for a plain one.

    Looked for in `config.original`, then beside the checkpoint and among the models that come with the program. Without
    it the expanded one's own base subspace is replayed, which preserves what is there, but no longer heals what was
    lost before.
    """
    if checkpoint.expansion is None:
        return checkpoint.generator
    places = [Path(config.original)] if config.original else []
    if checkpoint.path is not None and not places:
        names = [
            str(checkpoint.meta.get("expanded_from", "source.safetensors")),
            f"{checkpoint.path.stem}-source.safetensors",
        ]
        folders = (checkpoint.path.parent, shipped.FOLDER)  # what is taught to a model of ours lies elsewhere
        places = [folder / Path(name).name for folder in folders for name in names]
    for place in places:
        if place.is_file() or config.original:
            found = load(place).generator
            same = found.config == checkpoint.generator.config
            if same and torch.allclose(found.mean, checkpoint.expansion.mean, rtol=1e-2, atol=1e-2):
                return found
            if config.original:
                raise ExpansionError(f"{place} is not the generator that {checkpoint.meta.get('name')} was made from")
    print("the original of this expanded generator is not beside it: its own base subspace is kept", file=sys.stderr)
    return checkpoint.generator


def prepare(folder: Folder, config: Config, accelerator: Accelerator) -> Trainer:
    """The trainer of the run in `folder`, at its newest checkpoint where there is one."""
    device = accelerator.device
    torch.manual_seed(config.seed)
    state = folder.load()
    original = load(folder.path / "source.safetensors")
    came = folder.path / "incoming.safetensors"
    incoming = load(came) if came.is_file() else original
    basis = incoming.expansion.basis if incoming.expansion is not None else None
    if basis is None:
        # The basis of the source, computed once: two machines' libraries may turn its columns differently.
        basis = state["basis"] if state is not None else factorize(original.generator)
    basis = shared(basis, accelerator)
    plan = make_plan(config, basis, original.generator.mean, incoming.expansion, incoming.meta.get("learned"))
    studio = make_studio(original, config, device)
    domains = config.domains[:1] if config.plain else config.domains
    tasks = [TASKS[domain.type](domain.arguments, studio).to(device) for domain in domains]
    if state is None:
        for domain, task in zip(domains, tasks, strict=True):
            try:
                task.prepare()
            except ExpansionError as error:
                raise ExpansionError(f"domain {domain.name!r}: {error}") from None
            for value in task.state_dict().values():
                value.copy_(shared(value, accelerator))
    pictures = None
    denoises = isinstance(original.generator, Autoencoder) and all(task.knows for task in tasks)
    if config.data and (denoises or (config.lambda_src > 0 and not config.plain)):
        pictures = Pictures(config.data, studio.resolution, labelled=original.generator.classes > 0)
        if (classes := original.generator.classes) and len(pictures.classes) != classes:
            raise ExpansionError(
                f"the source has {classes} classes, and {config.data} names {len(pictures.classes)}: give the pictures"
                " that it was trained on, with their labels"
            )
    kind = DenoisingTrainer if denoises else Trainer
    start, free = incoming.generator, None
    if config.grow and not config.plain:
        start, free = grow_asleep(start, config.grow)
    trainer = kind(config, plan, start.to(device), studio, tasks, pictures, accelerator, free)
    if state is not None:
        trainer.load_state(state)
    return trainer


def shared(value: Tensor, accelerator: Accelerator) -> Tensor:
    """The first process's `value`, in every process."""
    if accelerator.num_processes == 1:
        return value
    sent = broadcast(value.detach().to(accelerator.device).contiguous().clone(), from_process=0)
    assert isinstance(sent, Tensor)
    return sent.to(value.device)


def make_studio(original: Checkpoint, config: Config, device: torch.device) -> Studio:
    """The frozen networks: the original, its discriminator, CLIP models, the perceptual distance, an encoder."""
    dtype = training_dtype(config.precision, device)
    networks = gather(replace(original, path=Path(config.source)), device, dtype)
    weights = config.clip_weights or (1.0,) * len(config.clip)
    eyes = tuple(Eye(load_clip(name, device), w, dtype) for name, w in zip(config.clip, weights, strict=True))
    beside = part_of(original, "discriminator")
    critic = None if beside is None else load_discriminator(beside)[0].to(device)
    return Studio(networks, eyes, critic, dtype)


def train(folder: Folder, trainer: Trainer, report: Report, interruption: Interruption) -> bool:
    """The loop until the last step or an interruption; returns whether it was interrupted.

    Raises Diverged on NaN or infinity, with the last good checkpoint kept.
    """
    config, accelerator = trainer.config, trainer.accelerator

    def save(whole: bool = True) -> None:
        if accelerator.is_main_process:
            if whole:
                folder.save(trainer.state())
            export(folder.path, trainer)
            show(report, trainer)

    save(whole=False)
    report.begin(trainer.step)
    stop = loop(
        trainer,
        config.steps,
        accelerator,
        interruption,
        advance=trainer.train_step,
        report=lambda figures: report.add(trainer.step, figures),
        save=save,
        minutes=config.checkpoint_minutes,
        advice=f"the last checkpoint in {folder.path} is good: resume it with a lower lr in its config.toml",
    )
    if not stop and accelerator.is_main_process:
        stop = not mine(folder.path, trainer, report, interruption)
    (stop,) = anywhere(accelerator, stop)
    return stop


@torch.no_grad()
def mine(folder: Path, trainer: Trainer, report: Report, interruption: Interruption) -> bool:
    """Train the mappers that domains ask for; False where it was interrupted. Grids show codes before and after."""
    generator, config = trainer.ema, trainer.config
    for domain, task in zip(config.domains, trainer.tasks, strict=False):  # plain adaptation has the first one only
        path = folder / "mappers" / f"{domain.name}.safetensors"
        if not isinstance(task, Nada) or not task.arguments.mine_steps or path.exists():
            continue

        def placed(ws: Tensor, name: str = domain.name) -> Tensor:
            return ws if config.plain else compose(ws, trainer.expansion, {name: 1.0})

        steps, seed = task.arguments.mine_steps, config.seed
        mapper = mining.mine(generator, placed, task.targets(), steps, seed, lambda: interruption.asked)
        if mapper is None:
            return False
        path.parent.mkdir(exist_ok=True)
        save_part(mapper, path, {"domain": domain.name, "steps": steps}, half=False)
        ws = sample_codes(generator, SHOWN, psi=0.7)
        rows = [generator.synthesize(placed(codes)) for codes in (ws, mapper(ws))]
        report.grid(f"{domain.name}, mined", torch.cat(rows), SHOWN)
    return True


def export(folder: Path, trainer: Trainer) -> None:
    """Write the averaged generator as the program's own kind of checkpoint, its discriminator beside it."""
    config = trainer.config
    new = config.domains[: len(trainer.tasks)]
    learned = [
        *trainer.plan.notes,
        *({"name": d.name, "type": d.type, "about": d.about, "arguments": asdict(d.arguments)} for d in new),
    ]
    meta: dict[str, Any] = {
        "name": Path(config.source).stem,
        "expanded_from": "source.safetensors",
        "learned": learned,
        "steps": trainer.step,
        "batch": config.batch,
    }
    expansion = None if config.plain else trainer.expansion
    Checkpoint(trainer.ema, expansion=expansion, meta=meta).save(folder / NETWORK)
    if trainer.D is not None:
        save_part(trainer.D, folder / "network-discriminator.safetensors", {"name": meta["name"]})


@torch.no_grad()
def show(report: Report, trainer: Trainer) -> None:
    """One grid a new domain, of the averaged generator, truncated at psi 0.7."""
    generator, expansion = trainer.ema, trainer.expansion
    ws = sample_codes(generator, SHOWN, psi=0.7)
    if trainer.config.plain:
        rows = [trainer.source.synthesize(ws), generator.synthesize(ws)]
        report.grid(trainer.plan.new[0], torch.cat(rows), SHOWN)
        return
    base = project(ws, expansion)
    for name in trainer.plan.new:
        column = expansion.distance * expansion.basis[:, expansion.dim(name)].to(ws)
        report.grid(name, torch.cat([generator.synthesize(base + a * column) for a in STRENGTHS]), SHOWN)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `python -m explorer expand`."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="the generator to expand; not with --resume")
    parser.add_argument("--config", type=Path, metavar="FILE", help="domains.toml: settings, then [[domain]]s")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--steps", type=int, metavar="N", help="in place of the configuration's")
    parser.add_argument("--discriminator", metavar="FILE", help="the discriminator that the source lacks")
    parser.add_argument("--original", metavar="FILE", help="what an expanded source was made from")
    parser.add_argument("--replace", action="append", metavar="NAME", help="learn this domain of the source anew")
    parser.add_argument("--remove", action="append", metavar="NAME", help="give this domain of the source up")
    parser.add_argument("--alone", metavar="NAME", help="adapt to this domain alone, without expansion: to compare")
    parser.add_argument("--cpu", action="store_true", help="do not use a GPU")


def alone(config: Config, name: str) -> Config:
    """The configuration of a plain adaptation to one of its domains, all else equal. Raises ExpansionError."""
    chosen = tuple(domain for domain in config.domains if domain.name == name)
    if not chosen:
        known = ", ".join(domain.name for domain in config.domains)
        raise ExpansionError(f"the configuration has no domain {name!r} to adapt to; it has: {known}")
    return replace(config, plain=True, domains=chosen)


def run(arguments: argparse.Namespace) -> str:
    """Start or resume the run that the parsed arguments ask for; returns one line on how it ended.

    Where a signal ended it, the process ends with 128 and the signal's number, after saving.
    """
    given = {name: getattr(arguments, name) for name in ("steps", "discriminator", "original", "replace", "remove")}
    changes = {name: value for name, value in given.items() if value is not None}
    config = arguments.config
    if arguments.resume and (arguments.alone or changes.keys() - {"steps"}):
        raise RunError("a resumed run keeps its settings: only --steps may be given again")
    if arguments.alone and config is not None:
        config, changes = alone(read_config(config, **changes), arguments.alone), {}
    path = expand(arguments.source, config, arguments.out, arguments.resume, arguments.cpu, **changes)
    expansion = load(path).expansion
    text = f"{path}: {'adapted' if expansion is None else ', '.join(expansion.domains)}"
    return leave(f"{text} (stopped; go on with --resume)") if was_stopped(arguments.out) else text


def was_stopped(folder: Path) -> bool:
    """Whether the run in this folder was ended by a signal."""
    return json.loads((folder / "progress.json").read_text())["state"] == "stopped"
