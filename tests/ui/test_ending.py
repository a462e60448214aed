"""A server that ends, however it ends, leaves nothing of its visitors; connections that say nothing are closed."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from app_server import ROOT, Server, finished

from explorer.ui.connections import impatient

TINY = ROOT / "tests" / "fixtures" / "expanded32.pkl"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers that are started now keep what is temporary."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def folders(temporary: Path) -> list[Path]:
    return sorted(temporary.glob("explorer-*"))


def send_photo(server: Server) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\nphoto\r\n--x--\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}gradio_api/upload", form, kind)) as reply:
        (path,) = json.load(reply)
    assert Path(path).read_bytes() == b"photo"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_ended_takes_what_visitors_sent_with_it(temporary: Path, number: signal.Signals) -> None:
    server = Server(TINY)
    try:
        send_photo(server)
        (folder,) = folders(temporary)
        assert folder.stat().st_mode & 0o77 == 0
        server.process.send_signal(number)
        assert server.process.wait(60) == 0
        assert not list(temporary.rglob("*.png"))
        assert folders(temporary) == []
    finally:
        server.kill()


def test_what_a_killed_server_left_goes_with_the_next_start_and_what_a_living_one_has_stays(temporary: Path) -> None:
    killed, living = Server(TINY), Server(TINY)
    try:
        (kept,) = (folder for folder in folders(temporary) if not in_use_by(killed, folder))
        send_photo(killed)
        send_photo(living)
        killed.kill()
        assert len(folders(temporary)) == 2
        elsewhere = temporary / "explorer-notes"  # somebody else's
        elsewhere.mkdir()
        sweeping = "from explorer.ui.serve import private_uploads; private_uploads()"
        subprocess.run([sys.executable, "-c", sweeping], cwd=ROOT, check=True, env=dict(os.environ))
        assert folders(temporary) == sorted([kept, elsewhere])
        assert len(list(kept.rglob("a.png"))) == 1
    finally:
        killed.process.kill()
        living.kill()


def in_use_by(server: Server, folder: Path) -> bool:
    descriptors = Path(f"/proc/{server.process.pid}/fd").iterdir()
    return any(os.path.realpath(descriptor).startswith(str(folder.resolve())) for descriptor in descriptors)


IDLE = """
import sys, time, psutil
from explorer.networks.hardware import tune_allocator
from explorer.ui.idle import trim_when_idle
tune_allocator()
asked, memory = [time.monotonic()], psutil.Process().memory_info
trim_when_idle(lambda: asked[0], 0.4)
for _ in range(2):  # it is watched again after the first time
    before = memory().rss
    kept = [bytearray(50_000) for _ in range(6000)]
    used = memory().rss - before
    asked[0] = time.monotonic()
    last = kept.pop()
    kept.clear()
    freed = memory().rss - before
    deadline = time.monotonic() + 30  # on a machine that may be busy
    while memory().rss - before > used / 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    print(used >> 20, freed >> 20, memory().rss - before >> 20)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have ways of their own")
def test_memory_goes_back_while_nobody_asks() -> None:
    output = subprocess.run([sys.executable, "-c", IDLE], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in output.splitlines():
        used, freed, later = map(int, line.split())
        assert used > 250
        assert freed > 250  # the allocator keeps it for the next picture
        assert later < 100


async def hello(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await asyncio.sleep(0.6 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"hi"})


async def closed_after(port: int, *parts: bytes) -> float:
    """Seconds until the server closes a connection on which these parts were sent, a little apart."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.monotonic()
    with suppress(ConnectionError):  # while it still sends
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.05)
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return time.monotonic() - began


def test_connections_that_ask_for_nothing_are_closed_and_slow_answers_arrive() -> None:
    async def work() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            config = uvicorn.Config(hello, lifespan="off", log_level="warning", timeout_keep_alive=60)
            config.load()
            config.http_protocol_class = impatient(config.http_protocol_class, 0.2)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([listening]))
            while not server.started:
                await asyncio.sleep(0.01)
            head = b"GET / HTTP/1.1\r\nHost: a\r\n"
            assert await closed_after(port) < 1
            assert await closed_after(port, head) < 1
            assert await closed_after(port, *(bytes([byte]) for byte in head)) < 2.5  # trickles
            assert await closed_after(port, head + b"\r\n", head) < 1  # the second one is never whole
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.replace(b" / ", b" /slow ") + b"\r\n")
            assert (await reader.read(1000)).startswith(b"HTTP/1.1 200")
            writer.close()
            server.should_exit = True
            await serving

    finished(work())
