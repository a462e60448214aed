// To show around: the picture alone on the whole screen, a surprise, and a picture that wanders until somebody comes.

import { act, panel } from "../dom.js";
import { seeded } from "./state.js";

const GLIDE = 2400; // ms from one place to the next
const STAY = 1200; // ms there
const LEG = 3; // every so many places the picture comes home, and another one sets out
const FACTORS = 24; // the strongest ones, where there are no domains

export function createPerform(state, generator, code) {
  const domains = generator.directions.filter(({ group }) => group === "domains");
  const factors = generator.directions.filter(({ group }) => group === "factors").slice(0, FACTORS);
  const movable = domains.length ? domains : factors;
  let wandering = null; // the next frame
  let kept = null; // the edit before

  const anyOf = (list) => list[Math.floor(Math.random() * list.length)];
  // One direction in full, or two in part.
  function somewhere() {
    const [one, other] = [anyOf(movable), anyOf(movable)];
    return new Map(one === other ? [[one.id, 1]] : [[one.id, 0.7], [other.id, 0.5]]);
  }
  const another = () => (generator.random ? seeded(code.randomSeed(), state.edit) : {});
  const surprise = () => movable.length && state.change({ ...another(), strengths: somewhere(), layers: new Map() });

  function between(here, there, part) {
    const ids = [...new Set([...here.keys(), ...there.keys()])];
    return new Map(ids.map((id) => [id, (1 - part) * (here.get(id) ?? 0) + part * (there.get(id) ?? 0)]));
  }
  function wander() {
    if (!movable.length || wandering !== null) return;
    kept = state.edit;
    let [here, there, places, began] = [kept.strengths, somewhere(), 1, performance.now()];
    function frame(now) {
      if (!panel.isConnected) return;
      wandering = requestAnimationFrame(frame);
      const t = Math.min(Math.max(now - began, 0) / GLIDE, 1);
      if (now - began < GLIDE + 16) state.set({ strengths: between(here, there, t * t * (3 - 2 * t)) });
      if (now - began < GLIDE + STAY) return;
      if (there.size === 0) state.set({ ...another(), layers: new Map() });
      places += 1;
      [here, there, began] = [there, places % LEG ? somewhere() : new Map(), now];
    }
    wandering = requestAnimationFrame(frame);
    stay(true);
  }
  function stop(event) {
    if (wandering === null) return;
    cancelAnimationFrame(wandering);
    wandering = null;
    state.set(kept);
    stay(false);
    if (event?.type === "keydown") event.stopImmediatePropagation(); // it has done its part
  }
  function stay(on) {
    panel.classList.toggle("wandering", on);
    for (const button of act("wander")) button.ariaPressed = String(on);
  }
  for (const name of ["pointerdown", "keydown", "wheel"]) document.addEventListener(name, stop, { capture: true, passive: true });
  document.addEventListener("visibilitychange", stop);

  const bare = () => panel.classList.toggle("bare");
  function fill() {
    if (document.fullscreenElement) return document.exitFullscreen();
    panel.classList.add("bare");
    return panel.requestFullscreen();
  }
  document.addEventListener("fullscreenchange", () => {
    const on = document.fullscreenElement === panel;
    panel.classList.toggle("bare", on && panel.classList.contains("bare"));
    for (const button of act("fill")) button.ariaPressed = String(on);
  });
  for (const [name, what] of Object.entries({ surprise, wander, fill, bare })) {
    for (const button of act(name)) button.addEventListener("click", what);
  }
  for (const button of [...act("surprise"), ...act("wander")]) button.disabled = !movable.length;
  for (const button of act("fill")) button.hidden = !panel.requestFullscreen; // iPhones have none
  return { surprise, wander, fill, bare };
}
