// Key frames of a drag: pictures over the range of the direction that moves, nearest first. They are made beside the
// drag, and the server paints what lies between two of them: asked for where a generator is too slow to follow the hand.

const FRAMES = 5; // over a domain's range they leave 39 dB of a picture's truth, three 30 (docs/measurements.md)
const FRAME_PX = 64; // of the answers, which are not shown

export function createFrames(state, generator, loop) {
  const still = (edit) => JSON.stringify(state.json({ ...edit, strengths: new Map(), layers: new Map() }));
  let asked = "";

  // The one direction that has moved since the edit rested; none where anything else has changed too.
  function moving() {
    const { texts, at } = state.steps;
    const before = state.parse(JSON.parse(texts[at]));
    const differs = ({ id }) => (state.edit.strengths.get(id) ?? 0) !== (before.strengths.get(id) ?? 0);
    const moved = generator.directions.filter(differs);
    return moved.length === 1 && still(state.edit) === still(before) ? moved[0] : null;
  }
  return function frames() {
    const direction = generator.steps.length ? null : moving();
    if (!direction) return;
    const { id, low, high } = direction;
    const own = state.edit.strengths.get(id) ?? 0;
    const at = (strength) => state.json({ ...state.edit, strengths: new Map(state.edit.strengths).set(id, strength) });
    const strengths = Array.from({ length: FRAMES }, (_, index) => low + ((high - low) * index) / (FRAMES - 1));
    const all = JSON.stringify(strengths.map(at));
    if (all === asked) return;
    asked = all;
    strengths.sort((a, b) => Math.abs(a - own) - Math.abs(b - own));
    loop.later({ name: "frames", edits: strengths.map(at), max_px: FRAME_PX, moving: true, done() {} });
  };
}
