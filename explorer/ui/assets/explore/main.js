// Puts the parts together: a change of the edit asks for a picture; an edit at rest is kept, compared and shown in
// strips. Python sees the resting edit in `value`, and may write one there.

const SHARE_REST = 300; // ms until Python is told; telling it makes Gradio read the whole panel again

function start(generator) {
  const state = createState(generator);
  const stage = createStage();
  const loop = createLoop({
    ask: (request) => server.pictures(request),
    onPicture: async (request, uri) => {
      stage.show(await loadImage(uri), request.edit);
      stage.say("");
    },
    onError: stage.say,
    onLost: stage.lost,
  });
  const code = createCode(state, generator);
  const tray = createTray(state, generator, loop, stage);
  const rows = createRows(state, generator, { onActive(direction, andOpen) { tray.activate(direction, andOpen); rest(); } });
  const neighbours = createNeighbours(state, generator, loop, stage, code);
  let asked = "";
  let beforeOf = "";
  let sharing;

  function ask(edit) {
    const json = state.json(edit);
    if (JSON.stringify(json) !== asked) loop.want({ edit: json, max_px: generator.max_px, exact: false });
    asked = JSON.stringify(json);
    for (const button of act("undo")) button.disabled = !state.canUndo;
    for (const button of act("redo")) button.disabled = !state.canRedo;
    rest();
  }
  // Work for when nothing moves: the picture to compare with, the strip, and Python's copy.
  function rest() {
    if (!state.atRest) return;
    const before = state.json({ ...state.edit, strengths: new Map(), layers: new Map() });
    if (JSON.stringify(before) !== beforeOf) {
      beforeOf = JSON.stringify(before);
      const done = async (_, uri) => stage.before(await loadImage(uri));
      loop.later({ name: "before", edits: [before], max_px: generator.max_px, exact: true, done });
    }
    tray.refresh();
    neighbours.refresh();
    clearTimeout(sharing);
    sharing = setTimeout(share, SHARE_REST);
  }
  function share() {
    props.value = state.json();
    trigger("commit");
  }
  watch("value", () => {
    const given = props.value;
    if (given?.version && JSON.stringify(given) !== JSON.stringify(state.json())) state.change(state.parse(given));
  });
  async function save() {
    const [uri] = await loop.all({ name: "download", edits: [state.json()], exact: true });
    download(uri, `${generator.name}-${state.edit.latent ? "photo" : state.edit.seed}.png`);
  }
  const compare = () => stage.compare(!stage.comparing);

  act("undo")[0].addEventListener("click", state.undo);
  act("redo")[0].addEventListener("click", state.redo);
  act("compare")[0].addEventListener("click", compare);
  act("download")[0].addEventListener("click", save);
  state.onChange(ask);
  createKeys({ state, stage, code, rows, tray, neighbours, compare });
  createTips();
  ask(state.edit);
}

start(props.generator);
