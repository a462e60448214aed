// A film, played live in the stage: from each edit to the next in so many seconds. Its frames are pictures that the
// server makes, every sixteenth first; until one is there, the two beside it are blended. What is saved has all of them.

import { act, find, loadImage, make, panel } from "../dom.js";
import { createMaking } from "./making.js";
import { readJSON } from "./state.js";

const FILM_FPS = 25; // of what the server writes
const MOST_FRAMES = 900; // frames of a film that it writes
const STRIDES = [16, 4, 1]; // frames are asked for in so many passes
const FILM_PX = 512; // of a frame that is played, and of a film that is saved
const FILM_OPTIONS = "explorer:film";

// A frame, or what stands in for it: a part of the next picture over one before.
export function drawFrame(context, { image, next, part }, draw) {
  draw(image);
  if (!next) return;
  context.globalAlpha = part;
  draw(next);
  context.globalAlpha = 1;
}

export function createFilm({ state, generator, loop, stage, onOpen }) {
  const bar = find(".film-bar");
  const place = bar.querySelector(".film-at");
  const seeds = bar.querySelector("[name=film-seeds]");
  const field = (name) => bar.querySelector(`[name=${name}]`);
  const [loops, easing, kind, px, sharpen] = ["film-loop", "easing", "film-kind", "film-px", "film-sharpen"].map(field);
  const making = createMaking(bar, { complain: stage.say, onChange: () => film && tell() });
  let film = null; // {edits, seconds, walk?}
  let legs = []; // frames of each
  let length = 0;
  let images = []; // by number, as they come
  let at = 0; // frames from the beginning
  let playing = false;
  let then = 0;

  // `walk` makes such edits anew for another number of seeds, `own` are the snapshots.
  function open(/** @type {{ edits: any[], seconds: number[], easing?: string, walk?: any, own?: boolean }} */ chosen) {
    onOpen();
    film = { ...chosen, edits: alike(chosen.edits) };
    easing.value = chosen.easing ?? standard();
    bar.hidden = false;
    find(".toolbar").hidden = true;
    bar.scrollIntoView({ block: "nearest" });
    bar.querySelector(".film-walk").hidden = !film.walk;
    panel.dataset.film = "";
    at = 0;
    lay();
    setPlaying(true);
  }
  // The snapshots have changed while they play.
  function change({ edits, seconds }) {
    if (!film?.own) return;
    if (edits.length < 2) return close();
    film = { ...film, edits: alike(edits), seconds };
    lay();
  }
  // Where no pictures lie between two kinds of noise, a film keeps its first one.
  function alike(edits) {
    if (generator.steps.length) return edits;
    const { noise_mode, noise_seed } = state.parse(edits[0]);
    return edits.map((edit) => state.json({ ...state.parse(edit), noise_mode, noise_seed }));
  }
  function close() {
    if (!film) return;
    film = null;
    playing = false;
    loop.cancel("film");
    bar.hidden = true;
    find(".toolbar").hidden = false;
    panel.dataset.film = "";
    stage.film(null);
  }
  // All frames anew: there are others now.
  function lay() {
    const count = film.edits.length - (loops.checked ? 0 : 1);
    legs = film.seconds.slice(0, count).map((seconds) => Math.max(Math.round(seconds * FILM_FPS), 1));
    length = legs.reduce((sum, leg) => sum + leg, loops.checked ? 0 : 1);
    at = Math.min(at, length - 1);
    place.max = length - 1;
    const own = images = [];
    const numbers = order();
    const done = async (index, uri) => {
      own[numbers[index]] = await loadImage(uri);
      if (film && !playing) show();
    };
    loop.later({ name: "film", edits: numbers.map(frame), max_px: Math.min(generator.max_px ?? FILM_PX, FILM_PX), moving: true, done });
    tell();
  }
  const startOf = (leg) => legs.slice(0, leg).reduce((sum, frames) => sum + frames, 0);
  // The edits themselves first, then finer and finer; a long film does with blends of every fourth.
  function order() {
    const strides = STRIDES.filter((stride) => stride > 1 || length <= MOST_FRAMES);
    const all = Array.from({ length }, (_, number) => number);
    return [...new Set([...legs.map((_, leg) => startOf(leg)), length - 1, ...strides.flatMap((stride) => all.filter((number) => number % stride === 0))])];
  }
  // What the server makes a frame of.
  function frame(number) {
    const past = legs.findIndex((_, leg) => number < startOf(leg + 1));
    const leg = past < 0 ? legs.length : past;
    const { edits } = film;
    return { from: edits[leg], to: edits[(leg + 1) % edits.length], part: (number - startOf(leg)) / (legs[leg] ?? 1), easing: easing.value };
  }
  function tick(now) {
    if (!film || !playing || !panel.isConnected) return;
    requestAnimationFrame(tick);
    const gone = panel.checkVisibility() ? ((now - then) / 1000) * FILM_FPS : 0;
    then = now;
    if (!images[0]) return; // it begins with the first picture
    at += Math.max(gone, 0);
    if (at >= length && loops.checked) at %= length;
    if (at >= length) {
      at = length - 1;
      setPlaying(false);
    }
    show();
  }
  function show() {
    const number = Math.floor(at);
    const [here, there] = [known(number, -1), known(number, 1)];
    if (here === null || there === null) return;
    const exact = here === there;
    const part = exact ? 0 : (number - here) / (there - here);
    stage.film({ image: images[here], next: exact ? null : images[there % length], part }, !exact || generator.steps.length > 0);
    panel.dataset.film = String(number);
    place.value = number;
    place.style.setProperty("--hi", String(number / Math.max(length - 1, 1)));
    bar.querySelector(".film-time").textContent = `${(number / FILM_FPS).toFixed(1)} of ${(length / FILM_FPS).toFixed(1)} s`;
  }
  // The nearest frame that is there, to one side; a loop goes on at its beginning.
  function known(number, step) {
    const last = loops.checked ? length : length - 1;
    for (let near = number; near >= 0 && near <= last; near += step) if (images[near % length]) return near;
    return null;
  }
  function setPlaying(on) {
    if (on && at >= length - 1) at = 0;
    playing = on;
    for (const button of act("film-pause")) {
      button.ariaLabel = on ? "Pause" : "Play";
      button.querySelector("use").setAttribute("href", on ? "#i-pause" : "#i-play");
    }
    then = performance.now();
    if (on) requestAnimationFrame(tick);
  }
  function tell() {
    const long = length > MOST_FRAMES + 1;
    const size = px.selectedOptions[0]?.textContent ?? "";
    making.note.textContent = long
      ? `A film that is saved lasts ${MOST_FRAMES / FILM_FPS} s at most: take shorter legs, or fewer pictures.`
      : `${film.edits.length} pictures, ${(length / FILM_FPS).toFixed(1)} s, ${size}${Number(px.value) > generator.resolution ? ` from ${generator.resolution} ${sharpen.checked ? "sharpened" : "by Lanczos"}` : ""}`;
    act("film-save")[0].disabled = long || making.busy;
  }
  function save() {
    const { edits } = film;
    making.make({ kind: kind.value, edits, frames: legs, loop: loops.checked, easing: easing.value, px: Number(px.value) === generator.resolution ? null : Number(px.value), sharpen: sharpen.checked });
  }
  function walkAnew() {
    if (film?.walk) open(film.walk(Math.min(Math.max(Math.round(Number(seeds.value)) || 2, 2), 16)));
  }

  const sizes = [...new Set([generator.resolution, 512, 1024, 2048])].filter((size) => size >= generator.resolution);
  px.append(...sizes.map((size) => make("option", { value: size, textContent: `${size} px${size > generator.resolution ? ", enlarged" : ""}` })));
  px.value = String(sizes.find((size) => size >= FILM_PX));
  const options = readJSON(localStorage, FILM_OPTIONS) ?? {};
  const standard = () => options.easing ?? "smooth";
  loops.checked = options.loop ?? true;
  sharpen.checked = (generator.sharp_side && options.sharpen) ?? false;
  sharpen.parentElement.hidden = !generator.sharp_side;
  for (const [name, select] of Object.entries({ kind, px })) {
    if ([...select.options].some(({ value }) => value === options[name])) select.value = options[name];
  }
  for (const control of [loops, easing, kind, px, sharpen]) {
    control.addEventListener("change", () => {
      Object.assign(options, { loop: loops.checked, easing: easing.value, kind: kind.value, px: px.value, sharpen: sharpen.checked });
      localStorage.setItem(FILM_OPTIONS, JSON.stringify(options));
      [loops, easing].includes(control) ? lay() : tell();
    });
  }
  place.addEventListener("input", () => { setPlaying(false); at = Number(place.value); show(); });
  seeds.addEventListener("change", walkAnew);
  const actions = { "film-pause": () => setPlaying(!playing), "film-close": close, "film-save": save, "film-others": walkAnew };
  for (const [name, action] of Object.entries(actions)) act(name)[0].addEventListener("click", action);
  state.onChange(close); // whoever moves anything is back at the sliders
  find(".controls").addEventListener("pointerdown", ({ target }) => target.matches("input[type=range]") && close());
  return { open, change, close, pause: () => setPlaying(!playing), get on() { return film !== null; } };
}
