// The form: method, space, words, and the weights behind "Settings", where the published values stand.

import { act, clamp, find, fromTemplate, onClick } from "../dom.js";

export const METHOD_TEXTS = {
  in_domain: ["Balanced", "Starts from a first guess and refines it, but only as far as sliders keep working."],
  clip_guided: ["By meaning", "Looks for what the photo shows more than for its pixels. Good for drawings and unusual photos, and takes words."],
  encoder: ["At once", "The first guess alone: instant, roughly right."],
  ddim: ["Nearly exact", "The photo's code at once, then the noise that makes this very photo. Nothing is searched for."],
};
const SPACE_TEXTS = { w: "Sliders that work", "w+offsets": "A bit of both", "w+": "A close likeness" };
const WEIGHTS = {
  steps: ["Steps", "How often the result is improved. More take longer."],
  lr: ["Step size", "How far each step goes. Large ones are quick and rough."],
  lambda_pixel: ["Same colours", "Weight of the difference point by point."],
  lambda_lpips: ["Same look", "Weight of the difference that the eye sees."],
  lambda_clip: ["Same meaning", "Weight of the difference in what the pictures show."],
  lambda_dom: ["Stay in the domain", "Keeps the result where the generator is at home: less likeness, better sliders."],
  lambda_w: ["Stay near the average", "Pulls the result towards the average picture."],
  lambda_offsets: ["Keep layers together", "Holds the changes of single layers small."],
  text_weight: ["Weight of the words", "How much your words count against the photo."],
  seed: ["Chance", "Another number, another search."],
};
const ALWAYS = ["steps", "lr", "seed"]; // of a search

export function createSettings(session, studio) {
  const form = find(".settings");
  const first = { method: studio.method, space: studio.methods[studio.method].space, text: "", values: {} };
  const choice = () => session.state.form ?? first;
  const published = () => studio.methods[choice().method];
  const change = (more) => session.set({ form: { ...choice(), ...more } });
  const rows = new Map();
  let shownRows = "";

  function card(group, value, name, note) {
    const node = fromTemplate("card");
    Object.assign(node.querySelector("input"), { name: group, value });
    node.querySelector(".card-name").textContent = name;
    node.querySelector("small").textContent = note;
    node.querySelector("input").addEventListener("change", () => change(group === "method" ? { method: value, values: {} } : { [group]: value }));
    return node;
  }
  function createRow(name) {
    const [label, tip] = WEIGHTS[name];
    const node = fromTemplate("row");
    const [range, number] = node.querySelectorAll("input");
    const standard = published()[name];
    const whole = ["steps", "seed"].includes(name);
    const most = name === "steps" ? studio.max_steps : name === "seed" ? 99 : standard ? standard * 4 : 1;
    Object.assign(range, { min: name === "steps" ? 1 : 0, max: most, step: whole ? 1 : most / 80, ariaLabel: label });
    if (name === "lr") range.min = most / 80;
    Object.assign(number, { min: range.min, step: "any", ariaLabel: `${label}, value` });
    Object.assign(node.querySelector(".row-label"), { textContent: label }).dataset.tip = tip;
    const read = (input) => {
      if (input.value === "" || !Number.isFinite(Number(input.value))) return;
      const value = Math.max(whole ? Math.round(input.value) : Number(Number(input.value).toPrecision(4)), Number(range.min));
      change({ values: { ...choice().values, [name]: value } });
    };
    range.addEventListener("input", () => read(range));
    number.addEventListener("change", () => { read(number); showRow(name); });
    number.addEventListener("wheel", () => number.blur(), { passive: true }); // a turning wheel must only scroll
    rows.set(name, { node, range, number });
    return node;
  }
  function showRow(name) {
    const { node, range, number } = rows.get(name);
    const value = choice().values[name] ?? published()[name];
    range.value = value;
    if (number !== document.activeElement) number.value = value;
    range.style.setProperty("--hi", clamp((value - range.min) / (range.max - range.min), 0, 1));
    node.classList.toggle("moved", value !== published()[name]);
  }
  // Only what the method uses: a weight that is published as zero is not part of it.
  function wanted() {
    const uses = (name) => {
      if (name === "lambda_offsets") return choice().space === "w+offsets";
      if (name === "text_weight") return choice().text.trim() !== "";
      if (choice().method === "ddim") return name === "steps";
      return ALWAYS.includes(name) || published()[name] > 0;
    };
    return Object.keys(WEIGHTS).filter(uses);
  }
  function show() {
    const { method, space, text } = choice();
    form.querySelector(`[name=method][value=${method}]`).checked = true;
    form.querySelector(`[name=space][value="${space}"]`).checked = true;
    if (form.elements.text !== document.activeElement) form.elements.text.value = text;
    const search = method !== "encoder";
    find(".words").hidden = !search || studio.exact;
    find(".more").hidden = !search;
    find(".spaces-set").hidden = studio.exact;
    const names = search ? wanted() : [];
    if (shownRows !== JSON.stringify([method, names])) {
      shownRows = JSON.stringify([method, names]);
      rows.clear();
      find(".rows").replaceChildren(...names.map(createRow));
    }
    names.forEach(showRow);
    act("published")[0].hidden = Object.keys(choice().values).length === 0;
  }

  const methods = Object.entries(METHOD_TEXTS).filter(([value]) => value in studio.methods).map(([value, [name, note]]) => card("method", value, name, note));
  const spaces = Object.entries(studio.spaces).map(([value, note]) => card("space", value, SPACE_TEXTS[value], note));
  find(".methods").replaceChildren(...methods);
  find(".spaces").replaceChildren(...spaces);
  if (!studio.encoder && !studio.exact) {
    const encoder = form.querySelector("[value=encoder]");
    encoder.disabled = true;
    encoder.closest(".card").querySelector("small").textContent = "Needs an encoder, and this generator has none.";
    form.querySelector("[value=in_domain]").closest(".card").querySelector("small").textContent = "Starts from the average picture and refines it step by step.";
  }
  form.elements.text.addEventListener("input", () => change({ text: form.elements.text.value }));
  form.addEventListener("submit", (event) => event.preventDefault());
  onClick("published", () => change({ values: {} }));
  show();
  return {
    show,
    get settings() {
      const { method, space, text, values } = choice();
      const used = Object.fromEntries(Object.entries(values).filter(([name]) => wanted().includes(name)));
      return { method, space, text: method === "encoder" || studio.exact ? "" : text.trim(), ...used };
    },
  };
}
