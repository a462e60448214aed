// Asking the server: one request in flight; the newest picture wanted goes first, then, while nothing moves, the tiles
// of strips and grids in small batches. A lost connection is retried until it is back.

import { clamp } from "../dom.js";

const REST = 120; // ms without a change until a picture is asked for again without compression
const BATCH = 60; // ms that a batch of tiles may take, so that a drag that begins meanwhile does not wait
const RETRIES = [500, 1000, 2000, 4000];

export function createLoop({ ask, onPictures, onError, onLost }) {
  let wanted = null;
  let jobs = []; // {name, edits, max_px, exact, done(index, uri)}
  let busy = false;
  let lost = 0;
  let perTile = BATCH;
  let rest;
  let painting = Promise.resolve(); // pictures are painted in order, while the server makes the next

  // The pictures of `{edits, max_px, exact}`, one or a few, before anything else.
  function want(request) {
    clearTimeout(rest);
    wanted = request;
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
  async function send(request) {
    const answer = await ask(request);
    if (answer) {
      if (lost) onLost(false);
      lost = 0;
      return answer;
    }
    onLost(true);
    await new Promise((resolve) => setTimeout(resolve, RETRIES[Math.min(lost++, RETRIES.length - 1)]));
    return null;
  }
  async function picture(request) {
    const answer = await send(request);
    if (!answer) return; // asked for again, or for a newer one
    if (wanted === request) wanted = null;
    if (answer.error) return onError(answer.error);
    painting = painting.then(() => onPictures(request, answer.pictures));
    if (!answer.exact && !wanted) rest = setTimeout(() => want({ ...request, exact: true }), REST);
  }
  async function tiles(job) {
    const count = clamp(Math.floor(BATCH / perTile), 1, 16);
    const edits = job.edits.slice(job.from, job.from + count);
    const started = performance.now();
    const answer = await send({ edits, max_px: job.max_px, exact: job.exact });
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
