// Styles made by code, each drawn over one of the generator's own pictures: what a lesson from a style would look like.

import { find, make, say } from "../dom.js";

export function createStyles(ask, onChoose) {
  const group = find(".styles");
  let shown = null; // the generator whose pictures these are

  function tile({ name, picture }) {
    const radio = make("input", { type: "radio", name: "style", value: name });
    radio.addEventListener("change", () => onChoose(name));
    const image = make("img", { src: picture, alt: "", draggable: false });
    return make("label", {}, radio, image, make("span", { textContent: name }));
  }
  async function show(generator) {
    if (shown === generator) return;
    shown = generator;
    const answer = await ask();
    if (answer.error) shown = null; // the next look asks again
    say(find(".wish .trouble"), answer.error);
    const before = chosen();
    if (answer.styles) group.replaceChildren(...answer.styles.map(tile));
    for (const radio of group.querySelectorAll("input")) radio.checked = radio.value === before;
  }
  const chosen = () => group.querySelector("input:checked")?.value ?? "";

  return { show, get chosen() { return chosen(); } };
}
