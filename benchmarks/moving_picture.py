"""`python -m benchmarks.moving_picture docs/drag.webp`: a film of a real drag on the real page, as fast as it was.

Chromium sends every frame that it paints, with its time. The pointer is drawn by a script, for Chromium shows none.
"""

from __future__ import annotations

import base64
import io
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page

from benchmarks.drag import opened_page

WIDTH, HEIGHT = 1280, 760  # px of the window
SHOWN = 840  # px across
QUALITY = 55
SHORTEST = 1 / 15  # s; frames that follow sooner are left out
REST = 0.7  # s before and after a drag
DRAGS = (("panda", 0.0, 1.0, 2.0), ("panda", 1.0, 0.0, 1.0), ("tiger", 0.0, 1.0, 2.0), ("ink wash", 0.0, 0.6, 1.5))
POINTER = """() => {
  const dot = document.createElement("div");
  dot.style = `position: fixed; z-index: 9999; width: 18px; height: 18px; margin: -9px;
    border: 2px solid white; border-radius: 50%; background: #0008; pointer-events: none`;
  document.body.append(dot);
  const follow = (event) => Object.assign(dot.style, { left: `${event.clientX}px`, top: `${event.clientY}px` });
  document.addEventListener("pointermove", follow, true);
}"""


def drag(page: Page, label: str, start: float, end: float, seconds: float) -> None:
    """Move the slider of a domain from one strength to another."""
    slider = page.locator(f".explore [type=range][aria-label='{label}']")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    low, high = (float(slider.get_attribute(name) or 0) for name in ("min", "max"))

    def at(strength: float) -> tuple[float, float]:
        return box["x"] + 8 + (box["width"] - 16) * (strength - low) / (high - low), box["y"] + box["height"] / 2

    page.mouse.move(*at(start))
    page.wait_for_timeout(1000 * REST)
    page.mouse.down()
    begin = time.perf_counter()
    while (part := (time.perf_counter() - begin) / seconds) < 1:
        eased = part * part * (3 - 2 * part)
        page.mouse.move(*at(start + (end - start) * eased))
    page.mouse.move(*at(end))
    page.mouse.up()
    page.wait_for_timeout(1000 * REST)


def filmed(page: Page) -> list[tuple[float, bytes]]:
    """Times in seconds and JPEGs of what the page painted during DRAGS."""
    frames: list[tuple[float, bytes]] = []
    session = page.context.new_cdp_session(page)

    def keep(event: dict[str, Any]) -> None:
        frames.append((event["metadata"]["timestamp"], base64.b64decode(event["data"])))
        session.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]})

    session.on("Page.screencastFrame", keep)
    session.send("Page.startScreencast", {"format": "jpeg", "quality": 95})
    for movement in DRAGS:
        drag(page, *movement)
    session.send("Page.stopScreencast")
    page.wait_for_timeout(500)  # frames on the way
    return frames


def write(frames: list[tuple[float, bytes]], path: Path) -> None:
    """A WebP that repeats, each frame as long as it was seen."""
    chosen = frames[:1]
    for moment, data in frames[1:]:
        if moment - chosen[-1][0] >= SHORTEST:
            chosen.append((moment, data))
    moments = [moment for moment, _ in chosen] + [frames[-1][0] + REST]
    lengths = [round(1000 * (after - before)) for before, after in pairwise(moments)]
    pictures = [Image.open(io.BytesIO(data)) for _, data in chosen]
    small = [picture.resize((SHOWN, round(SHOWN * HEIGHT / WIDTH)), Image.Resampling.LANCZOS) for picture in pictures]
    small[0].save(path, save_all=True, append_images=small[1:], duration=lengths, loop=0, quality=QUALITY, method=6)
    print(f"{path}: {len(small)} frames, {sum(lengths) / 1000:.1f} s, {path.stat().st_size / 2**20:.2f} MB")


def main() -> None:
    with opened_page(WIDTH, HEIGHT) as page:
        if page is None:
            sys.exit("no Chromium on this machine: install it with your system's packages")
        page.locator(".first .got-it").click()  # the hint of the first visit
        page.evaluate(POINTER)
        write(filmed(page), Path(sys.argv[1]))


if __name__ == "__main__":
    main()
