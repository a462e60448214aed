// The frame on the photo: a square that is dragged, resized at its corners, by a pinch or the wheel, or moved by arrow
// keys. Boxes are in pixels of the photo, {left, top, size}, and may reach over its edges; their middle stays on it, and
// so do the handles.

import { clamp, find } from "../dom.js";

const SMALLEST = 0.08; // of the photo's shorter side
const LARGEST = 1.5; // of its longer side
const NUDGE = 0.01;
const HANDLE = 14; // px of the screen, half a handle
const NOTCH = 0.0015; // part of the size, a pixel of the wheel

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
  // About its middle, which is moved too.
  function zoom(begun, factor, dx = 0, dy = 0) {
    const { size } = fit({ ...begun, size: begun.size * factor }, session.state.photo);
    const half = (size - begun.size) / 2;
    change({ size, left: begun.left + dx - half, top: begun.top + dy - half });
  }

  const fingers = new Map(); // pointers on the frame -> where they are
  let begun = null; // {box, corner} when the first or the second finger came or went, and where they were
  function spread() {
    const [a, b = a] = fingers.values();
    return { middle: [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], apart: Math.hypot(a[0] - b[0], a[1] - b[1]) };
  }
  function begin(corner) {
    begun = fingers.size ? { box: session.state.box, corner, ...spread() } : null;
  }
  function onPointerDown(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    frame.focus({ preventScroll: true });
    frame.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    begin(event.target.dataset.corner?.split(" ").map(Number));
  }
  function onPointerMove(event) {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    const { middle, apart } = spread();
    const scale = session.state.photo.width / image.clientWidth;
    const [dx, dy] = [0, 1].map((axis) => (middle[axis] - begun.middle[axis]) * scale);
    if (fingers.size > 1) zoom(begun.box, apart / Math.max(begun.apart, 1), dx, dy);
    else if (begun.corner) resize(begun.box, begun.corner, dx, dy);
    else move(begun.box, dx, dy);
  }
  function onPointerEnd(event) {
    fingers.delete(event.pointerId);
    begin();
  }
  function onWheel(event) {
    event.preventDefault();
    zoom(session.state.box, Math.exp(-NOTCH * event.deltaY));
  }
  function onKeyDown(event) {
    const { box, photo } = session.state;
    const step = Math.max(NUDGE * Math.max(photo.width, photo.height), 1) * (event.shiftKey ? 5 : 1);
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    const grows = { "+": step, "=": step, "-": -step };
    if (moves[event.key]) move(box, ...moves[event.key]);
    else if (grows[event.key]) zoom(box, (box.size + 2 * grows[event.key]) / box.size);
    else return;
    event.preventDefault();
  }
  frame.addEventListener("pointerdown", onPointerDown);
  frame.addEventListener("pointermove", onPointerMove);
  for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, onPointerEnd);
  frame.addEventListener("wheel", onWheel, { passive: false });
  frame.addEventListener("keydown", onKeyDown);

  // In percent of the photo, so that it follows the window's size. A corner off the photo has its handle at the edge.
  function show({ photo, box }) {
    if (!photo) return;
    frame.style.left = `${(100 * box.left) / photo.width}%`;
    frame.style.top = `${(100 * box.top) / photo.height}%`;
    frame.style.width = `${(100 * box.size) / photo.width}%`;
    frame.style.height = `${(100 * box.size) / photo.height}%`;
    const edge = image.clientWidth ? (HANDLE * photo.width) / image.clientWidth : 0;
    for (const handle of frame.children) {
      const [sx, sy] = handle.dataset.corner.split(" ").map(Number);
      const x = clamp(box.left + (sx > 0 ? box.size : 0), edge, photo.width - edge);
      const y = clamp(box.top + (sy > 0 ? box.size : 0), edge, photo.height - edge);
      handle.style.left = `${(100 * (x - box.left)) / box.size}%`;
      handle.style.top = `${(100 * (y - box.top)) / box.size}%`;
    }
  }
  new ResizeObserver(() => show(session.state)).observe(image); // a handle is as large on any screen
  return show;
}
