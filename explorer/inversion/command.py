"""`python -m explorer invert PHOTO...`: photos to codes, and the pictures that codes are good for, in a folder.

For every photo: NAME.png (what the generator makes of it), NAME.safetensors (the code), NAME.json (the edit, for
`render --edit`). Directions learned on the way are kept as `.npy`, for the page. Prints lines, or with `--json` one
JSON object. Knows no engine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from explorer.edit import Edit, Latent
from explorer.inversion import uses
from explorer.inversion.alignment import ffhq_crop
from explorer.inversion.examples import two_sorts
from explorer.inversion.faces import Box, centre_box, crop, find_faces
from explorer.inversion.latents import read_npy, write_latent
from explorer.inversion.networks import Networks, gather
from explorer.inversion.results import Inversion, invert, measure
from explorer.inversion.search import State
from explorer.inversion.settings import METHODS, SPACES, InversionError, Settings, defaults
from explorer.inversion.tuning import save_delta, tune
from explorer.latents import move
from explorer.latents.boundaries import Boundary
from explorer.networks.hardware import choose_device
from explorer.photos import PhotoError, open_photo
from explorer.replacing import replacing
from explorer.weights import DEFAULT, load

SUFFIXES, TOGETHER = ("", "-moved", "-tuned"), ("mixed", "strip")  # names of a photo's pictures, and of all photos'
FRAMES, FRAME_MS = 60, 50  # of the animation between two photos
Report = dict[str, Any]  # what `--json` says of one thing: its name, figures and files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags; what is not given is as published for the method."""
    parser.add_argument("photos", nargs="+", metavar="PHOTO", help="files; all are searched at once")
    parser.add_argument(
        "--checkpoint", default=DEFAULT, help="the generator; NAME-encoder.safetensors beside it is used"
    )
    parser.add_argument("--method", choices=METHODS, default="in_domain")
    parser.add_argument("--space", choices=SPACES, default="w", help="w is best to edit, w+ nearest to the photo")
    parser.add_argument("--steps", type=int, help="of the search")
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
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", required=True, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> str:
    """Do what the flags say; one line a photo, a copy that was tuned and a direction, and one a file beyond those."""
    settings = _settings(arguments)
    if (arguments.strip is not None or arguments.mix) and len(arguments.photos) < 2:
        raise InversionError("--strip and --mix need two photos")
    if arguments.strip is not None and arguments.strip < 2:
        raise InversionError(f"a strip has at least its two ends, got {arguments.strip} pictures")
    words = {word.strip() for word in (arguments.towards or ())[:2]}
    if arguments.towards and (len(words) < 2 or "" in words):
        raise InversionError("--towards needs two texts that differ: MORE LESS AMOUNT")
    names = _names(arguments.photos)
    _spare([*arguments.photos, *filter(None, [arguments.context])], names, Path(arguments.out))
    networks = gather(load(arguments.checkpoint), choose_device(arguments.device))
    side = networks.generator.img_resolution
    rows = _layers(arguments.mix, networks.generator.num_ws) if arguments.mix else None
    opened = [_open(path) for path in arguments.photos]
    photos = torch.stack([_tensor(_cropped(image, arguments, side)) for image in opened])
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    moves, directions = _moves(arguments, networks, out)
    if arguments.context:
        context = _tensor(crop(_open(arguments.context), None, side))[None]
        found = uses.diffuse(networks, photos, context, uses.middle(side), settings)
    else:
        found = invert(networks, photos, settings, _progress)
    reports = [_save_photo(out / name, found, i) for i, name in enumerate(names)]
    if settings.tune_steps:
        for i, name in enumerate(names):
            reports[i]["tuned"] = _tune(networks, photos[i : i + 1], found.ws[i : i + 1], settings, out / name)
    files: list[str] = []
    if moves:
        moved = found.ws
        for boundary, amount in moves:
            moved = move(moved, boundary.normal, amount * boundary.spread)
        for name, ws in zip(names, moved, strict=True):
            files += _save_code(networks, ws, out / f"{name}-moved")
    if arguments.strip is not None:
        files += _strip(networks, found.ws, arguments.strip, out)
    if rows is not None:
        files += _save_code(networks, uses.mix(found.ws[0], found.ws[1], rows), out / "mixed")
    facts = {"method": settings.method, "space": settings.space, "photos": reports, "directions": directions}
    return json.dumps(facts | {"files": files}) if arguments.json else "\n".join([*_lines(reports, directions), *files])


def _lines(reports: list[Report], directions: list[Report]) -> Iterable[str]:
    for report in [*reports, *(report["tuned"] for report in reports if "tuned" in report)]:
        shown = (f"{name} {value:.3f}" for name, value in report.items() if isinstance(value, float))
        yield f"{report['files'][0]}: {', '.join(shown)} ({report['perceptual_network']})"
    for direction in directions:
        right = f"{direction['accuracy']:.0%} of held-out pictures on the right side"
        yield f"{direction['files'][0]}: from {direction['less']} to {direction['more']}, {right}"


def _moves(
    arguments: argparse.Namespace, networks: Networks, out: Path
) -> tuple[list[tuple[Boundary, float]], list[Report]]:
    """The boundaries to move along and how far, and what is known of those that are learned here."""
    given = arguments.towards, arguments.examples, arguments.boundary
    amounts = [_number(flag[-1]) for flag in given if flag]
    boundaries: list[Boundary] = []
    learned: list[Report] = []

    def keep(boundary: Boundary, name: str, more: str, less: str) -> None:
        normal = boundary.normal[None].cpu().numpy()
        file = _write(out / f"{name}.npy", lambda file: np.save(file, normal))
        boundaries.append(boundary)
        learned.append({"more": more, "less": less, "accuracy": boundary.accuracy, "files": [file]})

    if arguments.towards:
        more, less = arguments.towards[:2]
        keep(uses.text_boundary(networks, uses.look(networks), more, less), "towards", more, less)
    if arguments.examples:
        more, side = arguments.examples[1], networks.generator.img_resolution
        sorts = two_sorts(Path(arguments.examples[0]), more)
        (less,) = sorts.keys() - {more}
        files = sorts[more] + sorts[less]
        photos = torch.stack([_tensor(_cropped(_open(path), arguments, side)) for path in files])
        labels = torch.arange(len(files)) < len(sorts[more])
        keep(uses.labelled_boundary(networks, photos, labels), "examples", more, less)
    if arguments.boundary:
        boundaries += uses.imported(networks.generator, read_npy(_bytes(arguments.boundary[0])))[:1]
    return list(zip(boundaries, amounts, strict=True)), learned


def _open(path: str | Path) -> Image.Image:
    """The photo; a refusal says which one of many it is."""
    try:
        return open_photo(path)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error}") from None


def _settings(arguments: argparse.Namespace) -> Settings:
    given = {"steps": arguments.steps, "lambda_dom": arguments.lambda_dom}
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    kept = {"space": arguments.space, "text": arguments.text, "tune_steps": arguments.tune, "seed": arguments.seed}
    return replace(defaults(arguments.method), **changes, **kept)


def _cropped(image: Image.Image, arguments: argparse.Namespace, side: int) -> np.ndarray:
    """Aligned where the generator is one of FFHQ and landmarks can be found, else the plain square."""
    box = _box(image, arguments.crop)
    found = ffhq_crop(image, box, side, Path(arguments.checkpoint)) if arguments.crop == "face" else None
    return crop(image, box, side) if found is None else found


def _box(image: Image.Image, text: str) -> Box:
    if text == "centre":
        return centre_box(image)
    if text == "face":
        return (find_faces(image) or [centre_box(image)])[0]
    try:
        left, top, size = map(int, text.split(","))
    except ValueError:
        raise PhotoError(f"--crop is face, centre or LEFT,TOP,SIZE, got {text!r}") from None
    return Box(left, top, size)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InversionError(f"the amount must be a number, got {text!r}") from None


def _layers(text: str, num_ws: int) -> tuple[int, int]:
    try:
        begin, stop = map(int, text.split(":"))
    except ValueError:
        raise InversionError(f"--mix is START:STOP, rows of the code, got {text!r}") from None
    if not 0 <= begin < stop <= num_ws:
        raise InversionError(f"--mix is START:STOP, rows of the code from 0 to {num_ws}, got {text!r}")
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
    made = [f"{name}.png" for name in (*TOGETHER, *(name + suffix for name in names for suffix in SUFFIXES))]
    results = {(out / name).resolve() for name in (*made, "strip.webp")}
    for path in inputs:
        if Path(path).resolve() in results:
            raise InversionError(f"{path} would be overwritten by a result: name another folder with --out")


def _save_photo(path: Path, found: Inversion, index: int) -> Report:
    latent = _latent(found.ws[index])
    edit = json.dumps(Edit(latent=latent, project=False).to_json())
    files = [
        _write(_named(path, ".png"), lambda file: _picture(found.images[index]).save(file, "PNG")),
        _write(_named(path, ".safetensors"), lambda file: file.write(write_latent(latent))),
        _write(_named(path, ".json"), lambda file: file.write(edit.encode())),
    ]
    return {"name": path.name, **found.figures[index], "files": files}


def _named(path: Path, ending: str) -> Path:
    """`with_suffix` would cut names that hold a point."""
    return path.with_name(f"{path.name}{ending}")


def _latent(ws: Tensor) -> Latent:
    """One row where all are equal, so that the file says that the code lies in W."""
    return Latent.of((ws[0] if (ws == ws[0]).all() else ws).cpu().numpy())


def _save_code(networks: Networks, ws: Tensor, path: Path) -> list[str]:
    with torch.no_grad():
        picture = _picture(networks.render(ws[None], exact=True)[0])
    edit = json.dumps(Edit(latent=_latent(ws), project=False).to_json())
    return [
        _write(_named(path, ".png"), lambda file: picture.save(file, "PNG")),
        _write(_named(path, ".json"), lambda file: file.write(edit.encode())),
    ]


def _tune(networks: Networks, photo: Tensor, ws: Tensor, settings: Settings, path: Path) -> Report:
    began = time.perf_counter()
    *_, last = tune(networks, photo, ws, settings)
    seconds = time.perf_counter() - began
    delta = save_delta(last.generator, networks.generator, path.parent, ws)
    images, (figures,) = measure(replace(networks, generator=last.generator), photo, ws)
    picture = _write(_named(path, "-tuned.png"), lambda file: _picture(images[0]).save(file, "PNG"))
    return figures | {"seconds": seconds, "files": [picture, str(delta)]}


def _strip(networks: Networks, ws: Tensor, count: int, out: Path) -> list[str]:
    pictures = uses.strip(networks, ws[0], ws[1], count)
    sheet = _picture(torch.cat(list(pictures), dim=2))
    frames = [_picture(image) for image in uses.strip(networks, ws[0], ws[1], FRAMES)]
    there_and_back: dict[str, Any] = {"append_images": frames[1:] + frames[-2:0:-1], "duration": FRAME_MS, "loop": 0}
    return [
        _write(out / "strip.png", lambda file: sheet.save(file, "PNG")),
        _write(
            out / "strip.webp", lambda file: frames[0].save(file, "WEBP", save_all=True, quality=90, **there_and_back)
        ),
    ]


def _bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InversionError(f"{path} cannot be read ({error.strerror or error})") from None


def _tensor(picture: np.ndarray) -> Tensor:  # uint8 [R, R, 3] -> [3, R, R] in [-1, 1]
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1


def _picture(image: Tensor) -> Image.Image:  # [3, H, W] in [-1, 1]
    pixels = (image.clamp(-1, 1) * 127.5 + 128).clamp_max(255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy())


def _write(path: Path, save: Callable[[IO[bytes]], object]) -> str:
    """Beside the target first, then in its place in one step; the path as it is told."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        save(file)
    return str(path)


def _progress(state: State) -> bool:
    if sys.stderr.isatty():
        total = state.losses.get("total")
        loss = "" if total is None else f"  {total.mean():.4f}"
        print(f"\r{state.step}/{state.steps}{loss}", end="" if state.step < state.steps else "\n", file=sys.stderr)
    return False
