// Knobs of a MIDI controller and axes of a gamepad, each on one direction: "Learn a knob", then turn it.

import { panel } from "../dom.js";
import { readJSON } from "./state.js";

const SETTLED = 400; // ms without a turn until it is a step of the history
const TURN = 0.02; // of an axis that counts as turned
const CONTROL = 0xb0; // MIDI: a control has changed, on one of 16 channels

export function createKnobs(state, generator, say) {
  const key = `explorer:${generator.key}:knobs`;
  const directions = new Map(generator.directions.map((direction) => [direction.id, direction]));
  const bound = readJSON(localStorage, key) ?? {}; // name of a knob -> id of its direction
  const axes = new Map(); // name of an axis -> where it was
  let learning = null; // {direction, button}
  let listening = false;
  let rest;

  // `part` is 0 at one end of the knob and 1 at the other.
  function turned(knob, part) {
    if (!panel.isConnected) return; // Gradio has built another panel, with knobs of its own
    if (learning) {
      bound[knob] = learning.direction.id;
      localStorage.setItem(key, JSON.stringify(bound));
      learning.button.textContent = `On ${knob}`;
      learning.button.ariaPressed = "false";
      learning = null;
    }
    const direction = directions.get(bound[knob]);
    if (!direction) return;
    state.strength(direction.id, direction.low + part * (direction.high - direction.low));
    clearTimeout(rest);
    rest = setTimeout(state.commit, SETTLED);
  }
  function poll() {
    if (!panel.isConnected) return;
    for (const pad of navigator.getGamepads?.() ?? []) {
      pad?.axes.forEach((value, index) => {
        const name = `gamepad ${pad.index + 1}, axis ${index + 1}`;
        const before = axes.get(name);
        if (before !== undefined && Math.abs(value - before) < TURN) return;
        axes.set(name, value);
        if (before !== undefined) turned(name, (value + 1) / 2);
      });
    }
    requestAnimationFrame(poll);
  }
  function hear(input) {
    input.onmidimessage = ({ data: [status, control, value] }) => {
      if ((status & 0xf0) === CONTROL) turned(`knob ${control}, channel ${(status & 0x0f) + 1}`, value / 127);
    };
  }
  async function listen() {
    if (listening) return;
    listening = true;
    poll();
    if (!navigator.requestMIDIAccess) return say("This browser knows no MIDI controllers; a gamepad's axes are heard.");
    try {
      const access = await navigator.requestMIDIAccess();
      access.inputs.forEach(hear);
      access.addEventListener("statechange", ({ port }) => port?.type === "input" && hear(port));
    } catch {
      say("MIDI controllers are not allowed on this page; a gamepad's axes are heard.");
    }
  }
  function learn(direction, button) {
    if (learning) learning.button.ariaPressed = "false";
    const again = learning?.direction === direction;
    learning = again ? null : { direction, button };
    button.ariaPressed = String(!again);
    button.textContent = again ? "Learn a knob" : "Turn a knob now";
    if (!again) listen();
  }
  if (Object.values(bound).some((id) => directions.has(id))) listen();
  return { learn };
}
