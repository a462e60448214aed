// Before everything else on the page, Gradio's scripts included.

// A page in a frame of another site may be refused the browser's storage: then it lasts as long as the page.
for (const name of ["localStorage", "sessionStorage"]) {
  try {
    window[name].getItem("");
  } catch {
    const items = new Map();
    const value = {
      getItem: (key) => items.get(String(key)) ?? null,
      setItem: (key, text) => void items.set(String(key), String(text)),
      removeItem: (key) => void items.delete(String(key)),
      clear: () => items.clear(),
      key: (index) => [...items.keys()][index] ?? null,
      get length() { return items.size; },
    };
    Object.defineProperty(window, name, { configurable: true, value });
  }
}

// A finger that scrolls the page touches sliders on its way: what it moved goes back when the browser takes it over.
{
  const touched = new Map();
  addEventListener("pointerdown", ({ target, pointerId }) => {
    if (target instanceof HTMLInputElement && target.type === "range") touched.set(pointerId, { target, value: target.value });
  }, true);
  addEventListener("pointerup", ({ pointerId }) => touched.delete(pointerId), true);
  addEventListener("pointercancel", ({ pointerId }) => {
    const { target, value } = touched.get(pointerId) ?? {};
    touched.delete(pointerId);
    if (!target || target.value === value) return;
    target.value = value;
    for (const name of ["input", "change"]) target.dispatchEvent(new Event(name, { bubbles: true }));
  }, true);
}

// Delete puts a slider back, as a double click does.
addEventListener("keydown", (event) => {
  const { target, key } = event;
  if (!["Delete", "Backspace"].includes(key) || !(target instanceof HTMLInputElement) || target.type !== "range") return;
  event.preventDefault();
  target.dispatchEvent(new MouseEvent("dblclick", { bubbles: true }));
});
