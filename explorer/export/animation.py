"""A film along a path of edits: MP4, WebP or GIF.

Between two edits code and pose move along straight lines, noise images along arcs, slowly at both ends or evenly; so
any two edits can follow each other, whatever seeds, photos and directions they have. Knows nothing of how pictures are
made.
"""

from __future__ import annotations

import shutil
import subprocess
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, Literal, get_args, overload

import numpy as np
from PIL import Image
from PIL.ExifTags import Base

from explorer.edit import POSE, Edit, Latent, Noise
from explorer.export.pictures import BATCH, ExportError, Render, rendered, replacing, upscaled
from explorer.foreign import brief

FORMATS = (".mp4", ".webp", ".gif")
MAX_EDITS = 64  # stops of a path
MAX_FRAMES = 900
MAX_FILM_PIXELS = 256 * 1024 * 1024  # of all frames of a WebP or GIF together: they are held until the end
WEBP_QUALITY = 90
CRF = 10  # of H.264: 0 is without loss, 51 the worst
FULL = 2**20  # bytes: less room than that on a disk, and it counts as full
ALMOST = 0.99  # done while the file has not its name yet

Easing = Literal["smooth", "linear"]  # at rest on every edit, or evenly from each to the next
Frames = (
    int | list[int] | tuple[int, ...]
)  # from each edit to the next: of every leg the same number, or one number a leg
Codes = Callable[[list[Edit]], list[np.ndarray]]  # codes float32 [rows, dim], one an edit
Noises = Callable[[list[Edit]], list[np.ndarray | None]]  # noise images, where the generator takes any
Arc = Callable[[np.ndarray, np.ndarray, float], np.ndarray]  # the noise image between two, at 0 to 1


def ease(t: np.ndarray) -> np.ndarray:  # [0, 1] -> [0, 1]
    """Smoothstep 3t^2 - 2t^3: at rest at both ends."""
    return t * t * (3 - 2 * t)


def along(
    edits: Sequence[Edit],
    codes: Codes,
    frames: Frames,
    loop: bool = True,
    noises: Noises | None = None,
    arc: Arc | None = None,
    easing: Easing = "smooth",
) -> Way:
    """The edits of a film that goes from each edit to the next, in `frames` frames each or one number for every leg.

    With `loop` a last leg leads back to the first edit and ends one frame before it, so that the film can be repeated
    without a jump and without a frame shown twice. The given edits are frames themselves, unchanged in their pictures.
    The number of steps is the first edit's throughout; so is the noise, unless noise images differ and `arc` says what
    lies between two. Raises ExportError for fewer than two edits, too many, too many frames, or another easing.
    """
    legs, edits = legs_of(len(edits), frames, loop), list(edits)
    check_easing(easing)
    differ = len({(edit.noise_mode, edit.noise_seed, edit.noise) for edit in edits}) > 1
    images = noises(edits) if noises is not None and arc is not None and differ else [None] * len(edits)
    poses = [np.array(edit.pose) for edit in edits]
    return Way(edits, list(zip(codes(edits), poses, images, strict=True)), legs, loop, easing, arc)


@dataclass(frozen=True)
class Way(Sequence[Edit]):
    """The frames of a film, each made when it is asked for: one may hold a noise image of half a megabyte."""

    edits: list[Edit]
    stops: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]]  # code, pose and noise image of each
    legs: tuple[int, ...]  # frames of each
    loop: bool
    easing: Easing
    arc: Arc | None

    def __len__(self) -> int:
        return sum(self.legs) + (not self.loop)

    @overload
    def __getitem__(self, index: int) -> Edit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Edit]: ...
    def __getitem__(self, index: int | slice) -> Edit | list[Edit]:
        numbers = range(len(self))[index]
        return self._frame(numbers) if isinstance(numbers, int) else [self._frame(number) for number in numbers]

    def at(self, leg: int, part: float) -> Edit:
        """The frame at `part` of the time of a leg, 0 to 1; one leg more than there are begins at the last edit."""
        here, there = (self.stops[(leg + i) % len(self.stops)] for i in (0, 1))
        t = float(ease(np.array(part))) if self.easing == "smooth" else part
        code, pose = (a + (b - a) * t for a, b in zip(here[:2], there[:2], strict=True))
        return replace(_still(self.edits[0], code, pose), **self._noise(leg, t))

    def _frame(self, number: int) -> Edit:
        ends = list(accumulate(self.legs))
        leg = bisect_right(ends, number)
        if leg == len(ends):
            return self.at(leg, 0.0)
        return self.at(leg, (number - ends[leg] + self.legs[leg]) / self.legs[leg])

    def _noise(self, at: int, t: float) -> dict[str, Any]:
        """Of a frame; at a stop it is the stop's own."""
        here, there = (self.stops[(at + i) % len(self.stops)][2] for i in (0, 1))
        own = self.edits[0 if here is None else at % len(self.edits)]
        if here is None or there is None or self.arc is None or t == 0:
            return {"noise_mode": own.noise_mode, "noise_seed": own.noise_seed, "noise": own.noise}
        return {"noise_mode": "photo", "noise": Noise.of(self.arc(here, there, t))}


def legs_of(edits: int, frames: Frames, loop: bool = True) -> tuple[int, ...]:
    """How many frames each leg of a film along so many edits has. Raises ExportError as `along` does."""
    if not 2 <= edits <= MAX_EDITS:
        raise ExportError(f"an animation goes along 2 to {MAX_EDITS} pictures, got {edits}")
    count = edits if loop else edits - 1
    legs = tuple(frames) if isinstance(frames, (list, tuple)) else (frames,) * count
    if len(legs) != count:
        raise ExportError(f"an animation along {edits} pictures has {count} legs, got frames for {len(legs)}")
    whole = all(isinstance(leg, int) and not isinstance(leg, bool) and leg >= 1 for leg in legs)
    if not whole or sum(legs) > MAX_FRAMES:
        raise ExportError(f"an animation has 1 to {MAX_FRAMES} frames in all, got {brief(frames)} for {count} legs")
    return legs


def film_length(edits: int, frames: Frames, loop: bool = True) -> int:
    """How many frames `along` makes of so many edits. Raises ExportError as it does."""
    return sum(legs_of(edits, frames, loop)) + (not loop)


def check_easing(easing: str) -> None:
    """Raises ExportError for an easing that is none."""
    if easing not in get_args(Easing):
        raise ExportError(f"an animation's easing is {' or '.join(get_args(Easing))}, got {brief(easing)}")


def check_fps(fps: int) -> None:
    """Raises ExportError for a frame rate outside 1 to 60."""
    if isinstance(fps, bool) or not isinstance(fps, int) or not 1 <= fps <= 60:
        raise ExportError(f"an animation shows 1 to 60 frames a second, got {fps!r}")


def _still(first: Edit, code: np.ndarray, pose: np.ndarray) -> Edit:
    """An edit that is nothing but a code and a pose: it has been truncated, projected and moved already."""
    turned = dict(zip(POSE, pose.tolist(), strict=True))
    return Edit(latent=Latent.of(code), project=False, steps=first.steps, **turned)


def write_animation(
    path: str | Path,
    edits: Sequence[Edit],
    render: Render,
    fps: int = 25,
    px: int | None = None,
    loop: bool = True,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """What `animating` does, to its end; `progress` gets the fraction done."""
    for fraction in animating(path, edits, render, fps, px, loop):
        if progress is not None:
            progress(fraction)
    return Path(path)


def animating(
    path: str | Path,
    edits: Sequence[Edit],
    render: Render,
    fps: int = 25,
    px: int | None = None,
    loop: bool = True,
    batch: int = BATCH,
    note: str = "",
) -> Generator[float, None, None]:
    """Render `edits` and write them as a film, by the ending of `path`; yields the fraction done after every frame.

    The file is there after the last fraction; closing the iterator earlier leaves nothing behind.
    `px` enlarges or shrinks the frames, `batch` are rendered at once, `note` is in the file's metadata. MP4 (H.264) has
    even sides: an odd one loses its last row. WebP and GIF repeat for ever with `loop`. Raises ExportError for another
    ending, a frame rate outside 1 to 60 or too many pixels.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ExportError(f"an animation is written as {', '.join(FORMATS)}; {path.name!r} ends otherwise")
    check_fps(fps)
    if not 1 <= len(edits) <= MAX_FRAMES + 1:
        raise ExportError(f"an animation has 1 to {MAX_FRAMES} frames, got {len(edits)}")
    frames = (upscaled(picture, px) for picture in rendered(edits, render, batch))
    with replacing(path) as temporary:
        if path.suffix.lower() == ".mp4":
            written = _write_mp4(temporary, frames, fps, note)
        else:
            written = _write_pillow(temporary, frames, len(edits), fps, loop, note)
        for count, _ in enumerate(written, 1):
            yield min(count / len(edits), ALMOST)
    yield 1.0


def _write_mp4(path: Path, frames: Iterator[np.ndarray], fps: int, note: str) -> Iterator[None]:
    """H.264 by ffmpeg, whose end is waited for and looked at: on a full disk it takes every frame and fails then."""
    first = next(frames)
    height, width = (side - side % 2 for side in first.shape[:2])
    if min(height, width) < 2:
        raise ExportError("an MP4 needs pictures of at least 2 x 2 px")
    ffmpeg = subprocess.Popen(_ffmpeg(path, width, height, fps, note), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert ffmpeg.stdin is not None
    try:
        with suppress(BrokenPipeError):  # it has ended already: its exit code says how
            for frame in chain([first], frames):
                ffmpeg.stdin.write(np.ascontiguousarray(frame[:height, :width]).data)
                yield
            ffmpeg.stdin.close()
        if ffmpeg.wait() != 0:
            room = shutil.disk_usage(path.parent).free
            why = "the disk is full" if room < FULL else f"ffmpeg failed with {ffmpeg.returncode}"
            raise ExportError(f"the film cannot be written: {why}")
    finally:
        ffmpeg.kill()
        with suppress(BrokenPipeError):
            ffmpeg.stdin.close()
        ffmpeg.wait()


def _ffmpeg(path: Path, width: int, height: int, fps: int, note: str) -> list[str]:
    import imageio_ffmpeg  # it looks for its program when imported

    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "-"]
    film = ["-an", "-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", str(CRF)]
    told = ["-metadata", f"comment={note}"] if note else []
    return [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *raw, *film, *told, str(path)]


def _write_pillow(
    path: Path, frames: Iterator[np.ndarray], count: int, fps: int, loop: bool, note: str
) -> Iterator[None]:
    first = next(frames)
    if first.size // 3 * count > MAX_FILM_PIXELS:
        raise ExportError(
            f"{count} frames of this size are too much for {path.suffix}: write an .mp4, or a smaller one"
        )
    images = []
    for frame in chain([first], frames):
        images.append(Image.fromarray(frame))
        yield
    options: dict[str, Any] = {"duration": round(1000 / fps), "loop": 0 if loop else 1}
    if path.suffix.lower() == ".webp":
        options |= {"quality": WEBP_QUALITY, "method": 3}
        if note:
            options["exif"] = Image.Exif()
            options["exif"][Base.ImageDescription] = note
    else:
        if not loop:
            del options["loop"]  # a GIF without the entry plays once
        if note:
            options["comment"] = note.encode()
    images[0].save(path, save_all=True, append_images=images[1:], **options)
