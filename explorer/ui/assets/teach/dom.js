// Small helpers of the panel's scripts. All scripts share one function scope, in which Gradio provides `element`,
// `props`, `server` and `trigger`.

const panel = element.querySelector(".teach");
const find = (selector) => panel.querySelector(selector);
const all = (selector) => [...panel.querySelectorAll(selector)];

function make(tag, attributes = {}, ...children) {
  const node = Object.assign(document.createElement(tag), attributes);
  node.append(...children);
  return node;
}

function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// One sentence in a place made for it; none hides the place.
function say(place, text) {
  place.textContent = text ?? "";
  place.hidden = !text;
}

// "3 h 5 min", "4 min", "20 s": as exact as a person needs.
function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.max(Math.round(seconds), 1)} s`;
  if (minutes < 90) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const number = (value) => value.toLocaleString("en");
