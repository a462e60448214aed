// The picture of the sum, for one seed or several beside each other, and the messages that lie over it. `data-frames`
// counts what was painted, `data-painted` is the edit of the first picture.

import { find, make, panel } from "../dom.js";

export function createStage() {
  const box = find(".canvases");
  let canvases = [];
  let images = [];

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
  function show(loaded, edit, preview) {
    images = loaded;
    arrange(images.length);
    paint();
    find(".waiting").hidden = true;
    find(".preview-tag").hidden = !preview;
    panel.dataset.painted = JSON.stringify(edit);
    panel.dataset.frames = String(Number(panel.dataset.frames) + 1);
  }
  function say(text) {
    const message = find(".message");
    message.hidden = !text;
    message.querySelector("span").textContent = text;
  }
  new ResizeObserver(paint).observe(box);
  find(".message button").addEventListener("click", () => say(""));
  return { show, say, lost: (is) => { find(".lost").hidden = !is; }, get image() { return images[0]; } };
}
