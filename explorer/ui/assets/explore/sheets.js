// Several pictures as one file to download: the strip, and the contact sheet of snapshots.

import { download, loadImage, make, short } from "../dom.js";

const CELL = 256; // smallest side of a picture on a sheet
const LINE = 22; // px from one line of a caption to the next
const FONT = "16px Inter, system-ui, sans-serif";
const GAP = 12;

// The text in lines that fit, broken between words.
function linesOf(context, text, width) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) && context.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

// Pictures one after another in so many columns, or at the line and column in `places`.
export async function composeSheet(uris, captions, columns, places = []) {
  const images = await Promise.all(uris.map(loadImage));
  const side = Math.max(images[0].width, CELL);
  const canvas = make("canvas");
  const context = canvas.getContext("2d");
  context.font = FONT;
  const texts = captions.map((caption) => linesOf(context, caption, side));
  const caption = Math.max(...texts.map(({ length }) => length)) * LINE + 8;
  const at = images.map((_, index) => places[index] ?? [Math.floor(index / columns), index % columns]);
  const rows = Math.max(...at.map(([row]) => row)) + 1;
  Object.assign(canvas, { width: columns * (side + GAP) + GAP, height: rows * (side + caption + GAP) + GAP });
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#222";
  context.font = FONT; // a new size took it away
  images.forEach((image, index) => {
    const [row, column] = at[index];
    const [x, y] = [GAP + column * (side + GAP), GAP + row * (side + caption + GAP)];
    context.drawImage(image, x, y, side, side);
    texts[index].forEach((line, number) => context.fillText(line, x, y + side + LINE * (number + 1) - 3, side));
  });
  return canvas.toDataURL("image/png");
}

export async function saveStrip(loop, generator, direction, edits, captions) {
  const uris = await loop.all({ name: "save", edits, exact: true });
  download(await composeSheet(uris, captions, uris.length), `${generator.name}-${direction.label}-strip.png`);
}

function captionOf(edit, generator) {
  const label = (id) => generator.directions.find((direction) => direction.id === id)?.label ?? id;
  const moves = (edit.strengths ?? []).map(([id, value]) => `${label(id)} ${short(value)}`);
  return [edit.latent ? "photo" : `seed ${edit.seed ?? 0}`, ...moves].join(", ");
}

export async function saveSheet(loop, generator, shots) {
  const uris = await loop.all({ name: "save", edits: shots.map(({ edit }) => edit), exact: true });
  const columns = Math.ceil(Math.sqrt(uris.length));
  const captions = shots.map(({ edit, name }) => name || captionOf(edit, generator));
  download(await composeSheet(uris, captions, columns), `${generator.name}-contact-sheet.png`);
}
