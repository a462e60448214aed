"""Public weights: the one place that knows where they are, and says which file to put where when there is no net.

Nothing is fetched unless asked for. A file is complete or absent: transfers go to a temporary name first. What a
download holds is for `explorer.weights.load` to judge; this module knows no formats.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from explorer.folders import cache_home
from explorer.foreign import brief
from explorer.replacing import replacing
from explorer.shipped import FILES, FOLDER, check
from explorer.weights.checkpoint import CheckpointError

MAX_BYTES = 4 * 2**30
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 2**20
Progress = Callable[[str, int, int | None], None]  # file name, bytes so far, bytes in all where known

NVIDIA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
NGC = "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files"
DRIVE = "https://drive.usercontent.google.com/download?export=download&confirm=t&id="
OPENAI = "https://openaipublic.azureedge.net/clip/models"
TORCHVISION = "https://download.pytorch.org/models"
NONCOMMERCIAL = "NVIDIA Source Code License: research and evaluation only"


class DownloadError(CheckpointError):
    """A file that could not be fetched; the message says which file to put where by hand."""


@dataclass(frozen=True)
class Weights:
    """A public file. `sha256` is the digest or its published beginning; empty where none is published."""

    url: str
    file: str
    licence: str
    sha256: str = ""


def _torchvision(name: str) -> Weights:
    return Weights(f"{TORCHVISION}/{name}.pth", f"{name}.pth", "BSD-3-Clause", name.rpartition("-")[2])


def _nvidia(name: str) -> Weights:
    return Weights(f"{NVIDIA}/{name}.pkl", f"{name}.pkl", NONCOMMERCIAL)


def _ngc(name: str) -> Weights:
    return Weights(f"{NGC}/{name}.pkl", f"{name}.pkl", NONCOMMERCIAL)


REGISTRY: dict[str, Weights] = {
    # StyleGAN2-ADA's official networks, and StyleGAN2 networks of the StyleGAN3 collection.
    "ffhq": _nvidia("ffhq"),
    "metfaces": _nvidia("metfaces"),
    "afhqcat": _nvidia("afhqcat"),
    "afhqdog": _nvidia("afhqdog"),
    "afhqwild": _nvidia("afhqwild"),
    "brecahad": _nvidia("brecahad"),
    "cifar10": _nvidia("cifar10"),
    "stylegan2-ffhq-512x512": _ngc("stylegan2-ffhq-512x512"),
    "stylegan2-ffhq-256x256": _ngc("stylegan2-ffhq-256x256"),
    "stylegan2-afhqcat-512x512": _ngc("stylegan2-afhqcat-512x512"),
    # Domain Expansion's published models: FFHQ with 100 new domains, AFHQ dogs with 50.
    "expanded-ffhq": Weights(
        f"{DRIVE}1PJdY4aGHHqoyMN-J8B2l2oi3wjzIUA_r", "expanded-ffhq.pkl", "Adobe Research License: non-commercial"
    ),
    "expanded-afhqdog": Weights(
        f"{DRIVE}1fmSv5D5jfrVXTYFpwzUoNOed8aQT68jv", "expanded-afhqdog.pkl", "Adobe Research License: non-commercial"
    ),
    # CLIP, by open_clip's names.
    "ViT-B-32": Weights(
        f"{OPENAI}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
        "ViT-B-32.pt",
        "MIT",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    ),
    "ViT-B-16": Weights(
        f"{OPENAI}/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
        "ViT-B-16.pt",
        "MIT",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
    ),
    # Backbones of the perceptual distance (LPIPS); torchvision puts the digest's beginning into the names.
    "alexnet": _torchvision("alexnet-owt-7be5be79"),
    "vgg16": _torchvision("vgg16-397923af"),
    "squeezenet1_1": _torchvision("squeezenet1_1-b8a52dc0"),
}


def cache_folder() -> Path:
    """Where downloads are kept: `$EXPLORER_CACHE`, else the user's cache folder."""
    return Path(os.environ.get("EXPLORER_CACHE") or cache_home()) / "weights"


def resolve(source: str | Path, progress: Progress | None = None) -> Path:
    """The local file of a path, of a model that comes with the program (`cats128`), of an http(s) address or a name in
    `REGISTRY`; these two are fetched where they are not here yet.

    Raises CheckpointError where it is none of these, MissingFile where the program itself comes with it, DownloadError
    where it cannot be fetched.
    """
    text = str(source)
    try:
        if Path(text).exists():
            return Path(text)
        address = urlsplit(text)
    except (ValueError, OSError) as error:  # a name too long for a file, a bracket in a host's name
        raise CheckpointError(f"{brief(text)} is neither a path nor an address ({brief(error)})") from None
    if f"{text}.safetensors" in FILES:
        shipped = FOLDER / f"{text}.safetensors"
        check(shipped)
        return shipped
    if text in REGISTRY:
        return fetch(REGISTRY[text], progress)
    if "://" in text:
        if address.scheme not in ("http", "https"):
            raise CheckpointError(f"{text[:200]}: only http and https addresses are fetched")
        name = re.sub(r"[^\w.-]", "_", address.path.rpartition("/")[2])[-80:] or "weights"
        return fetch(Weights(text, f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-{name}", ""), progress)
    check(Path(text))
    raise CheckpointError(
        f"{text[:200]}: no such file; expected a path, an http(s) address or one of {', '.join(REGISTRY)}"
    )


def cached(name: str) -> Path | None:
    """The file of a name in `REGISTRY` if it is on this disk already. Fetches nothing."""
    path = cache_folder() / REGISTRY[name].file
    return path if path.is_file() else None


def fetch(weights: Weights, progress: Progress | None = None) -> Path:
    """The file of `weights` in the cache folder, downloaded and checked on first use. Raises DownloadError."""
    target = cache_folder() / weights.file
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(weights, target, progress or _print_progress)
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(
            f"could not fetch {weights.url[:300]} ({str(reason)[:200]}); download it elsewhere and put it at {target}"
        ) from None
    return target


def _download(weights: Weights, target: Path, progress: Progress) -> None:
    """Transfer to a temporary file beside `target`, check, move. Raises OSError, HTTPException or ValueError."""
    with replacing(target) as temporary:
        with temporary.open("wb") as file, _opener().open(weights.url, timeout=TIMEOUT) as response:
            if response.headers.get_content_type() == "text/html":
                raise ValueError("the address gives a web page, not a file")
            length = response.headers.get("Content-Length")
            digest = _transfer(response, file, int(length) if length else None, weights.file, progress)
        if not digest.startswith(weights.sha256):
            raise ValueError(f"its SHA-256 is {digest}, expected {weights.sha256}: the file was changed or damaged")


def _transfer(response: BinaryIO, file: BinaryIO, length: int | None, name: str, progress: Progress) -> str:
    """Copy and return the SHA-256. Raises ValueError for a transfer that is too long or too short."""
    digest, done = hashlib.sha256(), 0
    if (length or 0) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    while chunk := response.read(CHUNK):
        done += len(chunk)
        if done > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
        digest.update(chunk)
        file.write(chunk)
        progress(name, done, length)
    if length is not None and done != length:
        raise ValueError(f"the connection broke after {done:,} of {length:,} bytes")
    return digest.hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """http and https only, also after a redirect; proxies from the environment are honoured."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    opener.addheaders = [("User-Agent", "domain-explorer")]
    return opener


def _print_progress(name: str, done: int, total: int | None) -> None:
    """One line on a terminal, nothing in a log."""
    if sys.stderr.isatty():
        share = f" of {total / 2**20:,.0f}" if total else ""
        end = "\n" if done == total else ""
        print(f"\r{name}: {done / 2**20:,.0f}{share} MB", end=end, file=sys.stderr, flush=True)
