"""`python -m explorer invert PHOTO...`: photos to codes, and the pictures that codes are good for, in a folder.

For every photo: NAME.png (what the generator makes of it), NAME.safetensors (the code), NAME.json (the edit, for
`render --edit`). Knows no engine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
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
from explorer.inversion.latents import read_npy, write_latent
from explorer.inversion.networks import Networks, gather
from explorer.inversion.photos import Box, PhotoError, centre_box, crop, find_faces, open_photo
from explorer.inversion.results import Inversion, invert, measure
from explorer.inversion.search import State
from explorer.inversion.settings import METHODS, SPACES, InversionError, Settings, defaults
from explorer.inversion.tuning import save_delta, tune
from explorer.latents import move
from explorer.latents.boundaries import Boundary, from_array
from explorer.weights import DEFAULT, load

FRAMES, FRAME_MS = 60, 50  # of the animation between two photos


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
    parser.add_argument("--towards", nargs=3, metavar=("MORE", "LESS", "AMOUNT"), help="move all along words")
    parser.add_argument(
        "--boundary", nargs=2, metavar=("FILE", "AMOUNT"), help="move all along a normal in a .npy file"
    )
    parser.add_argument("--context", metavar="PHOTO", help="set the middle of every photo into this one")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", required=True, metavar="FOLDER")


def run(arguments: argparse.Namespace) -> str:
    """Do what the flags say; one line a photo, and one a file beyond those."""
    settings = _settings(arguments)
    amounts = [_number(given[-1]) for given in (arguments.towards, arguments.boundary) if given]
    if (arguments.strip or arguments.mix) and len(arguments.photos) < 2:
        raise InversionError("--strip and --mix need two photos")
    networks = gather(load(arguments.checkpoint), arguments.device)
    side, w_dim = networks.generator.img_resolution, networks.generator.w_dim
    opened = [open_photo(path) for path in arguments.photos]
    photos = torch.stack([_tensor(_cropped(image, arguments, side)) for image in opened])
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    names = _names(arguments.photos)
    if arguments.context:
        context = _tensor(crop(open_photo(arguments.context), None, side))[None]
        found = uses.diffuse(networks, photos, context, uses.middle(side), settings)
    else:
        found = invert(networks, photos, settings, _progress)
    lines = [_save_photo(out / name, found, i) for i, name in enumerate(names)]
    if settings.tune_steps:
        lines += [
            _tune(networks, photos[i : i + 1], found.ws[i : i + 1], settings, out / n) for i, n in enumerate(names)
        ]
    boundaries: list[Boundary] = []
    if arguments.towards:
        boundaries.append(uses.text_boundary(networks, uses.look(networks), *arguments.towards[:2]))
        lines.append(f"direction by words: {boundaries[0].accuracy:.0%} of held-out samples on the right side")
    if arguments.boundary:
        boundaries += from_array(read_npy(_bytes(arguments.boundary[0])), w_dim)[:1]
    for boundary, amount in zip(boundaries, amounts, strict=True):
        lines += _moved(networks, found, boundary, amount, out, names)
    if arguments.strip:
        lines += _strip(networks, found.ws, arguments.strip, out)
    if arguments.mix:
        mixed = uses.mix(found.ws[0], found.ws[1], _layers(arguments.mix))
        lines.append(_save_code(networks, mixed, out / "mixed"))
    return "\n".join(lines)


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


def _layers(text: str) -> tuple[int, int]:
    try:
        begin, stop = map(int, text.split(":"))
    except ValueError:
        raise InversionError(f"--mix is START:STOP, rows of the code, got {text!r}") from None
    return begin, stop


def _names(paths: list[str]) -> list[str]:
    """Names of the results: those of the photos, numbered where they repeat."""
    stems = [Path(path).stem for path in paths]
    return [stem if stems.count(stem) == 1 else f"{stem}-{i + 1}" for i, stem in enumerate(stems)]


def _save_photo(path: Path, found: Inversion, index: int) -> str:
    latent = _latent(found.ws[index])
    edit = json.dumps(Edit(latent=latent, project=False).to_json())
    _write(path.with_name(f"{path.name}.png"), lambda file: _picture(found.images[index]).save(file, "PNG"))
    _write(path.with_name(f"{path.name}.safetensors"), lambda file: file.write(write_latent(latent)))
    _write(path.with_name(f"{path.name}.json"), lambda file: file.write(edit.encode()))
    figures = found.figures[index]
    shown = (f"{name} {value:.3f}" for name, value in figures.items() if isinstance(value, float))
    return f"{path}.png: {', '.join(shown)} ({figures['perceptual_network']})"


def _latent(ws: Tensor) -> Latent:
    """One row where all are equal, so that the file says that the code lies in W."""
    return Latent.of((ws[0] if (ws == ws[0]).all() else ws).cpu().numpy())


def _save_code(networks: Networks, ws: Tensor, path: Path) -> str:
    with torch.no_grad():
        picture = _picture(networks.render(ws[None], exact=True)[0])
    edit = json.dumps(Edit(latent=_latent(ws), project=False).to_json())
    _write(path.with_name(f"{path.name}.png"), lambda file: picture.save(file, "PNG"))
    _write(path.with_name(f"{path.name}.json"), lambda file: file.write(edit.encode()))
    return f"{path}.png"


def _tune(networks: Networks, photo: Tensor, ws: Tensor, settings: Settings, path: Path) -> str:
    *_, last = tune(networks, photo, ws, settings)
    delta = save_delta(last.generator, networks.generator, path.parent, ws)
    images, (figures,) = measure(replace(networks, generator=last.generator), photo, ws)
    _write(path.with_name(f"{path.name}-tuned.png"), lambda file: _picture(images[0]).save(file, "PNG"))
    return f"{path}-tuned.png: perceptual {figures['perceptual']:.3f}, its weights in {delta}"


def _moved(
    networks: Networks, found: Inversion, boundary: Boundary, amount: float, out: Path, names: Iterable[str]
) -> list[str]:
    moved = move(found.ws, boundary.normal, amount * boundary.spread)
    return [_save_code(networks, ws, out / f"{name}-moved") for name, ws in zip(names, moved, strict=True)]


def _strip(networks: Networks, ws: Tensor, count: int, out: Path) -> list[str]:
    pictures = uses.strip(networks, ws[0], ws[1], count)
    sheet = _picture(torch.cat(list(pictures), dim=2))
    _write(out / "strip.png", lambda file: sheet.save(file, "PNG"))
    frames = [_picture(image) for image in uses.strip(networks, ws[0], ws[1], FRAMES)]
    there_and_back: dict[str, Any] = {"append_images": frames[1:] + frames[-2:0:-1], "duration": FRAME_MS, "loop": 0}
    _write(out / "strip.webp", lambda file: frames[0].save(file, "WEBP", save_all=True, quality=90, **there_and_back))
    return [f"{out / 'strip.png'}", f"{out / 'strip.webp'}"]


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


def _write(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Beside the target first, then in its place in one step."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
        try:
            save(file)
        except BaseException:
            os.unlink(file.name)
            raise
    os.chmod(file.name, 0o644)  # temporary files are for their owner only
    os.replace(file.name, path)


def _progress(state: State) -> bool:
    if sys.stderr.isatty():
        total = state.losses.get("total")
        loss = "" if total is None else f"  {total.mean():.4f}"
        print(f"\r{state.step}/{state.steps}{loss}", end="" if state.step < state.steps else "\n", file=sys.stderr)
    return False
