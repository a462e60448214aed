"""The commands that make pictures: `render`, `compose`, `strip`, `grid`, `animate`, `bundle`; and `models`.

Each makes a request of `explorer.actions` of its flags, and prints one line about the file or, with `--json`, one JSON
object. Knows no interface.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explorer.actions import Request, Still, Written
    from explorer.edit import Edit
    from explorer.engine import Engine

PICTURE = "PNG, JPEG or WebP by its ending"
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def render(arguments: argparse.Namespace) -> str:
    """Write one edit as a picture."""
    from explorer.actions import Render, direction
    from explorer.edit import Edit

    edit = edit_of(arguments)
    if arguments.edit is None:
        edit = Edit(
            seed=arguments.seed,
            class_index=arguments.class_index,
            truncation_psi=arguments.psi,
            noise_mode=arguments.noise,
            rotate=arguments.rotate,
            shift_x=arguments.shift[0],
            shift_y=arguments.shift[1],
            steps=arguments.steps,
            project=not arguments.no_project,
            strengths=[(direction(key), value) for key, value in arguments.set],
        )
    return still(arguments, Render(edit, arguments.px, arguments.max_px, sharpen=arguments.sharpen))


def compose(arguments: argparse.Namespace) -> str:
    """Write a sum of domains on one random code."""
    from explorer.actions import Compose

    code = arguments.strengths, arguments.seed, arguments.psi
    more = {"steps": arguments.steps, "sharpen": arguments.sharpen}
    return still(arguments, Compose(*code, arguments.px, arguments.rotate, *arguments.shift, **more))


def strip(arguments: argparse.Namespace) -> str:
    """Write one edit at several strengths of one direction, side by side."""
    from explorer.actions import Strip

    edit = edit_of(arguments)
    strengths = arguments.low, arguments.high, arguments.count
    return still(arguments, Strip(edit, arguments.direction, *strengths, arguments.sharpen))


def grid(arguments: argparse.Namespace) -> str:
    """Write one edit at several strengths of two directions, one across and one down."""
    from explorer.actions import Grid

    edit = edit_of(arguments)
    strengths = arguments.low, arguments.high, arguments.count
    return still(arguments, Grid(edit, arguments.x, arguments.y, *strengths, arguments.sharpen))


def animate(arguments: argparse.Namespace) -> str:
    """Write a film along a list of edits."""
    from explorer.actions import Animate

    edits, loop = read_edits(arguments.edits), not arguments.no_loop
    film = Animate(edits, arguments.frames, arguments.fps, loop, arguments.px, arguments.easing, arguments.sharpen)
    made = written(arguments, film)
    return told(arguments, {"file": arguments.out, "frames": made.count, "fps": arguments.fps})


def bundle(arguments: argparse.Namespace) -> str:
    """Write the pictures, codes and directions of a list of edits, and a table of them, into one zip."""
    from explorer.actions import Bundle

    made = written(arguments, Bundle(read_edits(arguments.edits), arguments.px, arguments.sharpen))
    return told(arguments, {"file": arguments.out, "pictures": made.count})


def models(arguments: argparse.Namespace) -> str:
    """List the generators of a folder, each with its resolution and domains."""
    from explorer.actions import about
    from explorer.shipped import FOLDER
    from explorer.weights import CheckpointError, load
    from explorer.weights.folder import generators

    folder = FOLDER if arguments.folder is None else Path(arguments.folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is no folder: name the one that the generators lie in")
    found = [{"name": path.stem} | about(load(path)) for path in generators(folder)]
    if arguments.json:
        return json.dumps({"models": found})
    lines = [f"{m['name']}: {m['resolution']} px, domains: {', '.join(m['domains']) or 'none'}" for m in found]
    return "\n".join(lines) or f"no generators in {folder}"


def still(arguments: argparse.Namespace, request: Request[float, Still]) -> str:
    """Write a picture, and say so."""
    from explorer.actions import kind_of, run

    kind_of(Path(arguments.out))  # refused before anything is loaded
    picture = run(request, engine_of(arguments, arguments.directions), arguments.out)
    height, width = picture.pixels.shape[:2]
    edit = {} if picture.edit is None else {"edit": picture.edit.to_json()}
    if arguments.json:
        return json.dumps({"file": arguments.out, "width": width, "height": height} | edit)
    return "\n".join([f"{arguments.out}: {width} x {height} px", *map(json.dumps, edit.values())])


def written(arguments: argparse.Namespace, request: Request[float, Written]) -> Written:
    """Write a file of several pictures, and show how far it is."""
    from explorer.actions import run

    return run(request, engine_of(arguments, arguments.directions), arguments.out, show)


def show(fraction: float) -> None:
    """How far a long command is, where somebody looks at it."""
    if sys.stderr.isatty():
        print(f"\r{100 * fraction:3.0f} %", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)


def engine_of(arguments: argparse.Namespace, directions: Sequence[str] = ()) -> Engine:
    """The engine that `--checkpoint`, `--device` and `--precision` name, with the directions of these files."""
    from explorer.engine import Engine
    from explorer.shipped import DEFAULT
    from explorer.weights import load

    engine = Engine(load(arguments.checkpoint or DEFAULT), arguments.device, arguments.precision)
    if directions:
        from explorer.engine.own import load_directions

        engine.own = [one for file in directions for one in load_directions(file, engine.generator)]
    return engine


def edit_of(arguments: argparse.Namespace) -> Edit:
    from explorer.edit import Edit

    return Edit(seed=arguments.seed) if arguments.edit is None else read_edit(arguments.edit)


def read_edit(file: str) -> Edit:
    """The edit in a JSON file, or in a picture that this program saved. Raises EditError on anything else."""
    from explorer.edit import Edit, EditError
    from explorer.keep import read_picture

    data = read_bytes(file)
    try:
        text = data.decode()
    except UnicodeDecodeError:  # no picture is text
        try:
            return read_picture(data).edit
        except EditError as error:
            raise EditError(f"{file}: {error}") from None
    return Edit.from_json(text)


def read_edits(file: str) -> tuple[Edit, ...]:
    """A JSON list of edits. Raises EditError on anything else."""
    from explorer.actions import edits_of
    from explorer.edit import EditError

    try:
        data = json.loads(read_bytes(file))
    except (ValueError, RecursionError) as error:
        raise EditError(f"{file}: edits are a JSON list; this is no JSON: {error}") from None
    return edits_of(data)


def read_bytes(file: str) -> bytes:
    """What is in a file that the user names. Raises EditError where it cannot be read."""
    from explorer.edit import EditError

    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise EditError(f"{file} cannot be read ({error.strerror or error})") from None


def told(arguments: argparse.Namespace, facts: dict[str, Any]) -> str:
    if arguments.json:
        return json.dumps(facts)
    rest = ", ".join(f"{value} {key}" if key != "fps" else f"{value} a second" for key, value in facts.items())
    return rest.removesuffix(" file").replace(" file, ", ": ", 1)


def strength(text: str) -> tuple[str, float]:
    """`sketch=0.5` or `12=-2`: a domain's name or a direction's number, and how far."""
    name, equals, value = text.rpartition("=")
    try:
        return name, float(value if equals else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIRECTION=STRENGTH, like sketch=0.5 or 12=-2") from None


def legs(text: str) -> int | tuple[int, ...]:
    """`25`, or `25,50,25`."""
    try:
        numbers = tuple(int(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames, nor one for every leg like 25,50") from None
    return numbers[0] if len(numbers) == 1 else numbers


def add_commands(commands: Any, source: str) -> None:
    """The parsers; `source` says what a checkpoint may be."""
    general = argparse.ArgumentParser(add_help=False)
    general.add_argument("--checkpoint", help=f"{source}; the embedded model without it")
    general.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    general.add_argument("--precision", default="auto", choices=PRECISIONS)
    own = "directions of your own, by their names: .safetensors of the page, or one in .npy, called like its file"
    general.add_argument("--directions", action="append", default=[], metavar="FILE", help=own)
    general.add_argument("--json", action="store_true", help="print JSON")
    sharpen = "make a small generator's pictures larger by a network that adds what is likely"
    general.add_argument("--sharpen", action="store_true", help=sharpen)

    one = argparse.ArgumentParser(add_help=False, parents=[general])
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--psi", type=float, default=0.7, help="truncation")
    one.add_argument("--px", type=int, help="longer side of the picture, enlarged by Lanczos")
    one.add_argument(
        "--rotate", type=float, default=0.0, metavar="DEGREES", help="turn it, counterclockwise: StyleGAN3"
    )
    shift = "to the right and down, in picture widths: StyleGAN3"
    one.add_argument("--shift", type=float, nargs=2, default=(0.0, 0.0), metavar=("X", "Y"), help=shift)
    one.add_argument("--steps", type=int, help="in which the picture is made: diffusion autoencoders")
    one.add_argument("--out", required=True, metavar="PICTURE", help=PICTURE)

    command = commands.add_parser("render", parents=[one], help="render one edit to a picture file")
    command.add_argument(
        "--edit", metavar="FILE", help="an edit as JSON, or a saved picture; the flags for its parts are ignored then"
    )
    command.add_argument("--class", type=int, dest="class_index", metavar="N", help="of a generator with classes")
    command.add_argument("--noise", choices=("const", "none", "random"), default="const")
    command.add_argument("--no-project", action="store_true", help="do not go to the base subspace first")
    command.add_argument("--set", type=strength, action="append", default=[], metavar="DIRECTION=STRENGTH")
    command.add_argument("--max-px", type=int, help="largest side of the picture")
    command.set_defaults(run=render)

    command = commands.add_parser("compose", parents=[one], help="a sum of domains on one random code")
    command.add_argument("strengths", nargs="+", type=strength, metavar="DIRECTION=STRENGTH")
    command.set_defaults(run=compose)

    sheet = argparse.ArgumentParser(add_help=False, parents=[general])
    sheet.add_argument("--seed", type=int, default=0)
    sheet.add_argument("--edit", metavar="FILE", help="an edit as JSON, or a saved picture, instead of a seed")
    sheet.add_argument("--low", type=float, default=0.0, help="strength of the first picture")
    sheet.add_argument("--high", type=float, default=1.0, help="strength of the last picture")
    sheet.add_argument("--out", required=True, metavar="PICTURE", help=PICTURE)

    command = commands.add_parser("strip", parents=[sheet], help="one picture at several strengths of one direction")
    command.add_argument("direction", help="a domain's name or a direction's number")
    command.add_argument("--count", type=int, default=7)
    command.set_defaults(run=strip)

    command = commands.add_parser("grid", parents=[sheet], help="one picture at several strengths of two directions")
    command.add_argument("x", help="the direction across, a domain's name or a number")
    command.add_argument("y", help="the direction down")
    command.add_argument("--count", type=int, default=5, help="pictures a side")
    command.set_defaults(run=grid)

    several = argparse.ArgumentParser(add_help=False, parents=[general])
    several.add_argument("edits", metavar="EDITS", help="a file with a JSON list of edits")
    several.add_argument("--px", type=int, help="longer side of the pictures, enlarged by Lanczos")

    command = commands.add_parser("animate", parents=[several], help="a film along a list of edits")
    command.add_argument(
        "--frames", type=legs, default=25, help="frames from one edit to the next, or of every leg: 25,50,25"
    )
    command.add_argument(
        "--easing", choices=("smooth", "linear"), default="smooth", help="at rest on every edit, or evenly"
    )
    command.add_argument("--fps", type=int, default=25)
    command.add_argument("--no-loop", action="store_true", help="end on the last edit instead of going back")
    command.add_argument("--out", required=True, metavar="FILM", help="MP4, WebP or GIF by its ending")
    command.set_defaults(run=animate)

    command = commands.add_parser("bundle", parents=[several], help="pictures, codes and a table of edits in one zip")
    command.add_argument("--out", required=True, metavar="ZIP")
    command.set_defaults(run=bundle)

    command = commands.add_parser("models", help="list the generators in a folder")
    command.add_argument("folder", nargs="?", help="by default the one with the models that come with the program")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=models)
