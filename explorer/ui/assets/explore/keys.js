// The keyboard, for the whole page while the panel is visible; letters are left alone where something is typed.

import { panel } from "../dom.js";

// The box whose text is not taken over yet: only there, what is shown must not be rewritten.
/** @type {EventTarget | null} */
export let typed = null;
panel.addEventListener("input", ({ target }) => { typed = target; }, true); // before what shows the change
for (const name of ["change", "focusout"]) panel.addEventListener(name, () => { typed = null; }, true);

// `letters` maps a key to what it does, `released` to what letting it go does.
export function createKeys({ state, letters, released = {}, leaveSearch = () => {} }) {
  const typing = (target) => target.matches?.("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
  const visible = () => panel.checkVisibility(); // offsetParent is null on the whole screen
  const gone = new AbortController(); // Gradio may throw the panel away and build it anew
  const { signal } = gone;
  function onKeyDown(event) {
    if (!panel.isConnected) return gone.abort();
    if (!visible() || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z" && event.target.type !== "search") {
      event.preventDefault();
      return event.shiftKey ? state.redo() : state.undo();
    }
    if (key === "escape" && event.target.type === "search") leaveSearch();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
    if (!letters[key]) return;
    event.preventDefault();
    letters[key]();
  }
  document.addEventListener("keydown", onKeyDown, { signal });
  document.addEventListener("keyup", (event) => released[event.key.toLowerCase()]?.(), { signal });
  window.addEventListener("blur", () => Object.values(released).forEach((letGo) => letGo()), { signal });
  // A turning wheel must scroll, never change the number box under it.
  panel.addEventListener("wheel", (event) => {
    const { target } = event;
    if (target instanceof HTMLInputElement && target.type === "number") target.blur();
  }, { passive: true });
}
