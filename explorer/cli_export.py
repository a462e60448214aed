"""The commands `compose`, `strip`, `grid`, `animate`, `bundle` and `models`: the page's endpoints on the command line.

Each prints one line, or with `--json` one JSON object. Knows no interface.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer import export
from explorer.edit import DirectionId, Edit, EditError
from explorer.export.pictures import ENDINGS, replacing
from explorer.keep import Kept, read_picture, write_picture
from explorer.shipped import DEFAULT

if TYPE_CHECKING:
    from explorer.engine import Engine
    from explorer.weights import Checkpoint


def compose(arguments: argparse.Namespace) -> str:
    """Write a sum of domains on one random code."""
    edit = Edit(seed=arguments.seed, truncation_psi=arguments.psi, strengths=arguments.strengths)
    engine = engine_of(arguments)
    return written(arguments, export.upscaled(engine.render(edit), arguments.px), edit, engine)


def strip(arguments: argparse.Namespace) -> str:
    """Write one edit at several strengths of one direction, side by side."""
    values = export.spread(arguments.low, arguments.high, arguments.count)
    edits = export.strip_of(edit_of(arguments), arguments.direction, values)
    return written_sheet(arguments, edits, len(edits))


def grid(arguments: argparse.Namespace) -> str:
    """Write one edit at several strengths of two directions, one across and one down."""
    values = export.spread(arguments.low, arguments.high, arguments.count)
    rows = export.grid_of(edit_of(arguments), arguments.x, arguments.y, values, values)
    return written_sheet(arguments, [edit for row in rows for edit in row], len(values))


def animate(arguments: argparse.Namespace) -> str:
    """Write a film along a list of edits."""
    engine, edits = engine_of(arguments), read_edits(arguments.edits)
    film = export.along(edits, lambda some: codes(engine, some), arguments.frames, not arguments.no_loop)

    def progress(fraction: float) -> None:
        if sys.stderr.isatty():
            print(f"\r{100 * fraction:3.0f} %", end="" if fraction < 1 else "\n", file=sys.stderr, flush=True)

    loop = not arguments.no_loop
    export.write_animation(arguments.out, film, engine.render, arguments.fps, arguments.px, loop, progress)
    return told(arguments, {"file": arguments.out, "frames": len(film), "fps": arguments.fps})


def bundle(arguments: argparse.Namespace) -> str:
    """Write the pictures, codes and directions of a list of edits, and a table of them, into one zip."""
    engine, edits = engine_of(arguments), read_edits(arguments.edits)
    name = engine.checkpoint.meta["name"]
    export.write_bundle(
        arguments.out,
        edits,
        engine.render,
        lambda some: codes(engine, some),
        arguments.px,
        lambda picture, edit: write_picture(picture, "png", Kept(edit, name)),
    )
    return told(arguments, {"file": arguments.out, "pictures": len(edits)})


def models(arguments: argparse.Namespace) -> str:
    """List the generators of a folder, each with its resolution and domains."""
    from explorer.weights import CheckpointError, load
    from explorer.weights.folder import generators

    if not Path(arguments.folder).is_dir():
        raise CheckpointError(f"{arguments.folder} is no folder: name the one that the generators lie in")
    found = [{"name": path.stem} | about(load(path)) for path in generators(Path(arguments.folder))]
    if arguments.json:
        return json.dumps({"models": found})
    lines = [f"{m['name']}: {m['resolution']} px, domains: {', '.join(m['domains']) or 'none'}" for m in found]
    return "\n".join(lines) or f"no generators in {arguments.folder}"


def about(checkpoint: Checkpoint) -> dict[str, Any]:
    expansion = checkpoint.expansion
    return {
        "resolution": checkpoint.generator.img_resolution,
        "rows": checkpoint.generator.num_ws,
        "domains": [] if expansion is None else list(expansion.domains),
    }


def engine_of(arguments: argparse.Namespace) -> Engine:
    from explorer.engine import Engine
    from explorer.weights import load

    return Engine(load(arguments.checkpoint), arguments.device, arguments.precision)


def codes(engine: Engine, edits: list[Edit]) -> list[np.ndarray]:
    return [engine.ws(edit).cpu().numpy() for edit in edits]


def edit_of(arguments: argparse.Namespace) -> Edit:
    return Edit(seed=arguments.seed) if arguments.edit is None else read_edit(arguments.edit)


def read_edit(file: str) -> Edit:
    """The edit in a JSON file, or in a picture that this program saved. Raises EditError on anything else."""
    data = Path(file).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError:  # no picture is text
        try:
            return read_picture(data).edit
        except EditError as error:
            raise EditError(f"{file}: {error}") from None
    return Edit.from_json(text)


def read_edits(file: str) -> list[Edit]:
    """A JSON list of edits. Raises EditError on anything else."""
    try:
        data = json.loads(Path(file).read_text())
    except (ValueError, RecursionError) as error:
        raise EditError(f"{file}: edits are a JSON list; this is no JSON: {error}") from None
    if not isinstance(data, list):
        raise EditError(f"{file}: edits are a JSON list, got {type(data).__name__}")
    return [Edit.from_json(edit) for edit in data]


def written_sheet(arguments: argparse.Namespace, edits: list[Edit], columns: int) -> str:
    picture = export.sheet(engine_of(arguments).render(edits), columns)
    export.write_picture(picture, arguments.out)
    return told(arguments, {"file": arguments.out, "width": picture.shape[1], "height": picture.shape[0]})


def written(arguments: argparse.Namespace, picture: np.ndarray, edit: Edit, engine: Engine) -> str:
    """Write one picture that carries its edit, and say so."""
    path = Path(arguments.out)
    kind = ENDINGS.get(path.suffix.lower())
    if kind is None:
        raise export.ExportError(f"a picture is written as {', '.join(ENDINGS)}; {path.name!r} ends otherwise")
    data = write_picture(picture, kind.lower(), Kept(edit, engine.checkpoint.meta["name"]))
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    height, width = picture.shape[:2]
    if arguments.json:
        return json.dumps({"file": arguments.out, "width": width, "height": height, "edit": edit.to_json()})
    return f"{arguments.out}: {width} x {height} px\n{json.dumps(edit.to_json())}"


def told(arguments: argparse.Namespace, facts: dict[str, Any]) -> str:
    if arguments.json:
        return json.dumps(facts)
    rest = ", ".join(f"{value} {key}" if key != "fps" else f"{value} a second" for key, value in facts.items())
    return rest.removesuffix(" file").replace(" file, ", ": ", 1)


def direction(text: str) -> DirectionId:
    """A domain's name, or a direction's number."""
    return int(text) if text.isascii() and text.isdigit() else text


def strength(text: str) -> tuple[DirectionId, float]:
    """`sketch=0.5` or `12=-2`: a domain's name or a direction's number, and how far."""
    name, equals, value = text.rpartition("=")
    try:
        return direction(name), float(value if equals else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not DIRECTION=STRENGTH, like sketch=0.5 or 12=-2") from None


def add_commands(commands: Any, source: str) -> None:
    """The parsers; `source` says what a checkpoint may be."""
    general = argparse.ArgumentParser(add_help=False)
    general.add_argument("--checkpoint", default=DEFAULT, help=source)
    general.add_argument("--device", default="auto")
    general.add_argument("--precision", default="fp32", choices=("auto", "fp32", "bf16", "fp16"))
    general.add_argument("--json", action="store_true", help="print JSON")

    command = commands.add_parser("compose", parents=[general], help="a sum of domains on one random code")
    command.add_argument("strengths", nargs="+", type=strength, metavar="DIRECTION=STRENGTH")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--psi", type=float, default=0.7, help="truncation")
    command.add_argument("--px", type=int, help="longer side of the picture, enlarged by Lanczos")
    command.add_argument("--out", required=True, metavar="PICTURE", help="PNG, JPEG or WebP by its ending")
    command.set_defaults(run=compose)

    still = argparse.ArgumentParser(add_help=False, parents=[general])
    still.add_argument("--seed", type=int, default=0)
    still.add_argument("--edit", metavar="FILE", help="an edit as JSON, or a saved picture, instead of a seed")
    still.add_argument("--low", type=float, default=0.0, help="strength of the first picture")
    still.add_argument("--high", type=float, default=1.0, help="strength of the last picture")
    still.add_argument("--out", required=True, metavar="PICTURE", help="PNG, JPEG or WebP by its ending")

    command = commands.add_parser("strip", parents=[still], help="one picture at several strengths of one direction")
    command.add_argument("direction", type=direction, help="a domain's name or a direction's number")
    command.add_argument("--count", type=int, default=7)
    command.set_defaults(run=strip)

    command = commands.add_parser("grid", parents=[still], help="one picture at several strengths of two directions")
    command.add_argument("x", type=direction, help="the direction across")
    command.add_argument("y", type=direction, help="the direction down")
    command.add_argument("--count", type=int, default=5, help="pictures a side")
    command.set_defaults(run=grid)

    several = argparse.ArgumentParser(add_help=False, parents=[general])
    several.add_argument("edits", metavar="EDITS", help="a file with a JSON list of edits")
    several.add_argument("--px", type=int, help="longer side of the pictures, enlarged by Lanczos")

    command = commands.add_parser("animate", parents=[several], help="a film along a list of edits")
    command.add_argument("--frames", type=int, default=25, help="frames from one edit to the next")
    command.add_argument("--fps", type=int, default=25)
    command.add_argument("--no-loop", action="store_true", help="end on the last edit instead of going back")
    command.add_argument("--out", required=True, metavar="FILM", help="MP4, WebP or GIF by its ending")
    command.set_defaults(run=animate)

    command = commands.add_parser("bundle", parents=[several], help="pictures, codes and a table of edits in one zip")
    command.add_argument("--out", required=True, metavar="ZIP")
    command.set_defaults(run=bundle)

    command = commands.add_parser("models", help="list the generators in a folder")
    command.add_argument("folder", nargs="?", default=DEFAULT.parent)
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(run=models)
