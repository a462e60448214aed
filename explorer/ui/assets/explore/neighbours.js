// Pick a neighbour: nine tiles in the place of the picture. A tile is a real edit, the current one with a few strong
// factors moved at random, so that a pick shows on the sliders and can be undone.

import { act, all, clamp, find, make } from "../dom.js";
import { TILE } from "./history.js";

const NEAR_FACTORS = 32; // moves are drawn from the strongest of them
const NEAR_MOVES = 10; // that many at once
const MIDDLE = 4;

function gaussian() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

export function createNeighbours(state, generator, loop, stage, onOpen) {
  const grid = find(".neighbours");
  const bar = find(".near-bar");
  const strongest = generator.directions.filter(({ group }) => group === "factors").slice(0, NEAR_FACTORS);
  const reach = () => find("[name=reach]:checked").value;
  const tiles = Array.from({ length: 9 }, (_, index) => {
    const image = make("img", { alt: "", draggable: false });
    const tile = make("button", { type: "button", className: "near-tile" }, image);
    tile.ariaLabel = index === MIDDLE ? "The current picture" : `Neighbour ${index + 1}`;
    tile.addEventListener("click", () => pick(tile));
    return tile;
  });
  grid.append(...tiles);

  function neighbour() {
    const strengths = new Map(state.edit.strengths);
    const moved = [...strongest].sort(() => Math.random() - 0.5).slice(0, NEAR_MOVES);
    for (const { id, low, high, effect } of moved) {
      const step = Number(reach()) / Math.max(effect ?? 1, 1); // shorter where a little does a lot
      const value = (strengths.get(id) ?? 0) + gaussian() * step;
      strengths.set(id, Math.round(clamp(value, low, high) * 100) / 100);
    }
    return { ...state.edit, strengths };
  }
  function fill() {
    tiles.forEach((tile, index) => {
      tile.edit = index === MIDDLE ? state.edit : neighbour();
      tile.classList.add("stale");
    });
    const side = Math.max(TILE, Math.ceil((grid.clientWidth / 3) * devicePixelRatio));
    const done = (index, uri) => {
      tiles[index].firstElementChild.src = uri;
      tiles[index].classList.remove("stale");
    };
    loop.later({ name: "neighbours", edits: tiles.map((tile) => state.json(tile.edit)), max_px: side, done });
  }
  function pick(tile) {
    if (tile === tiles[MIDDLE]) open(false);
    else state.change(tile.edit);
  }
  function open(on) {
    if (on) onOpen();
    grid.hidden = bar.hidden = !on;
    find(".toolbar").hidden = on;
    stage.press("neighbours", on);
    if (on) fill();
    else loop.cancel("neighbours");
    (on ? bar.querySelector(".primary") : act("neighbours")[0]).focus();
  }
  // The edit may also change by a slider, by undo or by a pick: the tiles are always around the current one.
  function refresh() {
    const text = (edit) => JSON.stringify(state.json(edit));
    if (!grid.hidden && text(state.edit) !== text(tiles[MIDDLE].edit)) fill();
  }
  for (const button of act("neighbours")) button.addEventListener("click", () => open(grid.hidden));
  act("more-neighbours")[0].addEventListener("click", fill);
  for (const radio of all("[name=reach]")) radio.addEventListener("change", fill);
  return { toggle: () => open(grid.hidden), close: () => grid.hidden || open(false), refresh };
}
