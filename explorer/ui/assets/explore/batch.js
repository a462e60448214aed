// Several seeds of the same edit in the place of the picture: they follow the sliders; a click takes one, a star keeps it
// with the snapshots. Cheap generators make all of them while something moves, others once it rests.

import { act, all, find, loadImage, make } from "../dom.js";
import { createMaking } from "./making.js";
import { saveSheet } from "./sheets.js";
import { seeded } from "./state.js";

const CHEAP = 256; // px of a generator whose pictures are made by the dozen while something moves
const SEED_PX = 256; // of a tile
const LAST_SEED = 2 ** 32 - 1;

export function createBatch({ state, generator, loop, stage, shots, code, ask, onOpen }) {
  const grid = find(".batch");
  const bar = find(".batch-bar");
  const live = generator.resolution <= CHEAP && !generator.steps.length;
  const max_px = Math.min(generator.max_px ?? SEED_PX, SEED_PX);
  const making = createMaking(bar, { complain: stage.say, onChange: () => { act("batch-zip")[0].disabled = making.busy; } });
  const count = () => Number(bar.querySelector("[name=batch]:checked").value);
  let tiles = [];

  // The edit itself, and the same on the seeds after it.
  function edits() {
    const { edit } = state;
    return Array.from({ length: count() }, (_, index) => state.json(index ? { ...edit, ...seeded((edit.seed + index) % (LAST_SEED + 1), edit) } : edit));
  }
  function createTile(index) {
    const take = make("button", { type: "button", className: "near-tile" }, make("img", { alt: "", draggable: false }));
    const star = make("button", { type: "button", className: "star", textContent: "\u2605" });
    take.addEventListener("click", () => { state.change(state.parse(edits()[index])); open(false); });
    star.addEventListener("click", () => keep(tiles[index]));
    return { node: make("div", { className: "batch-tile" }, take, star), take, star, image: take.firstElementChild, edit: null };
  }
  async function keep({ edit, image }) {
    if (kept(edit)) return shots.remove(edit);
    if (image.src && !shots.add(edit, await loadImage(image.src))) stage.say("This browser has no room for more snapshots; delete some.");
  }
  const kept = (edit) => shots.read().some((shot) => JSON.stringify(shot.edit) === JSON.stringify(edit));
  function showStars() {
    for (const { star, edit } of tiles) if (edit) star.ariaPressed = String(kept(edit));
  }
  // Another number of tiles, or another edit.
  function refresh() {
    if (grid.hidden) return;
    const wanted = edits();
    if (tiles.length !== wanted.length) {
      tiles = wanted.map((_, index) => createTile(index));
      grid.replaceChildren(...tiles.map(({ node }) => node));
      grid.style.setProperty("--side", String(Math.sqrt(tiles.length)));
    }
    tiles.forEach((tile, index) => {
      const { seed, latent } = state.parse(wanted[index]);
      tile.take.ariaLabel = latent ? "Take the photo" : `Take seed ${seed}`;
      tile.star.ariaLabel = latent ? "Keep the photo" : `Keep seed ${seed}`;
    });
    if (live || !state.atRest) return;
    loop.later({ name: "batch", edits: wanted, max_px, done: (index, uri) => show(index, wanted[index], uri) });
  }
  function show(index, edit, uri) {
    if (!tiles[index]) return;
    tiles[index].edit = edit;
    tiles[index].image.src = uri;
    showStars();
  }
  function open(on) {
    if (on === !grid.hidden) return;
    if (on) onOpen();
    grid.hidden = bar.hidden = !on;
    find(".toolbar").hidden = on;
    stage.press("batch", on);
    if (on) refresh();
    else loop.cancel("batch");
    ask();
    (on ? bar.querySelector(".primary") : act("batch")[0]).focus();
  }
  for (const button of act("batch")) button.addEventListener("click", () => open(grid.hidden));
  for (const radio of all("[name=batch]")) radio.addEventListener("change", () => { refresh(); ask(); });
  act("batch-others")[0].addEventListener("click", code.random);
  act("batch-others")[0].disabled = !generator.random;
  act("batch-sheet")[0].addEventListener("click", () => saveSheet(loop, generator, edits().map((edit) => ({ edit }))));
  act("batch-zip")[0].addEventListener("click", () => making.make({ kind: "zip", edits: edits() }));
  state.onChange(refresh);
  shots.onChange(showStars);
  return {
    toggle: () => open(grid.hidden),
    close: () => open(false),
    // What is asked for while something moves: all of them where they are cheap.
    request: () => (grid.hidden || !live ? null : { edits: edits(), max_px }),
    show: (wanted, uris) => uris.forEach((uri, index) => show(index, wanted[index], uri)),
    get on() { return !grid.hidden; },
  };
}
