// One lesson as it goes: pictures, progress, loss curves, and the buttons that act on it.

import { draw, duration, find, make, number, panel, say } from "../dom.js";

export const STATES = {
  waiting: "Waiting in line",
  preparing: "Getting ready", training: "Learning", paused: "Paused", stopping: "Saving",
  done: "Finished", stopped: "Stopped", failed: "Failed",
};
const RUNNING = ["preparing", "training", "paused", "stopping"];
const STRENGTHS = ["Without", "Half", "Full"];
const PLOT = { width: 300, height: 84 };

export function createLesson(onAct) {
  const kept = find(".kept");
  let lesson = null;
  let refusal = ""; // why the last button did nothing, until another one does

  // Rows of pictures; an <img> stays where it is and only gets another source, so nothing flickers.
  function showPictures(pictures, full, verdict) {
    say(find(".verdict"), verdict);
    const sheet = find(".sheet");
    const rows = full ? STRENGTHS : STRENGTHS.slice(0, 1);
    const columns = pictures.length / rows.length;
    if (sheet.childElementCount !== rows.length || sheet.firstElementChild.querySelectorAll("img").length !== columns) {
      sheet.replaceChildren(...rows.map((name) => make("div", { className: "strengths" },
        make("span", { className: "row-name", textContent: full ? name : "" }),
        ...Array.from({ length: columns }, (_, i) => make("img", { alt: `Picture ${i + 1}, ${name.toLowerCase()}` })))));
    }
    sheet.querySelectorAll("img").forEach((image, index) => { image.src = pictures[index]; });
  }
  function showActions() {
    const { state, resumable, ready } = lesson;
    const ended = state !== "waiting" && !RUNNING.includes(state);
    const shown = {
      pause: ["preparing", "training"].includes(state),
      unpause: state === "paused",
      stop: ["preparing", "training", "paused"].includes(state),
      resume: ended && resumable,
      keep: ended && ready && !lesson.kept,
      best: ended && lesson.best !== null && !lesson.kept,
      leave: state === "waiting",
    };
    for (const [name, on] of Object.entries(shown)) find(`.actions [data-do=${name}]`).hidden = !on;
    const advice = RUNNING.includes(state) ? (ready ? "Stop when you like what you see: it can be kept then." : "")
      : shown.best ? "Keep makes what was learned last a slider in Explore, Keep the best what the judge saw most of."
        : shown.keep ? "Keep makes it a slider in Explore."
          : shown.leave ? "It begins when the lesson before it ends, on top of what that learned, with or without this page." : "";
    find(".advice").textContent = advice;
    find("[data-do=keep]").lastChild.textContent = shown.best ? "Keep the last" : "Keep";
    const { best } = lesson;
    say(find(".best"), best && `Best so far: ${best.seen} of ${best.of} at step ${number(best.step)}, which is kept beside the last.`);
  }
  function showProgress() {
    const { state, step, steps, seconds_left, images_per_second } = lesson;
    find(".state").textContent = STATES[state];
    find(".steps").textContent = step ? `step ${number(step)} of ${number(steps)}` : "";
    const left = state === "training" && seconds_left !== null ? `${duration(seconds_left)} left` : "";
    const rate = state === "training" && images_per_second ? `${images_per_second.toFixed(1)} pictures a second` : "";
    find(".left").textContent = [left, rate].filter(Boolean).join(", ");
    const bar = find("progress");
    if (state === "preparing") bar.removeAttribute("value");
    else bar.value = steps ? step / steps : 0;
    say(find(".course .trouble"), refusal || (state === "failed" ? lesson.message : ""));
  }
  function plot({ title, points }) {
    const { width, height } = PLOT;
    const values = points.map(([, value]) => value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const last = Math.max(points.at(-1)[0], 1);
    const line = points.map(([step, value]) => {
      const y = 4 + (height - 8) * (high > low ? 1 - (value - low) / (high - low) : 0.5);
      return `${((width * step) / last).toFixed(1)},${y.toFixed(1)}`;
    });
    const text = `${title}: ${values.at(-1).toPrecision(3)} now, ${values[0].toPrecision(3)} at the start`;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": text },
      draw("polyline", { points: line.join(" "), "vector-effect": "non-scaling-stroke" }));
    const caption = make("figcaption", {}, make("span", { textContent: title }), make("b", { textContent: values.at(-1).toPrecision(3) }));
    return make("figure", {}, caption, svg);
  }
  function show(next) {
    const other = next?.id !== lesson?.id;
    if (other) refusal = "";
    lesson = next;
    panel.dataset.state = lesson?.state ?? "empty";
    find(".course").hidden = !lesson;
    if (!lesson) say(find(".best"), "");
    if (!lesson) return;
    find(".lesson h2").textContent = lesson.name;
    find(".what").textContent = lesson.what;
    showProgress();
    showActions();
    find(".plots").replaceChildren(...lesson.curves.filter(({ points }) => points.length > 1).map(plot));
    find(".command code").textContent = lesson.command;
    kept.hidden = !lesson.kept;
    find(".where").textContent = lesson.filed
      ? `“${lesson.name}” is a slider in Explore now. It is kept as ${lesson.filed}, which the list of generators has from the next start on.`
      : `“${lesson.name}” is a slider in Explore now, until the app is restarted: it could not be kept on this disk. Save it as a file to have it for good.`;
    if (other) {
      kept.elements.file.value = lesson.file;
      say(find(".saved"), "");
    }
  }
  function showEmpty(name) {
    find(".lesson h2").textContent = `What should ${name} learn?`;
    find(".what").textContent = "Choose an example, or your own words or pictures, and press Teach. These pictures will show what it has learned.";
  }
  async function act(what, more = {}) {
    refusal = "";
    const answer = await onAct({ id: lesson.id, what, ...more });
    refusal = answer.error ?? "";
    showProgress();
    return answer;
  }

  async function keep(best) {
    const { error } = await act("keep", { best });
    if (error) return;
    trigger("kept");
    window.domainExplorer.toast(`“${lesson.name}” is a slider in Explore now.`);
  }
  function explore() {
    const edit = { version: 1, strengths: [[lesson.name, 1]] };
    window.domainExplorer.openEdit("explore", edit);
  }

  for (const name of ["pause", "unpause", "stop", "resume", "leave"]) {
    find(`[data-do=${name}]`).addEventListener("click", () => act(name));
  }
  find("[data-do=keep]").addEventListener("click", () => keep(false));
  find("[data-do=best]").addEventListener("click", () => keep(true));
  find("[data-do=explore]").addEventListener("click", explore);
  kept.addEventListener("submit", async (event) => {
    event.preventDefault();
    const answer = await act("save", { file: kept.elements.file.value });
    if (answer.saved) say(find(".saved"), `Saved as ${answer.saved}. The Model tab opens it, and so does --checkpoint.`);
  });
  find("[data-do=copy]").addEventListener("click", async (event) => {
    await navigator.clipboard.writeText(lesson.command);
    event.target.textContent = "Copied";
  });
  return { show, showEmpty, showPictures };
}
