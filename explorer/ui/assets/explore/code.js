// Where the picture starts: seed, truncation, noise, the base switch and the class.

import { act, all, clamp, find, make } from "../dom.js";
import { typed } from "./keys.js";
import { seeded } from "./state.js";

const LARGEST_SEED = 2 ** 32 - 1;
const COMMON_SEEDS = 100000; // random seeds stay short enough to remember
const DRAWER = "explorer:drawer";

// The field of the class: a number, or a menu of names where the file has them.
function classes(names) {
  const field = find("#class");
  if (!names.length) return field;
  const menu = make("select", { id: field.id }, ...names.map((name, value) => make("option", { value }, name)));
  menu.setAttribute("aria-label", "Class");
  field.replaceWith(menu);
  return menu;
}

export function createCode(state, generator) {
  const seed = find("#seed");
  const psi = find("#psi");
  const psiNumber = find("#psi-number");
  const base = find(".project input");
  const kind = classes(generator.class_names);

  const randomSeed = () => Math.floor(Math.random() * COMMON_SEEDS);
  const takeSeed = (value) => state.change(seeded(clamp(Math.round(value) || 0, 0, LARGEST_SEED), state.edit));
  const rounded = (value) => Math.round(value * 1000) / 1000;
  const readPsi = (input) => input.value !== "" && state.set({ truncation_psi: Number(input.value) });

  seed.addEventListener("change", () => { takeSeed(Number(seed.value)); seed.value = state.edit.seed; });
  act("previous")[0].addEventListener("click", () => takeSeed(state.edit.seed - 1));
  act("next")[0].addEventListener("click", () => takeSeed(state.edit.seed + 1));
  act("random")[0].addEventListener("click", () => takeSeed(randomSeed()));
  for (const control of [psi, psiNumber]) {
    control.addEventListener("input", () => readPsi(control));
    control.addEventListener("change", () => { state.commit(); psiNumber.value = rounded(state.edit.truncation_psi); });
  }
  for (const radio of all("[name=noise]")) {
    radio.addEventListener("change", () => state.change({ noise_mode: radio.value }));
  }
  act("reroll")[0].addEventListener("click", () => state.change({ noise_mode: "random", noise_seed: randomSeed() }));
  base.addEventListener("change", () => state.change({ project: base.checked }));
  kind.addEventListener("change", () => state.change({ class_index: clamp(Math.round(Number(kind.value)) || 0, 0, generator.classes - 1) }));
  find(".codes-note").hidden = !generator.codes_note;
  find(".codes-note span").textContent = generator.codes_note;
  act("photo")[0].addEventListener("click", () => window.domainExplorer.openTab("photo"));
  for (const control of [seed, ...act("previous"), ...act("next"), ...act("random")]) control.disabled = !generator.random;
  find(".project").hidden = !generator.expanded;
  find(".class").hidden = generator.classes < 2;
  for (const radio of all("[name=noise]")) radio.parentElement.hidden = !generator.noise_modes.includes(radio.value);
  find(".noise").hidden = !generator.noise_modes.length;

  // The drawer below the directions: what it holds in a few words, all of it when opened.
  const opener = find(".drawer-open");
  function openDrawer(on) {
    opener.ariaExpanded = String(on);
    find(".code").hidden = !on;
  }
  opener.addEventListener("click", () => {
    openDrawer(find(".code").hidden);
    localStorage.setItem(DRAWER, find(".code").hidden ? "0" : "1");
  });
  const more = generator.codes_note || generator.pose || generator.steps.length || generator.classes > 1; // what other generators have not
  openDrawer((localStorage.getItem(DRAWER) ?? (more ? "1" : "0")) === "1");

  const NOISES = { none: "no noise", random: "random noise", photo: "the photo's noise" };
  function sumOf({ seed, latent, truncation_psi, noise_mode, project }) {
    const start = latent ? ["a photo"] : [`seed ${seed}`, `truncation ${rounded(truncation_psi)}`];
    return [...start, NOISES[noise_mode], generator.expanded && project && "base"].filter(Boolean).join(", ");
  }
  let shown = null;
  function show(edit) {
    if (shown !== null && Object.keys(state.defaults).every((name) => edit[name] === shown[name])) return;
    shown = edit;
    seed.value = edit.seed;
    seed.parentElement.classList.toggle("from-photo", Boolean(edit.latent));
    find(".photo").hidden = !edit.latent;
    psi.value = edit.truncation_psi;
    if (psiNumber !== typed) psiNumber.value = rounded(edit.truncation_psi);
    psi.style.setProperty("--hi", clamp(edit.truncation_psi / psi.max, 0, 1));
    find("[name=noise][value=photo]").parentElement.hidden = !edit.noise;
    find(`[name=noise][value=${edit.noise_mode}]`).checked = true;
    base.checked = edit.project;
    kind.value = edit.class_index ?? 0;
    for (const control of [psi, psiNumber, kind]) control.disabled = Boolean(edit.latent); // of seeds alone
    find(".off").hidden = !edit.latent;
    find(".drawer-sum").textContent = sumOf(edit);
  }
  state.onChange(show);
  show(state.edit);
  return { random: () => generator.random && takeSeed(randomSeed()), randomSeed };
}
