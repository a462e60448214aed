// Puts the parts together: a change of the edit asks for a picture; an edit at rest is kept, compared and shown in
// strips. Python sees the resting edit in `value`, and may write one there.

import "../bus.js";
import { act, createTips, loadImage } from "../dom.js";
import { createCode } from "./code.js";
import { createFrames } from "./frames.js";
import { createKeep } from "./keep.js";
import { createKeys } from "./keys.js";
import { createKnobs } from "./knobs.js";
import { createLoop } from "./loop.js";
import { storeMarks, withMarks } from "./marks.js";
import { createNeighbours } from "./neighbours.js";
import { createOwn } from "./own.js";
import { createPerform } from "./perform.js";
import { createPose } from "./pose.js";
import { createRows } from "./rows.js";
import { createShots } from "./shots.js";
import { createStage } from "./stage.js";
import { createState } from "./state.js";
import { createSteps } from "./steps.js";
import { createTray } from "./tray.js";

const SHARE_REST = 300; // ms until Python is told; telling it makes Gradio read the whole panel again

function start(generator) {
  const state = createState(generator);
  const stage = createStage();
  let refused = false; // the message over the picture is about the edit; the next picture takes it away
  const loop = createLoop({
    ask: (request) => server.pictures(request),
    onPictures: async ({ edits, draft, preview }, [uri]) => {
      stage.show(await loadImage(uri), edits[0], preview ? draft : null);
      if (preview) frames();
      if (refused) stage.say("");
      refused = false;
    },
    onError: (text) => { stage.say(text); refused = true; },
    onLost: stage.lost,
  });
  const code = createCode(state, generator);
  createPose(state, generator);
  createSteps(state, generator);
  const shots = createShots(generator.key);
  const tray = createTray(state, generator, loop, stage, shots);
  const rows = createRows(state, generator, loop, {
    onActive(direction, andOpen) { tray.activate(direction, andOpen); rest(); },
    onLearn: createKnobs(state, generator, stage.say).learn,
    async onMark() {
      tray.refresh();
      const trouble = await storeMarks(generator);
      if (trouble) stage.say(trouble);
    },
    onExport: (direction) => own.onExport(direction),
    onRemove: (direction) => own.onRemove(direction),
  });
  const own = createOwn(state, generator, stage.say);
  const { surprise, wander, fill, bare } = createPerform(state, generator, code);
  const frames = createFrames(state, generator, loop);
  const neighbours = createNeighbours(state, generator, loop, stage, code);
  let asked = "";
  let beforeOf = "";
  let sharing;

  function ask(edit) {
    const json = state.json(edit);
    if (!refused) stage.say(""); // it was about what is past
    if (JSON.stringify(json) !== asked) loop.want({ edits: [json], max_px: generator.max_px, exact: false });
    asked = JSON.stringify(json);
    for (const button of act("undo")) button.disabled = !state.canUndo;
    for (const button of act("redo")) button.disabled = !state.canRedo;
    rest();
  }
  // Work for when nothing moves: the picture to compare with, the strip, and Python's copy.
  function rest() {
    if (!state.atRest) return;
    const before = state.json({ ...state.edit, strengths: new Map(), layers: new Map() });
    if (JSON.stringify(before) !== beforeOf) {
      beforeOf = JSON.stringify(before);
      const done = async (_, uri) => stage.before(await loadImage(uri));
      loop.later({ name: "before", edits: [before], max_px: generator.max_px, exact: true, done });
    }
    tray.refresh();
    rows.refresh();
    neighbours.refresh();
    clearTimeout(sharing);
    sharing = setTimeout(share, SHARE_REST);
  }
  function share() {
    props.value = state.json();
    trigger("commit");
  }
  watch("value", () => {
    const given = props.value;
    if (given?.version && JSON.stringify(given) !== JSON.stringify(state.json())) state.change(state.parse(given));
  });
  const compare = () => stage.compare(!stage.comparing);

  act("undo")[0].addEventListener("click", state.undo);
  act("redo")[0].addEventListener("click", state.redo);
  act("compare")[0].addEventListener("click", compare);
  act("compose")[0].addEventListener("click", () => window.domainExplorer.openEdit("compose", state.json()));
  act("compose")[0].hidden = !window.domainExplorer.hasTab("compose");
  state.onChange(ask);
  shots.onChange(() => refused || stage.say(""));
  const letters = { r: code.random, n: neighbours.toggle, b: () => stage.hold(true), c: compare, s: tray.snapshot, x: surprise, w: wander, f: fill, h: bare, "/": rows.focusSearch, escape: neighbours.close };
  createKeys({ state, letters, released: { b: () => stage.hold(false) }, leaveSearch: rows.clearSearch });
  createTips();
  createKeep({ tab: "explore", state, shots, generator, say: stage.say });
  ask(state.edit);
  own.offerBack();
}

window.domainExplorer.begin(() => start(withMarks(props.generator)));
