// This picture in every domain, or in every named look: a look at each on hover, a click goes there. Made while nothing
// moves, what is in view first.

import { make } from "../dom.js";
import { BLANK, TILE } from "./history.js";

const LINGER = 120; // ms over a tile until its picture is asked for in full size
const SETTLE = 80; // ms after scrolling

// Domains are called and hidden as their rows are by then.
export const domainsOf = ({ directions }) => directions.filter(({ group }) => group === "domains").map((domain) => ({
  strengths: [[domain.id, 1]],
  get label() { return domain.label; },
  get hidden() { return domain.hidden; },
}));
export const looksOf = ({ looks }) => looks.map(({ name, strengths }) => ({ label: name, strengths }));

export function createGallery(state, generator, loop, stage, box, entries) {
  const domains = generator.directions.filter(({ group }) => group === "domains");
  const tiles = entries.map(createTile);
  box.replaceChildren(...tiles);
  let linger;
  let settle;

  // The picture with these strengths and no other domain; factors stay as they are.
  function moved({ strengths }) {
    const others = [...state.edit.strengths].filter(([key]) => !domains.some((domain) => domain.id === key));
    return { ...state.edit, strengths: new Map([...others, ...strengths]) };
  }
  function createTile(entry) {
    const image = make("img", { src: BLANK, alt: "", draggable: false });
    const tile = make("button", { type: "button", className: "tile", ariaLabel: `In ${entry.label}` }, image, make("small", { textContent: entry.label }));
    tile.addEventListener("click", () => { leave(); state.change(moved(entry)); });
    tile.addEventListener("pointerenter", ({ pointerType }) => pointerType === "mouse" && look(entry, image));
    tile.addEventListener("pointerleave", leave);
    tile.addEventListener("focus", () => tile.matches(":focus-visible") && look(entry, image));
    tile.addEventListener("blur", leave);
    return tile;
  }
  // The tile's own picture at once, a larger one where the generator has it.
  function look(entry, image) {
    leave();
    if (image.src === BLANK || !state.atRest) return;
    stage.peek(image, entry.label);
    if (generator.resolution <= TILE) return;
    const edits = [state.json(moved(entry))];
    linger = setTimeout(() => loop.later({ name: "peek", edits, max_px: generator.max_px, done: async (_, uri) => {
      const full = make("img", { src: uri });
      await full.decode();
      if (stage.peeking === image) stage.peek(full, entry.label);
    } }), LINGER);
  }
  function leave() {
    clearTimeout(linger);
    loop.cancel("peek");
    stage.peek(null);
  }
  function inView(tile) {
    if (tile.hidden) return false;
    const place = tile.offsetLeft - box.offsetLeft - box.scrollLeft;
    return place + tile.offsetWidth > 0 && place < box.clientWidth;
  }
  function show() {
    if (!state.atRest) leave();
    if (box.hidden || !state.atRest) return;
    const own = JSON.stringify(state.json());
    const missing = [];
    tiles.forEach((tile, index) => {
      const { label, hidden = false } = entries[index];
      tile.hidden = hidden;
      tile.ariaLabel = `In ${label}`;
      tile.lastElementChild.textContent = label;
      const text = JSON.stringify(state.json(moved(entries[index])));
      tile.classList.toggle("here", text === own);
      tile.classList.toggle("stale", tile.dataset.edit !== text);
      if (tile.dataset.edit !== text && inView(tile)) missing.push({ tile, text });
    });
    loop.cancel(box.id);
    if (!missing.length) return;
    const edits = missing.map(({ text }) => JSON.parse(text));
    loop.later({ name: box.id, edits, max_px: TILE, done: (index, uri) => {
      const { tile, text } = missing[index];
      tile.firstElementChild.src = uri;
      tile.dataset.edit = text;
      tile.classList.remove("stale");
    } });
  }
  box.addEventListener("scroll", () => { clearTimeout(settle); settle = setTimeout(show, SETTLE); });
  new ResizeObserver(show).observe(box);
  return { show, empty: !entries.length };
}
