// Small helpers of the panel's scripts, and the tooltips. All scripts share one function scope, in which Gradio
// provides `element`, `props`, `server`, `trigger` and `watch`.

const panel = element.querySelector("[data-frames]");
const find = (selector) => panel.querySelector(selector);
const act = (name) => panel.querySelectorAll(`[data-do="${name}"]`);

function make(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

function fromTemplate(name) {
  return find(`.${name}-template`).content.firstElementChild.cloneNode(true);
}

// A number as a person writes it: at most two decimals, none that say nothing.
const short = (value) => String(Math.round(value * 100) / 100).replace("-", "\u2212");
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function download(uri, name) {
  make("a", { href: uri, download: name }).click();
}

async function loadImage(uri) {
  const image = new Image();
  image.src = uri;
  await image.decode();
  return image;
}

// One tooltip for all `[data-tip]`, in the browser's top layer so that no scrolling box cuts it off.
function createTips() {
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
    if (target) timer = setTimeout(() => show(target), event.type === "focusin" ? 0 : 450);
  }
  panel.addEventListener("pointerover", over);
  panel.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && over(event));
  for (const name of ["pointerleave", "pointerdown", "focusout", "keydown"]) panel.addEventListener(name, hide);
}
