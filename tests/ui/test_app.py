"""Starting the app: bad flags and files end in one sentence; other sites cannot make a visitor's browser use it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from app_server import ROOT, Server
from playwright.sync_api import Browser
from playwright.sync_api import Error as PlaywrightError

from explorer.__main__ import main
from explorer.waiting import PAGE, Waiting


def run_app(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "app.py"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=dict(os.environ))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--checkpoint", "no-such-file.pkl"], "no-such-file.pkl"),
        (["--checkpoint", "README.md"], "this is no checkpoint"),
        (["--device", "abacus"], "abacus"),
        (["--precision", "fp8"], "fp8"),
        (["--port", "many"], "many"),
        (["--port", "65536"], "65535"),
        (["--host", "nowhere.invalid"], "nowhere.invalid"),
        (["--max-px", "0"], "max-px"),
        (["--vs", "no-such-file.pkl"], "no-such-file.pkl"),
        (["--vs", "tests/fixtures/expanded32.pkl"], "same size"),
        (["--vs", "a", "b", "c"], "one or two"),
        (["--colour"], "--colour"),
    ],
)
def test_a_wrong_start_ends_in_one_sentence(
    arguments: list[str], word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as exit_:
        sys.exit(main(["--port", "0", *arguments]))  # without a command, as `app.py` adds
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1, error


def test_a_taken_port_is_said(default_server: Server) -> None:
    run = run_app("--port", str(default_server.port))
    assert run.returncode == 2
    assert str(default_server.port) in run.stderr
    assert "Traceback" not in run.stderr


def test_who_comes_too_early_sees_how_far_it_is_and_then_the_app(browser: Browser) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "app.py", "--checkpoint", "tests/fixtures/expanded32.pkl", "--port", str(port)]
    page = browser.new_page()
    answers: list[int] = []  # to the page's questions how far it is
    page.on("response", lambda reply: answers.append(reply.status) if "starting" in reply.request.headers else None)
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                with suppress(PlaywrightError):  # nothing answers yet
                    reply = page.goto(url)
                    break
                assert process.poll() is None
                time.sleep(0.05)
            assert reply
            assert reply.status == 503
            assert page.locator("p").text_content() in ("Starting", "Reading the generator", "Preparing it")
            page.wait_for_selector(".explore[data-painted]", timeout=120_000)
            assert set(answers) == {200}, "whatever else a browser writes into its console"
        finally:
            process.kill()
            page.close()


def test_a_program_hears_503_and_only_the_page_that_waits_how_far_it_is() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    with Waiting("127.0.0.1", port) as waiting:
        waiting.say("Reading")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(url)
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Starting": "yet"})) as reply:
            assert (reply.read(), reply.headers["Starting"]) == (b"Reading", "still")


def test_an_app_that_is_slow_to_come_is_opened_once(browser: Browser) -> None:
    """It answers the waiting page's question at once, and the page itself later than the next question would come."""
    opened: list[str] = []

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/" and "Starting" not in self.headers:
                opened.append(self.path)
                if len(opened) > 1:
                    time.sleep(3)
            body = PAGE if len(opened) == 1 else "<p>the app</p>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.get_by_text("the app").wait_for()
        page.close()
        server.shutdown()
    assert opened == ["/", "/"]


def ask(server: Server, **headers: str) -> dict:
    with urllib.request.urlopen(f"{server.url}config") as reply:
        components = json.load(reply)["components"]
    component = next(c["id"] for c in components if c["props"].get("elem_id") == "explore")
    body = {"data": {"edits": [{}]}, "component_id": component, "fn_name": "pictures", "session_hash": "x"}
    request = urllib.request.Request(
        f"{server.url}gradio_api/component_server",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", **headers},
    )
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def test_another_site_cannot_ask_for_pictures(default_server: Server) -> None:
    assert "pictures" in ask(default_server)
    assert "pictures" in ask(default_server, **{"Sec-Fetch-Site": "same-origin"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        ask(default_server, **{"Sec-Fetch-Site": "cross-site"})


def test_files_of_the_machine_are_not_served(default_server: Server) -> None:
    for path in (ROOT / "requirements.txt", Path("/etc/hostname")):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            urllib.request.urlopen(f"{default_server.url}gradio_api/file={path}")
