// A film along the snapshots, or a zip of everything about them: made by the server, fetched when it is done.

import { act, download, find } from "../dom.js";

const LOOK = 400; // ms between looks at how far it is

export function createMaking({ shots, size, complain }) {
  const box = find(".makes");
  const bar = box.querySelector(".making");
  const note = box.querySelector(".make-note");
  let id = null;

  function show() {
    const count = shots.read().length;
    act("make-film")[0].disabled = count < 2 || id !== null;
    act("make-zip")[0].disabled = count < 1 || id !== null;
    bar.hidden = id === null;
    note.textContent = count < 2
      ? "Keep two pictures or more with Snapshot: a film goes from each to the next."
      : `A film goes along all ${count} and back to the first. The zip holds pictures, codes, directions and a table.`;
  }
  async function make(kind) {
    complain("");
    const edits = shots.read().map(({ edit }) => edit);
    const answer = (await server.make({ kind, edits, px: size(), frames: Number(box.querySelector("[name=frames]").value) })) ?? { error: "The server does not answer. Try again in a moment." };
    if (answer.error) return complain(answer.error);
    id = answer.id;
    bar.firstElementChild.value = 0;
    show();
    await watch();
    id = null;
    show();
  }
  async function watch() {
    for (;;) {
      const answer = await server.look_made({ id, hidden: document.hidden });
      if (answer?.error) return complain(answer.error);
      if (answer?.file) return download(answer.file, answer.name);
      if (answer?.state === "stopped") return;
      if (answer?.state === "done") return complain("The file was lost on its way. Make it again.");
      if (answer) bar.firstElementChild.value = answer.fraction; // no answer: the server is asked again
      if (answer?.ahead) note.textContent = `Waiting: ${answer.ahead} before yours.`;
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  }
  act("make-film")[0].addEventListener("click", () => make(box.querySelector("[name=film]").value));
  act("make-zip")[0].addEventListener("click", () => make("zip"));
  act("stop-making")[0].addEventListener("click", () => server.stop_making({ id }));
  return { show };
}
