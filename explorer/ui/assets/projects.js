// Projects of this generator: named, kept in this browser by themselves, opened again at the next visit. The page's own
// storage is what is worked on; a project is a copy of it in the database.

import "./bus.js";
import { pictureNow } from "./thumbs.js";
import { ago } from "./times.js";

const REST = 400; // ms without a change until it is kept
const THUMB = 96; // px
const UNNAMED = "Untitled";
const DELETED = 5; // that can be brought back

export function createProjects({ key, name, resolution }) {
  const bus = window.domainExplorer;
  const store = bus.projects;
  const dialog = /** @type {HTMLDialogElement} */ (element.querySelector(".projects"));
  /** @type {(selector: string) => any} */
  const part = (selector) => dialog.querySelector(selector);
  const list = part("ul");
  const opener = /** @type {HTMLElement} */ (element.querySelector(".projects-open"));
  const shotsKey = `explorer:${key}:snapshots`;
  const owns = [`explorer:${key}:`, `explorer:invert:past:${name}:${resolution}`]; // beginnings of keys in the window's storage
  let current = null;
  let saving;

  const keysOf = () => Array.from({ length: sessionStorage.length }, (_, index) => sessionStorage.key(index) ?? "");
  const held = () => keysOf().filter((one) => owns.some((start) => one.startsWith(start)));
  function readShots() {
    try {
      return JSON.parse(localStorage.getItem(shotsKey) ?? "[]");
    } catch {
      return []; // written by another program
    }
  }
  async function save() {
    clearTimeout(saving);
    saving = undefined;
    const session = Object.fromEntries(held().map((one) => [one, sessionStorage.getItem(one)]));
    const shots = readShots();
    if (!current && !Object.keys(session).length && !shots.length) return;
    const id = current?.id ?? crypto.randomUUID?.() ?? String(Math.random());
    const known = current && (await store.get(id)); // another window may have renamed it
    if (known?.deleted) return;
    current = { id, key, owns, name: known?.name ?? UNNAMED, session, shots, thumb: pictureNow(THUMB) || (current?.thumb ?? ""), changed: Date.now() };
    await store.put(current);
    point(id); // not before it is there: other windows look for it at once
    tell();
  }
  function point(id) {
    for (const storage of [localStorage, sessionStorage]) id ? storage.setItem(store.pointer, id) : storage.removeItem(store.pointer);
  }
  function later() {
    clearTimeout(saving);
    saving = setTimeout(() => save().catch(() => tell("not kept: this browser's storage is full or forbidden")), REST);
  }
  function tell(trouble = "") {
    opener.title = current ? `Project: ${current.name}${trouble ? `, ${trouble}` : ", kept in this browser"}` : "Projects";
    document.documentElement.dataset.project = trouble ? "" : (current?.name ?? "");
  }

  // Another project, or a new one, in the place of this one.
  async function open(project) {
    if (saving !== undefined) await save();
    if (project) store.take(project);
    else for (const one of held()) sessionStorage.removeItem(one);
    localStorage.setItem(shotsKey, JSON.stringify(project?.shots ?? []));
    point(project?.id ?? null);
    location.reload();
  }
  const change = async (project, changes) => store.put({ ...(await store.get(project.id)), ...changes });
  async function rename(project, text) {
    const called = text.trim() || UNNAMED;
    await change(project, { name: called });
    if (project.id === current?.id) current.name = called;
    tell();
    await show();
  }
  async function remove(project) {
    await change(project, { deleted: Date.now() });
    if (project.id === current?.id) {
      current = null;
      clearTimeout(saving);
      saving = undefined;
      return open(null);
    }
    return show();
  }
  async function bringBack(project) {
    await change(project, { deleted: 0 });
    await show();
  }

  function button(words, label, go) {
    const node = Object.assign(document.createElement("button"), { type: "button", textContent: words, ariaLabel: label });
    node.addEventListener("click", go);
    return node;
  }
  function entry(project) {
    const here = project.id === current?.id;
    const node = document.createElement("li");
    const image = Object.assign(new Image(), { alt: "", src: project.thumb || "data:," });
    const called = Object.assign(document.createElement("input"), { type: "text", value: project.name, maxLength: 60, ariaLabel: `Name of ${project.name}` });
    called.addEventListener("change", () => rename(project, called.value));
    const count = project.shots.length;
    const facts = Object.assign(document.createElement("small"), { textContent: `${ago(project.changed)}${count ? `, ${count} ${count === 1 ? "snapshot" : "snapshots"}` : ""}` });
    const words = document.createElement("div");
    words.append(called, facts);
    const go = here ? Object.assign(document.createElement("small"), { textContent: "Open now" }) : button("Open", `Open ${project.name}`, () => open(project));
    node.append(image, words, go, button("Delete", `Delete ${project.name}`, () => remove(project)));
    return node;
  }
  async function show() {
    const all = (await store.all()).filter((project) => project.key === key).sort((a, b) => b.changed - a.changed);
    const gone = all.filter(({ deleted }) => deleted).sort((a, b) => b.deleted - a.deleted);
    await Promise.all(gone.slice(DELETED).map(({ id }) => store.remove(id)));
    list.replaceChildren(...all.filter(({ deleted }) => !deleted).map(entry));
    const back = part(".back");
    back.hidden = !gone.length;
    back.replaceChildren("Deleted: ", ...gone.slice(0, DELETED).map((project) => button(`Bring ${project.name} back`, `Bring ${project.name} back`, () => bringBack(project))));
    part(".none").hidden = list.childElementCount > 0;
  }
  async function openDialog() {
    if (saving !== undefined) await save();
    await show();
    dialog.showModal();
  }

  // The project that the browser shows, where it is one of this generator.
  async function take() {
    const id = localStorage.getItem(store.pointer) ?? "";
    const known = await store.get(id); // fails where there is no database
    const ours = known && known.key === key && !known.deleted;
    if (ours) {
      current = known;
      sessionStorage.setItem(store.pointer, id);
    } else point(null);
    tell();
  }
  async function begin() {
    await bus.ready;
    await take();
    document.addEventListener("explorer:stored", later);
    document.addEventListener("visibilitychange", () => document.hidden && saving !== undefined && save().catch(() => {}));
    // Another window of this page has opened another project: this one goes along, since both share the snapshots.
    window.addEventListener("storage", ({ key: changed, newValue }) => {
      if (changed !== store.pointer || newValue === (current?.id ?? null)) return;
      if (newValue === null) for (const one of held()) sessionStorage.removeItem(one);
      if (current || newValue === null) location.reload();
      else take();
    });
    opener.hidden = false;
    opener.addEventListener("click", openDialog);
    part(".new").addEventListener("click", () => open(null));
    bus.openProjects = openDialog;
  }
  if (store) begin().catch(() => {}); // without a database there are no projects
}
