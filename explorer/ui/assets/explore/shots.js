// Snapshots: a list of {edit, thumb} in this browser, one per generator, shared by its tabs and pages.

const SNAPSHOTS = 60; // kept at most
const THUMB = 112; // px

function createShots(key) {
  const storageKey = `explorer:${key}:snapshots`;
  const read = () => readJSON(localStorage, storageKey) ?? [];
  // Whether there was room.
  function write(list) {
    try {
      localStorage.setItem(storageKey, JSON.stringify(list.slice(-SNAPSHOTS)));
      return true;
    } catch {
      return false;
    }
  }
  function merge(list) {
    const known = new Set(read().map(({ edit }) => JSON.stringify(edit)));
    return write([...read(), ...list.filter(({ edit }) => !known.has(JSON.stringify(edit)))]);
  }
  return { read, write, merge, add: (edit, image) => write([...read(), { edit, thumb: thumbnail(image) }]) };
}

function thumbnail(image) {
  const canvas = make("canvas", { width: THUMB, height: THUMB });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, THUMB, THUMB);
  return canvas.toDataURL("image/jpeg", 0.85);
}
