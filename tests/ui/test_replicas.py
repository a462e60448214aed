"""One page in front of two local renderers, as the command starts them. Needs requirements-serve.txt."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import numpy as np
import psutil
import pytest
from app_server import ROOT
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from explorer import Edit, Engine, load

pytest.importorskip("ray", reason="the optional package ray[serve] is not installed")

EXPANDED = ROOT / "tests" / "fixtures" / "expanded32.pkl"
PATIENCE = 900  # seconds until two engines and a page are there, on a machine that may be busy
RENDERER = "ServeReplica:explorer:renderer"
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Gradio's client leaves sockets open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "explorer.ui.replicas", "--replicas", "2", "--port", str(port)]
    options = ["--checkpoint", str(EXPANDED), "--device", "cpu", "--precision", "fp32"]
    environment = dict(os.environ) | {"RAY_raylet_start_wait_time_s": "300"}
    process = subprocess.Popen([*command, *options], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    url, deadline = f"http://127.0.0.1:{port}/", time.monotonic() + PATIENCE
    try:
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail(f"it did not start: {process.communicate()[1][-2000:]}")
            time.sleep(0.5)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}config", timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def renderers(process: psutil.Process) -> list[psutil.Process]:
    return [child for child in process.children(recursive=True) if RENDERER in "".join(child.cmdline())]


def test_two_renderers_answer_and_one_may_end(served: tuple[str, psutil.Process]) -> None:
    url, process = served
    engine, client = Engine(load(EXPANDED), "cpu", "fp32"), Client(url, verbose=False)
    assert len(renderers(process)) == 2
    edits = [Edit(seed=seed, strengths={"sketch": seed / 4}) for seed in range(4)]
    for edit in edits:
        picture = np.asarray(Image.open(client.predict(edit=edit.to_json(), api_name="/render")))
        assert np.array_equal(picture, engine.render(edit))
    renderers(process)[0].kill()
    picture = np.asarray(Image.open(client.predict(edit={"seed": 7}, api_name="/render")))
    assert np.array_equal(picture, engine.render(Edit(seed=7)))


def test_errors_of_renderers_are_one_sentence(served: tuple[str, psutil.Process]) -> None:
    with pytest.raises(AppError) as refused:
        Client(served[0], verbose=False).predict(strengths={"crayon": 1}, api_name="/compose")
    assert "crayon" in str(refused.value)
    assert "\n" not in str(refused.value)
