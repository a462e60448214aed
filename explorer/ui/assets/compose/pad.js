// The blend pad: three to eight domains of the sum stand on a circle, and a puck between them weighs them. Weights are
// mean value coordinates (Floater 2003): they add up to one, are those of a corner at a corner, and the puck lies at the
// weighted mean of the corners, so that it also follows sliders. A way that the puck takes can be recorded as a film.

import { act, clamp, find, make } from "../dom.js";
import { BLANK, TILE } from "../explore/history.js";

const CORNERS = { fewest: 3, most: 8 };
const NUDGE = 0.05; // of the radius, a key press
const TINY = 1e-6;
const PATH = { step: 0.2, most: 64, back: 1 }; // s from a picture of a recorded way to the next; how many; s back to the first

const minus = ([x, y], [u, v]) => [x - u, y - v];
const cross = ([x, y], [u, v]) => x * v - y * u;
const dot = ([x, y], [u, v]) => x * u + y * v;

// Corners of a regular polygon in the unit circle, the first one above.
function cornersOf(count) {
  return Array.from({ length: count }, (_, index) => {
    const angle = (2 * Math.PI * index) / count - Math.PI / 2;
    return [Math.cos(angle), Math.sin(angle)];
  });
}

// The point of the polygon that is next to `point` on the way to the middle.
function inside(point, corners) {
  const halfway = corners.map(([x, y], index) => {
    const [u, v] = corners[(index + 1) % corners.length];
    return [(x + u) / 2, (y + v) / 2]; // the foot of the middle on this side
  });
  const out = Math.max(...halfway.map((foot) => dot(point, foot) / dot(foot, foot)));
  return out > 1 ? point.map((part) => part / out) : point;
}

function weightsAt(point, corners) {
  const to = corners.map((corner) => minus(corner, point));
  const far = to.map((way) => Math.hypot(...way));
  const at = far.findIndex((distance) => distance < TINY);
  if (at >= 0) return corners.map((_, index) => Number(index === at));
  const next = (index) => (index + 1) % corners.length;
  const side = to.findIndex((way, index) => Math.abs(cross(way, to[next(index)])) < TINY && dot(way, to[next(index)]) < 0);
  if (side >= 0) {
    const whole = far[side] + far[next(side)];
    return corners.map((_, index) => (index === side ? far[next(side)] : index === next(side) ? far[side] : 0) / whole);
  }
  const tangents = to.map((way, index) => (far[index] * far[next(index)] - dot(way, to[next(index)])) / cross(way, to[next(index)]));
  const weights = tangents.map((tangent, index) => (tangent + tangents.at(index - 1)) / far[index]);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => weight / sum);
}

// Moments at equal distances, each as the last one recorded until then: edits, and the seconds to each next one.
function filmOf(path) {
  const begin = path[0].time;
  const whole = path.at(-1).time - begin;
  const count = clamp(Math.round(whole / 1000 / PATH.step), 1, PATH.most - 1);
  const moments = Array.from({ length: count + 1 }, (_, index) => begin + (whole * index) / count);
  const edits = moments.map((moment) => path.findLast(({ time }) => time <= moment + TINY).edit);
  return { edits, seconds: [...Array(count).fill(Math.max(whole / 1000 / count, 0.1)), PATH.back], easing: "linear" };
}

export function createPad(state, picks, loop, film) {
  const box = find(".pad");
  const puck = box.querySelector(".puck");
  const outline = box.querySelector("polygon");
  let domains = []; // on the circle
  let corners = [];
  let tiles = [];
  let point = [0, 0];
  let dragging = false;
  let path = null; // {time, edit} of a way that is recorded

  function move(to) {
    point = inside(to, corners);
    const strengths = new Map(state.edit.strengths);
    weightsAt(point, corners).forEach((weight, index) => strengths.set(domains[index].id, Math.round(1000 * weight) / 1000));
    state.set({ strengths });
    path?.push({ time: performance.now(), edit: state.json() });
  }
  function record(on) {
    const taken = path ?? [];
    path = on ? [] : null;
    act("record")[0].ariaPressed = String(on);
    act("record")[0].textContent = on ? "Drag the puck" : "Record";
    if (!on && taken.length > 1) film.open(filmOf(taken));
  }
  function pointAt({ clientX, clientY }) {
    const { left, top, width, height } = box.querySelector(".disc").getBoundingClientRect();
    return [(2 * (clientX - left)) / width - 1, (2 * (clientY - top)) / height - 1];
  }
  // Where these weights put the puck.
  function place() {
    const weights = domains.map(({ id }) => Math.max(state.edit.strengths.get(id) ?? 0, 0));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    if (!dragging) point = [0, 1].map((axis) => (sum ? weights.reduce((total, weight, index) => total + weight * corners[index][axis], 0) / sum : 0));
    puck.style.left = `${50 + 50 * point[0]}%`;
    puck.style.top = `${50 + 50 * point[1]}%`;
    const parts = domains.map(({ label }, index) => [label, sum ? Math.round((100 * weights[index]) / sum) : 0]).filter(([, percent]) => percent);
    puck.ariaValueText = parts.map(([label, percent]) => `${label} ${percent} %`).join(", ") || "nothing yet";
    puck.ariaValueNow = String(Math.max(0, ...parts.map(([, percent]) => Number(percent))));
  }
  function build() {
    corners = cornersOf(domains.length);
    outline.setAttribute("points", corners.map((corner) => corner.map((part) => (50 + 50 * part).toFixed(2)).join(",")).join(" "));
    tiles.forEach((tile) => tile.remove());
    tiles = domains.map(({ label }, index) => {
      const tile = make("button", { type: "button", className: "corner", tabIndex: -1, ariaLabel: `All ${label}` }, make("img", { src: BLANK, alt: "", draggable: false }), make("small", { textContent: label }));
      tile.style.left = `${50 + 50 * corners[index][0]}%`;
      tile.style.top = `${50 + 50 * corners[index][1]}%`;
      tile.addEventListener("click", () => { move(corners[index]); state.commit(); });
      return tile;
    });
    box.querySelector(".disc").append(...tiles);
  }
  // Every corner's tile is this picture in its domain alone.
  function showTiles() {
    if (!state.atRest) return;
    const missing = tiles.flatMap((tile, index) => {
      const strengths = new Map([...state.edit.strengths].filter(([id]) => !domains.some((domain) => domain.id === id)));
      const edit = state.json({ ...state.edit, strengths: strengths.set(domains[index].id, 1) });
      return tile.dataset.edit === JSON.stringify(edit) ? [] : [{ tile, edit }];
    });
    loop.cancel("pad");
    if (missing.length) loop.later({ name: "pad", edits: missing.map(({ edit }) => edit), max_px: TILE, done: (index, uri) => {
      const { tile, edit } = missing[index];
      tile.firstElementChild.src = uri;
      tile.dataset.edit = JSON.stringify(edit);
    } });
  }
  function show() {
    const picked = picks.picked().filter(({ group }) => group === "domains");
    box.hidden = picked.length < CORNERS.fewest || picked.length > CORNERS.most;
    if (box.hidden) return loop.cancel("pad");
    if (picked.map(({ id }) => id).join() !== domains.map(({ id }) => id).join()) {
      domains = picked;
      build();
    }
    place();
    showTiles();
  }

  const disc = box.querySelector(".disc");
  disc.addEventListener("pointerdown", (event) => {
    if (event.target.closest(".corner") || event.button) return;
    dragging = true;
    disc.setPointerCapture(event.pointerId);
    move(pointAt(event));
  });
  disc.addEventListener("pointermove", (event) => dragging && move(pointAt(event)));
  for (const name of ["pointerup", "pointercancel"]) {
    disc.addEventListener(name, () => {
      if (!dragging) return;
      dragging = false;
      state.commit();
      if (path) record(false);
    });
  }
  puck.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] }[event.key];
    if (!way) return;
    event.preventDefault();
    move(point.map((part, axis) => clamp(part + way[axis], -1, 1)));
    state.commit();
  });
  act("record")[0].addEventListener("click", () => record(path === null));
  state.onChange(show);
  show();
}
