// What is added up: a chip for every domain, a menu of factors, and a row for each one picked. Picked is what the edit's
// strengths name, also at zero, so undo brings rows back and takes them away.

import { act, clamp, find, fromTemplate, make, short } from "../dom.js";
import { typed } from "../explore/keys.js";
import { createExtra } from "../explore/layers.js";

const FIRST_WEIGHT = { domains: 0.6, own: 0.6, attributes: 0.3, factors: 1, dormant: 0.6 };

export function createPicks(state, generator) {
  const list = find(".directions");
  const directions = new Map(generator.directions.map((direction) => [direction.id, direction]));
  const domains = generator.directions.filter(({ group }) => group === "domains");
  const menu = find(".add select");
  const rows = new Map(); // id -> {node, slider, number, direction, extra}
  const chips = domains.map(createChip);

  const add = (id) => { state.strength(id, FIRST_WEIGHT[directions.get(id).group]); state.commit(); };
  function remove(id) {
    const strengths = new Map(state.edit.strengths);
    strengths.delete(id);
    state.change({ strengths });
  }
  function createChip({ id, label }) {
    const chip = make("button", { type: "button", textContent: label });
    chip.addEventListener("click", () => (state.edit.strengths.has(id) ? remove(id) : add(id)));
    return { id, chip };
  }
  function createRow(direction) {
    const node = fromTemplate("row");
    const [slider, number] = node.querySelectorAll("input");
    const { label, low, high } = direction;
    node.querySelector(".row-label").textContent = node.querySelector(".row-label").title = label;
    slider.ariaLabel = `${label}, weight`;
    number.ariaLabel = `${label}, value`;
    node.querySelector(".row-remove").ariaLabel = `Take out ${label}`;
    node.querySelector(".row-more").ariaLabel = `Layers of ${label}`;
    Object.assign(slider, { min: low, max: high, step: 0.01 });
    number.step = 0.1;
    const row = { node, slider, number, direction, extra: null };
    for (const input of [slider, number]) {
      input.addEventListener("input", () => input.value !== "" && state.strength(direction.id, Number(input.value)));
      input.addEventListener("change", () => { state.commit(); showRow(row); });
    }
    slider.addEventListener("dblclick", () => { state.strength(direction.id, 0); state.commit(); });
    node.querySelector(".row-remove").addEventListener("click", () => remove(direction.id));
    node.querySelector(".row-more").addEventListener("click", () => unfold(row));
    return row;
  }
  function unfold(row) {
    row.extra ??= createExtra(state, row.direction, generator.layers);
    if (!row.extra.node.isConnected) row.node.append(row.extra.node);
    row.node.querySelector(".row-more").ariaExpanded = String(row.node.classList.toggle("open"));
  }
  function showRow({ slider, number, direction, extra }) {
    const { id, low, high } = direction;
    const value = state.edit.strengths.get(id) ?? 0;
    const part = (at) => clamp((at - low) / (high - low), 0, 1);
    slider.value = value;
    slider.style.setProperty("--lo", Math.min(part(value), part(0)));
    slider.style.setProperty("--hi", Math.max(part(value), part(0)));
    if (number !== typed) number.value = Math.round(value * 1000) / 1000;
    extra?.show();
  }
  function show(edit) {
    const picked = [...edit.strengths.keys()].filter((id) => directions.has(id));
    for (const [id, { node }] of rows) if (!picked.includes(id)) { node.remove(); rows.delete(id); }
    for (const id of picked) {
      if (!rows.has(id)) {
        rows.set(id, createRow(directions.get(id)));
        list.append(rows.get(id).node);
      }
      showRow(rows.get(id));
    }
    for (const { id, chip } of chips) chip.ariaPressed = String(edit.strengths.has(id));
    for (const option of menu.options) option.disabled = [...edit.strengths.keys()].some((id) => option.value === String(id));
    act("equalise")[0].disabled = picked.length < 2;
    act("clear")[0].disabled = edit.strengths.size === 0;
    showWarning(edit);
  }
  function showWarning(edit) {
    const weights = domains.map(({ id, label }) => ({ label, value: edit.strengths.get(id) ?? 0 }));
    const outside = weights.filter(({ value }) => value < 0 || value > 1).map(({ label, value }) => `${label} is at ${short(value)}`);
    const sum = weights.reduce((total, { value }) => total + Math.abs(value), 0);
    const sentences = [];
    if (outside.length) sentences.push(`${outside.join(", ")}. The generator was taught each domain from 0 to 1 only, so the picture may break up.`);
    if (sum > generator.largest_sum) sentences.push(`Together the weights reach ${short(sum)}. It was taught one domain at a time; above about ${generator.largest_sum} they get in each other\u2019s way.`);
    find(".warning").hidden = !sentences.length;
    find(".warning").textContent = sentences.join(" ");
  }

  find(".chips").append(...(chips.length ? chips.map(({ chip }) => chip) : [make("p", { textContent: "This generator has not been taught any domain yet. Factors can be added up meanwhile." })]));
  const factors = generator.directions.filter(({ group }) => group === "factors");
  const offered = [...generator.directions.filter(({ group }) => group === "own"), ...factors];
  menu.append(...offered.map(({ id, label }) => make("option", { value: String(id), textContent: label })));
  menu.addEventListener("change", () => {
    const chosen = offered.find(({ id }) => String(id) === menu.value);
    if (chosen) add(chosen.id);
    menu.value = "";
  });
  act("clear")[0].addEventListener("click", () => state.change({ strengths: new Map(), layers: new Map() }));
  state.onChange(show);
  show(state.edit);

  // Two to begin with: the first domains, else two factors that are neither the strongest nor weak.
  function tryTwo() {
    const two = (domains.length > 1 ? domains : [...domains, ...factors.slice(5)]).slice(0, 2);
    state.change({ strengths: new Map(two.map(({ id, group }) => [id, FIRST_WEIGHT[group]])) });
  }
  return { domains, directions, tryTwo, picked: () => [...rows.values()].map(({ direction }) => direction) };
}
