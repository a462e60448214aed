"""From `python app.py` to the first picture, and the memory of the process then: bars 8 s and 1.5 GB."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Return when the page is served; ends the program where the server has ended."""
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/config").close()
            return
        except OSError:
            if server.poll() is not None:
                sys.exit("the server did not start")
            time.sleep(0.1)


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc")


def first_picture(port: int) -> float:
    """Seconds until the page is served and its component has rendered the default edit."""
    start = time.perf_counter()
    base = f"http://127.0.0.1:{port}"
    while True:
        try:
            with urllib.request.urlopen(f"{base}/config", timeout=5) as reply:
                config = json.load(reply)
            break
        except OSError:
            if time.perf_counter() - start > 120:
                raise
            time.sleep(0.05)
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "explore")
    request = {"data": {"edits": [{}]}, "component_id": component, "fn_name": "pictures", "session_hash": "bench"}
    call = urllib.request.Request(
        f"{base}/gradio_api/component_server", json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(call, timeout=60) as reply:
        assert "pictures" in json.load(reply)
    return time.perf_counter() - start


def main() -> None:
    print("\n| start | first picture, s | resident memory, MB |\n|---|---|---|")
    for turn in ("first", "second"):
        port = free_port()
        process = subprocess.Popen(
            [sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, env=dict(os.environ)
        )
        try:
            seconds = first_picture(port)
            print(f"| {turn} | {seconds:.1f} (bar 8) | {resident_mb(process.pid):.0f} (bar 1500) |", flush=True)
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
