// The picture of the sum, for one seed or several beside each other, and the messages that lie over it. `data-frames`
// counts what was painted, `data-painted` is the edit of the first picture.

import { find, make, panel } from "../dom.js";
import { drawFrame } from "../explore/film.js";

export function createStage() {
  const box = find(".canvases");
  let canvases = [];
  let images = [];
  let edits = [];
  let frame = null; // of a film
  let draft = false; // the pictures are previews

  function arrange(count) {
    if (count === canvases.length) return;
    canvases = Array.from({ length: count }, (_, index) => {
      const canvas = make("canvas");
      canvas.role = "img";
      canvas.ariaLabel = index ? `The same sum on another seed, ${index + 1} of ${count}` : "The generated picture";
      return canvas;
    });
    box.style.setProperty("--side", Math.sqrt(count));
    box.replaceChildren(...canvases);
  }
  function paint() {
    canvases.forEach((canvas, index) => {
      if (!images[index] && !frame) return;
      const side = Math.max(Math.round(canvas.clientWidth * devicePixelRatio), 1);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const context = canvas.getContext("2d", { alpha: false });
      context.imageSmoothingQuality = "high";
      const draw = (image) => context.drawImage(image, 0, 0, side, side);
      if (frame) drawFrame(context, frame, draw);
      else draw(images[index]);
    });
  }
  function show(loaded, painted, preview) {
    [images, edits, draft] = [loaded, painted, preview];
    find(".waiting").hidden = true;
    film(frame);
    panel.dataset.painted = JSON.stringify(edits[0]);
    panel.dataset.frames = String(Number(panel.dataset.frames) + 1);
  }
  // A frame of a film in the place of the pictures, until there is none.
  function film(shown, preview = draft) {
    frame = shown;
    arrange(frame ? 1 : images.length);
    paint();
    find(".preview-tag").hidden = !preview;
  }
  // A message, and a button with a way out where there is one.
  function say(text, /** @type {{ label: string, go: () => void } | null} */ way = null) {
    const box = find(".message");
    box.hidden = !text;
    box.querySelector("span").textContent = text;
    const button = box.querySelector(".way-out");
    button.hidden = !way;
    button.textContent = way?.label ?? "";
    button.onclick = () => { say(""); way?.go(); };
  }
  new ResizeObserver(paint).observe(box);
  find(".message .icon").addEventListener("click", () => say(""));
  return { show, film, say, lost: (is) => { find(".lost").hidden = !is; }, get shown() { return images.map((image, index) => ({ image, edit: edits[index] })); } };
}
