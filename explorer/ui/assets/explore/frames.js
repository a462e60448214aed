// Key frames of a drag: pictures over the range of the direction that moves, nearest first; where anything else moves,
// the picture of now, over and over. They are made beside the drag, and the server's previews start from them: asked for
// where a generator is too slow to follow the hand.

const FRAMES = 5; // over a domain's range their blends are at 34 dB of the truth, those of three at 29 (docs/measurements.md)
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
    if (generator.steps.length) return;
    const direction = moving();
    if (!direction) return ask([state.json()]);
    const { id, low, high } = direction;
    const own = state.edit.strengths.get(id) ?? 0;
    const at = (strength) => state.json({ ...state.edit, strengths: new Map(state.edit.strengths).set(id, strength) });
    const strengths = Array.from({ length: FRAMES }, (_, index) => low + ((high - low) * index) / (FRAMES - 1));
    const drag = JSON.stringify([state.steps.at, ...strengths.map(at)]);
    if (drag === asked) return;
    asked = drag;
    strengths.sort((a, b) => Math.abs(a - own) - Math.abs(b - own));
    ask(strengths.map(at));
  };
  function ask(edits) {
    loop.later({ name: "frames", edits, max_px: FRAME_PX, moving: true, done() {} });
  }
}
