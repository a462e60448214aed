// Keeping an edit: the picture that carries it, a link, a session; and opening them again, also by dropping a file.
// The server writes and reads all of them, so that there is one place which knows the formats.

import "../bus.js";
import { act, download, find, panel, readAsURI } from "../dom.js";
import { createMaking } from "./making.js";
import { SECONDS } from "./shots.js";
import { composeKey, readJSON, storedEdit } from "./state.js";

const LARGEST_FILE = 20 * 2 ** 20; // bytes; the server refuses more
const OPTIONS = "explorer:keep";

export function createKeep({ tab, state, shots, generator, say, film }) {
  const bus = window.domainExplorer;
  const dialog = find(".keep");
  const trouble = find(".keep-trouble");
  const format = dialog.querySelector("[name=format]");
  const settings = dialog.querySelector("[name=settings]");
  const sharpen = dialog.querySelector("[name=sharpen]");
  const px = dialog.querySelector("[name=px]");
  const link = dialog.querySelector("[name=link]");
  const file = dialog.querySelector("[type=file]");
  const note = find(".link-note");
  const noteText = note.textContent;

  // A sentence where it is seen: in the dialog, or over the picture.
  function complain(text) {
    trouble.textContent = dialog.open ? text : "";
    trouble.hidden = !trouble.textContent;
    if (!dialog.open) say(text);
  }
  const size = () => (px.value ? Number(px.value) : null);
  const making = createMaking(find(".makes"), { complain, onChange: showMakes });
  function showMakes() {
    const count = shots.read().length;
    act("make-film")[0].disabled = count < 2;
    act("make-zip")[0].disabled = count < 1 || making.busy;
    making.note.textContent = count < 2
      ? "Keep two pictures or more with Snapshot: a film goes from each to the next."
      : `A film goes along all ${count}: it plays first, and is saved from there. The zip holds pictures, codes, directions and a table.`;
  }
  async function ask(name, request) {
    const answer = (await server[name](request)) ?? { error: "The server does not answer. Try again in a moment." };
    complain(answer.error ?? "");
    return answer;
  }
  async function save() {
    const answer = await ask("save_picture", { edit: state.json(), format: format.value, settings: settings.checked, px: size(), sharpen: sharpen.checked });
    const ending = format.value === "jpeg" ? "jpg" : format.value;
    if (answer.file) download(answer.file, `${generator.name}-${state.edit.latent ? "photo" : state.edit.seed}.${ending}`);
  }
  async function open() {
    link.value = "";
    note.textContent = noteText;
    complain("");
    showMakes();
    act("projects")[0].hidden = !bus.openProjects; // a browser without a database has none
    dialog.showModal();
    const answer = await server.link({ edit: state.json() });
    act("copy-link")[0].disabled = !answer?.text;
    if (answer?.text) link.value = `${location.origin}${location.pathname}?edit=${answer.text}${tab === "explore" ? "" : `&tab=${tab}`}`;
    else note.textContent = answer?.error ?? "The server does not answer. Try again in a moment.";
  }
  async function copy() {
    link.select();
    try {
      await navigator.clipboard.writeText(link.value);
      note.textContent = "Copied.";
    } catch {
      note.textContent = "The link is selected: copy it with Ctrl+C."; // the browser allows it on secure pages only
    }
  }
  async function saveSession() {
    const edits = { explore: storedEdit(generator.key), compose: storedEdit(composeKey(generator)), [tab]: state.json() };
    const known = Object.entries(edits).filter(([, edit]) => edit);
    const answer = await ask("save_session", { edits: Object.fromEntries(known), snapshots: shots.read() });
    if (!answer.text) return;
    const uri = URL.createObjectURL(new Blob([answer.text], { type: "application/json" }));
    download(uri, `${generator.name}-session.json`);
    setTimeout(() => URL.revokeObjectURL(uri), 60000);
  }

  // Whether it could be.
  async function restore(request) {
    const answer = await ask("restore", request);
    if (answer.error) return false;
    dialog.close();
    if (answer.edit) {
      state.change(state.parse(answer.edit));
      return true;
    }
    for (const [to, edit] of Object.entries(answer.edits)) bus.hand(to, edit);
    const left = shots.merge(answer.snapshots);
    if (left) say(`This browser has no room for ${left} of the ${answer.snapshots.length} snapshots; delete some and open the session again.`);
    return true;
  }
  async function openFile(chosen) {
    if (!chosen) return;
    if (chosen.size > LARGEST_FILE) return complain("This file is larger than 20 MB, which no picture or session of this page is.");
    const begin = await chosen.slice(0, 64).text(); // a name or a type may have been lost on the way
    if (begin.trimStart().startsWith("{")) await restore({ session: await chosen.text() });
    else if (!(await restore({ picture: await readAsBytes(chosen) }))) offerPhoto(chosen);
  }
  // A picture without settings may be a photo: one step to where those are opened.
  function offerPhoto(chosen) {
    if (!chosen.type.startsWith("image/") || !bus.hasTab("photo")) return;
    const why = find(".message span").textContent || trouble.textContent;
    dialog.close();
    say(why, { label: "Open it in Photo", go: async () => bus.openEdit("photo", await readAsURI(chosen)) });
  }

  const hasFile = (event) => event.dataTransfer?.types.includes("Files");
  const showDrop = (on) => { find(".drop-here").hidden = !on; };
  panel.addEventListener("dragover", (event) => hasFile(event) && (event.preventDefault(), showDrop(true)));
  panel.addEventListener("dragleave", (event) => panel.contains(/** @type {Node | null} */ (event.relatedTarget)) || showDrop(false));
  panel.addEventListener("drop", (event) => {
    if (!event.dataTransfer || !hasFile(event)) return;
    event.preventDefault();
    showDrop(false);
    openFile(event.dataTransfer.files[0]);
  });
  file.addEventListener("change", async () => { await openFile(file.files[0]); file.value = ""; });

  const options = readJSON(localStorage, OPTIONS) ?? {};
  format.value = options.format ?? "png";
  settings.checked = options.settings ?? true;
  sharpen.checked = (generator.sharp_side && options.sharpen) ?? false;
  sharpen.parentElement.hidden = !generator.sharp_side;
  for (const input of [format, settings, sharpen]) {
    input.addEventListener("change", () => localStorage.setItem(OPTIONS, JSON.stringify({ format: format.value, settings: settings.checked, sharpen: sharpen.checked })));
  }
  const actions = { share: open, download: save, "copy-link": copy, "save-session": saveSession, "open-file": () => file.click(), projects: () => { dialog.close(); bus.openProjects(); } };
  const zip = () => making.make({ kind: "zip", edits: shots.film().edits, px: size(), sharpen: sharpen.checked });
  Object.assign(actions, { "make-zip": zip, "make-film": () => (dialog.close(), film.open(shots.film())) });
  for (const [name, action] of Object.entries(actions)) for (const button of act(name)) button.addEventListener("click", action);

  // An edit; or the edits of a film, which plays at once and leaves the own one as it is.
  bus.receive(tab, panel, (given) => {
    if (given.film) film.open({ edits: given.film, seconds: given.film.map(() => SECONDS.standard) });
    else state.change(state.parse(given));
  });
  const text = bus.takeLink(tab);
  if (text) restore({ link: text });
  else if (bus.link) bus.openTab(bus.link.tab);
}

// As a data URI that names no type: the server looks at the bytes.
async function readAsBytes(file) {
  const uri = await readAsURI(file);
  return `data:;${uri.slice(uri.indexOf("base64,"))}`;
}
