// Twenty seconds around the page: a ring around one part after another, and a sentence on it. It waits while somebody
// points at it or has it focused, and ends with the picture alone.

const STOP = 4000; // ms at each part
const MARGIN = 12; // px between a part and its sentence
const STOPS = [
  [".explore .group[data-group=domains] .rows, .explore .directions", "Every slider changes the picture at once. Drag one."],
  [".explore .tray", "This picture in every domain: point at one to see it, click to go there."],
  ["#tabs [role=tab]:nth-of-type(2)", "Photo takes yours: it is rebuilt, and every slider works on it."],
  [".explore .toolbar", "S keeps the picture you see. P plays the kept ones as a film, which you can save and send."],
  ["#tabs [role=tab]:nth-of-type(4)", "Teach makes words or pictures a new slider. The question mark above has this tour again."],
];
const NARROW = 800; // px of a window in which everything scrolls below the picture
const ALONE = ".explore.bare, .explore.wandering"; // nothing lies over a picture that is shown around

export function createTour(root) {
  const card = root.querySelector(".tour");
  const ring = root.querySelector(".tour-ring");
  const next = card.querySelector(".tour-next");
  let at = -1;
  let left = 0; // ms at this part
  let then = 0;

  function start() {
    window.domainExplorer.openTab("explore");
    go(0);
    next.focus();
    requestAnimationFrame(tick);
  }
  function go(number) {
    if (number === STOPS.length) return end();
    at = number;
    left = STOP;
    then = performance.now();
    card.querySelector("p").textContent = STOPS[at][1];
    card.querySelector(".tour-at").textContent = `${at + 1} of ${STOPS.length}`;
    next.textContent = at + 1 < STOPS.length ? "Next" : "Done";
    card.hidden = ring.hidden = false;
    part()?.scrollIntoView({ block: "nearest" });
  }
  function end() {
    at = -1;
    card.hidden = ring.hidden = true;
  }
  const part = () => [...document.querySelectorAll(STOPS[at][0])].find((found) => found.checkVisibility());
  function tick(now) {
    if (at < 0) return;
    if (document.fullscreenElement || document.querySelector(ALONE) || document.querySelector("dialog[open]")) return end();
    requestAnimationFrame(tick);
    place();
    if (!card.matches(":hover, :has(:focus-visible)")) left -= Math.max(now - then, 0);
    then = now;
    card.style.setProperty("--left", String(Math.max(left / STOP, 0)));
    if (left <= 0) go(at + 1);
  }
  // Around what is seen of the part, and beside it where there is room.
  function place() {
    const target = part()?.getBoundingClientRect() ?? new DOMRect();
    const cover = innerWidth <= NARROW ? (document.querySelector(".explore .stage-area")?.getBoundingClientRect().bottom ?? 0) : 0;
    const [top, bottom] = [Math.max(target.top, target.bottom > cover ? cover + 4 : 4), Math.min(target.bottom, innerHeight - 4)];
    const [start, stop] = [Math.max(target.left, 4), Math.min(target.right, innerWidth - 4)];
    Object.assign(ring.style, { left: `${start - 4}px`, top: `${top - 4}px`, width: `${stop - start + 8}px`, height: `${bottom - top + 8}px` });
    const { width, height } = card.getBoundingClientRect();
    const fits = { below: bottom + MARGIN + height < innerHeight, above: top - MARGIN - height > 0 };
    const y = fits.below ? bottom + MARGIN : fits.above ? top - MARGIN - height : innerHeight - height - MARGIN;
    const x = fits.below || fits.above ? (start + stop - width) / 2 : start - width - MARGIN;
    card.style.left = `${Math.min(Math.max(x, MARGIN), innerWidth - width - MARGIN)}px`;
    card.style.top = `${y}px`;
  }
  next.addEventListener("click", () => go(at + 1));
  card.querySelector(".tour-skip").addEventListener("click", end);
  document.addEventListener("keydown", (event) => {
    if (at < 0 || event.key !== "Escape") return;
    event.stopPropagation();
    end();
  }, true);
  return { start, end };
}
