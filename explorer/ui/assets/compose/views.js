// The boards beside the live picture: a grid over two or three of the picked directions, all pairs of domains, and the
// other ways to combine domains. Filled while nothing moves, where they are seen: a hundred domains have 4,950 pairs. A
// tile is an edit, and a click goes there.

import { act, all, download, find, make, panel, short } from "../dom.js";
import { composeSheet } from "../explore/sheets.js";

const BOARD_TILE = 160; // px asked for a tile
const STEPS = 5; // of an axis
const PAIR_WEIGHT = 0.7; // of both domains of a pair
const SETTLE = 80; // ms after scrolling
const MOST_SAVED = 400; // tiles of a sheet: of a larger board those in view are saved

const amounts = ({ group }, count) => Array.from({ length: count }, (_, i) => (group === "factors" ? -2 + (4 * i) / (count - 1) : i / (count - 1)));
const withWeights = (edit, pairs) => ({ ...edit, strengths: new Map([...edit.strengths, ...pairs]) });

export function createViews(state, generator, picks, loop, stage) {
  const board = find(".board");
  const axes = Object.fromEntries(["x", "y", "z"].map((name) => [name, find(`[name=${name}]`)]));
  let view = "picture";
  let shown = ""; // what the board shows, as JSON
  let cells = []; // {edit, text, caption, image, node, at} in the order asked for; at: line and column, where not one after another
  let made = new Map(); // pictures by the JSON of their edits: most of a board stays as it is when one of its tiles is picked
  let settle;
  const inView = new Set(); // nodes of cells
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? inView.add(target) : inView.delete(target);
    clearTimeout(settle);
    settle = setTimeout(ask, SETTLE);
  }, { root: board });
  let columns = 1;
  let here = ""; // the edit of now, as JSON

  const showCount = ({ latent }) => { find(".count").hidden = view !== "picture" || Boolean(latent); }; // a photo has no next one
  function open(name) {
    view = panel.dataset.view = name;
    for (const tab of all(".views [role=tab]")) {
      const on = tab.dataset.to === name;
      tab.ariaSelected = String(on);
      tab.tabIndex = on ? 0 : -1;
    }
    find(".stage").hidden = name !== "picture";
    board.hidden = name === "picture";
    find(".axes").hidden = name !== "grid";
    act("sheet")[0].hidden = name === "picture";
    showCount(state.edit);
    shown = "";
    loop.cancel("board");
    refresh();
  }
  for (const tab of all(".views [role=tab]")) {
    tab.addEventListener("click", () => open(tab.dataset.to));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: "nextElementSibling", ArrowLeft: "previousElementSibling" }[event.key];
      const next = step && tab[step];
      if (next) { open(next.dataset.to); next.focus(); }
    });
  }

  function refresh() {
    if (view === "picture" || !state.atRest) return;
    const fill = { grid: showGrid, pairs: showPairs, ways: showWays }[view];
    here = JSON.stringify(state.json());
    const now = JSON.stringify([view, state.json(), ...Object.values(axes).map(({ value }) => value)]);
    if (now === shown) return;
    shown = now;
    observer.disconnect();
    inView.clear();
    made = new Map(cells.filter(({ text, image }) => text && image.src).map(({ text, image }) => [text, image.src]));
    fill();
  }
  function empty(text) {
    cells = [];
    loop.cancel("board");
    board.replaceChildren(make("p", { className: "empty", textContent: text }));
  }
  function createCell(edit, caption, /** @type {[number, number] | null} */ at = null) {
    const image = make("img", { alt: "", draggable: false });
    const node = make("button", { type: "button", className: "cell", title: caption, ariaLabel: caption }, image);
    const text = JSON.stringify(state.json(edit));
    if (made.has(text)) image.src = made.get(text);
    node.classList.toggle("here", text === here);
    node.addEventListener("click", () => state.change(edit));
    cells.push({ edit, text, caption, image, node, at });
    observer.observe(node);
    return node;
  }
  // The pictures that are seen and missing; what has left the view is no longer made, nor on a board that is hidden.
  function ask() {
    loop.cancel("board");
    const missing = cells.filter(({ node, image }) => inView.has(node) && !image.src);
    if (!missing.length) return;
    loop.later({ name: "board", edits: missing.map(({ edit }) => state.json(edit)), max_px: BOARD_TILE, done: (index, uri) => { missing[index].image.src = uri; } });
  }
  const label = (text, className = "") => make("span", { textContent: text, title: text, className });
  function figure(caption, count, ...children) {
    const grid = make("div", { className: "cells" }, ...children);
    grid.style.setProperty("--columns", count);
    return make("figure", {}, ...(caption ? [make("figcaption", { textContent: caption })] : []), grid);
  }

  // The axes are the first directions picked, until others are chosen.
  function showAxes() {
    const picked = picks.picked();
    Object.values(axes).forEach((select, index) => {
      const none = index === 2 ? [make("option", { value: "", textContent: "one" })] : [];
      const before = select.value;
      select.replaceChildren(...none, ...picked.map(({ id, label: text }) => make("option", { value: String(id), textContent: text })));
      const standard = String(picked[index]?.id ?? "");
      select.value = picked.some(({ id }) => String(id) === before) || (index === 2 && before === "" && select.dataset.chosen) ? before : standard;
    });
    const of = (select) => picked.find(({ id }) => String(id) === select.value);
    return [of(axes.x), of(axes.y), of(axes.z)];
  }
  function showGrid() {
    let [x, y, z] = showAxes();
    if (!x || !y) return empty("Pick two domains or factors: they become the two sides of a grid. A third one gives several grids.");
    if (y.id === x.id) y = picks.picked().find(({ id }) => id !== x.id);
    axes.y.value = String(y.id);
    if (z?.id === x.id || z?.id === y.id) z = undefined;
    axes.z.value = z ? String(z.id) : "";
    cells = [];
    columns = STEPS;
    const grids = (z ? amounts(z, 3) : [null]).map((at) => {
      const edit = z ? withWeights(state.edit, [[z.id, at]]) : state.edit;
      const head = [label(""), ...amounts(x, STEPS).map((value) => label(short(value)))];
      const lines = amounts(y, STEPS).flatMap((down) => [label(short(down), "side"), ...amounts(x, STEPS).map((across) =>
        createCell(withWeights(edit, [[x.id, across], [y.id, down]]), `${x.label} ${short(across)}, ${y.label} ${short(down)}${z ? `, ${z.label} ${short(at)}` : ""}`))]);
      return figure(`Across: ${x.label}. Down: ${y.label}.${z ? ` ${z.label} ${short(at)}` : ""}`, STEPS, ...head, ...lines);
    });
    board.replaceChildren(make("div", { className: `sheets ${z ? "three" : "one"}` }, ...grids));
  }
  function showPairs() {
    const all = picks.domains;
    if (all.length < 2) return empty("Pairs need a generator with two domains or more. Teach it some in the Teach tab.");
    cells = [];
    columns = all.length;
    const bare = { ...state.edit, strengths: new Map(), layers: new Map() };
    const cell = (a, b, at) => {
      const strengths = a === b ? new Map([[a.id, 1]]) : new Map([[a.id, PAIR_WEIGHT], [b.id, PAIR_WEIGHT]]);
      return createCell({ ...bare, strengths }, a === b ? `${a.label} alone` : `${b.label} and ${a.label}`, at);
    };
    // A staircase, since the order of two does not matter.
    const lines = all.flatMap((a, row) => {
      const tiles = all.slice(0, row + 1).map((b, column) => cell(a, b, [row, column]));
      tiles.forEach((tile, column) => { tile.style.gridArea = `${row + 2} / ${column + 2}`; });
      const side = label(a.label, "side");
      side.style.gridArea = `${row + 2} / 1`;
      return [side, ...tiles];
    });
    const heads = all.map((b) => make("span", { className: "head" }, make("b", { textContent: b.label })));
    const corner = make("span", { className: "corner-head" });
    const sheet = make("div", { className: "sheets pairs" }, figure(`Both at ${PAIR_WEIGHT}; at the end of each line, one alone at 1.`, all.length, corner, ...heads, ...lines));
    sheet.style.setProperty("--columns", all.length);
    board.replaceChildren(sheet);
  }
  async function showWays() {
    const picked = picks.picked().filter(({ id }) => state.edit.strengths.get(id));
    if (picked.length < 2) return empty("Pick two domains: here their sum is shown beside the other ways to combine them.");
    const mine = shown;
    const answer = await server.ways({ edit: state.json(), max_px: generator.max_px });
    if (mine !== shown) return;
    if (!answer || answer.error) return empty(answer?.error ?? "The server does not answer. Try again in a moment.");
    cells = [];
    columns = answer.ways.length;
    const figures = answer.ways.map(({ name, note, picture }) => {
      const image = make("img", { src: picture, alt: name, draggable: false });
      cells.push({ caption: name, image });
      return make("figure", {}, image, make("figcaption", {}, make("b", { textContent: name }), note));
    });
    const more = answer.more ? [make("p", { className: "empty", textContent: answer.more })] : [];
    board.replaceChildren(make("div", { className: "sheets beside" }, ...figures, ...more));
  }

  // What the board shows as one picture, in the model's size.
  async function save() {
    const large = cells.length > MOST_SAVED;
    const saved = large ? cells.filter(({ node }) => inView.has(node)) : cells;
    if (!saved.length) return;
    const captions = saved.map(({ caption }) => caption);
    const edits = saved.map(({ edit }) => edit && state.json(edit));
    const uris = edits[0] ? await loop.all({ name: "save", edits, max_px: large ? BOARD_TILE : null, exact: true }) : saved.map(({ image }) => image.src);
    const [top, left] = [0, 1].map((axis) => Math.min(...saved.map(({ at }) => at?.[axis] ?? 0)));
    const wide = large ? Math.max(...saved.map(({ at }) => at?.[1] ?? 0)) - left + 1 : columns;
    download(await composeSheet(uris, captions, wide, saved.map(({ at }) => at && [at[0] - top, at[1] - left])), `${generator.name}-${view}.png`);
  }
  for (const [name, select] of Object.entries(axes)) {
    select.addEventListener("change", () => { select.dataset.chosen = name; refresh(); });
  }
  act("sheet")[0].addEventListener("click", save);
  state.onChange(showCount);
  open("picture");
  return { refresh, open };
}
