// The canvas: paints pictures in screen pixels (the browser's best filter, or hard pixels), before and after with a
// border between them, and the messages that lie over it. `data-frames` counts what was painted, `data-painted` is the
// edit of the last one, `data-draft` the number of the draft where it is only a preview.

import { act, find, panel } from "../dom.js";
import { drawFrame } from "./film.js";
import { createSharp } from "./sharp.js";

const PIXELS = "explorer:pixels";

// `onSharp` is told when the visitor wants pictures sharpened and this one is not.
export function createStage(generator, onSharp) {
  const canvas = find("canvas");
  const context = canvas.getContext("2d", { alpha: false });
  const wipe = find(".wipe");
  let after = null;
  let sharp = null; // the same, sharpened, once it rests
  let before = null;
  let peeking = null; // a picture that is looked at without going there
  let frame = null; // of a film
  let draft = false; // the picture is a preview
  let view = { scale: 1, left: 0, top: 0 }; // what part of the picture is seen
  let comparing = false;
  let holding = false;
  let pixels = localStorage.getItem(PIXELS) === "1";

  function fit() {
    const side = Math.max(Math.round(canvas.clientWidth * devicePixelRatio), 1);
    if (canvas.width === side) return;
    canvas.width = canvas.height = side;
    repaint();
  }
  function draw(image) {
    const { scale, left, top } = view;
    const { width, height } = image;
    if (scale === 1) context.drawImage(image, 0, 0, canvas.width, canvas.height); // quicker than with a part named: a drag would miss frames
    else context.drawImage(image, left * width, top * height, width / scale, height / scale, 0, 0, canvas.width, canvas.height);
  }
  function repaint() {
    if (!after) return;
    context.imageSmoothingEnabled = !pixels;
    context.imageSmoothingQuality = "high";
    // Beside another picture, or pixel by pixel, only the truth can be looked at.
    const alone = !frame && !peeking && !comparing && !holding && !pixels;
    sharpening.tell(alone && (sharp !== null || !sharpening.on));
    if (frame) return drawFrame(context, frame, draw);
    draw(peeking ?? (holding && before ? before : alone && sharpening.on && sharp ? sharp : after));
    const split = comparing && !holding && !peeking && before !== null;
    if (split) drawSplit();
    find(".before-tag").hidden = !(split || (holding && before && !peeking));
    find(".after-tag").hidden = !split;
  }
  function drawSplit() {
    const x = Math.round(wipe.value * canvas.width);
    context.save();
    context.beginPath();
    context.rect(0, 0, x, canvas.height);
    context.clip();
    draw(before);
    context.restore();
    context.fillStyle = "rgb(0 0 0 / 0.35)";
    context.fillRect(x - 2 * devicePixelRatio, 0, 4 * devicePixelRatio, canvas.height);
    context.fillStyle = "white";
    context.fillRect(x - devicePixelRatio, 0, 2 * devicePixelRatio, canvas.height);
    context.beginPath();
    context.arc(x, canvas.height / 2, 11 * devicePixelRatio, 0, 2 * Math.PI);
    context.fill();
  }
  function show(image, edit, number, sharpened = null) {
    after = image;
    sharp = sharpened;
    draft = number !== null;
    fit();
    repaint();
    find(".waiting").hidden = true;
    panel.dataset.painted = JSON.stringify(edit);
    panel.dataset.draft = number ?? "";
    if (!frame) find(".preview-tag").hidden = !draft;
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
  function setPixels(on) {
    pixels = on;
    localStorage.setItem(PIXELS, on ? "1" : "0");
    press("pixels", on);
    repaint();
  }
  function press(name, on) {
    for (const button of act(name)) if (button.hasAttribute("aria-pressed")) button.ariaPressed = String(on);
  }

  const sharpening = createSharp(generator, () => { repaint(); if (sharpening.on && !sharp) onSharp(); });
  new ResizeObserver(fit).observe(canvas);
  wipe.addEventListener("input", repaint);
  find(".message .icon").addEventListener("click", () => say(""));
  act("pixels")[0].addEventListener("click", () => setPixels(!pixels));
  press("pixels", pixels);

  return {
    show,
    say,
    press,
    lost: (is) => { find(".lost").hidden = !is; },
    before: (image) => { before = image; repaint(); },
    compare(on) {
      comparing = on;
      wipe.hidden = !on;
      press("compare", on);
      repaint();
    },
    zoom: (seen) => { view = seen; repaint(); },
    hold: (on) => { holding = on; repaint(); },
    peek(image, label) {
      if (peeking === image) return;
      peeking = image;
      find(".peek-tag").hidden = !image;
      find(".peek-tag").textContent = label;
      repaint();
    },
    // A frame of a film in the place of the picture, until there is none.
    film(shown, preview = draft) {
      frame = shown;
      find(".preview-tag").hidden = !preview;
      repaint();
    },
    get peeking() { return peeking; },
    get comparing() { return comparing; },
    get image() { return after; },
    get sharpens() { return sharpening.on; },
  };
}
