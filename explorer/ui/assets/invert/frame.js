// The frame on the photo: a square that is dragged, resized at its corners, or moved by arrow keys. Boxes are in pixels
// of the photo, {left, top, size}, and may reach over its edges; their middle stays on it.

import { clamp, find } from "../dom.js";

const SMALLEST = 0.08; // of the photo's shorter side
const LARGEST = 1.5; // of its longer side
const NUDGE = 0.01;

export function createFrame(session) {
  const frame = find(".frame");
  const image = find(".photo img");

  function fit({ left, top, size }, { width, height }) {
    const side = clamp(size, SMALLEST * Math.min(width, height), LARGEST * Math.max(width, height));
    const x = clamp(left + size / 2, 0, width);
    const y = clamp(top + size / 2, 0, height);
    return { left: Math.round(x - side / 2), top: Math.round(y - side / 2), size: Math.round(side) };
  }
  const change = (box) => session.set({ box: fit(box, session.state.photo) });

  function move(begun, dx, dy) {
    change({ ...begun, left: begun.left + dx, top: begun.top + dy });
  }
  // The corner opposite to the one that is dragged stays where it is.
  function resize(begun, [sx, sy], dx, dy) {
    const { width, height } = session.state.photo;
    const grown = Math.abs(dx) > Math.abs(dy) ? sx * dx : sy * dy;
    const size = clamp(begun.size + grown, SMALLEST * Math.min(width, height), LARGEST * Math.max(width, height));
    const added = size - begun.size;
    change({ size, left: begun.left - (sx < 0 ? added : 0), top: begun.top - (sy < 0 ? added : 0) });
  }
  function onPointerDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    const corner = event.target.dataset.corner?.split(" ").map(Number);
    const begun = session.state.box;
    const scale = session.state.photo.width / image.clientWidth;
    const from = [event.clientX, event.clientY];
    const follow = (now) => {
      const [dx, dy] = [(now.clientX - from[0]) * scale, (now.clientY - from[1]) * scale];
      if (corner) resize(begun, corner, dx, dy);
      else move(begun, dx, dy);
    };
    frame.setPointerCapture(event.pointerId);
    frame.addEventListener("pointermove", follow);
    const end = () => frame.removeEventListener("pointermove", follow);
    frame.addEventListener("pointerup", end, { once: true });
    frame.addEventListener("pointercancel", end, { once: true });
  }
  function onKeyDown(event) {
    const { box, photo } = session.state;
    const step = Math.max(NUDGE * Math.max(photo.width, photo.height), 1) * (event.shiftKey ? 5 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const grows = { "+": step, "=": step, "-": -step };
    if (moves[event.key]) move(box, ...moves[event.key]);
    else if (grows[event.key]) change({ left: box.left - grows[event.key], top: box.top - grows[event.key], size: box.size + 2 * grows[event.key] });
    else return;
    event.preventDefault();
  }
  frame.addEventListener("pointerdown", onPointerDown);
  frame.addEventListener("keydown", onKeyDown);

  // In percent of the photo, so that it follows the window's size.
  return function show({ photo, box }) {
    if (!photo) return;
    frame.style.left = `${(100 * box.left) / photo.width}%`;
    frame.style.top = `${(100 * box.top) / photo.height}%`;
    frame.style.width = `${(100 * box.size) / photo.width}%`;
    frame.style.height = `${(100 * box.size) / photo.height}%`;
  };
}
