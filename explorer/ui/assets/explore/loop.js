// Asking the server: one request in flight; the newest picture wanted goes first, then, while nothing moves, the tiles
// of strips and grids in small batches. A lost connection is retried until it is back. Of a generator that makes its
// pictures step by step, `drafts` are the numbers of steps while something moves, and at rest before the edit's own.

import { clamp } from "../dom.js";

const REST = 120; // ms without a change until a picture is asked for again without compression
const BATCH = 60; // ms that a batch of tiles may take, so that a drag that begins meanwhile does not wait
const RETRIES = [500, 1000, 2000, 4000];

export function createLoop({ ask, drafts, onPictures, onError, onLost }) {
  let wanted = null;
  let jobs = []; // {name, edits, max_px, exact, done(index, uri)}
  let busy = false;
  let lost = 0;
  let perTile = BATCH;
  let rest;
  let painting = Promise.resolve(); // pictures are painted in order, while the server makes the next

  // The pictures of `{edits, max_px, exact}`, one or a few, before anything else.
  function want(request, draft = 0) {
    clearTimeout(rest);
    wanted = request.exact ? request : { ...request, draft };
    pump();
  }
  // Tiles for later. A new job of the same name replaces the old one.
  function later(job) {
    cancel(job.name);
    jobs.push({ max_px: null, exact: false, from: 0, ...job });
    pump();
  }
  function cancel(name) {
    jobs = jobs.filter((job) => job.name !== name);
  }
  async function pump() {
    if (busy) return;
    busy = true;
    while (wanted || jobs.length) {
      if (wanted) await picture(wanted);
      else await tiles(jobs[0]);
    }
    busy = false;
  }
  async function send({ edits, max_px, exact }) {
    const answer = await ask({ edits, max_px, exact });
    if (answer) {
      if (lost) onLost(false);
      lost = 0;
      return answer;
    }
    onLost(true);
    await new Promise((resolve) => setTimeout(resolve, RETRIES[Math.min(lost++, RETRIES.length - 1)]));
    return null;
  }
  // In fewer steps than `steps`, where the edits would take more.
  const drafted = (edits, steps) => edits.map((edit) => ((edit.steps ?? Infinity) > steps ? { ...edit, steps } : edit));
  async function picture(request) {
    const steps = request.exact ? undefined : drafts[request.draft];
    const answer = await send(steps ? { ...request, edits: drafted(request.edits, steps) } : request);
    if (!answer) return; // asked for again, or for a newer one
    if (wanted === request) wanted = null;
    if (answer.error) return onError(answer.error);
    painting = painting.then(() => onPictures({ ...request, steps }, answer.pictures));
    if (wanted) return;
    const last = request.draft + 1 >= drafts.length;
    if (steps) rest = setTimeout(() => want({ ...request, exact: last }, request.draft + 1), REST);
    else if (!answer.exact) rest = setTimeout(() => want({ ...request, exact: true }), REST);
  }
  async function tiles(job) {
    const count = clamp(Math.floor(BATCH / perTile), 1, 16);
    const part = job.edits.slice(job.from, job.from + count);
    const edits = drafts.length && !job.exact ? drafted(part, drafts.at(-1)) : part;
    const started = performance.now();
    const answer = await send({ ...job, edits });
    if (!answer) return;
    perTile = (performance.now() - started) / edits.length;
    if (!jobs.includes(job)) return; // replaced meanwhile
    if (answer.error) {
      cancel(job.name);
      return onError(answer.error);
    }
    answer.pictures.forEach((uri, index) => job.done(job.from + index, uri));
    job.from += edits.length;
    if (job.from >= job.edits.length) cancel(job.name);
  }
  // The same as a promise of all pictures, for sheets and downloads.
  function all(job) {
    return new Promise((resolve) => {
      const uris = [];
      later({ ...job, done: (index, uri) => (uris[index] = uri, index + 1 === job.edits.length && resolve(uris)) });
    });
  }
  return { want, later, all, cancel };
}
