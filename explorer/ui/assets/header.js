// What all tabs share: light or dark, the list of keys, and one sentence at the first visit of each tab.

import "./bus.js";
import { onFirst, pageOf } from "./pages.js";
import { createProjects } from "./projects.js";
import { readThumbs, storeThumb } from "./thumbs.js";
import { createTour } from "./tour.js";

const find = (selector) => element.querySelector(selector);

// Gradio follows the system; a choice made here is kept in this browser.
const chosen = localStorage.getItem("explorer:theme");
if (chosen) document.body.classList.toggle("dark", chosen === "dark");
for (const button of element.querySelectorAll(".theme")) {
  button.addEventListener("click", () => {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("explorer:theme", dark ? "dark" : "light");
  });
}

// The way to another generator, and back to the first page; what a visitor brought is in the list of its own page only.
const generators = find(".generator select");
const { name, names, first, resolution } = generators.dataset;
const known = JSON.parse(names);
const here = known.includes(name) ? known : [name, ...known];
const listed = first && !onFirst && !here.includes(first) ? [...here, first] : here;
generators.append(...listed.map((one) => new Option(one.split("~")[0], one, one === name, one === name)));
generators.disabled = generators.length < 2;
// Each with its picture, in browsers whose lists take pictures; others show the names.
function showThumbs() {
  const thumbs = readThumbs();
  for (const option of generators.options) {
    const uri = thumbs[option.value.split("~")[0]];
    option.querySelector("img")?.remove();
    if (uri) option.prepend(Object.assign(new Image(), { src: uri, alt: "" }));
  }
}
showThumbs();
for (const event of ["pointerdown", "focus"]) generators.addEventListener(event, () => { storeThumb(name); showThumbs(); });
window.addEventListener("pagehide", () => storeThumb(name));
generators.addEventListener("change", () => location.assign(pageOf(generators.value, first)));
window.addEventListener("pageshow", () => (generators.value = name)); // back from another one

createProjects({ key: find(".projects").dataset.key, name, resolution });

const keys = find(".keys");
const typing = (target) => target.matches?.("input:not([type=range], [type=radio], [type=checkbox]), textarea, select");
find(".keys-open").addEventListener("click", () => keys.showModal());
document.addEventListener("keydown", (event) => {
  if (event.key !== "?" || typing(event.target) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  keys.showModal();
});

// A file dropped beside what takes files would be opened in place of the page.
for (const name of /** @type {const} */ (["dragover", "drop"])) {
  document.addEventListener(name, (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "none";
  });
}

// Past the header and the tabs, to what the open tab is about.
find(".skip").addEventListener("click", () => {
  const open = [...document.querySelectorAll("[data-panel]")].find((panel) => panel instanceof HTMLElement && panel.offsetParent);
  const controls = open?.querySelector(".controls") ?? open;
  if (!(controls instanceof HTMLElement)) return;
  controls.tabIndex = -1;
  controls.focus();
});

const HINTS = {
  explore: "Drag a slider: the picture follows.",
  photo: "Bring a photo: it is rebuilt, and every slider works on it.",
  compose: "Choose two domains, drag their weights, share the result.",
  teach: "A style, words or pictures become a slider.",
  model: "What this generator knows, and the way to others.",
};
const SEEN = "explorer:seen"; // tabs whose hint was read, or left behind
let hinted = null;

function readSeen() {
  try {
    return JSON.parse(localStorage.getItem(SEEN) ?? "null") ?? [];
  } catch {
    return []; // written by another program: hints are shown again
  }
}
function hint(tab) {
  if (tab === hinted) return;
  if (hinted) localStorage.setItem(SEEN, JSON.stringify([...new Set([...readSeen(), hinted])]));
  hinted = tab;
  find(".first").hidden = !HINTS[tab] || readSeen().includes(tab);
  find(".first span").textContent = HINTS[tab] ?? "";
  find(".first .tour-open").hidden = tab !== "explore";
}
// Never again.
function dismiss() {
  find(".first").hidden = true;
  localStorage.setItem(SEEN, JSON.stringify([...new Set([...readSeen(), hinted])]));
}
find(".got-it").addEventListener("click", dismiss);
const tour = createTour(element);
for (const button of element.querySelectorAll(".tour-open")) {
  button.addEventListener("click", () => { keys.close(); dismiss(); tour.start(); });
}
// From tab to tab, around the ends (ARIA's pattern of tabs).
function step(bar, event) {
  const tabs = [...bar.querySelectorAll("[role=tab]")].filter((tab) => tab.offsetParent);
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  const next = tabs.at(to % tabs.length);
  next.click();
  next.focus();
}
// The address says which tab is open, so that a reload and the way back lead there; Explore needs no word.
function remember(tab) {
  const query = new URLSearchParams(location.search);
  if (tab === "explore") query.delete("tab");
  else query.set("tab", tab);
  const now = `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`;
  if (now !== `${location.pathname}${location.search}${location.hash}`) history.replaceState(history.state, "", now);
}
function follow() {
  const bar = document.querySelector("#tabs > .tab-wrapper");
  if (!bar) return requestAnimationFrame(follow); // the tabs are built after this header
  bar.addEventListener("keydown", (event) => step(bar, event));
  const open = () => bar.querySelector("[role=tab][aria-selected=true]")?.textContent.trim().toLowerCase();
  const look = () => { hint(open()); if (open()) remember(open()); };
  const asked = new URLSearchParams(location.search).get("tab");
  if (asked && !window.domainExplorer.link) window.domainExplorer.openTab(asked); // a link opens its own
  new MutationObserver(look).observe(bar, { subtree: true, attributeFilter: ["aria-selected"] });
  hint(open());
}
follow();
