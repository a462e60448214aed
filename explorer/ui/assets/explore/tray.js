// Below the picture: the strip of one direction over its range, and the snapshots.

const STRIP = 7;
const TILE = 128; // px asked for a tile
const SNAPSHOTS = 60; // kept at most

function createTray(state, generator, loop, stage) {
  const strip = find("#strip");
  const shots = find("#snapshots");
  const title = find(".strip-title");
  let active = generator.directions[0];
  let stripOf = ""; // the request that the strip shows
  const tiles = Array.from({ length: STRIP }, createTile);
  strip.append(...tiles);

  function createTile() {
    const image = make("img", { alt: "", draggable: false });
    const tile = make("button", { type: "button", className: "tile" }, image, make("small"));
    tile.addEventListener("click", () => { state.strength(active.id, tile.value_); state.commit(); });
    return tile;
  }
  const amount = (index) => active.low + ((active.high - active.low) * index) / (STRIP - 1);
  // The strip follows the direction last touched, once it is at rest.
  function showStrip() {
    if (!active) return;
    const own = state.edit.strengths.get(active.id) ?? 0;
    let nearest = 0;
    const edits = tiles.map((tile, index) => {
      tile.value_ = Math.round(amount(index) * 1000) / 1000;
      tile.ariaLabel = `${active.label} at ${short(tile.value_)}`;
      tile.lastElementChild.textContent = short(tile.value_);
      if (Math.abs(tile.value_ - own) < Math.abs(tiles[nearest].value_ - own)) nearest = index;
      return state.json({ ...state.edit, strengths: new Map(state.edit.strengths).set(active.id, tile.value_) });
    });
    tiles.forEach((tile, index) => tile.classList.toggle("here", index === nearest));
    title.textContent = `${active.label} from ${short(active.low)} to ${short(active.high)}`;
    const request = JSON.stringify(edits);
    if (request === stripOf || strip.hidden) return;
    stripOf = request;
    loop.later({ name: "strip", edits, max_px: TILE, done: (index, uri) => { tiles[index].firstElementChild.src = uri; } });
  }

  function open(panelId) {
    for (const [tab, box] of [[find("#tab-strip"), strip], [find("#tab-snapshots"), shots]]) {
      const on = box.id === panelId;
      tab.ariaSelected = String(on);
      tab.tabIndex = on ? 0 : -1;
      box.hidden = !on;
    }
    act("save-strip")[0].hidden = title.hidden = strip.hidden;
    act("sheet")[0].hidden = shots.hidden;
    showStrip();
  }
  for (const tab of panel.querySelectorAll("[role=tab]")) {
    tab.addEventListener("click", () => open(tab.getAttribute("aria-controls")));
    tab.addEventListener("keydown", (event) => {
      if (!/^Arrow(Left|Right)$/.test(event.key)) return;
      open(strip.hidden ? "strip" : "snapshots");
      find("[role=tab][aria-selected=true]").focus();
    });
  }

  // Snapshots: in this browser, a list per generator, shared by its pages.
  const storageKey = `explorer:${generator.key}:snapshots`;
  function readShots() {
    try {
      return JSON.parse(localStorage.getItem(storageKey)) ?? [];
    } catch {
      return [];
    }
  }
  function writeShots(list) {
    try {
      localStorage.setItem(storageKey, JSON.stringify(list));
    } catch {
      stage.say("This browser has no room for more snapshots; delete some.");
    }
    showShots();
  }
  function thumbnail() {
    const canvas = make("canvas", { width: 112, height: 112 });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(stage.image, 0, 0, 112, 112);
    return canvas.toDataURL("image/jpeg", 0.85);
  }
  function snapshot() {
    if (!stage.image) return;
    writeShots([...readShots(), { edit: JSON.parse(panel.dataset.painted), thumb: thumbnail() }].slice(-SNAPSHOTS));
    open("snapshots");
    shots.scrollLeft = shots.scrollWidth;
  }
  function showShots() {
    const list = readShots();
    find("#tab-snapshots .count").textContent = list.length || "";
    act("sheet")[0].disabled = list.length === 0;
    if (!list.length) {
      shots.replaceChildren(make("p", { className: "empty", textContent: "Nothing kept yet. Press S or Snapshot to keep the picture you see; a click brings its sliders back." }));
      return;
    }
    shots.replaceChildren(...list.map(showShot));
  }
  function showShot({ edit, thumb }, index) {
    const restore = make("button", { type: "button", className: "tile", ariaLabel: `Restore snapshot ${index + 1}` }, make("img", { src: thumb, alt: "", draggable: false }), make("small", { textContent: `seed ${edit.seed ?? 0}` }));
    const remove = make("button", { type: "button", className: "remove", ariaLabel: `Delete snapshot ${index + 1}`, textContent: "\u00d7" });
    restore.addEventListener("click", () => state.change(state.parse(edit)));
    remove.addEventListener("click", () => writeShots(readShots().filter((_, other) => other !== index)));
    return make("div", { className: "shot" }, restore, remove);
  }

  act("snapshot")[0].addEventListener("click", snapshot);
  act("save-strip")[0].addEventListener("click", () => saveStrip(loop, generator, active, JSON.parse(stripOf), tiles.map((tile) => short(tile.value_))));
  act("sheet")[0].addEventListener("click", () => saveSheet(loop, generator, readShots().map(({ edit }) => edit)));
  showShots();
  open("strip");
  return {
    snapshot,
    refresh: showStrip,
    activate(direction, andOpen) {
      active = direction;
      if (andOpen) open("strip");
    },
  };
}
