// How the whole picture is turned and shifted, for generators that can: sliders that speak of the motion itself.

import { all, clamp } from "../dom.js";
import { typed } from "./keys.js";

export function createPose(state, generator) {
  const controls = all("[data-pose]");
  for (const field of all(".pose")) field.hidden = !generator.pose;
  for (const control of controls) {
    const name = control.dataset.pose;
    control.addEventListener("input", () => control.value !== "" && state.set({ [name]: Number(control.value) }));
    control.addEventListener("change", () => { state.commit(); showValue(control); });
    control.addEventListener("dblclick", () => state.change({ [name]: 0 }));
  }
  function showValue(control) {
    const value = state.edit[control.dataset.pose];
    if (control !== typed) control.value = Math.round(value * 1000) / 1000;
    if (control.type !== "range") return;
    const at = clamp((value - control.min) / (control.max - control.min), 0, 1);
    control.style.setProperty("--lo", Math.min(at, 0.5));
    control.style.setProperty("--hi", Math.max(at, 0.5));
  }
  const show = () => controls.forEach(showValue);
  state.onChange(show);
  show();
}
