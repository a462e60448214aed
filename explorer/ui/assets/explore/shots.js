// Snapshots: a list of {edit, thumb, name, note, seconds} in this browser, one per generator, shared by its tabs and pages.
// They are the pictures of a film, in its order; `seconds` are those to the next one, where they were chosen.

import { make, panel } from "../dom.js";
import { readJSON } from "./state.js";

const SNAPSHOTS = 60; // kept at most
const THUMB = 112; // px
export const SECONDS = { standard: 2, least: 0.1, most: 30 }; // from a picture to the next

export function createShots(key) {
  const storageKey = `explorer:${key}:snapshots`;
  const read = () => readJSON(localStorage, storageKey) ?? [];
  // Whether there was room; if not, nothing changes.
  function write(list) {
    if (list.length > SNAPSHOTS) return false;
    try {
      localStorage.setItem(storageKey, JSON.stringify(list));
    } catch {
      return false;
    }
    document.dispatchEvent(new CustomEvent(storageKey));
    window.domainExplorer.stored();
    return true;
  }
  // How many there was no room for.
  function merge(list) {
    const own = read();
    const known = new Set(own.map(({ edit }) => JSON.stringify(edit)));
    const fresh = list.filter(({ edit }) => !known.has(JSON.stringify(edit)));
    const fitting = fresh.slice(0, Math.max(SNAPSHOTS - own.length, 0));
    return fresh.length - (write([...own, ...fitting]) ? fitting.length : 0);
  }
  // By what it is, not where: another window may have changed the list meanwhile.
  function remove(edit) {
    const list = read();
    const at = list.findIndex((other) => JSON.stringify(other.edit) === JSON.stringify(edit));
    write(list.filter((_, index) => index !== at));
    return { shot: list[at], at };
  }
  const insert = ({ shot, at }) => write(read().toSpliced(at, 0, shot));
  function describe(edit, changes) {
    write(read().map((shot) => (JSON.stringify(shot.edit) === JSON.stringify(edit) ? { ...shot, ...changes } : shot)));
  }
  // Whether there are both places.
  function move(from, to) {
    const list = read();
    if (from === to || !(from in list) || !(to in list)) return false;
    list.splice(to, 0, ...list.splice(from, 1));
    return write(list);
  }
  const setSeconds = (at, seconds) => write(read().map((shot, index) => (index === at ? { ...shot, seconds } : shot)));
  const secondsOf = ({ seconds }) => seconds ?? SECONDS.standard;
  const film = () => ({ edits: read().map(({ edit }) => edit), seconds: read().map(secondsOf), own: true });
  // After every change, in this panel, in others of this page and in other windows.
  function onChange(listener) {
    const gone = new AbortController(); // Gradio may throw the panel away and build it anew
    const { signal } = gone;
    const changed = () => (panel.isConnected ? listener() : gone.abort());
    document.addEventListener(storageKey, changed, { signal });
    window.addEventListener("storage", ({ key }) => (key === storageKey || key === null) && changed(), { signal }); // null: all was cleared
  }
  return { read, merge, remove, insert, describe, move, secondsOf, setSeconds, film, onChange, add: (edit, image) => write([...read(), { edit, thumb: thumbnail(image) }]) };
}

function thumbnail(image) {
  const canvas = make("canvas", { width: THUMB, height: THUMB });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, THUMB, THUMB);
  return canvas.toDataURL("image/jpeg", 0.85);
}
