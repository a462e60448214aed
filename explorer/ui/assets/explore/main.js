// Puts the parts together: a change of the edit asks for a picture; an edit at rest is kept, compared and shown in
// strips. Python sees the resting edit in `value`, and may write one there.

import "../bus.js";
import { act, createTips, find, loadImage, panel } from "../dom.js";
import { createBatch } from "./batch.js";
import { createCode } from "./code.js";
import { createFilm } from "./film.js";
import { createFrames } from "./frames.js";
import { createGrab } from "./grab.js";
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
import { createTimeline } from "./timeline.js";
import { createTray } from "./tray.js";

const SHARE_REST = 300; // ms until Python is told; telling it makes Gradio read the whole panel again

function start(generator) {
  const state = createState(generator);
  const stage = createStage(generator, () => { asked = ""; ask(state.edit); });
  let refused = false; // the message over the picture is about the edit; the next picture takes it away
  const loop = createLoop({
    ask: (request) => server.pictures(request),
    onPictures: async ({ edits, draft, preview, sharp }, uris) => {
      stage.show(await loadImage(uris[0]), edits[0], preview ? draft : null, sharp && (await loadImage(sharp)));
      if (uris.length > 1) batch.show(edits, uris);
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
  const film = createFilm({ state, generator, loop, stage, onOpen: () => { batch.close(); neighbours.close(); } });
  const timeline = createTimeline({ state, shots, film, code, generator, stage, box: find("#snapshots") });
  const grab = createGrab(state, generator, stage, film);
  const activate = (direction, andOpen = false) => { tray.activate(direction, andOpen); rest(); };
  const does = { strip: (direction) => activate(direction, true), learn: createKnobs(state, generator, stage.say).learn, across: (direction) => grab.choose("across", direction), up: (direction) => grab.choose("up", direction) };
  const rows = createRows(state, generator, loop, {
    onActive: activate,
    onUnfold: grab.show,
    does,
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
  const neighbours = createNeighbours(state, generator, loop, stage, () => batch.close());
  const batch = createBatch({ state, generator, loop, stage, shots, code, ask: () => ask(state.edit), onOpen: () => neighbours.close() });
  let asked = "";
  let beforeOf = "";
  let sharing;

  function ask(edit) {
    const json = state.json(edit);
    if (!refused) stage.say(""); // it was about what is past
    const request = batch.request() ?? { edits: [json], max_px: generator.max_px, sharpen: stage.sharpens };
    if (JSON.stringify(request.edits) !== asked) loop.want({ ...request, exact: false });
    asked = JSON.stringify(request.edits);
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
  panel.addEventListener("pointerup", loop.release);
  shots.onChange(() => refused || stage.say(""));
  const picture = (action) => () => film.on || action(); // what a film has no part in
  const letters = { p: () => (film.on ? film.pause() : timeline.play()), r: code.random, n: picture(neighbours.toggle), b: () => stage.hold(true), c: picture(compare), g: picture(batch.toggle), s: picture(tray.snapshot), x: surprise, w: wander, f: fill, h: bare, "/": rows.focusSearch, escape: () => (film.on ? film.close() : batch.on ? batch.close() : neighbours.close()) };
  createKeys({ state, letters, released: { b: () => stage.hold(false) }, leaveSearch: rows.clearSearch });
  createTips();
  createKeep({ tab: "explore", state, shots, generator, say: stage.say, film });
  ask(state.edit);
  own.offerBack();
}

window.domainExplorer.begin(() => start(withMarks(props.generator)));
