// Which picture the sum is put on: a seed, or the code of a photo that another tab handed over.

import { act, clamp, find } from "../dom.js";
import { seeded } from "../explore/state.js";

export const LARGEST_SEED = 2 ** 32 - 1;
const COMMON_SEEDS = 100000; // random seeds stay short enough to remember

export function createCode(state) {
  const seed = find("[name=seed]");
  const take = (value) => state.change(seeded(clamp(Math.round(value) || 0, 0, LARGEST_SEED), state.edit));
  const random = () => take(Math.floor(Math.random() * COMMON_SEEDS));
  seed.addEventListener("change", () => { take(Number(seed.value)); seed.value = state.edit.seed; });
  act("previous")[0].addEventListener("click", () => take(state.edit.seed - 1));
  act("next")[0].addEventListener("click", () => take(state.edit.seed + 1));
  act("random")[0].addEventListener("click", random);
  function show({ seed: value, latent }) {
    seed.value = value;
    seed.parentElement.classList.toggle("from-photo", Boolean(latent));
    find(".photo").hidden = !latent;
  }
  state.onChange(show);
  show(state.edit);
  return { random };
}
