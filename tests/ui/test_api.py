"""The endpoints as programs reach them: `gradio_client`, plain HTTP, behind a password, below a path of a proxy."""

from __future__ import annotations

import base64
import csv
import gc
import io
import json
import shutil
import socket
import weakref
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from app_server import ROOT
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from explorer import Edit, Engine, load
from explorer.keep import read_picture
from explorer.networks import Generator
from explorer.ui import Serving, Shelf, build_ui
from explorer.ui import shelf as shelf_module
from explorer.ui.serve import ServeError, start, users
from explorer.weights import CheckpointError
from explorer.weights import checkpoint as checkpoint_module

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
PASSWORD = (("ann", "s3cret"),)
PATIENCE = 120  # seconds: a page is built on first use, on a machine that may be busy
# Gradio's server and client leave event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _collect() -> Iterator[None]:
    """What this module left open is found here, not in some later test."""
    yield
    gc.collect()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def get(address: str) -> httpx.Response:
    return httpx.get(address, timeout=PATIENCE)


def post(address: str, data: dict[str, object]) -> httpx.Response:
    return httpx.post(address, json=data, timeout=PATIENCE)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(load(EXPANDED), "cpu", "fp32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two more generators, and a file that is none."""
    folder = tmp_path_factory.mktemp("models")
    checkpoint = load(EXPANDED)
    for name in ("first", "second"):
        checkpoint.save(folder / f"{name}.safetensors")
    (folder / "notes.safetensors").write_bytes(b"no generator")
    return folder


def serve(engine: Engine, folder: Path, **changes: object) -> Iterator[str]:
    shelf = Shelf(partial(build_ui, max_px=None), "cpu", "fp32", folder)
    page = build_ui(engine, "expanded32", None, shelf)
    yield start(page, Serving(port=free_port(), **changes), shelf)  # type: ignore[arg-type]
    page.close(verbose=False)


@pytest.fixture(scope="module")
def url(engine: Engine, folder: Path) -> Iterator[str]:
    yield from serve(engine, folder)


@pytest.fixture(scope="module")
def locked_url(engine: Engine, folder: Path) -> Iterator[str]:
    yield from serve(engine, folder, auth=PASSWORD)


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def alike(picture: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for the rounding of another batch size."""
    return picture.shape == expected.shape and np.abs(picture.astype(int) - expected).max() <= 1


def test_render_gives_the_engines_picture_and_carries_its_edit(client: Client, engine: Engine) -> None:
    edit = Edit(seed=3, strengths={"sketch": 0.75})
    file = client.predict(edit=edit.to_json(), api_name="/render")
    assert np.array_equal(pixels(file), engine.render(edit))
    assert read_picture(Path(file).read_bytes()).edit == edit
    assert pixels(client.predict(edit=edit.to_json(), px=80, format="webp", api_name="/render")).shape == (80, 80, 3)


def test_compose_strip_and_grid_show_what_they_say(client: Client, engine: Engine) -> None:
    composed = pixels(client.predict(strengths={"sketch": 0.5, "3": -1}, seed=5, api_name="/compose"))
    assert np.array_equal(composed, engine.render(Edit(seed=5, strengths={"sketch": 0.5, 3: -1})))
    strip = pixels(client.predict(edit={"seed": 5}, direction_id="zombie", low=0, high=1, count=3, api_name="/strip"))
    size = engine.resolution
    assert strip.shape == (size, 3 * size + 4, 3)
    assert alike(strip[:, -size:], engine.render(Edit(seed=5, strengths={"zombie": 1})))
    grid = pixels(client.predict(edit={"seed": 5}, x="zombie", y="sketch", count=2, api_name="/grid"))
    assert alike(grid[-size:, :size], engine.render(Edit(seed=5, strengths={"sketch": 1})))
    assert alike(grid[:size, -size:], engine.render(Edit(seed=5, strengths={"zombie": 1})))


@pytest.mark.parametrize("kind", ["mp4", "webp", "gif"])
def test_animate_writes_a_film(client: Client, kind: str) -> None:
    edits = [{"seed": 1}, {"seed": 2}]
    file = Path(client.predict(edits=edits, frames=3, fps=10, format=kind, api_name="/animate"))
    if kind == "mp4":
        assert file.read_bytes()[4:8] == b"ftyp"
    else:
        assert getattr(Image.open(file), "n_frames", 1) >= 5  # frames that are alike may have become one


def test_bundle_holds_pictures_codes_and_a_table(client: Client, engine: Engine) -> None:
    edits = [Edit(seed=1), Edit(seed=2, strengths={"sketch": 1})]
    file = client.predict(edits=[edit.to_json() for edit in edits], api_name="/bundle")
    with zipfile.ZipFile(file) as archive:
        assert alike(np.asarray(Image.open(archive.open("002.png"))), engine.render(edits[1]))
        rows = list(csv.DictReader(io.StringIO(archive.read("edits.csv").decode())))
        assert [Edit.from_json(row["edit"]) for row in rows] == edits
        assert np.load(archive.open("latents.npy"), allow_pickle=False).shape == (2, engine.codes.rows, 64)


def test_invert_finds_an_edit_that_renders(client: Client, engine: Engine) -> None:
    picture = io.BytesIO()
    Image.fromarray(engine.render(Edit(seed=9))).resize((120, 120)).save(picture, "PNG")
    photo = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    found = client.predict(photo=photo, steps=2, api_name="/invert")
    assert np.isfinite(found["figures"]["psnr"])
    assert "face" in found["note"]
    assert np.array_equal(
        pixels(client.predict(edit=found["edit"], api_name="/render")), engine.render(Edit.from_json(found["edit"]))
    )


def test_models_describes_the_generator(client: Client) -> None:
    answer = client.predict(api_name="/models")
    assert answer["loaded"]["domains"] == ["sketch", "tolkien elf", "zombie"]
    assert answer["loaded"]["perceptual"]


@pytest.mark.parametrize(
    ("endpoint", "arguments", "word"),
    [
        ("render", {"edit": {"sed": 3}}, "sed"),
        ("render", {"edit": []}, "JSON object"),
        ("render", {"edit": {}, "px": 10**9}, "4096"),
        ("render", {"edit": {}, "px": True}, "4096"),
        ("render", {"edit": {}, "format": "exe"}, "exe"),
        ("render", {"edit": {"latent": {"shape": [1], "data": "AAAA"}}}, "latent"),
        ("compose", {"strengths": {"crayon": 1}}, "crayon"),
        ("compose", {"strengths": 3}, "object"),
        ("strip", {"edit": {}, "direction_id": "sketch", "count": 10**6}, "25"),
        ("strip", {"edit": {}, "direction_id": "sketch", "low": "a"}, "numbers"),
        ("grid", {"edit": {}, "x": "sketch", "y": "sketch"}, "two different"),
        ("animate", {"edits": [{}]}, "2 to 64"),
        ("animate", {"edits": [{}] * 65}, "2 to 64"),
        ("animate", {"edits": [{}] * 3, "frames": 10**9}, "900"),
        ("animate", {"edits": [{}] * 3, "fps": 0}, "frames a second"),
        ("animate", {"edits": [{}] * 3, "format": "../../x"}, ".mp4"),
        ("bundle", {"edits": []}, "1 to"),
        ("bundle", {"edits": [{}] * 257}, "256"),
        ("bundle", {"edits": "x"}, "list"),
        ("invert", {"photo": "!!"}, "base64"),
        ("invert", {"photo": base64.b64encode(b"hello").decode()}, "not a picture"),
        ("invert", {"photo": "", "method": "magic"}, "magic"),
        ("invert", {"photo": "", "steps": 10**6}, "1000"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    client: Client, endpoint: str, arguments: dict[str, Any], word: str
) -> None:
    with pytest.raises(AppError) as refused:
        client.predict(**arguments, api_name=f"/{endpoint}")
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def http_render(url: str, edit: dict[str, object]) -> bytes:
    """As the documentation of Gradio says for programs without its client: ask, then wait for the event."""
    with httpx.Client(base_url=url, timeout=PATIENCE) as http:
        event = http.post("gradio_api/call/render", json={"data": [edit, None, "png", False]}).json()["event_id"]
        lines = http.get(f"gradio_api/call/render/{event}").text.splitlines()
        (file,) = json.loads(next(line.removeprefix("data: ") for line in lines if line.startswith("data: [")))
        return http.get(file["url"]).content


def test_plain_http_renders(url: str, engine: Engine) -> None:
    picture = Image.open(io.BytesIO(http_render(url, {"seed": 4})))
    assert np.array_equal(np.asarray(picture), engine.render(Edit(seed=4)))


PATHS = ("config", "gradio_api/info", "gradio_api/file=/etc/hostname", "m/first/", "m/first/config")
POSTS = ("call/render", "component_server", "queue/join", "upload", "run/render", "call/v2/render")


def test_without_the_password_there_is_nothing(locked_url: str) -> None:
    for path in PATHS:
        assert get(f"{locked_url}{path}").status_code == 401, path
    for path in POSTS:
        for page in ("", "m/first/"):
            address = f"{locked_url}{page}gradio_api/{path}"
            assert post(address, {"data": [{}]}).status_code == 401, address
    with pytest.raises(Exception, match=r"(?i)login|auth|credential"):
        Client(locked_url, auth=("ann", "wrong"), verbose=False)


def test_with_the_password_every_page_answers(locked_url: str) -> None:
    client = Client(locked_url, auth=PASSWORD[0], verbose=False)
    assert pixels(client.predict(edit={}, api_name="/render")).shape == (32, 32, 3)
    with httpx.Client(base_url=locked_url, timeout=PATIENCE) as browser:
        browser.post("login", data=dict(zip(("username", "password"), PASSWORD[0], strict=True))).raise_for_status()
        assert browser.get("m/first/config").status_code == 200


def test_every_generator_has_a_page_of_its_own(url: str, folder: Path) -> None:
    first = Client(f"{url}m/first/", verbose=False)
    assert first.predict(api_name="/models")["loaded"]["name"] == "first"
    assert pixels(first.predict(edit={}, api_name="/render")).shape == (32, 32, 3)
    for wrong in ("third", "notes", "..%2Ffirst", "first.safetensors"):
        answer = get(f"{url}m/{wrong}/")
        assert answer.status_code == 404
        assert answer.text.count(".") >= 1
        assert str(folder) not in answer.text


@pytest.fixture
def generators(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Generator]]:
    """Those that a shelf has opened."""
    made: list[weakref.ref[Generator]] = []

    def noted(*arguments: Any) -> Engine:
        engine = Engine(*arguments)
        made.append(weakref.ref(engine.generator))
        return engine

    monkeypatch.setattr(shelf_module, "Engine", noted)
    return made


def alive(generators: list[weakref.ref[Generator]]) -> list[bool]:
    gc.collect()
    return [generator() is not None for generator in generators]


def test_a_large_generator_pushes_out_the_one_before(
    engine: Engine, folder: Path, generators: list[weakref.ref[Generator]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "KEPT_BYTES", 1)
    for url in serve(engine, folder):
        for name in ("first", "second"):
            assert get(f"{url}m/{name}/config").status_code == 200
        assert alive(generators) == [False, True]
        assert get(f"{url}m/second/config").status_code == 200
        assert len(generators) == 2
        assert get(f"{url}m/first/config").status_code == 200
        assert alive(generators) == [False, False, True]


def test_where_memory_is_short_the_others_make_room(
    engine: Engine, folder: Path, generators: list[weakref.ref[Generator]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine has room for one beside the first."""
    monkeypatch.setattr(checkpoint_module, "machine_bytes", lambda: 0 if any(alive(generators)) else 10**12)
    for url in serve(engine, folder):
        for name in ("first", "second"):
            assert get(f"{url}m/{name}/config").status_code == 200
        assert alive(generators) == [False, True]
        monkeypatch.setattr(checkpoint_module, "machine_bytes", lambda: 0)
        answer = get(f"{url}m/first/")
        assert answer.status_code == 404
        assert "this machine has 0.0 GB free" in answer.text


def test_a_page_built_anew_knows_the_parts_of_one_that_is_open(engine: Engine, folder: Path) -> None:
    shelf = Shelf(build_ui, "cpu", "fp32", folder)
    once, again = (set(shelf.open("first").blocks) for _ in range(2))
    assert once == again


def test_a_file_that_a_visitor_brings_opens_for_them_only(engine: Engine, folder: Path, tmp_path: Path) -> None:
    shelf = Shelf(build_ui, "cpu", "fp32", folder)
    (tmp_path / "upload").mkdir()
    dropped = tmp_path / "upload" / "x"
    shutil.copy(EXPANDED, dropped)
    name = shelf.add(dropped, "../my model.pkl")
    assert "/" not in name
    assert shelf.open(name).title.endswith("my-model")
    assert name not in shelf.names()
    assert shelf.names() == ["first", "second"]


def test_a_file_that_would_take_too_much_memory_is_refused_where_it_is_brought(folder: Path, tmp_path: Path) -> None:
    dropped = Path(shutil.copy(EXPANDED, tmp_path / "x"))
    with pytest.raises(CheckpointError, match=r"0\.0 GB are allowed here"):
        Shelf(build_ui, "cpu", "fp32", folder, limit=10**7).add(dropped, "x.pkl")
    assert not dropped.exists()


def test_below_the_path_of_a_proxy_addresses_lead_back_there(engine: Engine, folder: Path) -> None:
    for url in serve(engine, folder, root_path="/cats"):
        config = get(f"{url}config").json()
        assert config["root"].endswith("/cats")
        event = post(f"{url}gradio_api/call/render", {"data": [{}, None, "png", False]}).json()["event_id"]
        assert "/cats/gradio_api/file=" in get(f"{url}gradio_api/call/render/{event}").text
        assert get(f"{url}m/first/config").json()["root"].endswith("/cats/m/first")


def test_users_are_read_from_text_or_a_file(tmp_path: Path) -> None:
    assert users(None) == ()
    assert users("ann:a:b") == (("ann", "a:b"),)
    (tmp_path / "users").write_text("ann:1\n\nbob:2\n")
    assert users(str(tmp_path / "users")) == (("ann", "1"), ("bob", "2"))
    for wrong in ("ann", "ann:", ":x", str(tmp_path)):
        with pytest.raises(ServeError, match="USER:PASSWORD"):
            users(wrong)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"root_path": "cats"}, "--root-path"),
        ({"root_path": "/cats/"}, "--root-path"),
        ({"queue_limit": 0}, "--queue-limit"),
        ({"port": 99_999_999}, "--port"),
        ({"mcp": True, "auth": PASSWORD}, "mcp"),
    ],
)
def test_a_way_of_serving_that_cannot_be_is_refused(changes: dict[str, object], word: str) -> None:
    with pytest.raises(ServeError, match=word):
        Serving(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "public"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "cats.example.org"}, True),
        ({"root_path": "/cats"}, True),
        ({"host": "0.0.0.0", "auth": PASSWORD}, False),
        ({"host": "0.0.0.0", "share": True}, False),  # a password is made for it
    ],
)
def test_a_page_is_public_where_strangers_reach_it(changes: dict[str, object], public: bool) -> None:
    assert Serving(**changes).public == public  # type: ignore[arg-type]


def test_endpoints_are_tools_of_language_models(engine: Engine, folder: Path) -> None:
    pytest.importorskip("mcp", reason="the optional package gradio[mcp] is not installed")
    for url in serve(engine, folder, mcp=True):
        accept = {"accept": "application/json, text/event-stream"}

        def call(method: str, params: dict[str, object], url: str = url, accept: dict[str, str] = accept) -> dict:
            message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
            answer = httpx.post(f"{url}gradio_api/mcp/", json=message, headers=accept, timeout=PATIENCE)
            return json.loads(next(line[6:] for line in answer.text.splitlines() if line.startswith("data: ")))

        tools = {tool["name"]: tool for tool in call("tools/list", {})["result"]["tools"]}
        assert tools.keys() >= {"render", "compose", "strip", "grid", "animate", "bundle", "invert", "models"}
        assert "Lanczos" in tools["render"]["inputSchema"]["properties"]["px"]["description"]
        found = call("tools/call", {"name": "render", "arguments": {"edit": {"seed": 3}}})["result"]["content"]
        picture = Image.open(io.BytesIO(base64.b64decode(found[0]["data"])))
        assert np.array_equal(np.asarray(picture.convert("RGB")), engine.render(Edit(seed=3)))
