"""One request, four doors: Python, the command line, the endpoint and the page give the same result.

One tiny model and one served app for all rows. What the page shows of a strip or a grid are its single pictures.
"""

from __future__ import annotations

import base64
import gc
import io
import json
import shutil
import socket
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client
from PIL import Image, ImageSequence

from explorer import Edit, Engine, load
from explorer.actions import Animate, Bundle, Compose, Grid, Invert, Render, Request, Strip, run
from explorer.cli import main
from explorer.export import sheet
from explorer.inversion import Settings, defaults
from explorer.ui import Serving, build_ui
from explorer.ui.serve import start

EXPANDED = Path(__file__).parents[1] / "fixtures" / "expanded32.pkl"
PATIENCE = 120.0  # seconds, on a machine that may be busy
# Gradio's server and client leave event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Page:
    """The page's server functions, asked as its scripts ask them: `page.explore("pictures", {...})`."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE)
        parts = self.http.get("config").json()["components"]
        self.ids = {part["props"].get("elem_id"): part["id"] for part in parts}

    def ask(self, panel: str, name: str, request: dict[str, Any]) -> dict[str, Any]:
        body = {"data": request, "component_id": self.ids[panel], "fn_name": name, "session_hash": "doors"}
        answer = self.http.post("gradio_api/component_server", json=body).json()
        assert not answer.get("error"), answer
        return answer

    def until_done(self, panel: str, look: str, id_: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while (answer := self.ask(panel, look, {"id": id_}))["state"] in ("waiting", "working"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert answer["state"] == "done"
        return answer

    def pictures(self, edits: list[Edit]) -> list[np.ndarray]:
        request = {"edits": [edit.to_json() for edit in edits], "exact": True}
        return [pixels(decoded(uri)) for uri in self.ask("explore", "pictures", request)["pictures"]]

    def saved(self, edit: Edit, px: int | None) -> bytes:
        return decoded(self.ask("explore", "save_picture", {"edit": edit.to_json(), "px": px})["file"])

    def made(self, kind: str, edits: tuple[Edit, ...], **more: Any) -> bytes:
        request = {"kind": kind, "edits": [edit.to_json() for edit in edits], **more}
        id_ = self.ask("explore", "make", request)["id"]
        return self.http.get(self.until_done("explore", "look_made", id_)["file"]).raise_for_status().content

    def inverted(self, photo: bytes, settings: Settings) -> Any:
        uri = self.ask("invert", "photo", {"photo": uri_of(photo)})
        changes = {"method": settings.method, "steps": settings.steps, "space": settings.space}
        begun = self.ask("invert", "start", {"photo": uri_of(photo), "box": uri["centre"], "settings": changes})
        result = self.until_done("invert", "look", begun["id"])["result"]
        return Edit.from_json(result["edit"]), figures(result["figures"])


def uri_of(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def frames(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.stack([np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)])


def members(file: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return {name: archive.read(name) for name in sorted(archive.namelist())}


def figures(found: Any) -> dict[str, Any]:
    """All that do not depend on the clock; rounded, as batches of another size round differently."""
    return {key: round(v, 3) if isinstance(v, float) else v for key, v in found.items() if key != "seconds"}


@dataclass(frozen=True)
class Doors:
    """The same generator behind each of them."""

    engine: Engine
    client: Client
    page: Page
    folder: Path
    photo: Path

    def python(self, request: Request[Any, Any], ending: str) -> bytes:
        out = self.folder / f"python{ending}"
        run(request, self.engine, out)
        return out.read_bytes()

    def command(self, words: list[object], ending: str) -> bytes:
        out = self.folder / f"command{ending}"
        assert main([*map(str, words), "--checkpoint", str(EXPANDED), "--out", str(out)]) == 0
        return out.read_bytes()

    def endpoint(self, name: str, **arguments: Any) -> bytes:
        return Path(self.client.predict(**arguments, api_name=f"/{name}")).read_bytes()

    def edits_file(self, edits: tuple[Edit, ...]) -> Path:
        (path := self.folder / "edits.json").write_text(json.dumps([edit.to_json() for edit in edits]))
        return path


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("doors")
    engine = Engine(load(EXPANDED))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = build_ui(engine, engine.checkpoint.meta["name"])
    url = start(page, Serving(port=port))
    Image.fromarray(engine.render(Edit(seed=9))).resize((120, 120)).save(folder / "photo.png")
    doors = Doors(engine, Client(url, verbose=False), Page(url), folder, folder / "photo.png")
    yield doors
    doors.page.http.close()
    doors.client.close()
    page.close(verbose=False)
    del doors
    gc.collect()


EDIT = Edit(seed=3, strengths={"sketch": 0.75, 2: -1.5})
EDITS = (Edit(seed=1), Edit(seed=2, strengths={"zombie": 1}))
Results = dict[str, Any]  # by door


def render(doors: Doors) -> Results:
    words = ["render", "--seed", 3, "--set", "sketch=0.75", "--set", "2=-1.5", "--px", 48]
    return {
        "python": doors.python(Render(EDIT, 48), ".png"),
        "command": doors.command(words, ".png"),
        "endpoint": doors.endpoint("render", edit=EDIT.to_json(), px=48),
        "page": doors.page.saved(EDIT, 48),
    }


def compose(doors: Doors) -> Results:
    strengths = {"sketch": 0.5, "3": -1.0}
    request = Compose(strengths, seed=5, truncation_psi=0.9)
    words = ["compose", "sketch=0.5", "3=-1", "--seed", 5, "--psi", 0.9]
    return {
        "python": doors.python(request, ".png"),
        "command": doors.command(words, ".png"),
        "endpoint": doors.endpoint("compose", strengths=strengths, seed=5, truncation_psi=0.9),
        "page": doors.page.saved(request.edit, None),
    }


def strip(doors: Doors) -> Results:
    request = Strip(Edit(seed=5), "zombie")
    return {
        "python": pixels(doors.python(request, ".png")),
        "command": pixels(doors.command(["strip", "zombie", "--seed", 5], ".png")),
        "endpoint": pixels(doors.endpoint("strip", edit={"seed": 5}, direction_id="zombie")),
        "page": sheet(doors.page.pictures(list(request.edits)), request.count),
    }


def grid(doors: Doors) -> Results:
    request = Grid(Edit(seed=5), "zombie", 2, count=2)
    words = ["grid", "zombie", 2, "--seed", 5, "--count", 2]
    return {
        "python": pixels(doors.python(request, ".png")),
        "command": pixels(doors.command(words, ".png")),
        "endpoint": pixels(doors.endpoint("grid", edit={"seed": 5}, x="zombie", y="2", count=2)),
        "page": sheet(doors.page.pictures(list(request.edits)), request.count),
    }


def animate(doors: Doors) -> Results:
    edits = [edit.to_json() for edit in EDITS]
    words = ["animate", doors.edits_file(EDITS), "--frames", "3,2", "--easing", "linear"]
    legs: Any = {"frames": [3, 2], "easing": "linear"}
    return {
        "python": frames(doors.python(Animate(EDITS, (3, 2), easing="linear"), ".webp")),
        "command": frames(doors.command(words, ".webp")),
        "endpoint": frames(doors.endpoint("animate", edits=edits, format="webp", **legs)),
        "page": frames(doors.page.made("webp", EDITS, **legs)),
    }


def bundle(doors: Doors) -> Results:
    edits = [edit.to_json() for edit in EDITS]
    return {
        "python": members(doors.python(Bundle(EDITS, px=48), ".zip")),
        "command": members(doors.command(["bundle", doors.edits_file(EDITS), "--px", 48], ".zip")),
        "endpoint": members(doors.endpoint("bundle", edits=edits, px=48)),
        "page": members(doors.page.made("zip", EDITS, px=48)),
    }


def invert(doors: Doors) -> Results:
    """No face is in this photo, so the middle of it is looked for everywhere."""
    settings = Settings(**{**vars(defaults("in_domain")), "steps": 2})
    (result,) = run(Invert((doors.photo,), settings), doors.engine)
    assert result.figures
    out = doors.folder / "inverted"
    words = ["invert", doors.photo, "--steps", 2, "--checkpoint", EXPANDED, "--out", out, "--json"]
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("builtins.print", lambda *texts, **_: printed.extend(texts))
        assert main(list(map(str, words))) == 0
    (told,) = json.loads(printed[-1])["photos"]
    photo = base64.b64encode(doors.photo.read_bytes()).decode()
    answer = doors.client.predict(photo=photo, steps=2, api_name="/invert")
    assert result.note == told["note"] == answer["note"]
    assert "no face" in result.note.lower()
    keys = result.figures.keys()
    return {
        "python": (Edit(latent=result.latent, project=False), figures(result.figures)),
        "command": (
            Edit.from_json((out / "photo.json").read_text()),
            figures({key: told[key] for key in keys}),
        ),
        "endpoint": (Edit.from_json(answer["edit"]), figures(answer["figures"])),
        "page": doors.page.inverted(doors.photo.read_bytes(), settings),
    }


@pytest.mark.parametrize("action", [render, compose, strip, grid, animate, bundle, invert])
def test_every_door_gives_the_same_result(action: Callable[[Doors], Results], doors: Doors) -> None:
    results = action(doors)
    expected = results.pop("python")
    assert results.keys() == {"command", "endpoint", "page"}
    for door, result in results.items():
        if isinstance(expected, np.ndarray):  # rendered in batches of another size: rounding may differ
            assert result.shape == expected.shape, door
            assert np.abs(result.astype(int) - expected).max() <= 1, door
        else:
            assert result == expected, door
    shutil.rmtree(doors.folder / "inverted", ignore_errors=True)
