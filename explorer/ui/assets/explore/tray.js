// Below the picture: every domain, named looks, the strip of one direction over its range, the snapshots, and the history.

import { act, all, find, make, panel, short } from "../dom.js";
import { createGallery, domainsOf, looksOf } from "./gallery.js";
import { createHistory, TILE } from "./history.js";
import { saveSheet, saveStrip } from "./sheets.js";

const STRIPS = [7, 9, 5]; // pictures in a strip: the first number that has one at zero
const FIRST_FACTOR = 5; // shown first where there are no domains: the strongest factors overshoot at their ends

export function createTray(state, generator, loop, stage, shots) {
  const strip = find("#strip");
  const shelf = find("#snapshots");
  const gallery = createGallery(state, generator, loop, stage, find("#gallery"), domainsOf(generator));
  const looks = createGallery(state, generator, loop, stage, find("#looks"), looksOf(generator));
  find("#tab-gallery").hidden = gallery.empty;
  find("#tab-looks").hidden = looks.empty;
  const tabs = all(".tray [role=tab]:not([hidden])");
  const history = createHistory(state, loop, find("#history"));
  const title = find(".strip-title");
  const isFactor = ({ group }) => group === "factors";
  let active = generator.directions.find(({ group }) => group === "domains") ?? generator.directions.filter(isFactor)[FIRST_FACTOR] ?? generator.directions[0];
  let stripOf = ""; // the request that the strip shows
  let tiles = [];

  function createTile() {
    const image = make("img", { alt: "", draggable: false });
    const tile = make("button", { type: "button", className: "tile" }, image, make("small"));
    tile.addEventListener("click", () => { state.strength(active.id, tile.strength); state.commit(); });
    return tile;
  }
  function fitTiles() {
    const { low, high } = active;
    const hasZero = (count) => Number.isInteger(Math.round((-1e6 * low * (count - 1)) / (high - low)) / 1e6);
    const count = STRIPS.find(hasZero) ?? STRIPS[0];
    if (count === tiles.length) return;
    tiles = Array.from({ length: count }, createTile);
    stripOf = "";
    strip.replaceChildren(...tiles);
    strip.style.setProperty("--count", count);
  }
  const amount = (index) => active.low + ((active.high - active.low) * index) / (tiles.length - 1);
  // The strip follows the direction last touched, once it is at rest.
  function showStrip() {
    if (!active) return;
    fitTiles();
    const own = state.edit.strengths.get(active.id) ?? 0;
    const distance = (tile) => Math.abs(tile.strength - own);
    tiles.forEach((tile, index) => {
      tile.strength = Math.round(amount(index) * 1000) / 1000;
      tile.ariaLabel = `${active.label} at ${short(tile.strength)}`;
      tile.lastElementChild.textContent = short(tile.strength);
    });
    const here = tiles.reduce((best, tile) => (distance(tile) < distance(best) ? tile : best));
    for (const tile of tiles) tile.classList.toggle("here", tile === here);
    title.textContent = `${active.label} from ${short(active.low)} to ${short(active.high)}`;
    const moved = ({ strength }) => ({ ...state.edit, strengths: new Map(state.edit.strengths).set(active.id, strength) });
    const edits = tiles.map((tile) => state.json(moved(tile)));
    if (JSON.stringify(edits) === stripOf || strip.hidden) return;
    stripOf = JSON.stringify(edits);
    const images = tiles.map((tile) => tile.firstElementChild);
    loop.later({ name: "strip", edits, max_px: TILE, done: (index, uri) => { images[index].src = uri; } });
  }

  function open(panelId) {
    for (const tab of tabs) {
      const box = find(`#${tab.getAttribute("aria-controls")}`);
      const on = box.id === panelId;
      tab.ariaSelected = String(on);
      tab.tabIndex = on ? 0 : -1;
      box.hidden = !on;
    }
    act("save-strip")[0].hidden = title.hidden = strip.hidden;
    for (const name of ["sheet", "play", "walk"]) act(name)[0].hidden = shelf.hidden;
    refresh();
  }
  function refresh() {
    gallery.show();
    looks.show();
    showStrip();
    history.show();
  }
  for (const tab of tabs) {
    tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const next = step && tabs[tabs.indexOf(tab) + step];
      if (!next) return;
      open(next.getAttribute("aria-controls"));
      next.focus();
    });
  }

  function snapshot() {
    if (!stage.image) return;
    if (!shots.add(JSON.parse(panel.dataset.painted ?? ""), stage.image)) stage.say("This browser has no room for more snapshots; delete some.");
    open("snapshots");
    shelf.scrollLeft = shelf.scrollWidth;
  }
  act("snapshot")[0].addEventListener("click", snapshot);
  act("save-strip")[0].addEventListener("click", () => saveStrip(loop, generator, active, JSON.parse(stripOf), tiles.map((tile) => short(tile.strength))));
  act("sheet")[0].addEventListener("click", () => saveSheet(loop, generator, shots.read()));
  open(gallery.empty ? "strip" : "gallery");
  return {
    snapshot,
    refresh,
    activate(direction, andOpen) {
      active = direction;
      if (andOpen) open("strip");
    },
  };
}
