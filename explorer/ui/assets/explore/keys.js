// The keyboard, for the whole page while the panel is visible; letters are left alone where something is typed.

function createKeys({ state, stage, code, rows, tray, neighbours, compare }) {
  const help = find(".help");
  const typing = (target) => target.matches?.("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
  const visible = () => panel.offsetParent !== null;
  const gone = new AbortController(); // Gradio may throw the panel away and build it anew
  const { signal } = gone;
  const letters = {
    r: code.random,
    n: neighbours.toggle,
    b: () => stage.hold(true),
    c: compare,
    s: tray.snapshot,
    "/": rows.focusSearch,
    "?": () => help.showModal(),
    escape: neighbours.close,
  };
  function onKeyDown(event) {
    if (!panel.isConnected) return gone.abort();
    if (!visible() || help.open) return;
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && key === "z" && event.target.type !== "search") {
      event.preventDefault();
      return event.shiftKey ? state.redo() : state.undo();
    }
    if (key === "escape" && event.target.type === "search") rows.clearSearch();
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing(event.target)) return;
    if (!letters[key]) return;
    event.preventDefault();
    letters[key]();
  }
  document.addEventListener("keydown", onKeyDown, { signal });
  document.addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && stage.hold(false), { signal });
  window.addEventListener("blur", () => stage.hold(false), { signal });
  act("help")[0].addEventListener("click", () => help.showModal());
  // A turning wheel must scroll, never change the number box under it.
  panel.addEventListener("wheel", (event) => {
    if (event.target.type === "number") event.target.blur();
  }, { passive: true });
}
