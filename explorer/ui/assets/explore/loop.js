// Asking the server: the newest picture wanted goes first, then, while nothing moves, the tiles of strips and grids in
// small batches. A lost connection is retried until it is back. The server answers with previews while something moves,
// where its pictures take too long for that; what rests is asked for again until it is none, and sharpened where the
// request wants that. Previews, a resting picture and tiles are one request in flight each, for those of a slow generator
// take long.

import { clamp } from "../dom.js";

const REST = 120; // ms without a change until a picture is asked for again without compression
const COMPARED = 1; // the draft of tiles: made as a picture that has just come to rest
const BATCH = 60; // ms that a batch of tiles may take, so that a drag that begins meanwhile does not wait
const RETRIES = [500, 1000, 2000, 4000];

export function createLoop({ ask, onPictures, onError, onLost }) {
  let wanted = null;
  let latest = null; // the last that was wanted
  let settled = true; // what is painted is no preview
  let jobs = []; // {name, edits, max_px, exact, moving, done(index, uri)}
  let busy = false;
  let making = false;
  let lost = 0;
  let perTile = BATCH;
  let rest;
  let again = null; // asks for what comes to rest without waiting any longer
  let released = false; // the hand has let go since the last change
  let resting = Promise.resolve(); // the pictures of what rests
  let atRest = false; // one of them is on its way: nothing else is begun
  let painting = Promise.resolve(); // pictures are painted in order, while the server makes the next

  // The pictures of `{edits, max_px, exact}`, one or a few, before anything else.
  function want(request, draft = 0) {
    clearTimeout(rest);
    again = null;
    if (draft === 0) released = false;
    latest = wanted = { ...request, draft };
    pump();
  }
  // The hand has let go: nothing is to be expected that would be worth waiting for.
  function release() {
    released = true;
    again?.();
  }
  // Tiles for later. A new job of the same name replaces the old one. One that is `moving` goes on beside a drag.
  function later(job) {
    cancel(job.name);
    jobs.push({ max_px: null, exact: false, from: 0, ...job });
    pump();
  }
  function cancel(name) {
    jobs = jobs.filter((job) => job.name !== name);
  }
  async function pump() {
    work();
    if (busy) return;
    busy = true;
    while (wanted) await begin(wanted);
    busy = false;
    work();
  }
  async function begin(request) {
    if (request.draft === 0) return picture(request);
    wanted = null;
    resting = resting.then(() => (request === latest ? rested(request) : undefined));
  }
  async function rested(request) {
    atRest = true;
    await picture(request);
    atRest = false;
    work();
  }
  const next = () => (atRest ? null : jobs.find(({ moving }) => moving) ?? (busy || !settled ? null : jobs[0]));
  async function work() {
    if (making) return;
    making = true;
    let job;
    while ((job = next())) await tiles(job);
    making = false;
  }
  async function send({ edits, max_px, exact, draft, sharpen = false }) {
    const answer = await ask({ edits, max_px, exact, draft, sharpen });
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
    const overtaken = request.draft > 0 && request !== latest;
    if (overtaken) return;
    if (!answer) return request.draft > 0 ? want(request, request.draft) : undefined; // again, or a newer one
    if (wanted === request) wanted = null;
    settled = !answer.preview;
    if (answer.error) return onError(answer.error);
    painting = painting.then(() => onPictures({ ...request, preview: answer.preview, sharp: answer.sharp }, answer.pictures));
    if (wanted) return;
    if (answer.preview || !answer.exact || (request.sharpen && request.draft === 0)) {
      again = () => want({ ...request, exact: true }, request.draft + 1);
      if (released) again();
      else rest = setTimeout(again, REST);
    }
    work();
  }
  async function tiles(job) {
    const count = clamp(Math.floor(BATCH / perTile), 1, 16);
    const part = job.edits.slice(job.from, job.from + count);
    const started = performance.now();
    const answer = await send({ ...job, edits: part, draft: job.exact ? null : COMPARED });
    if (!answer) return;
    perTile = (performance.now() - started) / part.length;
    if (!jobs.includes(job)) return; // replaced meanwhile
    if (answer.error) {
      cancel(job.name);
      return onError(answer.error);
    }
    answer.pictures.forEach((uri, index) => job.done(job.from + index, uri));
    job.from += part.length;
    if (job.from >= job.edits.length) cancel(job.name);
  }
  // The same as a promise of all pictures, for sheets and downloads.
  function all(job) {
    return new Promise((resolve) => {
      const uris = [];
      later({ ...job, done: (index, uri) => (uris[index] = uri, index + 1 === job.edits.length && resolve(uris)) });
    });
  }
  return { want, release, later, all, cancel };
}
