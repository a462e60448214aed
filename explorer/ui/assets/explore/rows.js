// The directions: groups of rows (slider, number, unfolding layers), built when a group is first opened, so that
// 512 of them cost nothing until they are looked at. Events are caught once, at the list.

import { act, clamp, find, fromTemplate } from "../dom.js";
import { createEnds } from "./ends.js";
import { typed } from "./keys.js";
import { createExtra } from "./layers.js";
import { createNames } from "./names.js";

const GROUPS = {
  domains: ["Domains", "What this generator was taught in addition: 0 is off, 1 the full effect."],
  own: ["Your own", "Directions that you saved or brought; 1 is all of it."],
  attributes: ["Attributes", "What classifiers of this generator's codes know by name; 0.3 shows well."],
  factors: ["Factors", "How the pictures differ by nature, strongest first: 1 is a typical amount."],
  dormant: ["Dormant", "Hardly any effect. Free space, in which new domains can be taught."],
};
const EMPTY = {
  domains: "This generator has not been taught any domain yet.",
  own: "Move sliders, and keep what they do together as one direction.",
  factors: "This generator has no free directions.",
  dormant: "Every direction of this generator is in use.",
};

// A step that a key press or a drag can make without being coarse or endless.
const stepOf = ({ low, high }) => (high - low > 8 ? 0.05 : 0.01);

export function createRows(state, generator, loop, { onActive, onUnfold, does, onMark, onExport, onRemove }) {
  const list = find(".directions");
  const search = find("[type=search]");
  const order = find(".sort select");
  const directions = new Map(generator.directions.map((direction) => [direction.id, direction]));
  const rows = new Map(); // id -> {node, slider, number, direction, extra}
  const has = (name) => (name === "own" ? generator.naming.own : name !== "attributes") || generator.directions.some(({ group }) => group === name);
  const ends = createEnds(state, generator, loop);
  const groups = Object.keys(GROUPS).filter(has).map(createGroup);
  const largest = Math.max(...generator.directions.map(({ effect }) => effect ?? 0)); // a full bar
  let shown = state.edit;

  function createGroup(name) {
    const node = fromTemplate("group");
    const members = generator.directions.filter((direction) => direction.group === name);
    const group = { name, node, members, built: false, open: false, all: false, box: node.querySelector(".rows") };
    node.dataset.group = name;
    node.classList.toggle("captioned", members.some(({ caption, about }) => caption || about));
    node.querySelector(".group-name").textContent = GROUPS[name][0];
    node.querySelector(".group-count").textContent = members.length;
    node.querySelector(".group-hint").textContent = members.length ? GROUPS[name][1] : EMPTY[name];
    node.querySelector(".group-head").addEventListener("click", () => toggle(group, !group.open));
    node.querySelector(".group-rest").addEventListener("click", () => { group.all = !group.all; filter(); });
    list.append(node);
    return group;
  }
  function toggle(group, open) {
    group.open = open;
    group.node.classList.toggle("open", open);
    group.node.querySelector(".group-head").ariaExpanded = String(open);
    if (open && !group.built) {
      group.built = true;
      group.box.append(...sorted(group.members).map(createRow));
      showHidden(group);
    }
  }
  function createRow(direction) {
    const node = fromTemplate("row");
    const [slider, number] = node.querySelectorAll("input");
    const row = { node, slider, number, direction, extra: null };
    showLabel(row);
    const { low, high } = direction;
    Object.assign(slider, { min: low, max: high, step: stepOf(direction) });
    number.step = stepOf(direction) * 10;
    slider.style.setProperty("--zero", clamp(-low / (high - low), 0, 1));
    if (direction.caption || direction.about) showCaption(node, direction.caption?.words ?? direction.about);
    if (direction.effect !== null) showEffect(node, direction);
    node.row = row;
    ends.watch(node);
    rows.set(direction.id, row);
    showRow(row, state.edit.strengths.get(direction.id) ?? 0);
    return node;
  }
  function showLabel({ node, slider, number, direction }) {
    const { label, given, starred } = direction;
    const words = node.querySelector(".row-label");
    words.textContent = label;
    words.title = label === given ? label : `${label} (${given})`;
    slider.ariaLabel = label;
    number.ariaLabel = `${label}, value`;
    node.querySelector(".row-reset").ariaLabel = `Reset ${label}`;
    node.querySelector(".row-more").ariaLabel = `More about ${label}`;
    node.classList.toggle("starred", starred);
  }
  function showCaption(node, words) {
    const caption = node.querySelector(".row-caption");
    caption.hidden = false;
    caption.textContent = words;
  }
  function showEffect(node, { effect, caption, about }) {
    const seen = caption ? `To the right CLIP sees ${caption.words}, in ${Math.round(caption.certainty * 100)} % of pictures. ` : about && `${about}. `;
    const bar = node.querySelector(".effect");
    bar.hidden = false;
    node.querySelector(".row-name").dataset.tip = `${seen}Effect ${Math.round(effect * 100)} %: how much it changes a picture; 100 % is as much as two random pictures differ.`;
    bar.firstElementChild.style.width = `${clamp(effect / largest, 0.02, 1) * 100}%`;
  }
  function showRow({ node, slider, number, direction }, value) {
    const { low, high } = direction;
    const at = clamp((value - low) / (high - low), 0, 1);
    const zero = clamp(-low / (high - low), 0, 1);
    slider.value = value;
    slider.style.setProperty("--lo", Math.min(at, zero));
    slider.style.setProperty("--hi", Math.max(at, zero));
    if (number !== typed) number.value = Math.round(value * 1000) / 1000;
    node.classList.toggle("moved", value !== 0);
  }

  // Only rows whose value changed are touched: a drag writes one row, however many there are.
  function show(edit) {
    if (edit.strengths !== shown.strengths) {
      for (const id of new Set([...shown.strengths.keys(), ...edit.strengths.keys()])) {
        const value = edit.strengths.get(id) ?? 0;
        if (value !== (shown.strengths.get(id) ?? 0) && rows.has(id)) showRow(rows.get(id), value);
      }
    }
    if (edit.layers !== shown.layers) for (const { extra } of rows.values()) extra?.show();
    shown = edit;
    showCounts(edit);
  }
  function showCounts(edit) {
    const moved = [...edit.strengths].filter(([, value]) => value !== 0);
    for (const { name, node } of groups) {
      const count = moved.filter(([id]) => directions.get(id)?.group === name).length;
      if (node.dataset.moved === String(count)) continue; // during a drag the counts stay the same
      node.dataset.moved = count;
      node.querySelector(".group-moved").textContent = count ? `${count} moved` : "";
    }
    act("reset")[0].disabled = moved.length === 0;
  }

  const rowOf = (event) => event.target.closest(".row")?.row;
  function onInput(event) {
    const row = rowOf(event);
    if (!row || event.target.value === "") return;
    if (event.target !== row.slider && event.target !== row.number) return;
    state.strength(row.direction.id, Number(event.target.value));
    onActive(row.direction);
  }
  function go(row, strength) {
    state.strength(row.direction.id, strength);
    state.commit();
    onActive(row.direction);
  }
  const reset = (row) => go(row, 0);
  function unfold(row) {
    if (!row.extra) {
      row.extra = createExtra(state, row.direction, generator.layers, does);
      createNames(row.extra.node, row.direction, { onMark: () => mark(row), onExport, onRemove });
      row.node.append(row.extra.node);
    }
    const open = row.node.classList.toggle("open");
    row.node.querySelector(".row-more").ariaExpanded = String(open);
    if (!open) filter(); // it may have been hidden
    onUnfold();
  }
  // Called otherwise, starred or hidden: the row goes to its place, and stays in view while it is open.
  function mark(row) {
    showLabel(row);
    resort();
    filter();
    onMark();
  }
  list.addEventListener("input", onInput);
  list.addEventListener("change", (event) => {
    const row = rowOf(event);
    if (!row || (event.target !== row.slider && event.target !== row.number)) return;
    state.commit();
    showRow(row, state.edit.strengths.get(row.direction.id) ?? 0);
  });
  list.addEventListener("dblclick", (event) => event.target.matches(".slider, .row-label") && reset(rowOf(event)));
  list.addEventListener("click", (event) => {
    const end = event.target.closest(".end");
    if (end) go(rowOf(event), end.strength);
    if (event.target.closest(".row-reset")) reset(rowOf(event));
    if (event.target.closest(".row-more")) unfold(rowOf(event));
  });

  const strength = ({ id }) => Math.abs(state.edit.strengths.get(id) ?? 0);
  // Starred ones first, in the order that is chosen.
  function sorted(members) {
    const orders = { effect: ({ effect }) => effect ?? -1, moved: (direction) => Math.sign(strength(direction)), given: () => 0 };
    const rank = orders[order.value];
    return [...members].sort((a, b) => Number(b.starred) - Number(a.starred) || rank(b) - rank(a));
  }
  function resort() {
    for (const { built, box, members } of groups) {
      if (built) box.append(...sorted(members).map(({ id }) => rows.get(id).node));
    }
  }
  // Hidden directions come back for a search, and with the button at the end of their group; moved ones stay.
  function showHidden({ members, all: shownToo, node }) {
    const away = members.filter((member) => member.hidden && !strength(member));
    for (const { id } of away) if (!rows.get(id).node.classList.contains("open")) rows.get(id).node.hidden = !shownToo;
    const rest = node.querySelector(".group-rest");
    rest.hidden = !away.length;
    rest.textContent = shownToo ? "Hide them again" : `Show ${away.length} hidden`;
  }
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = ({ label, given, caption, about }) => words.every((word) => `${label} ${given} ${caption?.words ?? about}`.toLowerCase().includes(word));
    for (const group of groups) {
      const found = group.members.filter(fits);
      group.node.hidden = words.length > 0 && found.length === 0;
      group.node.querySelector(".group-count").textContent = words.length ? `${found.length} of ${group.members.length}` : group.members.length;
      if (words.length && found.length) toggle(group, true);
      if (group.built) for (const member of group.members) rows.get(member.id).node.hidden = !fits(member);
      if (group.built && !words.length) showHidden(group);
    }
    list.classList.toggle("nothing", groups.every(({ node }) => node.hidden));
  }
  search.addEventListener("input", filter);
  order.addEventListener("change", resort);
  act("reset")[0].addEventListener("click", () => state.change({ strengths: new Map(), layers: new Map() }));
  if (generator.directions.every(({ effect }) => effect === null)) {
    order.querySelector("[value=effect]").disabled = true;
    order.querySelector("[value=effect]").textContent = "By effect (not measured)";
  }
  state.onChange(show);
  const begins = { dormant: ({ length }) => length < 40, own: ({ length }) => length > 0 };
  for (const group of groups) toggle(group, begins[group.name]?.(group.members) ?? true);
  showCounts(state.edit);
  return {
    focusSearch: () => search.focus(),
    clearSearch: () => { search.value = ""; filter(); },
    refresh: ends.refresh,
  };
}
