"""Every reader of the program, the tiny files it is fed with after damage, and the one error that it may raise."""

from __future__ import annotations

import base64
import functools
import io
import json
import pickle
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators import make_diffae, make_generator, make_stylegan3
from hostile import dump  # pyright: ignore[reportMissingImports]
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from explorer.edit import Edit, EditError, Latent
from explorer.engine.own import OwnDirection, read_directions, write_directions
from explorer.inversion import InversionError
from explorer.inversion.latents import read_latent, read_npy, write_latent
from explorer.keep import Kept, Session, Snapshot, read_link, read_picture, write_picture
from explorer.keep.pictures import KEYWORD
from explorer.networks import Discriminator, DiscriminatorConfig, Encoder, EncoderConfig
from explorer.networks.clip import ClipConfig, build_clip
from explorer.networks.judge import Judge, JudgeConfig
from explorer.networks.mapper import Mapper, MapperConfig
from explorer.photos import PhotoError, open_photo
from explorer.refused import Refused
from explorer.training.data import DataError, Pictures
from explorer.ui.lessons import Lesson, LessonError
from explorer.weights import Checkpoint, CheckpointError, load
from explorer.weights.clip import read_clip, save_clip
from explorer.weights.parts import load_discriminator, load_encoder, load_judge, load_mapper, save_part
from tests.weights.samples import tiny_checkpoint, tiny_network, tiny_rosinality, tiny_stylegan3
from tests.weights.tensorflow_files import tensorflow_file

Seed = tuple[bytes, Callable[[bytes], bytes]]  # what is damaged, and what wraps it in a container with good checksums
EDIT = Edit(seed=3, strengths={"pencil sketch": 0.5, 7: -2.25}, layers={7: (1, 4)}, class_index=2)
CODE = np.linspace(-1, 1, 48, dtype=np.float32).reshape(2, 24)


@dataclass(frozen=True)
class Target:
    """A reader of bytes. `share` is how many of the examples it gets; slow ones get fewer."""

    read: Callable[[bytes], object]
    error: type[Refused]
    seeds: Callable[[], dict[str, Seed]]
    share: float = 1.0


def as_it_is(data: bytes) -> bytes:
    return data


@functools.cache
def folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


def from_file(read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """A reader of paths, given a file with the bytes."""

    def read_bytes(data: bytes) -> object:
        path = folder() / "file"
        path.write_bytes(data)
        return read(path)

    return read_bytes


def written(write: Callable[[Path], object]) -> bytes:
    """What `write` puts into a file."""
    write(path := folder() / "seed")
    return path.read_bytes()


def zipped(name: str, others: dict[str, bytes]) -> Callable[[bytes], bytes]:
    def wrap(data: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for member, content in {**others, name: data}.items():
                archive.writestr(member, content)
        return file.getvalue()

    return wrap


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def inside(data: bytes, ending: str) -> Seed:
    """One member of a zip, to be damaged by itself."""
    others = members(data)
    (name,) = (name for name in others if name.endswith(ending))
    return others[name], zipped(name, others)


def header(data: bytes) -> Seed:
    """The JSON header of a safetensors file, to be damaged by itself."""
    size = int.from_bytes(data[:8], "little")
    return data[8 : 8 + size], lambda text: len(text).to_bytes(8, "little") + text + data[8 + size :]


@functools.cache
def checkpoints() -> dict[str, Seed]:
    generator = make_generator(img_resolution=8, channels=(2, 2), z_dim=3, w_dim=4, mapping_layers=1)
    tasks = [{"type": "NADA", "dimension": 3, "args": {"target_text": "sketch"}}]
    expanded = {
        "G_ema": tiny_network(generator),
        "latent_basis": None,
        "repurposed_dims": [3],
        "subspace_distance": 20,
        "expansion_cfg": {"tasks": tasks},
        "training_set_kwargs": {"path": "cats.zip", "sizes": (1, 2.5, None, True)},
    }
    native = written(lambda path: tiny_checkpoint().save(path))
    alias_free = make_stylegan3(layers=(3,), channels=(2, 2, 2), z_dim=3, w_dim=4, mapping_layers=1, c_dim=2, table=3)
    native3 = written(lambda path: Checkpoint(alias_free).save(path))
    semantic = make_diffae(net_ch=2, embed_dim=2, z_dim=3, latent_hidden=4, attention=(16,))
    lightning = written(
        lambda path: torch.save({"ema_model": semantic.state_dict(), "hyper_parameters": {"T": 1000}}, path)
    )
    zip_layout, legacy = tiny_rosinality(), tiny_rosinality(_use_new_zipfile_serialization=False)
    return {
        "native": (native, as_it_is),
        "native header": header(native),
        "nvidia": (dump(expanded), as_it_is),
        "tensorflow": (tensorflow_file(generator), as_it_is),
        "stylegan3": (dump({"G_ema": tiny_stylegan3(alias_free)}), as_it_is),
        "stylegan3 header": header(native3),
        "diffae": (lightning, as_it_is),
        "diffae pickle": inside(lightning, "data.pkl"),
        "diffae header": header(written(lambda path: Checkpoint(semantic).save(path))),
        "rosinality": (zip_layout, as_it_is),
        "rosinality pickle": inside(zip_layout, "data.pkl"),
        "legacy": (legacy, as_it_is),
        "legacy head": (legacy[:4000], lambda head: head + legacy[4000:]),
    }


def parts(network: Any) -> Callable[[], dict[str, Seed]]:
    def seeds() -> dict[str, Seed]:
        torch.manual_seed(0)
        data = written(lambda path: save_part(network(), path, {"name": "tiny"}))
        return {"whole": (data, as_it_is), "header": header(data)}

    return functools.cache(seeds)


@functools.cache
def clips() -> dict[str, Seed]:
    config = ClipConfig(32, (1, 1, 1, 1), 8, embed_dim=8, context_length=8, text_width=8, text_layers=1, text_heads=1)
    data = written(lambda path: save_clip(build_clip(config, "tiny"), path, {}))
    return {"header": header(data)}


def saved(save: Callable[..., object], *args: Any, **options: Any) -> bytes:
    """What `save(file, ...)` writes."""
    file = io.BytesIO()
    save(file, *args, **options)
    return file.getvalue()


@functools.cache
def latents() -> dict[str, Seed]:
    tensor, npz = torch.from_numpy(CODE), saved(np.savez, w=CODE)
    zip_layout = saved(lambda file: torch.save({"latent": tensor, "seed": 3}, file))
    ours = write_latent(Latent.of(CODE))
    legacy = saved(lambda file: torch.save({"w": tensor}, file, _use_new_zipfile_serialization=False))
    return {
        "safetensors": (ours, as_it_is),
        "safetensors header": header(ours),
        "npy": (saved(np.save, CODE), as_it_is),
        "npz": (npz, as_it_is),
        "npz array": inside(npz, "w.npy"),
        "pt": (zip_layout, as_it_is),
        "pt pickle": inside(zip_layout, "data.pkl"),
        "pt legacy": (legacy, as_it_is),
        "numpy pickle": (pickle.dumps({"w": CODE}, protocol=2), as_it_is),
    }


def picture(kind: str, mode: str = "RGB", size: tuple[int, int] = (17, 11), **options: Any) -> bytes:
    colours = np.arange(size[0] * size[1] * 3, dtype=np.uint32).reshape(size[1], size[0], 3) * 7 % 256
    image = Image.fromarray(colours.astype(np.uint8)).convert(mode)
    return saved(lambda file: image.save(file, kind, **options))


@functools.cache
def photos() -> dict[str, Seed]:
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "TGA", "ICO", "JPEG2000")
    deep = saved(lambda file: Image.fromarray(np.arange(200, dtype=np.uint16).reshape(10, 20)).save(file, "TIFF"))
    return {
        **{kind: (picture(kind, size=(32, 32)), as_it_is) for kind in kinds},
        "turned": (picture("JPEG", exif=exif), as_it_is),
        "palette": (picture("PNG", "P"), as_it_is),
        "alpha": (picture("TIFF", "RGBA", compression="tiff_lzw"), as_it_is),
        "deep": (deep, as_it_is),
        "float": (picture("TIFF", "F"), as_it_is),
    }


def in_png(text: bytes) -> bytes:
    info = PngInfo()
    info.add_itxt(KEYWORD, text.decode("utf-8", "replace"))
    return picture("PNG", pnginfo=info)


@functools.cache
def settings() -> dict[str, Seed]:
    kept = Kept(EDIT, "cats")
    colours = np.zeros((9, 9, 3), np.uint8)
    whole = {kind: (write_picture(colours, kind, kept), as_it_is) for kind in ("png", "webp", "jpeg")}
    return {**whole, "text": (kept.to_text().encode(), in_png)}


def link(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data)


@functools.cache
def links() -> dict[str, Seed]:
    text = json.dumps(EDIT.to_json()).encode()
    photo = json.dumps(Edit(latent=Latent.of(CODE)).to_json()).encode()
    return {
        "plain": (text, link),
        "deflated": (photo, lambda data: b"z." + link(zlib.compress(data))),
        "stream": (zlib.compress(photo), lambda data: b"z." + link(data)),
        "letters": (link(text), as_it_is),
    }


@functools.cache
def sessions() -> dict[str, Seed]:
    shots = (Snapshot(EDIT, "data:image/png;base64,AAAA"), Snapshot(Edit(latent=Latent.of(CODE))))
    old = {"version": 1, "generator": "cats", "edit": EDIT.to_json(), "snapshots": [EDIT.to_json()]}
    return {
        "new": (Session("cats", {"explore": EDIT}, shots).to_text().encode(), as_it_is),
        "old": (json.dumps(old).encode(), as_it_is),
    }


@functools.cache
def edits() -> dict[str, Seed]:
    return {"edit": (json.dumps(EDIT.to_json()).encode(), as_it_is)}


@functools.cache
def data_sets() -> dict[str, Seed]:
    labels = json.dumps({"classes": ["a", "b"], "labels": [["x.png", 0], ["b/y.png", 1]]}).encode()
    files = {"x.png": picture("PNG"), "b/y.png": picture("PNG"), "dataset.json": labels}
    whole = zipped("x.png", files)(files["x.png"])
    return {"zip": (whole, as_it_is), "labels": (labels, zipped("dataset.json", files))}


def read_lesson(data: bytes) -> object:
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return Lesson.read({"kind": "picture", "name": "A", "steps": 1, "pictures": [uri]}, [], [1])


def read_data(path: Path) -> object:
    pictures = Pictures(path, 8)
    return [pictures[index] for index in range(len(pictures))]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def read_own(data: bytes) -> object:
    return read_directions(data, "a", tiny())


tiny = functools.cache(make_generator)


def own_directions() -> dict[str, Seed]:
    rows, dim = tiny().codes.rows, tiny().codes.dim
    vector = torch.linspace(-1, 1, rows * dim).reshape(rows, dim)
    npy = io.BytesIO()
    np.save(npy, vector.numpy())
    ours = write_directions([OwnDirection("a", vector), OwnDirection("b", vector, -2.0, 3.0)])
    return {"safetensors": (ours, as_it_is), "npy": (npy.getvalue(), as_it_is)}


TARGETS: dict[str, Target] = {
    "checkpoints": Target(from_file(load), CheckpointError, checkpoints, 3.0),
    "encoders": Target(
        from_file(load_encoder), CheckpointError, parts(lambda: Encoder(EncoderConfig(8, (2, 2), 4, 4))), 0.3
    ),
    "discriminators": Target(
        from_file(load_discriminator),
        CheckpointError,
        parts(lambda: Discriminator(DiscriminatorConfig(8, (2, 2), c_dim=2, cmap_dim=2, mapping_layers=1))),
        0.5,
    ),
    "judges": Target(
        from_file(load_judge), CheckpointError, parts(lambda: Judge(JudgeConfig(("a", "b"), 8, (2, 2)))), 0.3
    ),
    "mappers": Target(from_file(load_mapper), CheckpointError, parts(lambda: Mapper(MapperConfig(4, 6))), 0.2),
    "clips": Target(from_file(read_clip), CheckpointError, clips, 0.1),
    "latents": Target(read_latent, InversionError, latents, 2.0),
    "directions": Target(read_npy, InversionError, lambda: {"npy": latents()["npy"]}, 0.5),
    "own directions": Target(read_own, EditError, own_directions, 0.5),
    "photos": Target(open_photo, PhotoError, photos, 3.0),
    "settings": Target(read_picture, EditError, settings),
    "links": Target(lambda data: read_link(text(data)), EditError, links),
    "sessions": Target(lambda data: Session.from_text(text(data)), EditError, sessions),
    "edits": Target(Edit.from_json, EditError, edits),
    "lessons": Target(
        read_lesson, LessonError, lambda: {kind: photos()[kind] for kind in ("PNG", "JPEG", "WEBP", "palette")}
    ),
    "data sets": Target(from_file(read_data), DataError, data_sets),
}
