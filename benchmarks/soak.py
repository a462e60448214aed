"""An hour of visitors without browsers: does the server's memory level off, and does anything else of it grow?

Every visitor does what people do, again and again and in an order of their own: drags, sums of domains, photos, single
pictures, sheets, films and zips, by the page's functions and by the endpoints, and opens other generators; one of them
teaches. One more visitor drags all the time, slowly: the latency is theirs. Measured every few seconds: the server's
memory, its open files and threads, what lies in its temporary folder. The last quarter of the visitors' time is held
against the one before, then nobody comes for a while.

    python -m benchmarks.soak --minutes 60 --out docs/soak.png     # make soak
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from benchmarks.startup import ROOT, free_port, wait_for
from explorer import DEFAULT

EVERY = 5.0  # seconds between two measurements
STEP = 0.1  # seconds between two events of the visitor whose latency is measured
THINK = 0.5  # seconds at most between two things that the others do
QUIET = 120.0  # seconds at the end that nobody comes
GROWTH = 0.03  # of memory from the third quarter to the last that still is flat
PHOTO = ROOT / "explorer" / "ui" / "assets" / "invert" / "chelsea.jpg"


class Visitor:
    """One page without a browser."""

    def __init__(self, port: int, number: int) -> None:
        self.port, self.random, self.session = port, random.Random(number), uuid.uuid4().hex
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as reply:
            components = json.load(reply)["components"]
        self.components = {c["props"]["elem_id"]: c["id"] for c in components if c["props"].get("elem_id")}
        models = self.call("models")
        self.domains = models["loaded"]["domains"]
        self.others = models["others"]

    def post(self, path: str, data: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", f"/gradio_api/{path}", json.dumps(data), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def get(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("GET", path)
        answer = connection.getresponse().read()
        connection.close()
        return answer

    def ask(self, panel: str, function: str, data: Any) -> dict[str, Any]:
        """What a panel's function answers."""
        about = {"component_id": self.components[panel], "fn_name": function, "session_hash": self.session}
        answer = self.post("component_server", about | {"data": data})
        if answer.get("error"):
            raise RuntimeError(f"{function}: {answer['error']}")
        return answer

    def call(self, endpoint: str, *arguments: Any) -> Any:
        """What an endpoint gives; a file is fetched."""
        event = self.post(f"call/{endpoint}", {"data": arguments})["event_id"]
        lines = self.get(f"/gradio_api/call/{endpoint}/{event}").decode().splitlines()
        if "event: complete" not in lines:
            raise RuntimeError(f"{endpoint}: {lines}")
        (value,) = json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))
        if isinstance(value, dict) and "path" in value:
            self.get(f"/gradio_api/file={value['path']}")
        return value

    def edit(self) -> dict[str, Any]:
        dims = self.random.sample(range(400), self.random.randrange(1, 6))  # the last ones are domains
        moves = [[dim, self.random.uniform(-3, 3)] for dim in dims]
        return {"seed": self.random.randrange(10**6), "strengths": moves}

    def wait_for(self, panel: str, look: str, id_: str) -> dict[str, Any]:
        while True:
            answer = self.ask(panel, look, {"id": id_})
            if answer["state"] in ("done", "stopped", "failed"):
                return answer
            time.sleep(0.3)

    def drag(self) -> None:
        edit = self.edit()
        for value in range(60):
            edit["strengths"][0][1] = value / 20
            self.ask("explore", "pictures", {"edits": [edit], "max_px": None, "exact": False})

    def compose(self) -> None:
        moves = {domain: self.random.random() for domain in self.random.sample(self.domains, 3)}
        edits = [{"seed": seed, "strengths": moves} for seed in range(16)]
        self.ask("compose", "pictures", {"edits": edits, "max_px": None, "exact": True})
        self.call("compose", moves, self.random.randrange(10**6), 0.7, None)

    def keep(self) -> None:
        edit = self.edit()
        saved = self.ask("explore", "save_picture", {"edit": edit, "format": "png", "settings": True, "px": 512})
        self.ask("explore", "restore", {"picture": saved["file"]})
        self.ask("explore", "link", {"edit": edit})

    def export(self) -> None:
        self.call("render", self.edit(), self.random.choice((None, 256, 1024)), "png")
        self.call("strip", self.edit(), self.domains[0], -1, 1, 7)
        self.call("grid", self.edit(), self.domains[0], self.domains[1], 0, 1, 4)

    def animate(self) -> None:
        self.call("animate", [self.edit() for _ in range(3)], 12, 25, True, None, self.random.choice(("mp4", "webp")))
        self.call("bundle", [self.edit() for _ in range(6)], 256)

    def make(self) -> None:
        wanted = {"kind": self.random.choice(("mp4", "gif", "zip")), "edits": [self.edit() for _ in range(4)]}
        id_ = self.ask("explore", "make", wanted | {"px": 256, "frames": 10})["id"]
        self.wait_for("explore", "look_made", id_)

    def invert(self) -> None:
        photo = f"data:image/jpeg;base64,{base64.b64encode(PHOTO.read_bytes()).decode()}"
        found = self.ask("invert", "photo", {"photo": photo})
        settings = {"method": "in_domain", "steps": 15}
        start = {"photo": found["photo"], "box": found["centre"], "settings": settings}
        id_ = self.ask("invert", "start", start)["id"]
        if (answer := self.wait_for("invert", "look", id_))["state"] == "done":
            self.ask("invert", "save_latent", {"edit": answer["result"]["edit"]})

    def visit_another(self) -> None:
        for path in ("", "config"):
            self.get(f"/m/{self.random.choice(self.others)}/{path}")
        self.get("/")

    def teach(self) -> None:
        """A lesson of a few seconds, looked at until it ends."""
        name = f"lesson {self.random.randrange(10**9)} x"
        wish = {"kind": "words", "source": "photo", "target": "pencil sketch", "name": name, "dim": None, "steps": 4}
        id_ = self.ask("teach", "teach", wish)["id"]
        stamp = ""
        while True:
            answer = self.ask("teach", "look", {"id": id_, "stamp": stamp})
            stamp = answer.get("stamp", stamp)
            if answer["lesson"]["state"] in ("done", "stopped", "failed"):
                break
            time.sleep(1)
        if answer["lesson"]["state"] != "done":
            raise RuntimeError(f"the lesson {answer['lesson']['state']}: {answer['lesson']['message']}")


@dataclass
class Soak:
    """What is measured, and what was done meanwhile."""

    server: psutil.Process
    temporary: Path
    rows: list[dict[str, float]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def work(self, visitor: Visitor, things: list[Callable[[], None]]) -> None:
        while not self.ended.is_set():
            thing = visitor.random.choice(things)
            try:
                thing()
                self.done[thing.__name__] += 1
            except Exception as error:
                self.errors.append(f"{thing.__name__}: {error}"[:300])
            self.ended.wait(visitor.random.random() * THINK)

    def drag(self, visitor: Visitor) -> None:
        while not self.ended.is_set():
            began = time.perf_counter()
            visitor.ask("explore", "pictures", {"edits": [visitor.edit()], "max_px": None, "exact": False})
            self.latencies.append(1000 * (time.perf_counter() - began))
            self.ended.wait(STEP)

    def measure(self, seconds: float) -> None:
        latencies, self.latencies = sorted(self.latencies), []
        sizes = list(file_sizes(self.temporary))
        self.rows.append(
            {
                "minutes": seconds / 60,
                "memory, MB": self.server.memory_info().rss / 2**20,
                "threads": self.server.num_threads(),
                "open files": self.server.num_fds(),
                "temporary files": len(sizes),
                "temporary MB": sum(sizes) / 2**20,
                "p50, ms": latencies[len(latencies) // 2] if latencies else float("nan"),
                "p95, ms": latencies[int(len(latencies) * 0.95)] if latencies else float("nan"),
            }
        )


def file_sizes(folder: Path) -> Iterator[int]:
    """Bytes of every file below a folder, in which files and folders come and go meanwhile."""
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                yield Path(place, name).stat().st_size


def run(minutes: float, visitors: int, port: int, server: subprocess.Popen[bytes], temporary: Path) -> Soak:
    soak = Soak(psutil.Process(server.pid), temporary)
    threads = [threading.Thread(target=soak.drag, args=(Visitor(port, 0),), daemon=True)]
    for number in range(1, visitors + 1):
        one = Visitor(port, number)
        things = [one.drag, one.compose, one.keep, one.export, one.animate, one.make, one.invert, one.visit_another]
        things = [one.teach] if number == 1 else things
        threads.append(threading.Thread(target=soak.work, args=(one, things), daemon=True))
    began = time.monotonic()
    for thread in threads:
        thread.start()
    busy = 60 * minutes
    while (passed := time.monotonic() - began) < busy + QUIET:
        if passed > busy:
            soak.ended.set()
        soak.measure(passed)
        time.sleep(EVERY)
    return soak


def plot(soak: Soak, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    names = list(soak.rows[0])[1:]
    figure, axes = pyplot.subplots(len(names), 1, figsize=(8, 1.5 * len(names)), sharex=True)
    for name, axis in zip(names, axes, strict=True):
        axis.plot([row["minutes"] for row in soak.rows], [row[name] for row in soak.rows], linewidth=1)
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("minutes")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def quarters(soak: Soak, name: str) -> list[float]:
    """The median of each quarter of the time with visitors."""
    busy = [row for row in soak.rows if row["minutes"] < soak.rows[-1]["minutes"] - QUIET / 60]
    size = max(len(busy) // 4, 1)
    return [statistics.median(row[name] for row in busy[i * size : (i + 1) * size]) for i in range(4)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--visitors", type=int, default=6)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "soak.png", help="the plot")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT)
    arguments = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        environment = dict(os.environ) | {"EXPLORER_DATA": f"{folder}/data", "TMPDIR": f"{folder}/tmp"}
        Path(folder, "tmp").mkdir()
        command = [sys.executable, "app.py", "--port", str(port), "--checkpoint", str(arguments.checkpoint)]
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for(server, port)
            soak = run(arguments.minutes, arguments.visitors, port, server, Path(folder, "tmp"))
        finally:
            server.terminate()
            server.wait()
        left = [str(path.relative_to(folder)) for path in Path(folder, "tmp").rglob("*") if path.is_file()]
    plot(soak, arguments.out)
    print("\n| | 1st quarter | 2nd | 3rd | 4th | afterwards |\n|---|---|---|---|---|---|")
    for name in list(soak.rows[0])[1:]:
        print(
            f"| {name} | {' | '.join(f'{value:.0f}' for value in quarters(soak, name))} | {soak.rows[-1][name]:.0f} |"
        )
    print(f"\n{sum(soak.done.values())} things done: {dict(soak.done)}; {len(soak.errors)} went wrong")
    for error, count in Counter(soak.errors).most_common(5):
        print(f"{count} x {error}")
    print(f"left in the temporary folder after the end: {left or 'nothing'}")
    third, last = quarters(soak, "memory, MB")[2:]
    grows = last > third * (1 + GROWTH)
    print("The memory still grows." if grows else "The memory is flat.")
    return int(grows or bool(soak.errors) or bool(left))


if __name__ == "__main__":
    sys.exit(main())
