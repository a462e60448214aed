// Small pictures of the generators that were opened in this browser, by name: what Explore showed when its page was left.

const THUMBS = "explorer:thumbs";
const REMEMBERED = 12;
const SIDE = 64; // px

// The picture that Explore shows, small, as a data URI; empty where it shows none.
export function pictureNow(side) {
  const canvas = document.querySelector(".explore[data-painted] canvas");
  if (!(canvas instanceof HTMLCanvasElement) || !canvas.width) return "";
  const small = Object.assign(document.createElement("canvas"), { width: side, height: side });
  small.getContext("2d")?.drawImage(canvas, 0, 0, side, side);
  return small.toDataURL("image/jpeg", 0.8);
}

/** @returns {Record<string, string>} */
export function readThumbs() {
  try {
    return JSON.parse(localStorage.getItem(THUMBS) ?? "null") ?? {};
  } catch {
    return {}; // written by another program
  }
}

// The newest last; the oldest go.
export function storeThumb(name) {
  const uri = pictureNow(SIDE);
  if (!uri) return;
  const { [name]: _, ...rest } = readThumbs();
  try {
    localStorage.setItem(THUMBS, JSON.stringify(Object.fromEntries([...Object.entries(rest), [name, uri]].slice(-REMEMBERED))));
  } catch {
    // full: the list shows names alone
  }
}
