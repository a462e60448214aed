// In how many steps a picture is made, for generators that make theirs step by step; null is the generator's own number.

import { clamp, find } from "../dom.js";
import { typed } from "./keys.js";

const MOST = 250; // the server refuses more

export function createSteps(state, generator) {
  const own = generator.steps.at(-1);
  const [slider, number] = [find("#steps"), find("#steps-number")];
  find(".in-steps").hidden = !own;
  if (!own) return;

  for (const control of [slider, number]) {
    const take = () => {
      const steps = clamp(Math.round(Number(control.value)), 1, MOST);
      state.set({ steps: steps === own ? null : steps });
    };
    control.addEventListener("input", () => Number(control.value) >= 1 && take());
    control.addEventListener("change", () => { state.commit(); show(); });
    control.addEventListener("dblclick", () => state.change({ steps: null }));
  }
  function show() {
    const steps = state.edit.steps ?? own;
    slider.value = steps;
    if (number !== typed) number.value = steps;
    slider.style.setProperty("--hi", clamp((steps - slider.min) / (slider.max - slider.min), 0, 1));
  }
  state.onChange(show);
  show();
}
