// The Model tab: facts of the loaded generator, one small picture a domain, and the way to another generator.

import { find, make, panel, say } from "../dom.js";
import { pageOf } from "../pages.js";
import { createArrange } from "./arrange.js";
import { createFiles } from "./files.js";
import { createUpload } from "./upload.js";

const trouble = find(".others .trouble");
const SEED = 4;

// A lesson that was kept, or a file that was saved, may have changed both: asked again whenever the tab is opened.
let shown = "";
let first = null;
async function look() {
  const answer = await server.look({});
  if (!answer) return say(trouble, "The server did not answer: open this tab again.");
  if (JSON.stringify(answer) === shown) return;
  shown = JSON.stringify(answer);
  first = answer.first;
  showFacts(answer.model);
  showOthers(answer.others);
  files.show(answer.latest);
  arrange.show(answer.model);
  await showDomains(answer.model.domains);
  panel.dataset.ready = "";
}

function showFacts(model) {
  find(".loaded h2").textContent = model.name;
  const count = model.domains.length;
  find(".what").textContent = count
    ? `Makes pictures of ${model.resolution} x ${model.resolution} px, and knows ${count} ${count === 1 ? "domain" : "domains"}:`
    : `Makes pictures of ${model.resolution} x ${model.resolution} px.`;
  find(".no-domains").hidden = count > 0;
  find(".no-domains .teach").hidden = !window.domainExplorer.hasTab("teach");
  const facts = [
    ["Kind", model.kind, "of generator"],
    ["Free directions", model.free, "room for new domains"],
    ["Differences measured with", model.perceptual, "the network that says how unlike two pictures look"],
    ["Computed on", model.hardware, "device, and how exactly it computes"],
  ];
  find("dl").replaceChildren(...facts.flatMap(([name, value, note]) => {
    return [make("dt", {}, name), make("dd", {}, value, make("small", { className: "soft" }, note))];
  }));
}

async function showDomains(domains) {
  const images = [];
  find(".domains").replaceChildren(...domains.map((name) => {
    const figure = document.createElement("figure");
    const image = Object.assign(new Image(), { alt: "" });
    figure.setAttribute("role", "listitem");
    figure.append(image, make("figcaption", {}, name));
    images.push(image);
    return figure;
  }));
  for (let from = 0; from < images.length; from += 4) { // in small parts, so that nobody's drag waits
    const edits = domains.slice(from, from + 4).map((name) => ({ seed: SEED, strengths: [[name, 1]] }));
    const answer = await server.pictures({ edits });
    answer?.pictures?.forEach((uri, i) => (images[from + i].src = uri));
  }
}

function showOthers(names) {
  find(".others").hidden = !names; // this page can open no other
  const select = find("select");
  const before = select.value;
  select.replaceChildren(...(names ?? []).map((name) => new Option(name, name)));
  if (names?.includes(before)) select.value = before;
  select.disabled = find(".open").disabled = !names?.length;
}

function open(name) {
  find(".open").disabled = true;
  find(".open").textContent = "Opening";
  location.assign(pageOf(name, first));
}
// What an answer leads to: a page, or a sentence on why not.
function follow(answer) {
  if (answer?.name) open(answer.name);
  else say(trouble, answer?.error ?? "The server did not answer: try again.");
}

const files = createFiles(trouble, follow);
const arrange = createArrange(open);
createUpload(trouble, follow);
find(".no-domains .teach").addEventListener("click", () => window.domainExplorer.openTab("teach"));
find(".open").addEventListener("click", () => open(find("select").value));
new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && look()).observe(panel);
