// Several pictures as one file to download: the strip, and the contact sheet of snapshots.

import { download, loadImage, make, short } from "../dom.js";

const CELL = 256; // smallest side of a picture on a sheet
const CAPTION = 34;
const GAP = 12;

export async function composeSheet(uris, captions, columns) {
  const images = await Promise.all(uris.map(loadImage));
  const side = Math.max(images[0].width, CELL);
  const rows = Math.ceil(images.length / columns);
  const canvas = make("canvas", { width: columns * (side + GAP) + GAP, height: rows * (side + CAPTION + GAP) + GAP });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#333";
  context.font = "15px system-ui, sans-serif";
  images.forEach((image, index) => {
    const x = GAP + (index % columns) * (side + GAP);
    const y = GAP + Math.floor(index / columns) * (side + CAPTION + GAP);
    context.drawImage(image, x, y, side, side);
    context.fillText(captions[index], x, y + side + 21, side);
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

export async function saveSheet(loop, generator, edits) {
  const uris = await loop.all({ name: "save", edits, exact: true });
  const columns = Math.ceil(Math.sqrt(uris.length));
  const captions = edits.map((edit) => captionOf(edit, generator));
  download(await composeSheet(uris, captions, columns), `${generator.name}-contact-sheet.png`);
}
