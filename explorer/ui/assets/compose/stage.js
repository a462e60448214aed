// The picture of the sum, for one seed or several beside each other, and the messages that lie over it. `data-frames`
// counts what was painted, `data-painted` is the edit of the first picture.

import { find, make, panel } from "../dom.js";

export function createStage() {
  const box = find(".canvases");
  let canvases = [];
  let images = [];
  let edits = [];

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
      if (!images[index]) return;
      const side = Math.max(Math.round(canvas.clientWidth * devicePixelRatio), 1);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const context = canvas.getContext("2d", { alpha: false });
      context.imageSmoothingQuality = "high";
      context.drawImage(images[index], 0, 0, side, side);
    });
  }
  function show(loaded, painted, preview) {
    [images, edits] = [loaded, painted];
    arrange(images.length);
    paint();
    find(".waiting").hidden = true;
    find(".preview-tag").hidden = !preview;
    panel.dataset.painted = JSON.stringify(edits[0]);
    panel.dataset.frames = String(Number(panel.dataset.frames) + 1);
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
  return { show, say, lost: (is) => { find(".lost").hidden = !is; }, get shown() { return images.map((image, index) => ({ image, edit: edits[index] })); } };
}
