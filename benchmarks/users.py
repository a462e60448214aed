"""Twenty visitors who drag at once, each in a browser context of their own, on the embedded default.

Every visitor has a seed of their own, and every picture that they are shown once their slider has come to rest is held
against what the engine renders for their seed and value: a difference is somebody else's picture. Reported for one
visitor and for all: painted frames a second (least and most lucky visitor), latency from an input event to the frame
that shows it, and the server's memory before and after. Server and browsers share the machine, so on few cores the
latency is mostly the browsers'.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import shutil
import subprocess
import sys
import time
import urllib.request

import numpy as np
import psutil
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

from benchmarks.drag import FLAGS, WATCH
from benchmarks.startup import ROOT, free_port
from explorer import DEFAULT, Edit, Engine, load

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)
SECONDS = 10.0  # of dragging
STEP = 1 / 30  # seconds between two inputs of one visitor
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


def seen(engine: Engine, edit: Edit, picture: np.ndarray, end: float) -> bool:
    """Whether a visitor's resting picture is the one of their own seed and slider."""
    (strength,) = dict(edit.strengths).values()
    expected = engine.render(edit)
    if picture.shape != expected.shape:
        picture = np.asarray(Image.fromarray(picture).resize(expected.shape[1::-1], Image.Resampling.BOX))
    return abs(strength - end) < 0.06 and float(np.abs(picture.astype(int) - expected).mean()) < 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=20)
    arguments = parser.parse_args()
    if CHROMIUM is None:
        print("\nusers: not measured (no Chromium on this machine)")
        return
    engine = Engine(load(DEFAULT))
    port = free_port()
    server = subprocess.Popen([sys.executable, "app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/config").close()
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit("the server did not start")
                time.sleep(0.1)
        print(
            "\n| visitors | frames/s, least lucky | most | p50 ms | p95 ms | frames | wrong pictures | server memory |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for visitors in (1, arguments.visitors):
            url = f"http://127.0.0.1:{port}/"
            print(asyncio.run(measure(url, visitors, engine, psutil.Process(server.pid))), flush=True)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
