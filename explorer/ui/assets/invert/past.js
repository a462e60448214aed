// The results of this session as thumbnails: a click brings one back.

import { act, draw, find, make } from "../dom.js";
import { METHOD_TEXTS } from "./settings.js";

export function createPast(session, go) {
  const tiles = find(".past .tiles");
  const empty = tiles.firstElementChild;
  let shown = null;

  function title({ name, settings, tuned, task }) {
    if (tuned) return "Fitted closer";
    if (task === "context") return "In another picture";
    return name ?? METHOD_TEXTS[settings?.method]?.[0] ?? "Photo";
  }
  function tile(result, index) {
    const image = make("img", { src: result.picture, alt: "", draggable: false });
    const open = make("button", { type: "button", ariaLabel: `Result ${index + 1}: ${title(result)}` }, image, make("small", { textContent: title(result) }));
    open.addEventListener("click", () => session.reopen(result));
    const close = draw("svg", {}, draw("use", { href: "#v-close" }));
    const remove = make("button", { type: "button", className: "remove", ariaLabel: `Remove result ${index + 1}` }, close);
    remove.addEventListener("click", () => session.set({ past: session.state.past.filter(({ id }) => id !== result.id) }));
    const node = make("div", { className: "tile" }, open, remove);
    node.dataset.id = result.id;
    return node;
  }
  const [film] = act("film");
  film.addEventListener("click", () => go("explore", { film: session.state.past.map(({ edit }) => edit).reverse() }));
  return function show({ past, result }) {
    film.hidden = past.length < 2;
    if (past !== shown) tiles.replaceChildren(...(past.length ? past.map(tile) : [empty]));
    shown = past;
    for (const node of tiles.querySelectorAll(".tile")) node.classList.toggle("here", node.dataset.id === result?.id);
  };
}
