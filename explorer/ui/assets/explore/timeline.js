// The snapshots as the pictures that a film goes along: in an order that is dragged, or moved by Shift and the arrows,
// with the seconds from each to the next between them.

import { act, clamp, find, make } from "../dom.js";
import { BLANK } from "./history.js";
import { SECONDS } from "./shots.js";
import { seeded } from "./state.js";

const FIRST_WALK = 6; // seeds
const APART = 6; // px until a press is a drag
const HOLD = 350; // ms until a finger that rests picks a picture up

export function createTimeline({ state, shots, film, code, generator, stage, box }) {
  function show() {
    const list = shots.read();
    find("#tab-snapshots .count").textContent = list.length || "";
    act("sheet")[0].disabled = list.length === 0;
    act("play")[0].disabled = list.length < 2;
    act("walk")[0].disabled = !generator.random;
    if (!list.length) {
      box.replaceChildren(make("p", { className: "empty", textContent: "Nothing kept yet. Press S or Snapshot to keep the picture you see; a click brings its sliders back. Two or more are a film." }));
      return;
    }
    box.replaceChildren(...list.flatMap((shot, index) => [showShot(shot, index), ...(list.length > 1 ? [showLeg(shot, index, list.length)] : [])]));
  }
  function showShot({ edit, thumb, name, note }, index) {
    const restore = make("button", { type: "button", className: "tile", ariaLabel: `Restore snapshot ${index + 1}`, title: [name, note].filter(Boolean).join(": ") }, make("img", { src: thumb || BLANK, alt: "", draggable: false }));
    const caption = make("button", { type: "button", className: "quiet caption", ariaLabel: `Name and note of snapshot ${index + 1}`, textContent: name || `seed ${edit.seed ?? 0}` });
    caption.classList.toggle("noted", Boolean(note));
    caption.addEventListener("click", () => describeShot({ edit, name, note }));
    const remove = make("button", { type: "button", className: "remove", ariaLabel: `Delete snapshot ${index + 1}`, textContent: "\u00d7" });
    const shot = make("div", { className: "shot" }, restore, caption, remove);
    restore.setAttribute("aria-keyshortcuts", "Shift+ArrowLeft Shift+ArrowRight");
    restore.addEventListener("click", () => state.change(state.parse(edit)));
    restore.addEventListener("keydown", (event) => {
      const step = event.shiftKey && { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      if (shots.move(index, index + step)) box.querySelectorAll(".tile")[index + step].focus();
    });
    remove.addEventListener("click", () => {
      const gone = shots.remove(edit);
      stage.say(`Snapshot ${index + 1} is deleted.`, { label: "Undo", go: () => shots.insert(gone) });
    });
    makeMovable(shot, index);
    return shot;
  }
  function describeShot({ edit, name = "", note = "" }) {
    const dialog = find(".shot-words");
    const form = dialog.querySelector("form");
    form.elements.shot.value = name;
    form.elements.note.value = note;
    form.onsubmit = () => shots.describe(edit, { name: form.elements.shot.value.trim(), note: form.elements.note.value.trim() });
    dialog.showModal();
  }
  function showLeg(shot, index, count) {
    const to = index + 1 < count ? `snapshot ${index + 2}` : "the first again";
    const seconds = make("input", { type: "number", min: SECONDS.least, max: SECONDS.most, step: 0.5, value: shots.secondsOf(shot), ariaLabel: `Seconds from snapshot ${index + 1} to ${to}` });
    seconds.addEventListener("change", () => shots.setSeconds(index, clamp(Number(seconds.value) || SECONDS.standard, SECONDS.least, SECONDS.most)));
    return make("label", { className: `leg${index + 1 < count ? "" : " back"}` }, seconds, "s");
  }

  // A picture is dragged over another one and takes its place.
  function makeMovable(shot, index) {
    let from = null; // where it was pressed
    let moving = false;
    let holding;
    const at = ({ clientX }) => {
      const places = [...box.querySelectorAll(".shot")].map((other) => other.getBoundingClientRect());
      return places.filter((place, number) => number !== index && clientX > place.left + place.width / 2).length;
    };
    function pick(pointerId) {
      moving = true;
      shot.setPointerCapture(pointerId);
      shot.classList.add("moving");
    }
    shot.addEventListener("pointerdown", (event) => {
      if (event.button || event.target.closest(".remove")) return;
      from = event.clientX;
      if (event.pointerType === "touch") holding = setTimeout(() => pick(event.pointerId), HOLD);
    });
    shot.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const gone = event.clientX - from;
      if (!moving && Math.abs(gone) > APART) event.pointerType === "touch" ? clearTimeout(holding) : pick(event.pointerId);
      if (moving) shot.style.translate = `${gone}px`;
    });
    shot.addEventListener("touchmove", (event) => moving && event.preventDefault(), { passive: false }); // else the browser scrolls
    for (const name of ["pointerup", "pointercancel"]) {
      shot.addEventListener(name, (event) => {
        clearTimeout(holding);
        from = null;
        if (!moving) return;
        moving = false;
        shot.classList.remove("moving");
        shot.style.translate = "";
        shot.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
        if (name === "pointerup") shots.move(index, at(event));
      });
    }
  }

  const play = () => film.open(shots.film());
  // From the picture of now along random seeds and back, with the sliders as they are.
  function walk(count) {
    const others = Array.from({ length: count - 1 }, () => ({ ...state.edit, ...seeded(code.randomSeed(), state.edit) }));
    const stops = [state.edit, ...others].map((edit) => state.json(edit));
    return { edits: stops, seconds: stops.map(() => SECONDS.standard), walk };
  }
  const setOut = () => film.open(walk(FIRST_WALK));
  act("play")[0].addEventListener("click", play);
  act("walk")[0].addEventListener("click", setOut);
  shots.onChange(() => { show(); film.change(shots.film()); });
  show();
  return { play: () => (shots.read().length > 1 ? play() : generator.random && setOut()) };
}
