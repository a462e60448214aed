// What was found: figures, the photo in every domain, and where to go on with it.

import { act, download, duration, find, make, onClick, say } from "../dom.js";

export const TILE = 176; // px asked for a tile
const digits = (value, count) => value.toFixed(count).replace("-", "\u2212");
/** @type {Record<string, [string, (value: any) => string, (figures: any) => string]>} */
const FIGURES = {
  perceptual: ["Difference to the eye", (value) => digits(value, 3), ({ perceptual_network: by }) => `lower is closer${by ? `, by ${by}` : ""}`],
  psnr: ["Exactness", (value) => `${digits(value, 1)} dB`, () => "PSNR, higher is closer"],
  mse: ["Squared error", (value) => digits(value, 4), () => "MSE, lower is closer"],
  clip_similarity: ["Same meaning", (value) => digits(value, 3), () => "CLIP, 1 is the same"],
  likeness: ["Like its own pictures", (value) => digits(value, 3), () => "CLIP; what is low is something else"],
  distance_to_w_avg: ["From the average", (value) => digits(value, 1), () => "distance of the code"],
  seconds: ["Time", (value) => (value < 10 ? `${digits(value, 1)} s` : duration(value)), () => ""],
};

// The other tabs take an edit through the page's own script.
export function createGo(session) {
  return function go(tab, edit) {
    if (window.domainExplorer?.openEdit) window.domainExplorer.openEdit(tab, edit);
    else session.set({ trouble: "The other tabs are still loading: try again in a moment." });
  };
}

export function createResult(session, studio, go) {
  const tiles = find(".every .tiles");
  const copy = find(".fitted input");
  let shownId = null;

  function figure([name, [title, format, note]], figures) {
    const value = make("dd", { textContent: format(figures[name]) }, make("small", { textContent: note(figures) }));
    return make("div", {}, make("dt", { textContent: title }), value);
  }
  function showFigures(figures) {
    const known = Object.entries(FIGURES).filter(([name]) => Number.isFinite(figures?.[name]));
    find(".details").hidden = !known.length; // a loaded code has none
    find(".figures").replaceChildren(...known.map((entry) => figure(entry, figures)));
  }
  const inDomain = (edit, domain) => ({ ...edit, strengths: [[domain, 1]] });
  function tile(edit, domain, fitted) {
    const image = make("img", { alt: "", draggable: false });
    const button = make("button", { type: "button", ariaLabel: `Your photo as ${domain}, open in Explore${fitted ? " without the copy" : ""}` }, image, make("small", { textContent: domain }));
    button.addEventListener("click", () => go("explore", inDomain(edit, domain)));
    return make("div", { className: "tile" }, button);
  }
  async function showDomains({ edit, fitted, tuned }) {
    const id = shownId;
    const domains = props.generator.directions.filter(({ group }) => group === "domains").map(({ id: domain }) => domain);
    find(".every").classList.toggle("none", !domains.length);
    tiles.replaceChildren(...domains.map((domain) => tile(edit, domain, fitted)));
    const edits = domains.map((domain) => inDomain(edit, domain));
    for (let from = 0; from < edits.length && shownId === id; from += 8) { // few at once: others wait for pictures too
      const answer = await session.ask("render", { edits: edits.slice(from, from + 8), max_px: TILE, exact: false, tuned: fitted ? tuned : null });
      if (shownId !== id) return;
      answer.pictures?.forEach((uri, index) => { tiles.querySelectorAll("img")[from + index].src = uri; });
    }
  }
  // A fitted copy is of this photo alone: the other tabs show what the generator of all makes of the code.
  function showLeaving({ fitted, plain }) {
    find(".leaves").hidden = !fitted;
    if (fitted) find(".leaves img").src = plain;
    find(".every h3 span").textContent = fitted ? "Click one to go on there, without the copy." : "Click one to go on there.";
    for (const name of ["explore", "compose"]) {
      if (fitted) act(name)[0].setAttribute("aria-describedby", "leaves");
      else act(name)[0].removeAttribute("aria-describedby");
    }
  }
  function noteOf({ stopped, step, steps, name, note }) {
    if (name) return `Loaded from ${name}.`;
    return [stopped ? `Stopped at step ${step} of ${steps}. This is the best until then.` : "", note].join(" ").trim();
  }
  async function saveLatent() {
    const answer = await session.askAloud("Writing the latent", "save_latent", { edit: session.state.result.edit });
    if (answer) download(answer.file, `${studio.name}-photo.safetensors`);
  }
  onClick("explore", () => go("explore", session.state.result.edit));
  onClick("compose", () => go("compose", session.state.result.edit));
  onClick("save-picture", () => download(session.state.result.picture, `${studio.name}-photo.png`));
  onClick("save-latent", saveLatent);
  copy.addEventListener("change", session.switchCopy);
  onClick("again", () => session.set({ result: null, trouble: "" }));

  return function show({ result, photo }) {
    act("again")[0].hidden = !photo;
    const now = result && `${result.id} ${result.fitted ?? false}`;
    if (!result || now === shownId) return;
    shownId = now;
    find(".views").hidden = !result.target; // nothing to compare a loaded code with
    copy.closest("label").hidden = !result.tuned;
    copy.checked = Boolean(result.fitted);
    say(find(".note"), noteOf(result));
    showLeaving(result);
    showFigures(result.figures);
    showDomains(result);
  };
}
