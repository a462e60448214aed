// From one result to another: the pictures of the codes between them, in even steps.

const BLEND_STEPS = 7;

function codeOf({ shape, data }, layers) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const numbers = [...new Float32Array(bytes.buffer)];
  return shape.length === 1 ? Array.from({ length: layers }, () => numbers).flat() : numbers; // one row for all layers
}

function latentOf(numbers, layers) {
  const bytes = new Uint8Array(Float32Array.from(numbers).buffer);
  const data = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  return { shape: [layers, numbers.length / layers], data };
}

function createBlend(session, generator, go) {
  const box = find(".blend");
  const button = act("blend")[0];
  let shown = null;

  function between(from, to) {
    const [a, b] = [from, to].map(({ edit }) => codeOf(edit.latent, generator.layers));
    return Array.from({ length: BLEND_STEPS }, (_, index) => {
      const part = index / (BLEND_STEPS - 1);
      const numbers = a.map((value, i) => value + part * (b[i] - value));
      return { ...from.edit, latent: latentOf(numbers, generator.layers) };
    });
  }
  function tile(edit, index) {
    const image = make("img", { alt: "", draggable: false });
    const percent = Math.round((100 * index) / (BLEND_STEPS - 1));
    const open = make("button", { type: "button", ariaLabel: `${percent} percent of the other, open in Explore` }, image, make("small", { textContent: `${percent} %` }));
    open.addEventListener("click", () => go("explore", edit));
    return make("div", { className: "tile" }, open);
  }
  async function render(from, to) {
    const edits = between(from, to);
    box.querySelector(".tiles").replaceChildren(...edits.map(tile));
    const answer = await session.ask("render", { edits, max_px: TILE, exact: false });
    if (shown !== to) return;
    answer.pictures?.forEach((uri, index) => { box.querySelectorAll("img")[index].src = uri; });
  }
  button.addEventListener("click", () => session.set({ blend: session.state.blend === "pick" ? null : "pick" }));

  return function show({ result, past, blend }) {
    button.hidden = !result || past.length < 2;
    button.ariaPressed = String(blend === "pick");
    button.textContent = blend === "pick" ? "Click the other one" : "Blend with another";
    const to = blend && blend !== "pick" ? blend : null;
    box.hidden = !to;
    if (to && to !== shown) {
      shown = to;
      render(result, to);
    }
    shown = to;
  };
}
