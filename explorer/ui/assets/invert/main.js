// Puts the parts together: the session's state decides what is seen.

import "../bus.js";
import { createTips, find, panel, say } from "../dom.js";
import { createCamera } from "./camera.js";
import { createCompare } from "./compare.js";
import { createCourse, showPlots } from "./course.js";
import { createFrame } from "./frame.js";
import { createPast } from "./past.js";
import { createPhoto } from "./photo.js";
import { createGo, createResult } from "./result.js";
import { createSession } from "./session.js";
import { createSettings } from "./settings.js";
import { createUses } from "./uses.js";

function start(studio) {
  const shared = (window.domainExplorer ??= {});
  const session = (shared.inverting ??= createSession(studio));
  const settings = createSettings(session, studio);
  const go = createGo(session);
  const parts = [
    createFrame(session), createPhoto(session, studio, settings), createCourse(session, settings), createResult(session, studio, go), createPast(session, go),
    createUses(session, studio, go),
  ];
  const compare = createCompare();
  createCamera(session);
  createTips();

  function phaseOf({ job, result, photo, camera }) {
    if (job) return "working";
    if (camera) return "camera";
    if (result) return "result";
    return photo ? "photo" : "empty";
  }
  let plotted = null;
  let shown = null; // phase and result: where another one is shown, it comes into view
  function show(state) {
    const { job, result } = state;
    const phase = phaseOf(state);
    panel.dataset.phase = phase;
    const now = { phase, id: result?.id };
    const moved = shown && !(shown.phase === "working" && phase === "result") && (shown.phase !== phase || shown.id !== now.id);
    shown = now;
    const places = { ".welcome": "empty", ".camera": "camera", ".photo": "photo", ".framing": "photo", ".course": "working", ".outcome": "result", ".every": "result" };
    for (const [place, of] of Object.entries(places)) find(place).hidden = phase !== of;
    find(".compare").hidden = !["working", "result"].includes(phase);
    say(find(".trouble"), state.trouble);
    say(find(".busy"), state.busy);
    settings.show();
    for (const part of parts) part(state);
    if (phase === "working") compare(job.target, job.picture);
    if (phase === "result") compare(result.target, result.picture);
    const trace = studio.exact ? [] : phase === "working" ? job.trace : phase === "result" ? result.trace : [];
    if (trace !== plotted) showPlots(find(phase === "working" ? ".course" : ".details"), trace);
    plotted = trace;
    if (moved) find(".area").scrollIntoView({ block: "nearest" });
    panel.dataset.looks = String(Number(panel.dataset.looks) + 1);
  }
  session.attach(server, show);
  window.domainExplorer.receive("photo", panel, session.takePhoto);
}

window.domainExplorer.begin(() => start(props.generator));
