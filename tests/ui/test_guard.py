"""What other web sites, strangers and broken clients may ask of a server: raw requests, and a real Chromium."""

from __future__ import annotations

import asyncio
import gc
import http.client
import http.server
import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from app_server import CHROMIUM, FLAGS, ROOT, Server, finished
from fastapi import HTTPException
from gradio.routes import App
from gradio_client import Client
from playwright.sync_api import Browser
from starlette.formparsers import MultiPartException

from explorer import Engine, load
from explorer.ui import Serving, build_ui
from explorer.ui.bodies import ALONE, LARGE_AT_ONCE, UNTOLD, UPLOAD_RATE, Bodies, Limits, size_of
from explorer.ui.guard import CLOSED, NEAR, TRIES, Guard
from explorer.ui.replicas import page_app
from explorer.ui.serve import start
from explorer.ui.shelf import SESSIONS

JSON = {"Content-Type": "application/json"}
CALL = "/gradio_api/call/render"
EDIT = json.dumps({"data": [{"seed": 3}, None, "png", False]})
# Gradio's server and client leave event loops and sockets to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def _collect() -> Iterator[None]:
    yield
    gc.collect()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def serve(**changes: Any) -> Iterator[int]:
    engine = Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32")
    serving = Serving(port=free_port(), **changes)
    page = build_ui(engine, "expanded32", public=serving.public)
    start(page, serving)
    yield serving.port
    page.close(verbose=False)


@pytest.fixture(scope="module")
def port(expanded_server: Server) -> int:
    return expanded_server.port


@pytest.fixture(scope="module")
def open_port() -> Iterator[int]:
    """Of a server that others reach, by whatever name."""
    yield from serve(host="0.0.0.0")


def ask(port: int, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    """Status and text of the answer to a request with these headers; `_` in their names stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest(method, path, skip_host="Host" in named)
    for name, value in named.items() | ({("Content-Length", str(len(body)))} if body is not None else set()):
        connection.putheader(name, value)
    connection.endheaders(body.encode() if body else None)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def call(port: int, **headers: str) -> int:
    return ask(port, "POST", CALL, EDIT, **({"Content_Type": "application/json"} | headers))[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:1", "localhost:7860", "LOCALHOST.", "[::1]:7860"])
def test_a_loopback_server_answers_to_the_names_of_this_machine(port: int, host: str) -> None:
    assert ask(port, "GET", "/config", Host=host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.test", "127.0.0.1.evil.test", "10.0.0.1:7860", "localhost.evil.test", "", "a:b"]
)
def test_a_loopback_server_answers_to_no_other_name(port: int, host: str) -> None:
    for method, path in (("GET", "/"), ("GET", "/config"), ("POST", CALL), ("POST", "/gradio_api/upload")):
        status, text = ask(port, method, path, Host=host)
        assert status == 421
        assert "--root-path" in text


def test_what_changes_something_comes_from_the_page_itself(port: int) -> None:
    here = f"http://127.0.0.1:{port}"
    assert call(port) == 200
    assert call(port, Origin=here) == 200
    assert call(port, Origin=here, Sec_Fetch_Site="same-origin") == 200
    for origin in (
        "http://evil.test",
        "null",
        f"https://127.0.0.1:{port + 1}",
        "http://localhost",
        f"{here}.evil.test",
    ):
        assert call(port, Origin=origin) == 403, origin
        assert call(port, Origin=origin, Sec_Fetch_Site="same-origin") == 403, origin
    for site in ("cross-site", "same-site", "anything"):
        assert call(port, Sec_Fetch_Site=site) == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_bodies_that_forms_of_other_sites_can_send_are_refused(port: int, kind: str) -> None:
    assert call(port, Content_Type=kind) == 415
    assert ask(port, "POST", "/gradio_api/component_server", "{}", Content_Type=kind)[0] == 415
    assert ask(port, "POST", "/gradio_api/queue/join", "{}", Content_Type=kind)[0] == 415


def test_other_sites_are_not_told_that_they_may_read(open_port: int) -> None:
    host = f"cats.test:{open_port}"
    for origin, may in ((f"http://{host}", True), ("http://evil.test", False)):
        connection = http.client.HTTPConnection("127.0.0.1", open_port)
        connection.request("GET", "/config", headers={"Host": host, "Origin": origin})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert (answer.headers["Access-Control-Allow-Origin"] == origin) == may
        asked = {"Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "x-forwarded-host"}
        assert (ask(open_port, "OPTIONS", CALL, Host=host, Origin=origin, **asked)[0] == 200) == may
    assert call(open_port, Host=host, Origin="http://evil.test") == 403
    assert call(open_port, Host=host, Origin=f"http://{host}") == 200


@pytest.mark.parametrize(
    ("root_path", "host", "origin", "status"),
    [
        ("https://cats.test/cats", "cats.test", "https://cats.test", 200),
        ("https://cats.test/cats", "127.0.0.1:7860", "https://cats.test", 200),  # the proxy asks by its own name
        ("https://cats.test", "cats.test", "https://cats.test:443", 200),
        ("https://cats.test/cats", "cats.test", "https://cats.test:8080", 403),
        ("https://cats.test/cats", "evil.test", "https://evil.test", 421),
        ("/cats", "cats.test", "https://cats.test", 200),
        ("/cats", "cats.test", "https://evil.test", 403),
    ],
)
def test_behind_a_proxy_its_name_is_the_servers(root_path: str, host: str, origin: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guard = Guard(app, **Serving(root_path=root_path).guarded)
    assert finished(answer(guard, CALL, {"host": host, "origin": origin})) == status


def test_a_page_in_front_of_several_engines_is_guarded_too() -> None:
    engine = Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32")
    app: Any = page_app(engine, "expanded32", Serving())
    assert finished(answer(app, CALL, {"host": "evil.test"})) == 421
    assert finished(answer(app, CALL, {"host": "localhost", "origin": "http://evil.test"})) == 403
    assert finished(answer(app, "/monitoring", {"host": "localhost"})) == 404


def test_a_proxy_that_changes_the_name_may_say_which_it_was(open_port: int) -> None:
    proxied = {"Host": "10.0.0.7:7860", "Origin": "https://cats.test"}
    assert call(open_port, **proxied) == 403
    assert call(open_port, **proxied, X_Forwarded_Host="cats.test") == 200
    assert call(open_port, **proxied, Sec_Fetch_Site="same-origin") == 200


async def answer(guard: Guard, path: str, headers: dict[str, str], body: bytes = b"{}") -> int:
    """The status with which an ASGI application answers a POST of JSON."""
    scope = {"type": "http", "method": "POST", "path": path, "client": ("10.1.1.1", 1)}
    lines = {"content-type": "application/json"} | headers
    scope["headers"] = [(name.encode(), value.encode()) for name, value in lines.items()]
    statuses: list[int] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        statuses.append(message.get("status", 0))

    await guard(scope, receive, send)  # type: ignore[arg-type]
    return statuses[0]


def test_of_gradios_paths_only_what_the_page_needs_answers(port: int) -> None:
    for path in (
        "openapi.json",
        "process_recording",
        "deep_link",
        "dev/reload",
        "proxy=http://127.0.0.1/",
        "vibe-code/",
    ):
        for page in ("", "/m/cats64"):
            assert ask(port, "GET", f"{page}/gradio_api/{path}")[0] == 404, path
    for path in ("/monitoring", "/monitoring/", "/monitoring/summary", "/monitoring/key", "/m/cats64/monitoring"):
        assert ask(port, "GET", path)[0] == 404
    assert ask(port, "GET", "/gradio_api/info")[0] == 200


def test_every_path_of_gradio_is_open_or_closed_on_purpose() -> None:
    """A new version of Gradio may bring new ones: decide for each whether a page of ours needs it."""
    needed = {
        *("/", "/assets", "/config", "/favicon.ico", "/login", "/logout", "/manifest.json", "/pwa_icon", "/robots.txt"),
        *("/static", "/theme.css"),
    }
    needed |= {
        f"/gradio_api/{name}"
        for name in (
            *("api", "app_id", "call", "cancel", "component_server", "file", "file=", "heartbeat", "info"),
            *(
                "login_check",
                "queue",
                "reset",
                "run",
                "startup-events",
                "theme.css",
                "upload",
                "upload_progress",
                "user",
            ),
        )
    }
    page = build_ui(Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32"))
    paths = {getattr(route, "path", "") for route in App.create_app(page).routes}
    paths = {path.partition("{")[0].rstrip("/") or "/" for path in paths}
    unknown = {path for path in paths if not CLOSED.fullmatch(path) and not any(path in (n, f"{n}/") for n in needed)}
    unknown = {path for path in unknown if "/".join(path.split("/")[: 3 if "gradio_api" in path else 2]) not in needed}
    assert not unknown


def test_a_body_that_never_ends_is_refused_while_it_comes(port: int) -> None:
    for path, most in ((CALL, Limits().json), ("/gradio_api/upload", UNTOLD)):
        kind = "application/json" if path == CALL else "multipart/form-data; boundary=x"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(head.encode())
            file = b'\r\n--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'  # each below 64 MB
            content = (b"" if path == CALL else file).ljust(2**20)
            part = b"100000\r\n" + content + b"\r\n"
            with suppress(OSError):  # JSON that is refused is not read to its end
                for _ in range(most // 2**20 + 2):
                    connection.sendall(part)
            assert connection.recv(100).startswith(b"HTTP/1.1 413")
    assert call(port) == 200


@pytest.mark.parametrize(
    "body",
    [
        b"[0]," * 260_000,
        b"{" * 100,
        b'{"a":' * 65 + b"1" + b"}" * 65,
        b'["]]]]]]]]]]]]]]]]]]]]", "\\"]]]]]]]]]]]]]]]]", ' + b"[" * 65 + b"]" * 65 + b"]",
        b'"' + b'\\"' * 100_000 + b"[" * 65,  # a string that never ends is no reason to look at it again and again
    ],
)
def test_json_that_costs_more_than_it_weighs_is_refused(body: bytes) -> None:
    began = time.perf_counter()
    assert status_of(Limits(), [body]) == (200 if body.startswith(b'"') else 413)
    assert time.perf_counter() - began < 1


def test_the_largest_request_of_the_page_passes() -> None:
    moves = [[dim, 0.123456] for dim in range(512)]
    for data in ({"edits": [{"strengths": moves}] * 256}, {"photo": "[" * 1000 + "A" * 10**6}):
        assert status_of(Limits(), [json.dumps({"data": data}).encode()]) == 200


async def trickle(parts: list[bytes], pause: float = 0.0) -> Any:
    """A `receive` that gives the parts one by one."""
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        part = waiting.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(waiting)}

    return receive


def status_of(limits: Limits, parts: list[bytes], pause: float = 0.0, visitor: str = "ann") -> int:
    async def read() -> int:
        try:
            async with Bodies(limits).json(await trickle(parts, pause), visitor) as receive:
                assert (await receive())["body"] == b"".join(parts)
                return 200
        except HTTPException as error:
            return error.status_code

    return finished(read())


def test_a_body_that_trickles_ends_and_a_slow_one_arrives() -> None:
    limits = Limits(patience=0.2, rate=10)
    assert status_of(limits, [b"[", b"]"], pause=0.5) == 408
    assert status_of(limits, [b'["', b"a" * 20, b'"]'], pause=0.15) == 200


@pytest.mark.parametrize(
    ("part", "length", "parts"),
    [(b"[0]," * 10_000, 0, Limits().values // 20_000 + 1), (b" " * 2**20, Limits().json + 1, 0)],
)
def test_what_is_left_of_a_body_that_is_too_large_is_never_read(part: bytes, length: int, parts: int) -> None:
    async def work() -> None:
        read = 0

        async def receive() -> dict[str, Any]:
            nonlocal read
            read += 1
            return {"type": "http.request", "body": part, "more_body": True}

        with pytest.raises(HTTPException) as refused:
            async with Bodies(Limits()).json(receive, "ann", length):
                pass
        assert refused.value.status_code == 413
        assert refused.value.headers == {"Connection": "close"}
        assert read == parts

    finished(work())


def test_a_length_in_the_headers_is_believed_before_anything_is_read(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        head = f"POST {CALL} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {Limits().json + 1}\r\n\r\n".encode())
        answered = b""
        while part := connection.recv(1000):  # until the server closes the connection
            answered += part
    assert answered.startswith(b"HTTP/1.1 413")


def test_after_a_large_body_its_visitor_rests_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two large bodies of 50,000 values; the waits are recorded instead of waited for."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            waits.append(seconds)

    async def work() -> list[int]:
        bodies, seen = Bodies(Limits()), []
        for visitor, body in (("ann", LARGE), ("ann", b"[0]"), ("bob", LARGE), ("ann", LARGE), ("ann", LARGE)):
            receive = await trickle([body])
            with monkeypatch.context() as patch:
                patch.setattr(asyncio, "sleep", sleep)
                async with bodies.json(receive, visitor):
                    seen.append(len(waits))
        return seen

    assert finished(work()) == [0, 0, 0, 1, 2]
    assert waits[1] > waits[0] > 0.5


LARGE = b"[0," + b"0," * 50_000 + b"0]"


def test_of_one_visitors_uploads_two_pass_at_once_and_nobody_else_waits_for_them(tmp_path: Path) -> None:
    async def work() -> None:
        bodies, out, inside = Bodies(Limits()), asyncio.Event(), []

        async def send(visitor: str) -> None:
            async with bodies.upload(await trickle([b"x"]), visitor, tmp_path):
                inside.append(visitor)
                await out.wait()

        tasks = [asyncio.create_task(send(visitor)) for visitor in ("ann", "ann", "ann", "bob")]
        await asyncio.sleep(0.1)
        assert sorted(inside) == ["ann"] * LARGE_AT_ONCE + ["bob"]
        out.set()
        await asyncio.gather(*tasks)
        assert inside.count("ann") == 3

    finished(work())


@pytest.mark.parametrize("company", [False, True])
def test_a_file_takes_its_time_while_somebody_else_is_on_the_page(
    company: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def work() -> None:
        part = b" " * (UPLOAD_RATE // 4)
        real, here = asyncio.sleep, asyncio.get_running_loop()

        async def sleep(seconds: float) -> None:
            """Other tests' servers in this process sleep as they are used to."""
            if asyncio.get_running_loop() is not here:
                await real(seconds)
            elif seconds:
                waits.append(seconds)

        receive = await trickle([part, part])
        with monkeypatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            async with Bodies(Limits()).upload(receive, "ann", tmp_path, lambda: company) as paced:
                while (await paced()).get("more_body"):
                    pass

    finished(work())
    assert waits == ([0.25, 0.25] if company else [])


def test_whoever_asked_lately_is_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(*_: object) -> dict[str, object]:
        return {"type": "http.request"}

    guard, now = Guard(app, frozenset(), True), [100.0]  # type: ignore[arg-type]
    monkeypatch.setattr("explorer.ui.guard.time.monotonic", lambda: now[0])

    def ask(visitor: str) -> None:
        scope = {
            "type": "http",
            "client": (visitor, 1),
            "path": "/",
            "method": "GET",
            "headers": [(b"host", b"localhost")],
        }
        finished(guard(scope, app, app))  # type: ignore[arg-type]

    ask("ann")
    assert not guard._company("ann")
    assert guard._company("bob")
    ask("bob")
    assert guard._company("ann")
    now[0] += NEAR - 1
    ask("ann")
    assert guard._company("ann")
    now[0] += 2
    assert not guard._company("ann"), "bob has not asked for long"
    ask("ann")
    assert list(guard._last) == ["ann"], "and is forgotten"


def test_of_one_visitors_large_bodies_two_are_at_work_and_nobody_else_waits_for_them() -> None:
    async def work() -> None:
        bodies, out = Bodies(Limits()), asyncio.Event()
        inside: list[str] = []

        async def answer(visitor: str, size: int = 100_000) -> None:
            async with bodies.json(await trickle([b" " * size]), visitor):
                inside.append(visitor)
                await out.wait()

        tasks = [asyncio.create_task(answer("ann")) for _ in range(4)]
        tasks += [asyncio.create_task(answer("bob")), asyncio.create_task(answer("ann", 1000))]
        await asyncio.sleep(0.1)
        assert sorted(inside) == ["ann", "ann", "ann", "bob"]  # two large ones, and the small one
        out.set()
        await asyncio.gather(*tasks)
        assert inside.count("ann") == 5
        assert not bodies._large

    finished(work())


def test_what_the_server_holds_at_once_is_limited_and_small_requests_never_wait() -> None:
    limits = Limits(held=400_000, held_each=200_000)

    async def work() -> None:
        bodies = Bodies(limits)

        async def status(size: int, visitor: str) -> int:
            try:
                async with bodies.json(await trickle([b" " * size]), visitor):
                    return 200
            except HTTPException as error:
                return error.status_code

        async with bodies.json(await trickle([b" " * 150_000]), "ann"):
            assert await status(100_000, "ann") == 503
            assert await status(60_000, "ann") == 200
            async with bodies.json(await trickle([b" " * 190_000]), "bob"):
                assert await status(100_000, "cid") == 503
                assert await status(1000, "cid") == 200
            assert await status(100_000, "cid") == 200
        assert await status(190_000, "ann") == 200

    finished(work())


def test_uploads_have_a_share_for_each_visitor_and_a_total(tmp_path: Path) -> None:
    limits = Limits(file=1000, stored=1_000_000, stored_each=150_000)

    async def work() -> None:
        bodies = Bodies(limits)

        async def status(visitor: str, size: int = 900) -> int:
            try:
                async with bodies.upload(await trickle([b" " * size]), visitor, tmp_path) as receive:
                    (tmp_path / f"{len(list(tmp_path.iterdir()))}").write_bytes((await receive())["body"])
                    return 200
            except HTTPException as error:
                return error.status_code

        with pytest.raises(MultiPartException, match="maximum allowed size"):  # Gradio answers 413
            await status("ann", 1001)
        with pytest.raises(HTTPException, match="413"):
            async with bodies.upload(await trickle([b""]), "ann", tmp_path, length=1001):
                pass
        assert [await status("ann") for _ in range(3)] == [200, 200, 429]
        assert [await status(f"visitor {number}") for number in range(20)][-1] == 507

    finished(work())


def test_what_broken_uploads_left_goes(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    for name in ("tmp1", "tmp2", "abc/tmp3"):
        (tmp_path / name).write_bytes(b"x")
        if name != "tmp2":
            os.utime(tmp_path / name, (0, 0))
    assert size_of(tmp_path, hours=1) == 3 * 64 * 1024
    assert sorted(path.name for path in tmp_path.rglob("tmp*")) == ["tmp2", "tmp3"]


def test_one_address_may_keep_only_so_many_requests_open() -> None:
    async def work() -> list[int]:
        ended = asyncio.Event()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await ended.wait()

        guard = Guard(app, frozenset(), True)
        asked = [asyncio.create_task(answer(guard, CALL, {"host": "a"})) for _ in range(300)]
        await asyncio.sleep(0.2)
        ended.set()
        return await asyncio.gather(*asked)

    statuses = finished(work())
    assert statuses.count(429) == 300 - 256
    assert statuses.count(200) == 256


def test_sessions_that_nobody_ends_are_forgotten() -> None:
    engine = Engine(load(ROOT / "tests" / "fixtures" / "expanded32.pkl"), "cpu", "fp32")
    page = build_ui(engine)
    start(page, Serving(port=free_port()))
    for number in range(SESSIONS + 10):
        assert page.app.state_holder[str(number)]
    assert len(page.app.state_holder.session_data) == SESSIONS
    page.close(verbose=False)


def test_passwords_cannot_be_guessed_fast() -> None:
    for port in serve(auth=(("ann", "s3cret"),)):
        url = f"http://127.0.0.1:{port}/"
        assert Client(url, auth=("ann", "s3cret"), verbose=False).predict(api_name="/models")["loaded"]
        wrong = {"username": "ann", "password": "wrong"}
        statuses = [httpx.post(f"{url}login", data=wrong).status_code for _ in range(TRIES + 1)]
        assert statuses == [400] * TRIES + [429]
        assert httpx.post(f"{url}login", data=wrong | {"password": "s3cret"}).status_code == 429


ATTACK = """async (url) => {
  const tries = {
    plain: { method: "POST", headers: { "Content-Type": "text/plain" }, body: "{}" },
    json: { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" },
    blind: { method: "POST", mode: "no-cors", body: "{}" },
    read: {},
  };
  const found = {};
  for (const [name, options] of Object.entries(tries))
    found[name] = await fetch(url, options).then((reply) => reply.status, () => "blocked");
  return found;
}"""


class Quiet(http.server.BaseHTTPRequestHandler):
    """An empty page of another site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


def test_a_browser_is_not_led_here_under_another_name(browser: Browser, port: int, open_port: int) -> None:
    """Names that lead to this machine are what DNS rebinding makes of an attacker's own."""
    flags = [*FLAGS, "--host-resolver-rules=MAP *.test 127.0.0.1"]
    elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    rebound = browser.browser_type.launch(executable_path=CHROMIUM, args=flags)
    try:
        page = rebound.new_page()
        answer = page.goto(f"http://evil.test:{port}/")
        assert answer
        assert answer.status == 421
        path = "/gradio_api/component_server"
        assert set(page.evaluate(ATTACK, path).values()) <= {421, 0}  # the very same origin, as the browser thinks
        page.goto(f"http://evil.test:{elsewhere.server_port}/")
        for target in (f"http://127.0.0.1:{port}", f"http://cats.test:{open_port}"):
            seen = page.evaluate(ATTACK, f"{target}{path}")
            assert seen["plain"] == seen["json"] == "blocked"
            assert seen["blind"] in (0, "blocked")
            assert page.evaluate(ATTACK, f"{target}/config")["read"] == "blocked"
        page.goto(f"http://cats.test:{open_port}/")
        page.wait_for_selector(".explore[data-painted]")
    finally:
        rebound.close()
        elsewhere.shutdown()
        elsewhere.server_close()


def test_a_file_of_known_length_takes_its_own_room_and_leaves_some_on_the_disk(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free

    async def status(limits: Limits, *lengths: int) -> int:
        bodies = Bodies(limits)
        try:
            async with AsyncExitStack() as stack:
                for length in lengths:
                    await stack.enter_async_context(
                        bodies.upload(await trickle([b"x"]), "ann", tmp_path, length=length)
                    )
                return 200
        except HTTPException as error:
            return error.status_code

    limits = Limits(file=2000, stored=1_000_000, stored_each=3000)
    assert finished(status(limits, 1500, 1500)) == 200
    assert finished(status(limits, 1500, 1501)) == 429
    assert finished(status(Limits(file=2 * free, stored=4 * free, stored_each=4 * free), free + 1)) == 507
    assert ALONE.file > 10 * Limits().file
