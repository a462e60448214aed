// The hand on the picture itself: a drag moves one direction sideways and another one upwards; wheel and pinch zoom, and a
// drag then pans. Which two directions, rows say; this browser remembers it.

import { all, clamp, find, short } from "../dom.js";
import { readJSON } from "./state.js";

const APART_PX = 4; // until a press is a drag
const REACH = 0.5; // of a direction's range, over the width of the stage
const CLOSEST = 8; // times
const WHEEL = 0.002; // of a doubling, a pixel of the wheel

export function createGrab(state, generator, stage, film) {
  const box = find(".stage");
  const canvas = box.querySelector("canvas");
  const tag = box.querySelector(".grab-tag");
  const reset = box.querySelector(".zoom");
  const key = `explorer:${generator.key}:grab`;
  const factors = generator.directions.filter(({ group }) => group === "factors");
  const chosen = { across: factors[0]?.id, up: factors[1]?.id, ...readJSON(localStorage, key) };
  const directionOf = (axis) => generator.directions.find(({ id }) => id === chosen[axis]);
  const fingers = new Map(); // pointerId -> where it is, as parts of the stage
  let grabbed = null; // {point, strengths, view, dragging}: where and what was when it was grabbed
  let view = { scale: 1, left: 0, top: 0 }; // how many times, and what is left and above, as parts of the picture

  function at({ clientX, clientY }) {
    const { left, top, width, height } = canvas.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }
  function see(scale, left, top) {
    scale = clamp(scale, 1, CLOSEST);
    view = { scale, left: clamp(left, 0, 1 - 1 / scale), top: clamp(top, 0, 1 - 1 / scale) };
    stage.zoom(view);
    reset.hidden = scale === 1;
    reset.textContent = `${short(scale)}\u00d7`;
    canvas.classList.toggle("near", scale > 1);
  }
  // What lies under this point stays there.
  function zoom(scale, /** @type {number[]} */ [x, y], from = view) {
    scale = clamp(scale, 1, CLOSEST);
    see(scale, from.left + x / from.scale - x / scale, from.top + y / from.scale - y / scale);
  }
  function grab() {
    const points = [...fingers.values()];
    grabbed = points.length ? { points, strengths: state.edit.strengths, view, dragging: false } : null;
  }
  function pinch(/** @type {any[]} */ [a, b], /** @type {any[]} */ [c, d]) {
    const far = (one, other) => Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 0.01);
    zoom((grabbed.view.scale * far(c, d)) / far(a, b), [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], grabbed.view);
  }
  function move([x, y], /** @type {number[]} */ [left, top]) {
    const { strengths, view: before } = grabbed;
    if (before.scale > 1) return see(before.scale, before.left - (left - x) / before.scale, before.top - (top - y) / before.scale);
    const next = new Map(strengths);
    const words = [];
    const axes = [{ axis: "across", gone: left - x, sign: "\u2194" }, { axis: "up", gone: y - top, sign: "\u2195" }];
    for (const { axis, gone, sign } of axes) {
      const direction = directionOf(axis);
      if (!direction) continue;
      const { id, low, high, label } = direction;
      const value = clamp((next.get(id) ?? 0) + gone * REACH * (high - low), low, high);
      next.set(id, Math.round(100 * value) / 100);
      words.push(`${sign} ${label}: ${short(value)}`);
    }
    tag.textContent = words.join("   ");
    tag.hidden = false;
    state.set({ strengths: next });
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || film.on) return;
    canvas.setPointerCapture(event.pointerId);
    letGo();
    fingers.set(event.pointerId, at(event));
    grab();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, at(event));
    const now = [...fingers.values()];
    const gone = Math.max(...now.map(([x, y], index) => Math.hypot(x - grabbed.points[index][0], y - grabbed.points[index][1]))) * canvas.clientWidth;
    grabbed.dragging ||= gone > APART_PX;
    if (!grabbed.dragging) return;
    if (now.length > 1) pinch(grabbed.points, now);
    else move(grabbed.points[0], now[0]);
  });
  // A drag is one step of the history.
  function letGo() {
    tag.hidden = true;
    if (grabbed?.dragging) state.commit();
  }
  function lift({ pointerId }) {
    if (!fingers.delete(pointerId)) return;
    letGo();
    grab();
  }
  canvas.addEventListener("pointerup", lift);
  // A finger that scrolls the page: what it has moved on its way goes back.
  canvas.addEventListener("pointercancel", (event) => {
    if (grabbed?.dragging) state.set({ strengths: grabbed.strengths });
    lift(event);
  });
  box.addEventListener("wheel", (event) => {
    if (event.target.closest(".neighbours, .batch, .message")) return;
    event.preventDefault();
    zoom(view.scale * 2 ** (-event.deltaY * WHEEL), at(event));
  }, { passive: false });
  const whole = () => see(1, 0, 0);
  canvas.addEventListener("dblclick", whole);
  reset.addEventListener("click", whole);

  function show() {
    for (const axis of ["across", "up"]) {
      for (const button of all(`[data-row=${axis}]`)) button.ariaPressed = String(button.closest(".row").row.direction.id === chosen[axis]);
    }
  }
  // One direction for each axis; the same again for none.
  function choose(axis, { id }) {
    chosen[axis] = chosen[axis] === id ? null : id;
    localStorage.setItem(key, JSON.stringify(chosen));
    show();
  }
  return { choose, show, whole };
}
