// The form of a new lesson: what to learn from, its name, how long, and along which direction.

import { duration, find, make, say } from "../dom.js";
import { createPictures } from "./pictures.js";
import { createStyles } from "./styles.js";

/** @type {[string, string][]} */
const EXAMPLES = [
  ["photo", "chalkboard"], ["photo", "x ray"], ["photo", "oil painting"], ["photo", "pencil sketch"],
  ["photo", "watercolor"], ["photo", "bronze statue"], ["photo", "blueprint"], ["photo", "mosaic"],
  ["photo", "neon night"], ["cat", "tiger"], ["photo", "stained glass"], ["photo", "comic"], ["cat", "fox"],
];
const SHOWN_EXAMPLES = 8;

export function createWish(onTeach, onMeasure, onStyles) {
  const form = find(".wish");
  const fields = form.elements;
  const trouble = form.querySelector(".trouble");
  const complain = (text) => say(trouble, text);
  let named = false; // the visitor's own name is not overwritten
  let about = null; // what the server said of the generator
  let warned = ""; // the word that nobody knows and that the visitor was told of

  const pictures = createPictures(complain, (file) => suggest(file?.replace(/\.[^.]*$/, "").replace(/[_\W]+/g, " ").trim()));

  const styles = createStyles(onStyles, (style) => {
    named = false;
    suggest(style);
  });

  function suggest(text) {
    if (!named) fields.name.value = (text ?? "").slice(0, 40);
  }
  function chip([source, target]) {
    const button = make("button", { type: "button", className: "chip", textContent: target });
    button.title = `${source} to ${target}`;
    button.addEventListener("click", () => {
      fields.source.value = source;
      fields.target.value = target;
      named = false;
      suggest(target);
    });
    return button;
  }
  function kindOf() {
    return fields.from.value === "pictures" ? fields.show.value : fields.from.value;
  }
  function showKind() {
    find(".words").hidden = fields.from.value !== "words";
    find(".pictures").hidden = !fields.from.value.startsWith("picture");
    find(".styles").hidden = fields.from.value !== "style";
    pictures.setMany(fields.from.value === "pictures");
    find(".show").hidden = find(".folder").hidden = fields.from.value !== "pictures";
    complain("");
    showSteps();
  }
  function showSteps() {
    const steps = about?.lengths[kindOf()]?.[fields.pace.value];
    if (steps) fields.steps.value = steps;
    showDuration();
  }
  function showDuration() {
    const large = about?.estimates?.[kindOf()];
    const seconds = large?.seconds ?? about?.seconds_per_step;
    const steps = Number(fields.steps.value);
    find(".duration").textContent = large && steps
      ? `About ${duration(seconds * steps)} on this processor, with ${large.gigabytes.toFixed(1)} GB of memory, from pictures of ${large.px} px. A GPU is far quicker.`
      : seconds && steps
      ? `About ${duration(seconds * steps)} by the pace of the last lesson.`
      : "The time it takes is measured once it has begun.";
  }
  // Only what changed is touched: this is called with every look at the server.
  function show(generator, running) {
    const changed = JSON.stringify(generator) !== JSON.stringify(about);
    about = generator;
    form.querySelector(".start").textContent = running ? "Teach after this one" : "Teach";
    showMeasure(generator);
    if (!changed) return;
    say(form.querySelector(".note"), generator.note);
    styles.show(generator.name);
    const { words, domains } = generator;
    find("#teach-words").replaceChildren(...words.map((value) => make("option", { value })));
    const fresh = [...EXAMPLES, ...words.map((word) => ["photo", word])]
      .filter(([, target], place, all) => place === all.findIndex(([, other]) => other === target))
      .filter(([, target]) => !domains.includes(target) && (!words.length || words.includes(target))).slice(0, SHOWN_EXAMPLES);
    find(".chips").replaceChildren(...fresh.map(chip));
    fields.target.placeholder = fresh[0]?.[1] ?? "";
    const percent = (effect) => (effect === null ? "effect not measured" : `changes a picture by ${(100 * effect).toFixed(1)} %`);
    const chosen = fields.dim.value;
    const [least, ...others] = generator.free.map(({ dim, effect }) => make("option", { value: dim, textContent: `${dim}: ${percent(effect)}` }));
    if (least) {
      const measured = generator.free[0].effect !== null;
      fields.dim.replaceChildren(make("option", { value: "", textContent: `${least.textContent}${measured ? " (least)" : ""}` }), ...others);
      fields.dim.value = chosen;
      if (fields.dim.selectedIndex < 0) fields.dim.value = "";
    }
    if (document.activeElement !== fields.steps && !fields.steps.value) showSteps();
    showDuration();
  }
  function showMeasure({ free, measured }) {
    const button = find("[data-do=measure]");
    const going = measured !== null;
    find(".measure").hidden = !going && free.every(({ effect }) => effect !== null);
    button.disabled = going;
    button.textContent = going ? `Measuring: ${Math.round(100 * measured)} %` : "Measure what they change";
  }
  // Why minutes of learning may come to nothing: the word is not among those that the judge's CLIP was shown.
  function doubt() {
    const word = fields.target.value.trim().toLowerCase();
    const words = about?.words ?? [];
    if (kindOf() !== "words" || !words.length || !word || words.includes(word) || warned === word) return "";
    warned = word;
    return `What teaches here was shown ${words.length} styles (${words.slice(0, 4).join(", ")}, ...), and “${word}” is none of them: expect little. Press Teach again to try it, or type to choose a word that is known.`;
  }
  async function submit(event) {
    event.preventDefault();
    const doubtful = doubt();
    complain(doubtful);
    if (doubtful) return;
    const start = form.querySelector(".start");
    start.disabled = true;
    const error = await onTeach({
      kind: kindOf(),
      source: fields.source.value,
      target: fields.from.value === "style" ? styles.chosen : fields.target.value,
      pictures: fields.from.value.startsWith("picture") ? pictures.uris : [],
      name: fields.name.value,
      dim: fields.dim.value === "" ? null : Number(fields.dim.value),
      steps: Number(fields.steps.value),
    });
    complain(error);
    start.disabled = false;
  }

  for (const radio of form.querySelectorAll("[name=from], [name=show]")) radio.addEventListener("change", showKind);
  for (const radio of form.querySelectorAll("[name=pace]")) radio.addEventListener("change", showSteps);
  fields.steps.addEventListener("input", () => {
    const lengths = about?.lengths[kindOf()] ?? {};
    for (const radio of fields.pace) radio.checked = lengths[radio.value] === Number(fields.steps.value);
    showDuration();
  });
  fields.target.addEventListener("input", () => suggest(fields.target.value));
  fields.name.addEventListener("input", () => { named = fields.name.value !== ""; });
  find("[data-do=measure]").addEventListener("click", async () => complain(await onMeasure()));
  form.addEventListener("submit", submit);
  form.addEventListener("input", () => complain("")); // whatever was wrong, it may be mended now
  form.noValidate = true; // the server's sentences say more than the browser's bubbles
  showKind();
  return { show };
}
