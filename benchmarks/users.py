"""Twenty visitors who drag at once, each in a browser context of their own, on the embedded default.

Every visitor has a seed of their own, and every picture that they are shown once their slider has come to rest is held
against what the engine renders for their seed and value: a difference is somebody else's picture. Reported for one
visitor and for all: painted frames a second (least and most lucky visitor), latency from an input event to the frame
that shows it, and the server's memory before and after. Server and browsers share the machine, so on few cores that
latency is mostly the browsers'; a second table is of as many visitors without browsers, who ask for a picture when the
last one is there, at most 30 times a second. `--events N` sends N more events in that way (108 000 are an hour of one
visitor's dragging) and reports the server's memory after every tenth of them.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import math
import shutil
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import numpy as np
import psutil
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.drag import FLAGS, WATCH
from benchmarks.startup import ROOT, free_port, wait_for
from explorer import DEFAULT, Edit, Engine, load

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
SECONDS = 10.0  # of dragging
STEP = 1 / 30  # seconds between two inputs of one visitor
EVENTS = 300  # of each visitor without a browser
PATIENCE = 240_000  # ms until every page is there

# Moves the first factor back and forth as fast as an input device would, then lets it rest at `end`.
DRAG = """async ([seconds, step, end]) => {
  const slider = document.querySelector("[data-group=factors] .slider");
  const began = performance.now();
  const to = (value) => { slider.value = value; slider.dispatchEvent(new Event("input", { bubbles: true })); };
  bench.latencies.length = 0; bench.frames = 0;
  while (performance.now() - began < seconds * 1000) {
    to(3 * Math.sin((performance.now() - began) / 700));
    await new Promise((resolve) => setTimeout(resolve, step * 1000));
  }
  const found = { frames: bench.frames, seconds: (performance.now() - began) / 1000, latencies: [...bench.latencies] };
  to(end);
  slider.dispatchEvent(new Event("change", { bubbles: true }));
  return found;
}"""
SHOWN = """() => ({ edit: document.querySelector(".explore").dataset.painted,
  picture: document.querySelector(".explore canvas").toDataURL("image/png") })"""


async def visit(browser: Browser, url: str, seed: int) -> Page:
    page = await (await browser.new_context(viewport={"width": 1000, "height": 700})).new_page()
    page.set_default_timeout(PATIENCE)
    await page.goto(url)
    await page.wait_for_selector(".explore[data-painted]")
    await page.click("#explore .drawer-open")
    await page.fill("#explore #seed", str(seed))
    await page.press("#explore #seed", "Enter")
    await page.evaluate(WATCH)
    return page


async def rest_of(page: Page, seed: int) -> tuple[Edit, np.ndarray]:
    """What a visitor sees once nothing moves: the edit and the picture."""
    before = None
    while True:
        await page.wait_for_timeout(1000)
        shown = await page.evaluate(SHOWN)
        edit = Edit.from_json(shown["edit"])
        if shown == before and edit.seed == seed:
            data = base64.b64decode(shown["picture"].partition(",")[2])
            return edit, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        before = shown


async def measure(url: str, visitors: int, engine: Engine, server: psutil.Process) -> str:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        pages = [await visit(browser, url, seed) for seed in range(visitors)]
        ends = [0.5 + 0.1 * seed for seed in range(visitors)]
        before = server.memory_info().rss
        drags = await asyncio.gather(*(p.evaluate(DRAG, [SECONDS, STEP, e]) for p, e in zip(pages, ends, strict=True)))
        rests = await asyncio.gather(*(rest_of(page, seed) for seed, page in enumerate(pages)))
        after = server.memory_info().rss
        await browser.close()
    wrong = sum(not seen(engine, edit, picture, end) for (edit, picture), end in zip(rests, ends, strict=True))
    rates = sorted(drag["frames"] / drag["seconds"] for drag in drags)
    latencies = sorted(latency for drag in drags for latency in drag["latencies"])
    p50, p95 = (latencies[int(len(latencies) * q)] for q in (0.5, 0.95))
    memory = f"{before >> 20} -> {after >> 20}"
    frames = sum(drag["frames"] for drag in drags)
    return (
        f"| {visitors} | {rates[0]:.1f} | {rates[-1]:.1f} | {p50:.0f} | {p95:.0f} | {frames} | {wrong} | {memory} MB |"
    )


def send(port: int, component: int, visitor: int, count: int) -> list[float]:
    """Seconds that each of a visitor's pictures takes; like a panel, one is asked for when the last one is there."""
    connection, took = HTTPConnection("127.0.0.1", port), []
    for event in range(count):
        edit = {"seed": visitor, "strengths": [[0, 3 * math.sin(event)]]}
        session = {"component_id": component, "fn_name": "pictures", "session_hash": f"visitor{visitor}"}
        body = json.dumps(session | {"data": {"edits": [edit], "max_px": None, "exact": False}})
        began = time.perf_counter()
        connection.request("POST", "/gradio_api/component_server", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        took.append(time.perf_counter() - began)
        if "pictures" not in answer:
            sys.exit(f"no picture: {answer}")
        time.sleep(max(0.0, STEP - took[-1]))
    return took


def send_all(port: int, visitors: int, count: int) -> list[list[float]]:
    """`send` for all visitors at once."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/config") as reply:
        components = json.load(reply)["components"]
    component = next(c["id"] for c in components if c["props"].get("elem_id") == "explore")
    with ThreadPoolExecutor(visitors) as pool:
        return list(pool.map(lambda visitor: send(port, component, visitor, count), range(visitors)))


def without_browsers(port: int, visitors: int) -> str:
    """The picture path by itself: a row of the table for that many visitors."""
    rounds = send_all(port, visitors, EVENTS)
    rates = sorted(len(took) / sum(max(seconds, STEP) for seconds in took) for took in rounds)
    times = sorted(1000 * seconds for took in rounds for seconds in took)
    p50, p95 = (times[int(len(times) * q)] for q in (0.5, 0.95))
    return f"| {visitors} | {rates[0]:.1f} | {rates[-1]:.1f} | {p50:.0f} | {p95:.0f} |"


def memory(port: int, count: int, visitors: int, server: psutil.Process) -> str:
    """MB of the server's memory before, and after every tenth of `count` events."""
    sizes = [server.memory_info().rss >> 20]
    for _ in range(10):
        send_all(port, visitors, math.ceil(count / 10 / visitors))
        sizes.append(server.memory_info().rss >> 20)
    return f"\nserver memory, MB, after every tenth of {count} events: {', '.join(map(str, sizes))}"


def seen(engine: Engine, edit: Edit, picture: np.ndarray, end: float) -> bool:
    """Whether a visitor's resting picture is the one of their own seed and slider."""
    (strength,) = dict(edit.strengths).values()
    expected = engine.render(edit)
    side = (picture.shape[1], picture.shape[0])
    shown = np.asarray(Image.fromarray(expected).resize(side, Image.Resampling.BICUBIC))
    # Browsers enlarge in their own way, which differs by 2 to 4 grey levels; another visitor's picture by 35 and more.
    return abs(strength - end) < 0.06 and float(np.abs(picture.astype(int) - shown).mean()) < 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--events", type=int, default=0, help="events sent without browsers afterwards")
    arguments = parser.parse_args()
    if CHROMIUM is None:
        print("\nusers: not measured (no Chromium on this machine)")
        return
    engine = Engine(load(DEFAULT))
    port = free_port()
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(server, port)
        print(
            "\n| visitors | frames/s, least lucky | most | p50 ms | p95 ms | frames | wrong pictures | server memory |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for visitors in (1, arguments.visitors):
            url = f"http://127.0.0.1:{port}/"
            print(asyncio.run(measure(url, visitors, engine, psutil.Process(server.pid))), flush=True)
        print(
            "\nwithout browsers:\n| visitors | frames/s, least lucky | most | p50 ms | p95 ms |\n|---|---|---|---|---|"
        )
        for visitors in (1, arguments.visitors):
            print(without_browsers(port, visitors), flush=True)
        if arguments.events:
            print(memory(port, arguments.events, arguments.visitors, psutil.Process(server.pid)))
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
