// A search as it goes: its place in the queue, progress, time left, and a plot of every loss.

import { act, draw, duration, find, make, onClick, say } from "../dom.js";

const PLOT = { width: 240, height: 56 };
const LOSSES = {
  pixel: "Colours", perceptual: "Look", clip: "Meaning", text: "Words", domain: "Out of the domain", mean: "From the average", offsets: "Layers apart",
  total: "All together",
};

function plot(name, points) {
  const { width, height } = PLOT;
  const values = points.map(([, value]) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, last] = [points[0][0], Math.max(points.at(-1)[0], points[0][0] + 1)];
  const line = points.map(([step, value]) => {
    const y = 4 + (height - 8) * (high > low ? 1 - (value - low) / (high - low) : 0.5);
    return `${((width * (step - first)) / (last - first)).toFixed(1)},${y.toFixed(1)}`;
  });
  const title = LOSSES[name] ?? name;
  const label = `${title}: ${values[0].toPrecision(3)} at the start, ${values.at(-1).toPrecision(3)} now`;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    draw("polyline", { points: line.join(" "), "vector-effect": "non-scaling-stroke" }));
  const caption = make("figcaption", {}, make("span", { textContent: title }), make("b", { textContent: values.at(-1).toPrecision(3) }));
  return make("figure", {}, caption, svg);
}

export function showPlots(place, trace) {
  const names = [...new Set(trace.flatMap(([, losses]) => Object.keys(losses)))].reverse(); // "total" first
  const curves = names.map((name) => [name, trace.filter(([, losses]) => name in losses).map(([step, losses]) => [step, losses[name]])]);
  const worth = curves.filter(([, points]) => points.length > 1 && points.some(([, value]) => value !== 0));
  place.querySelector(".plots").replaceChildren(...worth.map(([name, points]) => plot(name, points)));
}

export function createCourse(session, settings) {
  const stop = act("stop")[0];
  onClick("start", () => session.start(settings.settings));
  stop.addEventListener("click", session.stop);

  const TASKS = { fit: "Fitting a copy to your photo", context: "Setting your photo into the picture" };
  function word({ state, ahead, step, task }) {
    if (state === "waiting") return ahead === 1 ? "Waiting: one photo is before yours" : ahead ? `Waiting: ${ahead} photos are before yours` : "Starting";
    return step ? TASKS[task] ?? "Rebuilding your photo" : "Looking at your photo";
  }
  return function show({ job }) {
    act("start")[0].disabled = Boolean(session.state.busy);
    if (!job) return;
    say(find(".course b"), job.stopping ? "Stopping" : word(job));
    find(".course .steps").textContent = job.steps ? `step ${job.step} of ${job.steps}` : "";
    find(".course .left").textContent = job.secondsLeft ? `about ${duration(job.secondsLeft)} left` : "";
    find("progress").value = job.steps ? job.step / job.steps : 0;
    stop.disabled = job.stopping;
  };
}
