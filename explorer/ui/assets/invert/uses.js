// What a result is good for, one thing at a time: in-betweens of two photos, mixed styles, words, another picture around
// it, and a copy of the generator that is fitted to it. What comes out is a strip of pictures, or a new result.

import { clamp, download, find, make, readAsURI, say } from "../dom.js";
import { TILE } from "./result.js";

const BLEND_STEPS = 7;
const AMOUNTS = [-3, -2, -1, 0, 1, 2, 3]; // standard deviations along a direction
const USES = {
  fit: ["Fit closer", "A copy of the generator, bent until it makes this very photo. Takes a minute."],
  words: ["Change by words", "From one description to another."],
  context: ["Into another picture", "The middle of it, set in and blended."],
  blend: ["Blend with another", "All that lies between two photos."],
  mix: ["Mix styles", "Shape of one photo, colours of another."],
};

function numbersOf(text) {
  return [...new Float32Array(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer)];
}

function codeOf({ shape, data }, layers) {
  const numbers = numbersOf(data);
  return shape.length === 1 ? Array.from({ length: layers }, () => numbers).flat() : numbers; // one row for all layers
}

function latentOf(numbers, layers) {
  const bytes = new Uint8Array(Float32Array.from(numbers).buffer);
  const data = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return { shape: [layers, numbers.length / layers], data };
}

export function createUses(session, generator, go) {
  const box = find(".uses");
  const [what, controls, tiles] = [".what", ".controls", ".tiles"].map((place) => box.querySelector(place));
  const layers = generator.layers;
  const code = ({ edit }) => codeOf(edit.latent, layers);
  const photo = () => session.state.result;
  let shown = "";
  let drawn = null; // the strip that is on the page, so that an older answer is dropped

  const withCode = (numbers) => ({ ...photo().edit, latent: latentOf(numbers, layers) });
  function button(text, listener) {
    const node = make("button", { type: "button", textContent: text });
    node.addEventListener("click", listener);
    return node;
  }
  // A strip of pictures, [edit, caption] each; a click goes on there.
  async function showStrip(items) {
    const token = (drawn = {});
    const images = items.map(() => make("img", { alt: "", draggable: false }));
    tiles.replaceChildren(...items.map(([edit, caption], index) => {
      const open = make("button", { type: "button", ariaLabel: `${caption}, open in Explore` }, images[index], make("small", { textContent: caption }));
      open.addEventListener("click", () => go("explore", edit));
      return make("div", { className: "tile" }, open);
    }));
    tiles.hidden = false;
    const { fitted, tuned } = photo();
    const answer = await session.ask("render", { edits: items.map(([edit]) => edit), max_px: TILE, exact: false, tuned: fitted ? tuned : null });
    if (drawn !== token) return;
    if (answer.error) return session.set({ trouble: answer.error });
    answer.pictures.forEach((uri, index) => { images[index].src = uri; });
  }

  const draw = {
    blend(other) {
      const film = button("Save film", async () => {
        const { edit, fitted, tuned } = photo();
        const answer = await session.askAloud("Making the film", "film", { edits: [edit, other.edit], tuned: fitted ? tuned : null });
        if (answer) download(answer.file, `${generator.name}-film.mp4`);
      });
      film.dataset.tip = "There and back, as a video file";
      controls.replaceChildren(film);
      const here = shown;
      session.ask("between", { edits: [photo().edit, other.edit], count: BLEND_STEPS }).then((answer) => {
        if (shown !== here) return;
        if (answer.error) return session.set({ trouble: answer.error });
        showStrip(answer.edits.map((edit, index) => [edit, `${Math.round((100 * index) / (BLEND_STEPS - 1))} %`]));
      });
    },
    mix(other) {
      const [a, b] = [code(photo()), code(other)];
      const width = a.length / layers;
      const half = Math.floor(layers / 2);
      const [from, to] = [["First layer", half + 1], ["Last layer", layers]].map(([ariaLabel, value]) => make("input", { type: "number", min: 1, max: layers, step: 1, value, ariaLabel }));
      function show() {
        const [first, last] = [from, to].map((input) => clamp(Math.round(Number(input.value)) || 1, 1, layers));
        [from.value, to.value] = [first, Math.max(first, last)];
        const mixed = a.map((value, i) => (i >= (first - 1) * width && i < to.value * width ? b[i] : value));
        showStrip([[photo().edit, "This"], [withCode(mixed), `Layers ${first} to ${to.value}`], [other.edit, "The other"]]);
      }
      for (const input of [from, to]) input.addEventListener("change", show);
      controls.replaceChildren(make("span", { textContent: "Layers" }), from, make("span", { textContent: "to" }), to, make("span", { className: "soft", textContent: `of ${layers}, from the other photo` }));
      show();
    },
    words() {
      const [less, more] = ["a cat with closed mouth", "a cat with open mouth"].map((placeholder) => make("input", { type: "text", maxLength: 300, placeholder }));
      const file = button("From a file", () => find(".boundary-file").click());
      file.dataset.tip = "A direction as a .npy file: of InterFaceGAN, of SeFa, or of this program's command line";
      const move = button("Show", () => along("Learning what the words mean", { more: more.value, less: less.value }));
      for (const input of [less, more]) input.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), move.click()));
      controls.replaceChildren(make("label", {}, "Less like ", less), make("label", {}, "More like ", more), move, file);
    },
    context() {
      controls.replaceChildren(button("Choose the picture", () => find(".context-file").click()));
    },
    fit() {
      controls.replaceChildren(button("Fit", () => session.start(null, { fit: photo().edit })));
    },
  };
  // The results to choose the other photo from, where there are several.
  function partners(past, here, other) {
    const picks = past.map((one, index) => {
      const pick = make("button", { type: "button", ariaLabel: `With result ${index + 1}`, ariaPressed: String(one === other) }, make("img", { src: one.picture, alt: "", draggable: false }));
      pick.addEventListener("click", () => session.set({ other: one }));
      return pick;
    }).filter((_, index) => past[index].id !== here.id);
    return picks.length > 1 ? [make("div", { className: "partners", role: "group", ariaLabel: "The other photo" }, ...picks)] : [];
  }
  // Pictures along a direction; of a file with several, the first one and a number to choose another.
  async function along(busy, request) {
    const answer = await session.askAloud(busy, "directions", request);
    if (!answer || session.state.use !== "words") return;
    const steps = answer.directions.map(({ step }) => numbersOf(step));
    const show = (step) => showStrip(AMOUNTS.map((amount) => {
      const moved = code(photo()).map((value, i) => value + amount * step[i % step.length]);
      return [withCode(moved), amount ? `${amount > 0 ? "+" : "\u2212"}${Math.abs(amount)}` : "This"];
    }));
    box.querySelector(".which")?.remove();
    if (request.data) for (const input of controls.querySelectorAll("[type=text]")) input.value = ""; // not what is shown
    if (steps.length > 1) {
      const which = make("input", { type: "number", min: 1, max: steps.length, value: 1, ariaLabel: `Direction, of ${steps.length}` });
      which.addEventListener("change", () => {
        which.value = clamp(Math.round(which.value), 1, steps.length);
        show(steps[which.value - 1]);
      });
      controls.append(make("div", { className: "which" }, "Direction ", which, ` of ${steps.length} in the file`));
    }
    show(steps[0]);
  }
  async function read(input, take) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    if (file.size > generator.max_bytes) return session.set({ trouble: `${file.name} is too large: choose a smaller file.` });
    take(file.name, await readAsURI(file));
  }
  const [context, boundary] = [find(".context-file"), find(".boundary-file")];
  context.addEventListener("change", () => read(context, (_, uri) => session.start(null, { context: uri })));
  boundary.addEventListener("change", () => read(boundary, (name, data) => along("Reading the direction", { name, data })));

  const picks = Object.entries(USES).map(([name, [title, note]]) => {
    const node = make("button", { type: "button", className: "use" }, make("b", { textContent: title }), make("small", { textContent: note }));
    node.addEventListener("click", () => session.set({ use: session.state.use === name ? null : name, other: null }));
    node.dataset.use = name;
    return node;
  });
  box.querySelector(".picks").replaceChildren(...picks);

  return function show({ result, use, other: chosen, past, busy }) {
    if (!result) return;
    for (const node of picks) {
      node.ariaPressed = String(node.dataset.use === use);
      const ofPhoto = ["context", "fit"].includes(node.dataset.use);
      node.hidden = (ofPhoto && (!result.target || generator.exact)) || (node.dataset.use === "mix" && layers < 2); // a loaded code has no photo
    }
    const pair = ["blend", "mix"].includes(use);
    const others = pair ? past.filter(({ id }) => id !== result.id) : [];
    const other = others.find(({ id }) => id === chosen?.id) ?? others[0];
    say(what, pair && !other ? "Rebuild another photo first." : "");
    const now = JSON.stringify([result.id, result.fitted ?? false, use, other?.id, others.length]);
    if (now !== shown) redraw(now, use, other, pair);
    for (const node of controls.querySelectorAll("button")) node.disabled = Boolean(busy);
  };
  function redraw(now, use, other, pair) {
    [shown, drawn] = [now, null];
    tiles.hidden = true;
    tiles.replaceChildren();
    controls.replaceChildren();
    controls.hidden = !use || (pair && !other);
    if (controls.hidden) return;
    draw[use](other);
    if (pair) controls.prepend(...partners(session.state.past, photo(), other));
  }
}
