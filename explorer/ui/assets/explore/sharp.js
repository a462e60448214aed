// Whether a picture at rest is shown sharpened, larger by a network that adds what is likely: the visitor's choice, kept
// in the browser, and the label on the stage that says so and shows the truth.

import { find } from "../dom.js";

const SHARP = "explorer:sharp";

export function createSharp(generator, onChange) {
  const label = find(".sharp-tag");
  const fits = generator.sharp_side !== null;
  let on = fits && localStorage.getItem(SHARP) !== "0";

  function choose(wanted) {
    on = wanted;
    localStorage.setItem(SHARP, on ? "1" : "0");
    onChange();
  }
  label.addEventListener("click", () => choose(!on));
  return {
    get on() { return on; },
    // The label is there where the picture that is seen could be either.
    tell(seen) {
      label.hidden = !fits || !seen;
      label.ariaPressed = String(on);
      label.textContent = on ? "Sharpened" : "As generated";
    },
  };
}
