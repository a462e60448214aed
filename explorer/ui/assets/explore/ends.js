// On every row in view what its direction does to this very picture, at its ends; made while nothing moves,
// where there is room for them.

import { find, short } from "../dom.js";

const IDLE = 500; // ms without a change until they are made
const PX = 64;
const LARGEST = 256; // px of the generator: pictures of larger ones take too long to be made by the dozen

// A domain is on or as it is; a factor's outermost strengths overshoot.
const endsOf = ({ group, low, high }) => (group === "domains" ? [1] : [low / 2, high / 2]);

export function createEnds(state, generator, loop) {
  const list = find(".directions");
  const cheap = generator.resolution <= LARGEST && !generator.steps?.length;
  const seen = new Set(); // nodes of rows in view
  let timer;
  list.classList.toggle("with-ends", cheap);
  if (!cheap) return { watch() {}, refresh() {} };

  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target) : seen.delete(target);
    refresh();
  });

  // The buttons of a row get their strengths, and it is watched from here on.
  function watch(node) {
    const { direction } = node.row;
    const strengths = endsOf(direction);
    node.ends = [...node.querySelectorAll(".end")].slice(-strengths.length);
    node.ends.forEach((end, index) => {
      end.strength = strengths[index];
      end.ariaLabel = `${direction.label} at ${short(strengths[index])}`;
    });
    observer.observe(node);
  }
  const at = (id, strength) => ({ ...state.edit, strengths: new Map(state.edit.strengths).set(id, strength) });
  function refresh() {
    clearTimeout(timer);
    if (state.atRest) timer = setTimeout(show, IDLE);
  }
  function show() {
    if (!state.atRest || !list.offsetParent) return;
    const missing = [];
    for (const node of seen) {
      for (const end of node.ends) {
        const edit = state.json(at(node.row.direction.id, end.strength));
        const text = JSON.stringify(edit);
        if (end.offsetParent && end.dataset.edit !== text) missing.push({ end, edit, text });
      }
    }
    loop.cancel("ends");
    if (!missing.length) return;
    loop.later({ name: "ends", edits: missing.map(({ edit }) => edit), max_px: PX, done: (index, uri) => {
      const { end, text } = missing[index];
      end.firstElementChild.src = uri;
      end.dataset.edit = text;
    } });
  }
  return { watch, refresh };
}
