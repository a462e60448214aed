"""What one visitor can take from another: one attacks a page that others reach while a second one drags.

Both come from addresses of their own, each attack from a new one, without browsers. Every attack of `ATTACKS` goes on
for a while, from several connections at once, then all of them together; the attacker's own work is done at the lowest
priority, since it would not be on the server's machine. Reported for each: the dragging visitor's p95 and how many
times the quiet one that is, how many requests were answered and refused, and the server's memory.

    python -m benchmarks.siege --seconds 15
    python -m benchmarks.siege --seconds 15 --only sheets searches
"""

from __future__ import annotations

import argparse
import base64
import json
import multiprocessing
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.soak import PHOTO, Visitor
from benchmarks.startup import ROOT, free_port, wait_for

STEP = 1 / 20  # seconds between two events of the visitor who drags
AT_ONCE = 8  # connections of each attack
PATIENCE = 60.0  # seconds that an attacker waits for an answer


class Attacker(Visitor):
    """One page of the attacker's, from an address of its own."""

    def __init__(self, port: int, number: int, address: str, answers: Counter[str]) -> None:
        self.address, self.answers = (address, 0), answers
        super().__init__(port, number)

    def post(self, path: str, data: Any) -> Any:
        return self.send(path, json.dumps(data).encode(), "application/json")

    def send(self, path: str, body: bytes, kind: str) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, PATIENCE, source_address=self.address)
        try:
            connection.request("POST", f"/gradio_api/{path}", body, {"Content-Type": kind})
            reply = connection.getresponse()
            answer = reply.read()
        finally:
            connection.close()
        refused = reply.status >= 400 or b'"error"' in answer[:200]
        self.answers["refused" if refused else "answered"] += 1
        with suppress(ValueError):
            return json.loads(answer)
        return {}

    def large_zip(self) -> None:
        """Four pictures at 4096 px, for which nobody waits to the end."""
        id_ = self.ask("explore", "make", {"kind": "zip", "edits": [self.edit() for _ in range(4)], "px": 4096})["id"]
        self.ask("explore", "look_made", {"id": id_})

    def large_pictures(self) -> None:
        self.ask("explore", "save_picture", {"edit": self.edit(), "format": "png", "settings": True, "px": 4096})

    def long_films(self) -> None:
        wanted = {"kind": "mp4", "edits": [self.edit() for _ in range(4)], "px": 1024, "frames": 60}
        self.ask("explore", "look_made", {"id": self.ask("explore", "make", wanted)["id"]})

    def sheets(self) -> None:
        self.call("grid", self.edit(), self.domains[0], self.domains[1], 0, 1, 16)

    def many_pictures(self) -> None:
        edits = [self.edit() for _ in range(64)]
        self.ask("compose", "pictures", {"edits": edits, "max_px": None, "exact": True})

    def searches(self) -> None:
        photo = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"
        found = self.ask("invert", "photo", {"photo": photo})
        settings = {"method": "in_domain", "steps": 300}
        self.ask("invert", "start", {"photo": found["photo"], "box": found["centre"], "settings": settings})

    def giant_photo(self) -> None:
        """49 megapixels of 16 bits."""
        self.ask("invert", "photo", {"photo": f"data:image/png;base64,{giant()}"})

    def nested_bodies(self) -> None:
        self.send("component_server", b"[" * 40 + b"[0]," * 10_000_000, "application/json")

    def many_strengths(self) -> None:
        moves = [[index, 0.5] for index in range(16_000)]
        self.ask("explore", "pictures", {"edits": [{"seed": 1, "strengths": moves}], "max_px": None, "exact": False})

    def uploads(self) -> None:
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.pkl"\r\n\r\n'.encode()
        body = head + os.urandom(2**20) * 48 + f"\r\n--{edge}--\r\n".encode()
        self.send("upload", body, f"multipart/form-data; boundary={edge}")

    def half_open(self) -> None:
        """Connections that never say what they want."""
        with socket.socket() as line:
            line.bind(self.address)
            line.connect(("127.0.0.1", self.port))
            line.sendall(b"POST /gradio_api/component_server HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n{")
            time.sleep(0.5)
        self.answers["answered"] += 1


ATTACKS = (
    Attacker.large_zip,
    Attacker.large_pictures,
    Attacker.long_films,
    Attacker.sheets,
    Attacker.many_pictures,
    Attacker.searches,
    Attacker.giant_photo,
    Attacker.nested_bodies,
    Attacker.many_strengths,
    Attacker.uploads,
    Attacker.half_open,
)


@cache
def giant() -> str:
    import cv2

    row = np.arange(7000 * 3, dtype=np.uint16).reshape(1, 7000, 3)
    return base64.b64encode(cv2.imencode(".png", np.repeat(row, 7000, axis=0))[1].tobytes()).decode()


def drag(visitor: Visitor, seconds: float) -> list[float]:
    """Milliseconds that each picture of a drag took."""
    took, until, edit = [], time.monotonic() + seconds, visitor.edit()
    while time.monotonic() < until:
        edit["strengths"][0][1] = random.uniform(-3, 3)
        began = time.perf_counter()
        visitor.ask("explore", "pictures", {"edits": [edit], "max_px": None, "exact": False})
        took.append(1000 * (time.perf_counter() - began))
        time.sleep(STEP)
    return sorted(took)


def attack(port: int, address: str, attacks: list[Callable[[Attacker], None]], ended: Any, results: Any) -> None:
    """The attacker's process: several connections a kind of attack until `ended`, then how they were answered."""
    os.nice(19)
    answers: Counter[str] = Counter()

    def work(number: int) -> None:
        one = Attacker(port, 1000 + number, address, answers)
        while not ended.is_set():
            try:
                attacks[number % len(attacks)](one)
            except (OSError, RuntimeError, KeyError, ValueError, HTTPException):  # refused, cut off, nothing to look at
                time.sleep(0.05)

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(AT_ONCE * min(len(attacks), 3))]
    for thread in threads:
        thread.start()
    ended.wait()
    results.put(answers)


def attacked(
    port: int, address: str, attacks: list[Callable[[Attacker], None]], seconds: float
) -> tuple[list[float], Counter[str]]:
    """The drag of one visitor while another attacks from `address`, and how the attacker was answered."""
    context = multiprocessing.get_context("spawn")
    ended, results = context.Event(), context.Queue()
    attacker = context.Process(target=attack, args=(port, address, attacks, ended, results))
    visitor = Visitor(port, 0)
    attacker.start()
    time.sleep(5)  # until it is at work
    took = drag(visitor, seconds)
    ended.set()
    answers = results.get(timeout=60)
    attacker.kill()
    attacker.join()
    return took, answers


def p95(took: list[float]) -> float:
    return took[int(len(took) * 0.95)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each attack")
    names = [one.__name__ for one in ATTACKS] + ["all"]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="ATTACK", help="some of the attacks")
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="siege-", ignore_cleanup_errors=True) as folder:
        environment = dict(os.environ) | {"EXPLORER_DATA": f"{folder}/data", "TMPDIR": f"{folder}/tmp"}
        Path(folder, "tmp").mkdir()
        command = [sys.executable, "app.py", "--host", "0.0.0.0", "--port", str(port)]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        process = psutil.Process(server.pid)
        try:
            wait_for(server, port)
            drag(Visitor(port, 0), 3)
            quiet = p95(drag(Visitor(port, 0), arguments.seconds))
            print(
                "| attack | p95, ms | times the quiet one | answered | refused | server MB |\n|---|---|---|---|---|---|"
            )
            print(f"| none | {quiet:.0f} | 1 | | | {process.memory_info().rss >> 20} |", flush=True)
            worst = 0.0
            for number, name in enumerate(arguments.only):
                attacks = list(ATTACKS) if name == "all" else [getattr(Attacker, name)]
                took, answers = attacked(port, f"127.0.0.{number + 2}", attacks, arguments.seconds)
                worst = max(worst, p95(took) / quiet)
                print(
                    f"| {name.replace('_', ' ')} | {p95(took):.0f} | {p95(took) / quiet:.1f} | {answers['answered']} |"
                    f" {answers['refused']} | {process.memory_info().rss >> 20} |",
                    flush=True,
                )
                time.sleep(5)
        finally:
            server.terminate()
            server.wait()
    print(f"the worst is {worst:.1f} times the quiet one")
    return int(worst > 3)


if __name__ == "__main__":
    sys.exit(main())
