"""Pictures for training: a folder, a zip, or either with `dataset.json` labels, in an order that a step number fixes.

Knows no networks and no augmentation. Held-out pictures are chosen by a hash of their names, so that every program that
asks for the same fraction leaves out the same ones, whatever else lies beside them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from explorer.foreign import brief, parse_json
from explorer.photos import MAX_BYTES, PhotoError, open_photo
from explorer.refused import Refused

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")
CACHE_BYTES = 2**30  # decoded pictures kept in memory, if all of them fit
MAX_LABELS = 2**28  # bytes of dataset.json
MAX_VALUES = 2**24  # in it; a label takes three
MAX_CLASSES = 100_000
MAX_NAME = 1000  # letters of a class's name
EXPECTED = "{'classes': [...], 'labels': [[file, index], ...]}"


class DataError(Refused):
    """A data set that cannot be used; the message is one sentence on what was expected."""


def is_held_out(name: str, fraction: float) -> bool:
    """Whether the picture called `name` (its path inside the folder or zip) belongs to the held-out `fraction`."""
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    return number < fraction * 2**64


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures of a folder or zip as `(uint8 [3, resolution, resolution], class index)`, sorted by name.

    They are opened as photos are (`photos.open_photo`); other sizes are cropped to their central square and resized
    (Lanczos). `dataset.json` beside the pictures may hold `{"classes": [name, ...], "labels": [[file, class index],
    ...]}`, or the labels of NVIDIA's data-set tool, without "classes"; what it does not name has the class index -1.
    `labelled` leaves such pictures out, and takes folders of pictures as classes where there is no `dataset.json`.
    `held_out` keeps the held-out `fraction` instead of the rest. A damaged picture is passed over for the next one,
    and stderr says so. Raises DataError where nothing usable is found.
    """

    def __init__(
        self,
        source: str | Path,
        resolution: int,
        fraction: float = 0.0,
        held_out: bool = False,
        labelled: bool = False,
    ) -> None:
        self.source, self.resolution = Path(source), resolution
        self._archive: tuple[int, zipfile.ZipFile] | None = None
        self._cache: dict[int, Tensor] = {}
        self._damaged: set[int] = set()
        found = sorted(name for name in self._list() if not _is_hidden(name))
        pictures = [name for name in found if name.lower().endswith(ENDINGS)]
        self.labels, self.classes = {}, ()
        if listed := [name for name in found if PurePosixPath(name).name == "dataset.json"]:
            nearest = min(listed, key=lambda name: name.count("/"))
            self.labels, self.classes = _labels(
                self._read(nearest, MAX_LABELS), str(PurePosixPath(nearest).parent), set(pictures)
            )
        elif labelled:
            self.labels, self.classes = _folders(pictures)
        usable = [name for name in pictures if name in self.labels] if labelled else pictures
        self.names = [name for name in usable if is_held_out(name, fraction) == held_out]
        self.unused = sorted(set(found) - set(usable) - set(listed))
        if not usable:
            if labelled and pictures:
                raise DataError(f"{self.source} holds no labels: name the classes in dataset.json, or by folders")
            raise DataError(f"{self.source} holds no pictures ({', '.join(ENDINGS)})")
        if not self.names:
            which = "no picture is held out" if held_out else "all pictures are held out"
            raise DataError(f"{which} of the {len(usable)} in {self.source}: choose another --held-out than {fraction}")
        self._caching = len(self.names) * 3 * resolution**2 <= CACHE_BYTES

    def __len__(self) -> int:
        return len(self.names)

    def __str__(self) -> str:
        """How many there are, and which files are none: `60 pictures of cats/, 2 files passed over (a.txt, b.mp4)`."""
        shown = ", ".join(self.unused[:3]) + (", ..." if len(self.unused) > 3 else "")
        rest = f", {len(self.unused)} files passed over ({shown})" if self.unused else ""
        return f"{len(self)} pictures of {self.source}{rest}"

    def batches(
        self, batch: int, seed: int, start: int, share: Tensor | None, workers: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Endless `(uint8 [share, 3, R, R], int64 class indices [share])` of `Order`, from step `start` on."""
        order = Order(len(self), batch, seed, start, share)
        return iter(DataLoader(self, batch_sampler=order, num_workers=workers))

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        for place in (number % len(self) for number in range(index, index + len(self))):
            if (picture := self._picture(place)) is not None:
                return picture, self.labels.get(self.names[place], -1)
        raise DataError(f"none of the {len(self)} pictures of {self.source} can be read")

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_archive": None, "_cache": {}}

    def _picture(self, index: int) -> Tensor | None:
        """The picture, from memory if it was decoded before; None for a damaged one, which is told once."""
        if (picture := self._cache.get(index)) is not None or index in self._damaged:
            return picture
        try:
            picture = self._decode(self.names[index])
        except DataError as error:
            self._damaged.add(index)
            print(f"passed over: {error}", file=sys.stderr)
            return None
        if self._caching:
            self._cache[index] = picture
        return picture

    def _decode(self, name: str) -> Tensor:
        try:
            picture = open_photo(self._read(name, MAX_BYTES))
        except PhotoError as error:
            raise DataError(f"{brief(name[-60:])} in {self.source}: {error}") from None
        if picture.size != (self.resolution, self.resolution):
            picture = ImageOps.fit(picture, (self.resolution, self.resolution), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()

    def _list(self) -> Iterator[str]:
        if self.source.is_dir():
            yield from (p.relative_to(self.source).as_posix() for p in self.source.rglob("*") if p.is_file())
        elif self.source.is_file() and zipfile.is_zipfile(self.source):
            yield from (name for name in self._zip().namelist() if name and not name.endswith("/"))
        else:
            raise DataError(f"{self.source} is neither a folder nor a zip file")

    def _read(self, name: str, most: int) -> bytes:
        """The bytes of a file of at most `most`, whose size is looked at first: members of a zip can be of any size."""
        with self._damage(name):
            if self.source.is_dir():
                path = self.source / name
                size, read = path.stat().st_size, path.read_bytes
            else:
                size, read = self._zip().getinfo(name).file_size, partial(self._zip().read, name)
            if size > most:
                raise DataError(f"{brief(name[-60:])} in {self.source} has {size:,} bytes, at most {most:,} are read")
            return read()

    @contextmanager
    def _damage(self, name: str) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # zipfile has no common error for damage, passwords and unknown compression
            raise DataError(f"{brief(name[-60:])} in {self.source} cannot be read ({brief(error)})") from None

    def _zip(self) -> zipfile.ZipFile:
        """The open archive; every process opens its own, since a file position cannot be shared after a fork."""
        if self._archive is None or self._archive[0] != os.getpid():
            with self._damage("the directory"):
                self._archive = (os.getpid(), zipfile.ZipFile(self.source))
        return self._archive[1]


def shown_pictures(pictures: Pictures, held_out: float, count: int) -> Tensor:  # [count or fewer, 3, H, W], uint8
    """Held-out pictures for a sheet; some of the others where so small a set has none."""
    with suppress(DataError):
        pictures = Pictures(pictures.source, pictures.resolution, held_out, held_out=True)
    return torch.stack([pictures[i][0] for i in range(min(count, len(pictures)))])


def _is_hidden(name: str) -> bool:
    """What systems leave beside pictures: `.DS_Store`, and a Mac's `._cat.png` and `__MACOSX/`."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _labels(text: bytes, folder: str, pictures: set[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    try:
        data = parse_json(text, MAX_VALUES)
    except ValueError as error:
        raise DataError(f"dataset.json is not {EXPECTED}: {brief(error)}") from None
    rows = data.get("labels") if isinstance(data, dict) else 0
    names = data.get("classes") if isinstance(data, dict) else None
    if not isinstance(rows, (list, NoneType)) or not isinstance(names, (list, NoneType)):
        raise DataError(f"dataset.json is not {EXPECTED}")
    labels = dict(_label(row, folder) for row in rows or [])
    count = max(labels.values(), default=-1) + 1
    classes = tuple(_class_name(name) for name in names or range(count))
    labels = {name: label for name, label in labels.items() if name in pictures}
    if len(classes) > MAX_CLASSES or any(label >= len(classes) for label in labels.values()):
        raise DataError(f"dataset.json has a label outside its {len(classes)} classes")
    return labels, classes


def _label(row: Any, folder: str) -> tuple[str, int]:
    """(path of the picture, class index) of `[file, index]`; other programs write whole numbers as 3.0 too."""
    name, label = row if isinstance(row, list) and len(row) == 2 else (None, None)
    index = _index(label)
    if not isinstance(name, str) or index is None:
        raise DataError(
            f"dataset.json is not {EXPECTED} with an index from 0 to {MAX_CLASSES - 1:,}: it has {brief(row)}"
        )
    return str(PurePosixPath(folder, name.replace("\\", "/"))), index


def _index(label: Any) -> int | None:
    number = isinstance(label, (int, float)) and not isinstance(label, bool)
    return int(label) if number and 0 <= label < MAX_CLASSES and label == int(label) else None


def _class_name(name: Any) -> str:
    if not isinstance(name, (str, int)) or len(text := str(name)[: MAX_NAME + 1]) > MAX_NAME:
        raise DataError(f"a class in dataset.json is a name of at most {MAX_NAME} letters, got {brief(name)}")
    return text


def _folders(pictures: list[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Classes from the folders that the pictures lie in; one folder is none."""
    folders = {name: PurePosixPath(name).parent.name for name in pictures if "/" in name}
    classes = tuple(sorted(set(folders.values())))
    if len(classes) < 2:
        return {}, ()
    return {name: classes.index(folder) for name, folder in folders.items()}, classes


class Order:
    """Endless batches of indices: every epoch a new permutation of all `count` pictures, fixed by `seed` alone.

    Batches run across the end of an epoch. `share` picks this process's part of each batch (`draws.share`). Iteration
    starts at step `start`, which is all that a resumed run needs to know.
    """

    def __init__(self, count: int, batch: int, seed: int, start: int = 0, share: Tensor | None = None) -> None:
        self.count, self.batch, self.seed, self.start, self.share = count, batch, seed, start, share
        self._epochs: dict[int, Tensor] = {}

    def __iter__(self) -> Iterator[list[int]]:
        step = self.start
        while True:
            batch = self.at(step)
            yield (batch if self.share is None else batch[self.share]).tolist()
            step += 1

    def at(self, step: int) -> Tensor:  # [batch], int64
        """The indices of one step's whole batch."""
        positions = torch.arange(step * self.batch, (step + 1) * self.batch)
        epochs = positions // self.count
        return torch.stack([self._epoch(int(e))[p % self.count] for e, p in zip(epochs, positions, strict=True)])

    def _epoch(self, epoch: int) -> Tensor:
        if epoch not in self._epochs:
            self._epochs = {e: order for e, order in self._epochs.items() if e == epoch - 1}
            generator = torch.Generator().manual_seed(self.seed * 65_537 + epoch)
            self._epochs[epoch] = torch.randperm(self.count, generator=generator)
        return self._epochs[epoch]
