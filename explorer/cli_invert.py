"""`python -m explorer invert PHOTO...`: photos to codes, and the pictures that codes are good for, in a folder.

For every photo: NAME.png (what the generator makes of it), NAME.safetensors (the code), NAME.json (the edit, for
`render --edit`). Directions learned on the way are kept as `.npy`, for the page. Prints lines, or with `--json` one
JSON object. Knows no interface.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.cli_export import PRECISIONS, engine_of, read_bytes

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from explorer.actions import Photo
    from explorer.edit import Edit
    from explorer.engine import Engine
    from explorer.engine.inverting import Progress
    from explorer.inversion import Settings
    from explorer.inversion.alignment import Crop
    from explorer.latents.boundaries import Boundary

SUFFIXES, TOGETHER = ("", "-moved", "-tuned"), ("mixed", "strip")  # names of a photo's pictures, and of all photos'
FRAMES, FPS = 60, 20  # of the animation between two photos, one way
Report = dict[str, Any]  # what `--json` says of one thing: its name, figures and files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; what is not given is as published for the method."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files; all are searched at once")
    parser.add_argument("--checkpoint", help="the generator; NAME-encoder.safetensors beside it is used")
    parser.add_argument(
        "--method",
        help="encoder, in_domain or clip_guided; of a diffusion autoencoder also ddim, its own way and default",
    )
    parser.add_argument("--space", default="w", help="w is best to edit, w+ nearest to the photo; w+offsets is between")
    parser.add_argument("--steps", type=int, help="of the search, or of the way back")
    parser.add_argument("--text", default="", help="words that the picture should fit too")
    parser.add_argument("--lambda-dom", type=float, help="weight of the domain regulariser")
    parser.add_argument(
        "--tune", type=int, default=0, metavar="STEPS", help="bend a copy of the generator to each photo"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--crop", default="face", help="face (the largest), centre, or LEFT,TOP,SIZE in pixels")
    parser.add_argument(
        "--strip", type=int, metavar="N", help="N pictures between the first two photos, and as animation"
    )
    parser.add_argument("--mix", metavar="START:STOP", help="the first photo with these rows of the second")
    parser.add_argument(
        "--towards",
        nargs=3,
        metavar=("MORE", "LESS", "AMOUNT"),
        help="move all along words; every AMOUNT is in standard deviations of the generator's codes",
    )
    parser.add_argument(
        "--boundary", nargs=2, metavar=("FILE", "AMOUNT"), help="move all along the first normal in a .npy file"
    )
    parser.add_argument(
        "--examples",
        nargs=3,
        metavar=("FOLDER", "MORE", "AMOUNT"),
        help="move all towards the photos in FOLDER/MORE and away from those in its other sub-folder, cropped as --crop"
        " says",
    )
    parser.add_argument("--context", metavar="PHOTO", help="set the middle of every photo into this one")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", required=True, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> str:
    """Do what the flags say; one line a photo, a copy that was tuned and a direction, and one a file beyond those."""
    from explorer import actions
    from explorer.engine import inverting
    from explorer.inversion import defaults, uses
    from explorer.latents import move

    settings, fitting = _settings(arguments, defaults(arguments.method or "in_domain"))
    _check(arguments)
    names, out = _names(arguments.photos), Path(arguments.out)
    _spare([*arguments.photos, *filter(None, [arguments.context])], names, out)
    where = _crop(arguments.crop)
    engine = engine_of(arguments)
    if arguments.method is None:
        settings, fitting = _settings(arguments, inverting.settings_of(engine))
    rows = _layers(arguments.mix, engine.codes.rows) if arguments.mix else None
    request = actions.Invert(tuple(arguments.photos), settings, where, context=arguments.context)
    _make(out)
    moves, directions = _moves(arguments, engine, where, out)
    _tell_cost(engine, settings, len(names))
    results = actions.run(request, engine, watch=_show)
    edits = [result.edit for result in results]
    reports = [_save_photo(engine, out / name, result) for name, result in zip(names, results, strict=True)]
    if arguments.tune:
        for i, photo in enumerate(request.photos):
            reports[i]["tuned"] = _tune(engine, photo, edits[i], fitting, where, out / names[i])
    codes = [engine.ws(edit) for edit in edits]
    files: list[str] = []
    if moves:
        for name, code, edit in zip(names, codes, edits, strict=True):
            for boundary, amount in moves:
                code = move(code, boundary.normal, amount * boundary.spread)
            files += _save_code(engine, code, edit, out / f"{name}-moved")
    if arguments.strip is not None:
        files += _strip(engine, edits[:2], arguments.strip, out)
    if rows is not None:
        files += _save_code(engine, uses.mix(codes[0], codes[1], rows), edits[0], out / "mixed")
    facts: Report = {"method": settings.method, "space": settings.space, "photos": reports, "directions": directions}
    return json.dumps(facts | {"files": files}) if arguments.json else "\n".join([*_lines(reports, directions), *files])


def _tell_cost(engine: Engine, settings: Settings, photos: int) -> None:
    """Say what a search of a large generator takes, before it begins."""
    from explorer.edit import Edit
    from explorer.engine.costs import search_cost
    from explorer.networks.family import LARGE

    if engine.resolution >= LARGE:
        engine.render(Edit())  # how long one takes
    if (cost := search_cost(engine, settings)) is not None:
        seconds = photos * cost.seconds
        print(
            f"a step takes about {seconds:.1f} s, all {settings.steps} about {settings.steps * seconds / 60:.0f} min,"
            f" with {photos * cost.bytes / 1e9:.1f} GB of memory beside the generator's",
            file=sys.stderr,
        )


def _lines(reports: list[Report], directions: list[Report]) -> Iterable[str]:
    for report in [*reports, *(report["tuned"] for report in reports if "tuned" in report)]:
        shown = (f"{name} {value:.3f}" for name, value in report.items() if isinstance(value, float))
        yield f"{report['files'][0]}: {', '.join(shown)} ({report['perceptual_network']})"
    for direction in directions:
        right = f"{direction['accuracy']:.0%} of held-out pictures on the right side"
        yield f"{direction['files'][0]}: from {direction['less']} to {direction['more']}, {right}"


def _check(arguments: argparse.Namespace) -> None:
    """Raises InversionError for flags that do not fit together."""
    from explorer.inversion import InversionError

    if (arguments.strip is not None or arguments.mix) and len(arguments.photos) < 2:
        raise InversionError("--strip and --mix need two photos")
    if arguments.strip is not None and arguments.strip < 2:
        raise InversionError(f"a strip has at least its two ends, got {arguments.strip} pictures")
    words = {word.strip() for word in (arguments.towards or ())[:2]}
    if arguments.towards and (len(words) < 2 or "" in words):
        raise InversionError("--towards needs two texts that differ: MORE LESS AMOUNT")


def _moves(
    arguments: argparse.Namespace, engine: Engine, where: Crop, out: Path
) -> tuple[list[tuple[Boundary, float]], list[Report]]:
    """The boundaries to move along and how far, and what is known of those that are learned here."""
    from explorer.engine import inverting

    flags = arguments.towards, arguments.examples, arguments.boundary
    amounts = [_number(flag[-1]) for flag in flags if flag]
    boundaries: list[Boundary] = []
    learned: list[Report] = []

    def keep(boundary: Boundary, name: str, more: str, less: str) -> None:
        file = _write(out / f"{name}.npy", _npy(boundary.normal[None].cpu().numpy()))
        boundaries.append(boundary)
        learned.append({"more": more, "less": less, "accuracy": boundary.accuracy, "files": [file]})

    if arguments.towards:
        more, less = arguments.towards[:2]
        keep(inverting.boundary_of_words(engine, more, less), "towards", more, less)
    if arguments.examples:
        more = arguments.examples[1]
        boundary, less = _examples(engine, Path(arguments.examples[0]), more, where)
        keep(boundary, "examples", more, less)
    if arguments.boundary:
        boundaries += inverting.boundaries_of_file(engine, read_bytes(arguments.boundary[0]))[:1]
    return list(zip(boundaries, amounts, strict=True)), learned


def _examples(engine: Engine, folder: Path, more: str, where: Crop) -> tuple[Boundary, str]:
    """The boundary between the photos of a folder's two sub-folders, and the name of the other one."""
    from explorer import actions
    from explorer.engine import inverting
    from explorer.inversion.examples import two_sorts

    sorts = two_sorts(folder, more)
    (less,) = sorts.keys() - {more}
    squares = {name: [actions.target(engine, path, where)[0] for path in files] for name, files in sorts.items()}
    return inverting.boundary_of_examples(engine, squares[more], squares[less]), less


def _settings(arguments: argparse.Namespace, method: Settings) -> tuple[Settings, Settings]:
    """Of the search, and of fitting a copy to what was found; what is not given is the method's own."""
    chosen = {"steps": arguments.steps, "lambda_dom": arguments.lambda_dom}
    changes: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    words = {"space": arguments.space, "text": arguments.text, "seed": arguments.seed}
    settings = replace(method, **words, **changes)
    return settings, replace(settings, tune_steps=arguments.tune)


def _crop(text: str) -> Crop:
    from explorer.inversion.faces import Box
    from explorer.photos import PhotoError

    if text == "face" or text == "centre":
        return text
    try:
        left, top, size = map(int, text.split(","))
    except ValueError:
        raise PhotoError(f"--crop is face, centre or LEFT,TOP,SIZE, got {text!r}") from None
    return Box(left, top, size)


def _number(text: str) -> float:
    from explorer.inversion import InversionError

    try:
        return float(text)
    except ValueError:
        raise InversionError(f"the amount must be a number, got {text!r}") from None


def _layers(text: str, count: int) -> tuple[int, int]:
    from explorer.inversion import InversionError

    try:
        begin, stop = map(int, text.split(":"))
    except ValueError:
        raise InversionError(f"--mix is START:STOP, rows of the code, got {text!r}") from None
    if not 0 <= begin < stop <= count:
        raise InversionError(f"--mix is START:STOP, rows of the code from 0 to {count}, got {text!r}")
    return begin, stop


def _names(paths: list[str]) -> list[str]:
    """Names of the results: those of the photos, numbered where they repeat or another file of the run has them."""
    stems = [Path(path).stem for path in paths]
    names: list[str] = []
    for stem in stems:
        others = {*names, *stems} - {stem}
        taken = {*names, *TOGETHER, *(other + suffix for other in others for suffix in SUFFIXES)}
        free = [stem] if stems.count(stem) == 1 else []
        free += [f"{stem}-{number}" for number in range(1, len(stems) + len(taken) + 2)]
        names.append(next(name for name in free if name not in taken))
    return names


def _spare(inputs: list[str], names: list[str], out: Path) -> None:
    """Raises InversionError where a result would be written over one of the pictures that are read."""
    from explorer.inversion import InversionError

    made = [f"{name}.png" for name in (*TOGETHER, *(name + suffix for name in names for suffix in SUFFIXES))]
    results = {(out / name).resolve() for name in (*made, "strip.webp")}
    for path in inputs:
        if Path(path).resolve() in results:
            raise InversionError(f"{path} would be overwritten by a result: name another folder with --out")


def _save_photo(engine: Engine, path: Path, result: Progress) -> Report:
    from explorer.inversion.latents import write_latent

    picture, edit = _save_edit(engine, result.edit, path)
    latent = _write(_named(path, ".safetensors"), write_latent(result.latent))
    note = {"note": result.note} if result.note else {}
    return {"name": path.name, **(result.figures or {}), **note, "files": [picture, latent, edit]}


def _save_code(engine: Engine, code: Tensor, edit: Edit, path: Path) -> list[str]:  # [rows, dim]
    """A photo's edit with another code; one row where all are equal, so that the file says that it lies in W."""
    from explorer.edit import Latent

    latent = Latent.of((code[0] if (code == code[0]).all() else code).cpu().numpy())
    return _save_edit(engine, replace(edit, latent=latent), path)


def _save_edit(engine: Engine, edit: Edit, path: Path) -> list[str]:
    from explorer import actions

    actions.run(actions.Render(edit), engine, _named(path, ".png"))
    return [str(_named(path, ".png")), _write(_named(path, ".json"), json.dumps(edit.to_json()).encode())]


def _named(path: Path, ending: str) -> Path:
    """`with_suffix` would cut names that hold a point."""
    return path.with_name(f"{path.name}{ending}")


def _tune(engine: Engine, photo: Photo, edit: Edit, settings: Settings, where: Crop, path: Path) -> Report:
    from explorer import actions
    from explorer.export import write_picture

    assert edit.latent is not None
    fitted = actions.run(actions.Fit(photo, edit.latent, settings, where), engine, path.parent)
    picture = write_picture(fitted.picture, _named(path, "-tuned.png"))
    return {**(fitted.figures or {}), "files": [str(picture), str(fitted.delta)]}


def _strip(engine: Engine, ends: list[Edit], count: int, out: Path) -> list[str]:
    """The way from the first photo to the second as one picture, and there and back as an animation."""
    from explorer import actions, export

    way = actions.between(engine, ends[0], ends[1], count)
    sheet = export.Sheet(count, count, engine.resolution, gap=0)
    for index, picture in enumerate(export.rendered(way, engine.render)):
        sheet.paste(index, picture)
    film = actions.run(actions.Animate(tuple(ends), FRAMES, FPS), engine, out / "strip.webp")
    return [str(export.write_picture(sheet.pixels, out / "strip.png")), str(film.file)]


def _make(folder: Path) -> None:
    from explorer.export import ExportError

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"the folder {folder} cannot be made ({error.strerror or error})") from None


def _npy(array: np.ndarray) -> bytes:
    import numpy as np

    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _write(path: Path, data: bytes) -> str:
    """In its place in one step; the path as it is told."""
    from explorer.export.pictures import replacing

    with replacing(path) as temporary:
        temporary.write_bytes(data)
    return str(path)


def _show(progress: Progress) -> None:
    if sys.stderr.isatty() and progress.figures is None:
        loss = progress.losses.get("total")
        shown = "" if loss is None else f"  {loss:.4f}"
        last = progress.step >= progress.steps
        print(f"\r{progress.step}/{progress.steps}{shown}", end="\n" if last else "", file=sys.stderr)
