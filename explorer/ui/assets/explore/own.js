// Directions of one's own: what the sliders do now as one direction, or one from a file. The panel is built anew with them.

import { download, find, fromTemplate, make, readAsURI } from "../dom.js";

const LARGEST_DIRECTION = 64 * 2 ** 20; // bytes; the server refuses more

export function createOwn(state, generator, say) {
  const tools = fromTemplate("own");
  const form = tools.querySelector("form");
  const file = make("input", { type: "file", accept: ".safetensors,.npy" });
  const [ofSliders, bring] = [tools.querySelector("[data-own=make]"), tools.querySelector("[data-own=bring]")];

  async function ask(name, request) {
    const answer = (await server[name](request)) ?? { error: "The server does not answer. Try again in a moment." };
    if (answer.error) say(answer.error);
    window.domainExplorer.noted = answer.note; // said once the panel is there again
    return answer.error ? null : answer;
  }
  // The picture stays the same: one slider does now what several did.
  async function save(event) {
    event.preventDefault();
    const answer = await ask("make_direction", { edit: state.json(), name: form.elements.name.value });
    if (!answer) return;
    state.change({ strengths: new Map([[answer.ids[0], 1]]), layers: new Map() });
    trigger("directions");
  }
  async function open(chosen) {
    if (!chosen) return;
    if (chosen.size > LARGEST_DIRECTION) return say("This file is larger than 64 MB, which no direction is.");
    const answer = await ask("bring_direction", { name: chosen.name, data: await readAsURI(chosen) });
    if (answer) trigger("directions");
  }
  async function saveFile(direction) {
    const answer = await ask("export_direction", { id: direction.id });
    if (answer) download(answer.file, `${generator.name}-${direction.label}.safetensors`);
  }
  async function remove(direction) {
    const answer = await ask("remove_direction", { id: direction.id });
    if (!answer) return;
    window.domainExplorer.removed = { name: direction.id, data: answer.file };
    trigger("directions");
  }
  // What was deleted last is one click away, until something else is said.
  function offerBack() {
    const { removed, noted } = window.domainExplorer;
    window.domainExplorer.removed = window.domainExplorer.noted = null;
    if (noted) say(noted);
    if (!removed) return;
    say(`“${removed.name}” is deleted.`, { label: "Bring it back", go: async () => {
      if (await ask("bring_direction", removed)) trigger("directions");
    } });
  }
  function show() {
    ofSliders.disabled = ![...state.edit.strengths.values()].some(Boolean);
    if (ofSliders.disabled) form.hidden = true;
  }

  ofSliders.addEventListener("click", () => {
    form.hidden = !form.hidden;
    if (!form.hidden) form.elements.name.focus();
  });
  form.addEventListener("submit", save);
  bring.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => { await open(file.files[0]); file.value = ""; });
  state.onChange(show);
  show();
  if (generator.naming.own) find('.group[data-group="own"] .group-hint').after(tools);
  return { onExport: saveFile, onRemove: remove, offerBack };
}
