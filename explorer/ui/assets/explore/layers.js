// What unfolds from a row: two thumbs that choose the layers which the direction moves. Shown from 1, both ends
// included; kept as Python counts, [start, stop). Explore's has buttons too: `does` says by their names what for.

import { fromTemplate } from "../dom.js";

export function createExtra(state, direction, layers, does = {}) {
  const extra = fromTemplate("extra");
  const from = extra.querySelector(".from");
  const to = extra.querySelector(".to");
  const output = extra.querySelector("output");
  from.max = to.max = layers;
  from.ariaLabel = `${direction.label}, first layer`;
  to.ariaLabel = `${direction.label}, last layer`;

  function show() {
    const [start, stop] = state.edit.layers.get(direction.id) ?? [0, layers];
    from.value = start + 1;
    to.value = stop;
    output.textContent = start === 0 && stop === layers ? `all ${layers}` : `${start + 1} to ${stop} of ${layers}`;
    const part = (value) => (layers > 1 ? (value - 1) / (layers - 1) : value - 1);
    extra.style.setProperty("--lo", part(start + 1));
    extra.style.setProperty("--hi", part(stop));
  }
  function read(moved) {
    let start = Number(from.value) - 1;
    let stop = Number(to.value);
    if (stop <= start) [start, stop] = moved === from ? [stop - 1, stop] : [start, start + 1];
    const next = new Map(state.edit.layers);
    if (start === 0 && stop === layers) next.delete(direction.id);
    else next.set(direction.id, [start, stop]);
    state.set({ layers: next });
    show();
  }
  for (const input of [from, to]) {
    input.addEventListener("input", () => read(input));
    input.addEventListener("change", state.commit);
  }
  for (const button of extra.querySelectorAll(".extra-do [data-row]")) {
    button.addEventListener("click", () => does[button.dataset.row](direction, button));
  }
  show();
  return { node: extra, show };
}
