// Small helpers of every panel's scripts, and the tooltips. Each panel has its own copy: `element` is its part of the page.

export const panel = /** @type {HTMLElement} */ (element.querySelector("[data-panel]"));
/** What kind of element it is, the panel's HTML says. @type {(selector: string) => any} */
export const find = (selector) => panel.querySelector(selector);
/** @type {(selector: string) => any[]} */
export const all = (selector) => [...panel.querySelectorAll(selector)];
export const act = (name) => all(`[data-do="${name}"]`);
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export function make(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

export function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

export function fromTemplate(name) {
  return find(`.${name}-template`).content.firstElementChild.cloneNode(true);
}

// One sentence in a place made for it; none hides the place. The same sentence again is not read aloud again.
export function say(place, text) {
  if (place.textContent !== (text || "")) place.textContent = text || "";
  place.hidden = !text;
}

export function onClick(name, listener) {
  for (const button of act(name)) button.addEventListener("click", listener);
}

export function download(uri, name) {
  make("a", { href: uri, download: name }).click();
}

export function readAsURI(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

export async function loadImage(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

// A number as a person writes it: at most two decimals, none that say nothing.
export const short = (value) => String(Math.round(value * 100) / 100).replace("-", "\u2212");
export const number = (value) => value.toLocaleString("en");

// "3 h 5 min", "4 min", "20 s": as exact as a person needs.
export function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// One tooltip for all `[data-tip]`, in the browser's top layer so that no scrolling box cuts it off.
export function createTips() {
  const tip = find(".tip");
  let timer;
  function show(target) {
    tip.textContent = target.dataset.tip;
    tip.showPopover();
    const at = target.getBoundingClientRect();
    const box = tip.getBoundingClientRect();
    const below = at.bottom + 8 + box.height < innerHeight;
    tip.style.left = `${clamp(at.left + at.width / 2 - box.width / 2, 8, innerWidth - box.width - 8)}px`;
    tip.style.top = `${below ? at.bottom + 8 : at.top - box.height - 8}px`;
  }
  function hide() {
    clearTimeout(timer);
    if (tip.matches(":popover-open")) tip.hidePopover();
  }
  function over(event) {
    const target = event.target.closest?.("[data-tip]");
    hide();
    if (target) timer = setTimeout(() => target.isConnected && show(target), event.type === "focusin" ? 0 : 450);
  }
  panel.addEventListener("pointerover", over);
  panel.addEventListener("focusin", (event) => /** @type {Element} */ (event.target).matches(":focus-visible") && over(event));
  for (const name of ["pointerleave", "pointerdown", "focusout", "keydown"]) panel.addEventListener(name, hide);
}
