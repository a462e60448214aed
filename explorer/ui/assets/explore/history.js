// The history of this session as pictures: a click goes back, or forward again, to that step.

import { make } from "../dom.js";

const SHOWN = 40; // of the steps, the newest
export const TILE = 128; // px asked for a tile
export const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="; // a tile without its picture

export function createHistory(state, loop, box) {
  const uris = new Map(); // JSON text of an edit -> its picture

  function show() {
    if (box.hidden || !state.atRest) return;
    const { texts, at } = state.steps;
    const first = Math.max(Math.min(texts.length - SHOWN, at), 0);
    const shown = texts.slice(first, first + SHOWN);
    const images = shown.map((text) => make("img", { src: uris.get(text) ?? BLANK, alt: "", draggable: false }));
    box.replaceChildren(...shown.map((text, index) => {
      const step = first + index;
      const tile = make("button", { type: "button", className: "tile", ariaLabel: `Step ${step + 1} of ${texts.length}` }, images[index], make("small", { textContent: step + 1 }));
      tile.classList.toggle("here", step === at);
      tile.addEventListener("click", () => state.go(step));
      return tile;
    }));
    box.children[at - first].scrollIntoView({ block: "nearest", inline: "nearest" });
    const missing = shown.flatMap((text, index) => (uris.has(text) ? [] : [{ text, image: images[index] }]));
    if (!missing.length) return;
    const edits = missing.map(({ text }) => JSON.parse(text));
    loop.later({ name: "history", edits, max_px: TILE, done: (index, uri) => {
      uris.set(missing[index].text, uri);
      missing[index].image.src = uri;
    } });
  }
  return { show };
}
