"""The command line: `domain-explorer COMMAND`. Each command is one function from parsed arguments to text.

What a user can mend is one sentence and exit code 2; anything else keeps its traceback. What computes is imported by
the commands that need it, so that help comes at once. Knows no interface.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from explorer import cli_export
from explorer.refused import Refused

if TYPE_CHECKING:
    import torch

    from explorer.weights import Checkpoint

DORMANT = 0.03  # an effect up to this fraction of the distance between two samples


def convert(arguments: argparse.Namespace) -> str:
    """Read any known checkpoint, write the native format."""
    import torch

    from explorer.weights import load

    checkpoint = load(arguments.input)
    path = checkpoint.save(arguments.output, dtype=torch.float16 if arguments.half else None)
    return f"{path}: {path.stat().st_size / 2**20:.1f} MB\n{describe(checkpoint)}"


def inspect(arguments: argparse.Namespace) -> str:
    """Say what a file is."""
    from explorer.weights import load
    from explorer.weights.download import resolve
    from explorer.weights.inventory import read_part

    path = resolve(arguments.file)
    if (part := read_part(path)) is None:
        return describe(load(path))
    kind, network, config, meta = part
    facts = {kind: f"{_millions(network)} parameters"} | asdict(config) | meta
    return "\n".join(f"{key}: {str(value)[:300]}" for key, value in facts.items())


def measure_effects(arguments: argparse.Namespace) -> str:
    """Measure how much every direction changes the picture, and say in words what factors change; the app shows it."""
    from explorer.engine import captions

    engine = cli_export.engine_of(arguments)
    error = engine.measure_effects(cli_export.show, arguments.thorough)
    captions.measure(engine, cli_export.show)
    found = sorted((d.effect or 0.0, d.label) for d in engine.directions)
    dormant = sum(effect <= DORMANT for effect, _ in found)
    lines = [
        f"moved by {engine.distance:.3g}, distance in use: {engine.perceptual.name};"
        " effects as a fraction of the distance between two samples",
        f"dormant (at most {DORMANT:.0%}): {dormant} of {len(found)} directions",
        f"least: {found[0][1]} {found[0][0]:.3f}; median: {found[len(found) // 2][0]:.3f};"
        f" most: {found[-1][1]} {found[-1][0]:.3f}",
    ]
    if error is not None:
        lines.append(
            f"of reduced pictures and few samples: {error:.3f} off at a few directions that were measured both ways;"
            " --thorough takes whole pictures, and hours"
        )
    lines += [f"{d.label}: {d.caption.words} ({d.caption.certainty:.0%})" for d in engine.directions if d.caption]
    return "\n".join(lines)


def measure_inversion(arguments: argparse.Namespace) -> str:
    """Print a table: method x (perceptual distance, PSNR, CLIP similarity, distance to the mean, seconds, editing)."""
    import torch

    from explorer.engine.inverting import networks_of
    from explorer.inversion import InversionError, comparison
    from explorer.networks.pixels import from_pixels
    from explorer.training.data import Pictures

    if arguments.count < 1 or not 0 < arguments.held_out <= 1:
        raise InversionError("--count is at least 1, and --held-out a fraction above 0, up to 1 for all pictures")
    engine = cli_export.engine_of(arguments)
    pictures = Pictures(arguments.photos, engine.resolution, arguments.held_out, held_out=True)
    count = min(arguments.count, len(pictures))
    photos = from_pixels(torch.stack([pictures[i][0] for i in range(count)]).to(engine.device))
    networks = networks_of(engine)
    rows = comparison.compare(networks, photos, engine.checkpoint.expansion)
    return f"{count} photos\n{comparison.table(rows, networks.perceptual.name)}"


def doctor(_: argparse.Namespace) -> str:
    """Say what this machine computes with, and test every operation."""
    from explorer.engine import doctor

    return doctor.examine()


def describe(checkpoint: Checkpoint) -> str:
    """What a checkpoint holds, in plain words, one fact a line."""
    lines = checkpoint.generator.describe()
    if (critic := checkpoint.discriminator) is None:
        lines.append("discriminator: none")
    else:
        lines.append(f"discriminator: {critic.config.architecture} architecture, {_millions(critic)} parameters")
    if (expansion := checkpoint.expansion) is None:
        lines.append("domains: none, a plain generator")
    else:
        lines.append(f"domains: {len(expansion.dims)}, at a distance of {expansion.distance:g}")
        lines += [f"  {name} (direction {dim})" for name, dim in zip(expansion.domains, expansion.dims, strict=True)]
    lines += [f"{key}: {str(value)[:300]}" for key, value in checkpoint.meta.items()]
    return "\n".join(lines)


def _millions(network: torch.nn.Module) -> str:
    return f"{sum(p.numel() for p in network.parameters()) / 1e6:.2f} million"


class Parser(argparse.ArgumentParser):
    """Its errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parser(chosen: Sequence[str] = ()) -> argparse.ArgumentParser:
    """All commands; `run` is the function of the chosen one.

    Flags of commands whose modules take seconds to import are there for the `chosen` one only: the first words of a
    command line.
    """

    def add_flags(command: argparse.ArgumentParser, module: str, *words: str) -> None:
        if words == tuple(chosen[: len(words)]):
            found = import_module(module)
            found.add_arguments(command)
            command.set_defaults(run=found.run)

    def add_trainer(command: argparse.ArgumentParser, name: str) -> None:
        recipe, shared = import_module(f"explorer.recipes.{name}"), import_module("explorer.training.command")
        shared.add_arguments(command, recipe.Config)
        command.set_defaults(run=partial(shared.run, config=recipe.Config, train=recipe.train))

    top = Parser(
        prog="domain-explorer",
        description="Domain-expanded generators, in the browser and on the command line.",
        epilog="Without a command it opens the app; its flags are those of `domain-explorer app`.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    source = "a checkpoint: path, http(s) address or the name of a public one"

    command = commands.add_parser("app", help="open the page in the browser")
    add_flags(command, "explorer.app", "app")

    command = commands.add_parser("convert", help="write any known checkpoint in the native format")
    command.add_argument("input", metavar="IN", help=source)
    command.add_argument("output", metavar="OUT", help="where to write, usually NAME.safetensors")
    command.add_argument("--half", action="store_true", help="store 16-bit floats: half the size")
    command.set_defaults(run=convert)

    command = commands.add_parser("inspect", help="say in plain words what a checkpoint holds")
    command.add_argument("file", metavar="FILE", help=source)
    command.set_defaults(run=inspect)

    cli_export.add_commands(commands, source)

    measures = commands.add_parser("measure", help="figures of a generator").add_subparsers(
        required=True, metavar="WHAT"
    )
    command = measures.add_parser("effects", help="how much every direction changes the picture, and what")
    command.add_argument("checkpoint", nargs="?", help=source)
    command.add_argument("--device", default="auto")
    command.add_argument(
        "--thorough", action="store_true", help="whole pictures, also of a large generator: hours on a CPU"
    )
    command.set_defaults(run=measure_effects, precision="auto")
    for name, (module, what) in {
        "generator": ("quality", "Frechet distances to real pictures, and how empty W is"),
        "expansion": ("figures", "what an expanded generator has learned, and what it has kept"),
    }.items():
        command = measures.add_parser(name, help=what)
        add_flags(command, f"explorer.recipes.{module}", "measure", name)

    command = measures.add_parser("inversion", help="methods of inversion held against each other on real photos")
    command.add_argument("photos", metavar="FOLDER_OR_ZIP", help="pictures; of a training set the held-out ones")
    command.add_argument("--count", type=int, default=128)
    command.add_argument("--held-out", type=float, default=0.05, help="fraction that was never trained on; 1 for all")
    command.add_argument("--checkpoint", help=source)
    command.add_argument("--device", default="auto")
    command.set_defaults(run=measure_inversion, precision="auto")

    command = commands.add_parser("invert", help="find the codes of photos")
    add_flags(command, "explorer.cli_invert", "invert")

    command = commands.add_parser("expand", help="teach a generator new domains")
    add_flags(command, "explorer.expansion.run", "expand")

    command = commands.add_parser("carry", help="domains of an expanded generator on its source trained further")
    add_flags(command, "explorer.expansion.carry", "carry")

    trainers = commands.add_parser("train", help="train a model from pictures").add_subparsers(
        required=True, metavar="MODEL"
    )
    for name, what in {
        "gan": "a StyleGAN2 generator",
        "clip": "a small CLIP",
        "encoder": "an encoder for a generator",
        "diffae": "a diffusion autoencoder",
        "sharpener": "a sharpener of small pictures",
    }.items():
        command = trainers.add_parser(name, help=what)
        if tuple(chosen[:2]) == ("train", name):
            add_trainer(command, name)

    command = commands.add_parser("doctor", help="say what this machine computes with, and test every operation")
    command.set_defaults(run=doctor)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 2 with one sentence on stderr."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parser(argv).parse_args(argv)
    try:
        print(arguments.run(arguments))
    except (Refused, OSError) as error:  # OSError: a path of the user's that nothing more is known of
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130  # as shells say it
    return 0
