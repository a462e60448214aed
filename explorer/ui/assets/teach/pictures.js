// The visitor's pictures: chosen or dropped, turned upright by the browser, scaled down and kept as data URIs.

import { all, draw, find, make } from "../dom.js";

const LARGEST_SIDE = 768;
const MOST_PICTURES = 200;
const SHOWN = 24;

export function createPictures(say, onChange) {
  const drop = find(".drop");
  const [file, folder] = all("input[type=file]");
  let many = false;
  /** @type {{ one: string[], several: string[] }} */
  const kept = { one: [], several: [] }; // each way of learning has pictures of its own
  let reading = 0; // a later choice ends an earlier one

  async function uriOf(source) {
    const bitmap = await createImageBitmap(source); // upright, as its EXIF data says
    const scale = Math.min(1, LARGEST_SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(Math.round(side * scale), 1));
    const canvas = make("canvas", { width, height });
    const context = canvas.getContext("2d", { alpha: false });
    context.fillStyle = "white"; // behind what is transparent
    context.fillRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    bitmap.close();
    return canvas.toDataURL("image/jpeg", 0.95);
  }
  async function take(files) {
    const turn = ++reading;
    const pictures = [...files].filter(({ name }) => !name.startsWith(".")).slice(0, many ? MOST_PICTURES : 1);
    const unreadable = [];
    const read = many ? [...kept.several] : [];
    say("");
    for (const source of pictures) {
      try {
        read.push(await uriOf(source));
      } catch {
        unreadable.push(source.name);
      }
      if (turn !== reading) return;
      find(".count").textContent = many ? `Reading ${read.length} of ${pictures.length}` : "";
    }
    if (many) kept.several = read.slice(0, MOST_PICTURES);
    else if (read.length) kept.one = read;
    show();
    if (unreadable.length) {
      const others = unreadable.length > 1 ? ` and ${unreadable.length - 1} more` : "";
      say(`${unreadable[0]}${others} cannot be read as a picture; use JPEG, PNG or WebP files.`);
    }
    onChange(many ? pictures[0]?.webkitRelativePath.split("/")[0] : pictures[0]?.name);
  }
  const chosen = () => (many ? kept.several : kept.one);
  function show() {
    find(".drop span").textContent = many ? "Drop pictures here, or click to choose them" : "Drop a picture here, or click to choose it";
    find(".thumbs").replaceChildren(...chosen().slice(0, SHOWN).map(thumb));
    const { length } = chosen();
    const rest = length > SHOWN ? `, ${length - SHOWN} of them not shown` : "";
    find(".count").textContent = many && length ? `${length} pictures${rest}` : "";
    find("[data-do=clear]").hidden = !many || !length;
  }
  function thumb(uri, index) {
    const close = draw("svg", {}, draw("use", { href: "#t-close" }));
    const remove = make("button", { type: "button", className: "icon", ariaLabel: `Remove picture ${index + 1}` }, close);
    remove.addEventListener("click", () => { chosen().splice(index, 1); show(); });
    return make("div", { className: "thumb" }, make("img", { src: uri, alt: `Picture ${index + 1}` }), remove);
  }

  for (const input of [file, folder]) {
    input.addEventListener("change", async () => { await take(input.files); input.value = ""; });
  }
  find("[data-do=folder]").addEventListener("click", () => folder.click());
  find("[data-do=clear]").addEventListener("click", () => { reading++; kept.several = []; show(); });
  for (const name of ["dragover", "dragleave", "drop"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", name === "dragover");
      if (name === "drop") take(event.dataTransfer.files);
    });
  }
  return {
    setMany(on) {
      many = on;
      file.multiple = on;
      show();
    },
    get uris() { return chosen(); },
  };
}
