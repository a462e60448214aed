// What outlives the panel, which Gradio throws away when another tab is opened: the photo, the search that runs on, and
// the results of this session. The state is one object, never changed in place; the panel on the page shows it.

const LOOKS = 300; // ms between looks at a search
const REST = 400; // ms that a frame must rest until what is in it is judged
const MOST_PAST = 24;
const PAST = "explorer:invert:past";
const NO_ANSWER = "The server does not answer. Trying again.";

export function createSession(studio) {
  const key = `${PAST}:${studio.name}:${studio.resolution}`;
  const past = readPast();
  const photos = new Map(); // of results, until a reload
  /** @type {Record<string, any>} */
  let state = { photo: null, box: null, job: null, result: null, strange: "", trouble: "", busy: "", form: null, use: null, other: null, past };
  /** @type {(state: Record<string, any>) => void} */
  let show = () => {};
  let server = null;
  let judging;

  function readPast() {
    try {
      return JSON.parse(sessionStorage.getItem(key) ?? "null") ?? [];
    } catch {
      return [];
    }
  }
  function storePast(list) {
    for (let kept = list; kept.length; kept = kept.slice(0, -1)) {
      try {
        return sessionStorage.setItem(key, JSON.stringify(kept));
      } catch {
        // full: the oldest are forgotten at a reload
      }
    }
    sessionStorage.removeItem(key);
  }
  function set(change) {
    if ("use" in change && !("trouble" in change)) change = { ...change, trouble: "" }; // it was about another use
    state = { ...state, ...change };
    if (change.past) {
      storePast(change.past);
      window.domainExplorer.stored();
    }
    if (change.box || change.photo || change.result === null) judge();
    show(state);
  }
  // Whether the generator makes such pictures, as soon as the frame rests.
  function judge() {
    clearTimeout(judging);
    state = { ...state, strange: "" };
    const { photo, box } = state;
    if (!photo || state.job || state.result) return;
    judging = setTimeout(async () => {
      const answer = await ask("judge", { photo: photo.uri, box, face: photo.faces.includes(box) });
      if (state.photo === photo && state.box === box) set({ strange: answer.strange ?? "" });
    }, REST);
  }
  async function ask(name, request) {
    try {
      return (await server[name](request)) ?? { lost: true, error: NO_ANSWER };
    } catch {
      return { lost: true, error: NO_ANSWER };
    }
  }
  // Asks with a word of what is happening; an answer that is a complaint is shown.
  async function askAloud(busy, name, request) {
    set({ busy, trouble: "" });
    const answer = await ask(name, request);
    set({ busy: "", trouble: answer.error ?? "" });
    return answer.error ? null : answer;
  }
  // The photo as it was given is kept too, to be turned by quarters; without a number it is turned so that faces stand.
  async function takePhoto(given, /** @type {number | null} */ quarters = null) {
    if (state.job) return set({ trouble: "A photo is being rebuilt. Stop it first, or wait until it is done." });
    const answer = await askAloud("Looking for a face", "photo", { photo: given, turn: quarters });
    if (!answer) return;
    const { photo, turn, width, height, faces, centre, costs } = answer;
    set({ photo: { given, turn, turned: turn && quarters === null, uri: photo, width, height, faces, centre, costs }, box: faces[0] ?? centre, result: null, use: null, other: null });
  }
  // Looks for the photo in its frame; with a `task`, does that with the photo of the result.
  async function start(settings, /** @type {Record<string, any> | null} */ task = null) {
    const { photo, box, result } = state;
    const side = studio.resolution;
    const asked = task ? { photo: result.target, box: { left: 0, top: 0, size: side }, settings: result.settings ?? {}, ...task } : { photo: photo.uri, box, settings, face: photo.faces.includes(box) };
    const answer = await askAloud("Sending the photo", "start", asked);
    if (!answer) return;
    const job = { id: answer.id, target: answer.target, state: "waiting", ahead: 0, step: 0, steps: 0, trace: [] };
    set({ job: { ...job, photo, box, task: Object.keys(task ?? {})[0], settings: asked.settings, secondsLeft: null, picture: null, stopping: false } });
    follow(answer.id);
  }
  async function follow(id) {
    while (state.job?.id === id) {
      const answer = await ask("look", { id, seen: state.job.trace.length, hidden: document.hidden });
      if (state.job?.id !== id) return;
      if (answer.lost) set({ trouble: answer.error });
      else take(answer);
      await new Promise((resolve) => setTimeout(resolve, LOOKS));
    }
  }
  function take(answer) {
    const { job } = state;
    if (answer.error) return set({ job: null, trouble: answer.error });
    const trace = [...job.trace, ...(answer.trace ?? [])];
    const { step = 0, steps = 0, ahead, picture = job.picture, seconds_left: secondsLeft = null } = answer;
    const now = { ...job, trace, step, steps, ahead, picture, secondsLeft, state: answer.state };
    if (!["done", "stopped"].includes(answer.state)) return set({ job: now, trouble: state.trouble === NO_ANSWER ? "" : state.trouble });
    if (!answer.result) return set({ job: null, trouble: "" }); // stopped before its turn came
    const { photo, box, target, task, settings } = now;
    const { fitted, ...found } = answer.result;
    if (fitted) Object.assign(found, { fitted: true, picture: fitted, plain: found.picture });
    keep({ ...found, photo, box, target, task, trace, settings, step, steps, stopped: answer.state === "stopped" });
  }
  // A result is shown and kept, over a reload too; the whole photo is not, since the browser has no room for many.
  function keep({ photo = null, ...rest }) {
    const result = { id: crypto.randomUUID?.() ?? String(Math.random()), ...rest };
    photos.set(result.id, photo);
    set({ job: null, trouble: "", use: null, other: null, photo, result, past: [result, ...state.past].slice(0, MOST_PAST) });
  }
  function reopen(result) {
    if (!state.job) set({ result, use: null, other: null, photo: photos.get(result.id) ?? null, box: result.box, trouble: "" });
  }
  // The result as its own copy of the generator makes it, or as that of all.
  function switchCopy() {
    const { result } = state;
    const now = { ...result, fitted: !result.fitted, picture: result.plain, plain: result.picture };
    set({ result: now, past: state.past.map((one) => (one.id === now.id ? now : one)) });
  }
  async function stop() {
    if (!state.job) return;
    set({ job: { ...state.job, stopping: true } });
    await ask("stop", { id: state.job.id });
  }
  async function loadLatent(name, data) {
    const answer = await askAloud("Reading the latent", "load_latent", { name, data });
    if (answer) keep({ ...answer, target: null, trace: [], settings: null, name });
  }
  return {
    set, ask, askAloud, takePhoto, start, stop, reopen, switchCopy, loadLatent,
    attach(newServer, newShow) {
      [server, show] = [newServer, newShow];
      show(state);
    },
    get state() { return state; },
  };
}
