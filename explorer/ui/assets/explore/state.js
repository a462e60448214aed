// The edit that the page shows: its JSON (the same as Python's `Edit`), its history, and where both survive a reload.
// Knows no widgets and no server. An edit is never changed in place: `set` takes a new one.

const HISTORY = 200;

function editFromJSON(data, defaults) {
  const { version, strengths = [], layers = [], ...code } = data;
  return { ...defaults, ...code, strengths: new Map(strengths), layers: new Map(layers) };
}

function editToJSON(edit, defaults) {
  const data = { version: edit.noise ? 2 : 1 };
  for (const [name, standard] of Object.entries(defaults)) {
    if (edit[name] !== standard) data[name] = edit[name];
  }
  const byName = ([a], [b]) => (typeof a === typeof b ? (a < b ? -1 : 1) : typeof a === "number" ? -1 : 1);
  const strengths = [...edit.strengths].filter(([, value]) => value !== 0).sort(byName);
  const layers = [...edit.layers].filter(([id]) => edit.strengths.get(id)).sort(byName);
  if (strengths.length) data.strengths = strengths;
  if (layers.length) data.layers = layers;
  return data;
}

export function readJSON(storage, key) {
  try {
    return JSON.parse(storage.getItem(key));
  } catch {
    return null; // written by another program, or storage is forbidden: start afresh
  }
}

// A code from a seed in the place of a photo's, whose own noise goes with it.
export const seeded = (seed, { noise_mode }) => ({ seed, latent: null, noise: null, noise_mode: noise_mode === "photo" ? "const" : noise_mode });

// Where Compose keeps its own edit, and the edit that another tab shows, also while it is closed.
export const composeKey = ({ key }) => `${key}:compose`;
const storageKeyOf = (key) => `explorer:${key}:edit`;

// The texts of the edits that were stored, whole again.
function readHistory(storageKey) {
  const stored = readJSON(sessionStorage, storageKey);
  const whole = (text) => {
    const data = JSON.parse(text);
    return Number.isInteger(data.noise) ? JSON.stringify({ ...data, noise: JSON.parse(stored.noises[data.noise]) }) : text;
  };
  return stored && { edit: whole(stored.edit), past: stored.past.map(whole), future: stored.future.map(whole) };
}

export function storedEdit(key) {
  const stored = readHistory(storageKeyOf(key));
  return stored ? JSON.parse(stored.edit) : null;
}

export function createState({ key, defaults, directions }) {
  const listeners = [];
  const storageKey = storageKeyOf(key);
  const parse = (text) => editFromJSON(JSON.parse(text), defaults);
  // A domain taught since may have taken a direction that a stored edit moved.
  const ids = new Set(directions.map(({ id }) => id));
  function current(text) {
    const { strengths, layers, ...code } = parse(text);
    const there = (map) => new Map([...map].filter(([id]) => ids.has(id)));
    return JSON.stringify(editToJSON({ ...code, strengths: there(strengths), layers: there(layers) }, defaults));
  }
  const stored = readHistory(storageKey);
  let past = (stored?.past ?? []).map(current); // JSON texts, oldest first
  let future = (stored?.future ?? []).map(current);
  let committed = current(stored?.edit ?? JSON.stringify({ version: 1 }));
  let edit = parse(committed);

  // Steps of the history share the noise image of one photo: it is stored once, and stands as its number in the texts.
  function store() {
    const noises = [];
    const packed = (text) => {
      const data = JSON.parse(text);
      if (!data.noise) return text;
      const noise = JSON.stringify(data.noise);
      if (!noises.includes(noise)) noises.push(noise);
      return JSON.stringify({ ...data, noise: noises.indexOf(noise) });
    };
    try {
      const stored = { edit: packed(committed), past: past.map(packed), future: future.map(packed) };
      sessionStorage.setItem(storageKey, JSON.stringify({ ...stored, noises }));
      window.domainExplorer.stored();
    } catch {
      // storage full or forbidden: the page works on, it only forgets at a reload
    }
  }
  function set(change) {
    edit = { ...edit, ...change };
    for (const listener of listeners) listener(edit);
  }
  // The edit has come to rest: one step of the history.
  function commit() {
    const text = JSON.stringify(api.json());
    if (text === committed) return;
    past = [...past, committed].slice(-HISTORY);
    future = [];
    committed = text;
    store();
    set({});
  }
  function travel(from, to) {
    if (!from.length) return;
    to.push(committed);
    committed = from.pop();
    store();
    set(parse(committed));
  }
  const texts = () => [...past, committed, ...future.toReversed()];
  // To the step of this number, as so many undos or redos would.
  function go(step) {
    const all = texts();
    [past, committed, future] = [all.slice(0, step), all[step], all.slice(step + 1).reverse()];
    store();
    set(parse(committed));
  }
  const api = {
    json: (of = edit) => editToJSON(of, defaults),
    parse: (data) => editFromJSON(data, defaults),
    defaults,
    set,
    commit,
    change: (change) => (set(change), commit()),
    strength: (id, value) => set({ strengths: new Map(edit.strengths).set(id, value) }),
    undo: () => travel(past, future),
    redo: () => travel(future, past),
    go,
    get steps() { return { texts: texts(), at: past.length }; },
    onChange: (listener) => listeners.push(listener),
    get edit() { return edit; },
    get canUndo() { return past.length > 0; },
    get canRedo() { return future.length > 0; },
    get atRest() { return JSON.stringify(api.json()) === committed; },
  };
  return api;
}
