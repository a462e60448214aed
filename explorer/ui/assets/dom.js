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

const HOVER = 450; // ms over a control until its tip is shown
const PRESS = 600; // ms a finger rests on it
const READ = 4000; // ms that a tip stays after a finger was lifted

// One tooltip for all `[data-tip]`, in the browser's top layer so that no scrolling box cuts it off. Fingers press long;
// what they press is then not also done.
export function createTips() {
  const tip = find(".tip");
  let timer;
  let told = null; // what a finger was told of, until it presses again
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
    if (event.pointerType === "touch") return;
    const target = event.target.closest?.("[data-tip]");
    hide();
    if (target) timer = setTimeout(() => target.isConnected && show(target), event.type === "focusin" ? 0 : HOVER);
  }
  function press(event) {
    hide();
    const target = event.pointerType === "touch" && event.target.closest?.("[data-tip]");
    if (target) timer = setTimeout(() => { show(target); told = target; timer = setTimeout(hide, READ); }, PRESS);
  }
  function lift() {
    if (!told) clearTimeout(timer);
  }
  // The click that ends a long press.
  function click(event) {
    if (!told?.contains(event.target)) return;
    event.preventDefault();
    event.stopPropagation();
  }
  panel.addEventListener("pointerover", over);
  panel.addEventListener("focusin", (event) => /** @type {Element} */ (event.target).matches(":focus-visible") && over(event));
  panel.addEventListener("pointerdown", (event) => { told = null; press(event); });
  panel.addEventListener("click", click, true);
  for (const name of ["pointerup", "pointercancel"]) panel.addEventListener(name, lift);
  for (const name of ["pointerleave", "focusout", "keydown"]) panel.addEventListener(name, () => told || hide());
  panel.addEventListener("contextmenu", (event) => told && event.preventDefault()); // what browsers make of a long press
}
