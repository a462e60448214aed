// Where a photo comes from: a file, a drop, the clipboard or the example; and what was found on it.

import { act, find, onClick, panel, readAsURI, say } from "../dom.js";

export function createPhoto(session, studio, settings) {
  const [photoFile, latentFile] = [find(".photo-file"), find(".latent-file")];
  const area = find(".area");
  const gone = new AbortController(); // Gradio throws the panel away when another tab is opened
  const { signal } = gone;
  const isLatent = (name) => /[.](safetensors|npy|pt)$/i.test(name);
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const megabytes = Math.round(studio.max_bytes / 2 ** 20);

  async function takeFile(file) {
    if (!file) return;
    if (file.size > studio.max_bytes) {
      return session.set({ trouble: `${file.name} is too large: choose a file of at most ${megabytes} MB.` });
    }
    if (!file.size) return session.set({ trouble: `${file.name} is empty: choose another file.` });
    let uri;
    try {
      uri = await readAsURI(file);
    } catch {
      return session.set({ trouble: `${file.name} cannot be read: choose it again.` });
    }
    if (isLatent(file.name)) await session.loadLatent(file.name, uri);
    else await session.takePhoto(uri);
  }
  for (const input of [photoFile, latentFile]) {
    input.addEventListener("change", () => {
      takeFile(input.files[0]);
      input.value = ""; // the same file may be chosen again
    });
  }
  onClick("choose", () => photoFile.click());
  onClick("load-latent", () => latentFile.click());
  onClick("example", () => session.takePhoto(null));
  onClick("as-is", () => session.set({ box: session.state.photo.centre }));
  onClick("turn", () => {
    const { given, turn } = session.state.photo;
    session.takePhoto(given, (turn + 3) % 4);
  });
  onClick("next-face", () => {
    const { box, photo: { faces } } = session.state;
    const at = faces.findIndex((face) => same(face, box));
    session.set({ box: faces[(at + 1) % faces.length] });
  });

  panel.addEventListener("dragover", (event) => {
    event.preventDefault();
    area.classList.add("over");
  });
  panel.addEventListener("dragleave", (event) => panel.contains(/** @type {Node | null} */ (event.relatedTarget)) || area.classList.remove("over"));
  panel.addEventListener("drop", (event) => {
    event.preventDefault();
    area.classList.remove("over");
    takeFile(event.dataTransfer?.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (!panel.isConnected) return gone.abort();
    const file = event.clipboardData?.files[0];
    if (file && panel.offsetParent !== null) takeFile(file);
  }, { signal });

  // What the search takes, where that is long.
  function costText({ costs }) {
    const { method, steps = studio.methods[method].steps } = settings.settings;
    if (!costs?.[method]) return "";
    const { seconds, gigabytes } = costs[method];
    return `${steps} steps of about ${seconds.toFixed(1)} s: ${Math.ceil((steps * seconds) / 60)} min, with ${gigabytes.toFixed(1)} GB of memory.`;
  }
  return function show({ photo, box, strange }) {
    if (!photo) return;
    say(find(".cost"), costText(photo));
    say(find(".strange"), strange);
    const image = find(".photo img");
    if (image.src !== photo.uri) image.src = photo.uri;
    const count = photo.faces.length;
    const found = count === 0 ? "No face was found, so the middle of the photo is used. Drag the frame to change it."
      : count === 1 ? "One face was found. Drag the frame to change it."
      : `${count} faces were found. Drag the frame to change it.`;
    const asIs = same(box, photo.centre);
    const stood = photo.turned ? "The photo was turned so that it stands. " : "";
    find(".faces").textContent = stood + (asIs && count ? "The photo is used as it is, cut to a square." : found);
    act("turn")[0].disabled = Boolean(session.state.busy);
    act("next-face")[0].hidden = !count || (count === 1 && same(box, photo.faces[0]));
    act("next-face")[0].textContent = count === 1 ? "Back to the face" : "Next face";
    act("as-is")[0].hidden = asIs;
  };
}
