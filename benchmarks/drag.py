"""A slider dragged in a real Chromium on the embedded default, or on other generators, engine included.

Latency runs from an input event to the frame in which the canvas shows its value; inputs that a newer one overtook are
never painted and not counted. Frames are pictures painted while the thumb moves. Bars: p50 <= 35 ms, p95 <= 60 ms, at
least 40 frames a second. Server and browser need both cores: beside another job the figures are that job's.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.startup import ROOT, free_port, wait_for
from explorer import DEFAULT

SECONDS = 4.0  # of dragging, there and back
ROUNDS = 3
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]

# Every input event notes its time; a painted edit with a value answers all events up to the one that set it.
WATCH = """() => {
  const panel = document.querySelector(".explore");
  const slider = panel.querySelector("[data-group=factors] .slider");
  const events = [], latencies = [];
  window.bench = { latencies, frames: 0 };
  slider.addEventListener("input", () => events.push([Number(slider.value), performance.now()]), true);
  new MutationObserver(() => {
    const edit = JSON.parse(panel.dataset.painted);
    const value = edit.strengths?.[0]?.[1] ?? 0;
    const index = events.findLastIndex(([wanted]) => wanted === value);
    window.bench.frames += 1;
    if (index < 0) return;
    const answered = events.splice(0, index + 1);
    requestAnimationFrame(() => {
      const channel = new MessageChannel();  // a task right after the frame was painted
      channel.port1.onmessage = () => latencies.push(performance.now() - answered.at(-1)[1]);
      channel.port2.postMessage(0);
    });
  }).observe(panel, { attributes: true, attributeFilter: ["data-frames"] });
}"""


def drag(page: Page) -> tuple[list[float], float]:
    """Latencies in ms and painted frames a second of one drag."""
    page.evaluate("() => { bench.latencies.length = 0; bench.frames = 0 }")
    slider = page.locator("[data-group=factors] .slider").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < SECONDS:
        at = abs((2 * passed / SECONDS) % 2 - 1)  # from one end to the other and back
        page.mouse.move(box["x"] + box["width"] * (0.05 + 0.9 * at), y)  # returns with the browser's next frame
    frames = page.evaluate("bench.frames") / (time.perf_counter() - start)
    page.mouse.up()
    page.wait_for_timeout(500)
    return page.evaluate("bench.latencies"), frames


@contextmanager
def opened_page(width: int = 1280, height: int = 720, flags: Sequence[str] = ()) -> Iterator[Page | None]:
    """The page of the embedded default, or as `flags` say, with its first picture painted; None without a Chromium."""
    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if chromium is None:
        yield None
        return
    port = free_port()
    command = [sys.executable, "app.py", "--port", str(port), *flags]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(server, port)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            page = browser.new_page(viewport={"width": width, "height": height})
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(".explore[data-painted]")
            yield page
    finally:
        server.terminate()
        server.wait()


def main(checkpoints: Sequence[str] = (str(DEFAULT),)) -> None:
    print("\n| drag | p50 ms (bar 35) | p95 ms (bar 60) | painted frames/s (bar 40) |")
    print("|---|---|---|---|")
    for checkpoint in checkpoints:
        with opened_page(flags=("--checkpoint", checkpoint)) as page:
            if page is None:
                print("\ndrag: not measured (no Chromium on this machine)")
                return
            page.evaluate(WATCH)
            drag(page)
            for turn in range(1, ROUNDS + 1):
                latencies, frames = drag(page)
                latencies.sort()
                p50, p95 = (latencies[int(len(latencies) * q)] for q in (0.5, 0.95))
                print(f"| {Path(checkpoint).stem}, round {turn} | {p50:.0f} | {p95:.0f} | {frames:.0f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or (str(DEFAULT),))
