// Puts the parts together: a change of the weights asks for pictures; weights at rest are kept and shown on the boards.

import { act, all, createTips, find, loadImage } from "../dom.js";
import { createCode, LARGEST_SEED } from "./code.js";
import { createPad } from "./pad.js";
import { createPicks } from "./picks.js";
import { createStage } from "./stage.js";
import { createViews } from "./views.js";
import { createFilm } from "../explore/film.js";
import { createFrames } from "../explore/frames.js";
import { createHistory } from "../explore/history.js";
import { createKeep } from "../explore/keep.js";
import { createKeys } from "../explore/keys.js";
import { createLoop } from "../explore/loop.js";
import { withMarks } from "../explore/marks.js";
import { createPose } from "../explore/pose.js";
import { createShots } from "../explore/shots.js";
import { composeKey, createState } from "../explore/state.js";
import { createSteps } from "../explore/steps.js";

function start(generator) {
  const bus = window.domainExplorer;
  const state = createState({ ...generator, key: composeKey(generator) });
  const stage = createStage();
  let refused = false; // the message over the picture is about the edit; the next picture takes it away
  const loop = createLoop({
    ask: (request) => server.pictures(request),
    onPictures: async ({ edits, preview }, uris) => {
      stage.show(await Promise.all(uris.map(loadImage)), edits, preview);
      if (preview) frames();
      if (refused) stage.say("");
      refused = false;
    },
    onError: (text) => { stage.say(text); refused = true; },
    onLost: stage.lost,
  });
  const frames = createFrames(state, generator, loop);
  const shots = createShots(generator.key);
  const picks = createPicks(state, generator);
  const code = createCode(state);
  createPose(state, generator);
  createSteps(state, generator);
  const views = createViews(state, generator, picks, loop, stage);
  const film = createFilm({ state, generator, loop, stage, onOpen: () => views.open("picture") });
  createPad(state, picks, loop, film);
  const past = find(".past");
  const history = createHistory(state, loop, past);
  const count = () => (state.edit.latent ? 1 : Number(find("[name=seeds]:checked").value));
  const MORE_PX = 256; // px asked for each of several pictures
  const KEPT = 4000; // ms that a snapshot is spoken of
  let hiding;
  let asked = "";

  function ask(edit) {
    const seeds = Array.from({ length: count() }, (_, index) => (edit.seed + index) % (LARGEST_SEED + 1));
    const edits = seeds.map((seed) => state.json({ ...edit, seed }));
    const max_px = edits.length > 1 ? Math.min(MORE_PX, generator.max_px ?? MORE_PX) : generator.max_px;
    if (!refused) stage.say(""); // it was about what is past
    if (JSON.stringify(edits) !== asked) loop.want({ edits, max_px, exact: false });
    asked = JSON.stringify(edits);
    act("undo")[0].disabled = !state.canUndo;
    act("redo")[0].disabled = !state.canRedo;
    showHint(edit);
    views.refresh();
    history.show();
  }
  function showHint({ strengths }) {
    const none = picks.domains.length === 0;
    find(".hint").hidden = strengths.size > 0;
    find(".hint p").textContent = none
      ? "There are no domains to add up yet. Teach this generator one, open one that has some, or try two factors."
      : "Choose domains: their sum is painted here.";
    act("teach")[0].hidden = !none || !bus.hasTab("teach");
  }
  // Every picture on the stage, and a word that it is kept.
  function snapshot() {
    const { shown } = stage;
    const kept = shown.filter(({ edit, image }) => shots.add(edit, image)).length;
    if (kept < shown.length) return stage.say(`This browser has no room for ${kept ? "all of them" : "more snapshots"}; delete some in Explore.`);
    if (!kept) return;
    const box = find(".kept");
    find(".kept span").textContent = kept === 1 ? "Kept with Explore\u2019s snapshots" : `All ${kept} kept with Explore\u2019s snapshots`;
    box.hidden = false;
    for (const canvas of all(".canvases canvas")) canvas.animate([{ opacity: 0.35 }, { opacity: 1 }], 240);
    clearTimeout(hiding);
    hiding = setTimeout(() => { box.hidden = true; }, KEPT);
  }
  function showPast() {
    past.hidden = !past.hidden;
    act("history")[0].ariaPressed = String(!past.hidden);
    history.show();
  }
  async function equalise() {
    const answer = await server.equalise({ edit: state.json() });
    if (!answer || answer.error) return stage.say(answer?.error ?? "The server does not answer. Try again in a moment.");
    state.change({ strengths: new Map([...state.edit.strengths, ...answer.strengths]) });
  }

  const actions = { undo: state.undo, redo: state.redo, history: showPast, snapshot, equalise, try: picks.tryTwo, "see-kept": () => bus.openTab("explore"), teach: () => bus.openTab("teach"), explore: () => bus.openEdit("explore", state.json()) };
  for (const [name, action] of Object.entries(actions)) act(name)[0].addEventListener("click", action);
  for (const radio of all("[name=seeds]")) radio.addEventListener("change", () => ask(state.edit));
  state.onChange(ask);
  shots.onChange(() => refused || stage.say(""));
  createKeys({ state, letters: { r: code.random, s: () => film.on || snapshot(), p: () => (film.on ? film.pause() : shots.read().length > 1 && film.open(shots.film())), escape: film.close } });
  createTips();
  createKeep({ tab: "compose", state, shots, generator, say: stage.say, film });
  ask(state.edit);
}

window.domainExplorer.begin(() => start(withMarks(props.generator)));
