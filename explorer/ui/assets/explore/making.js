// A file that the server makes of several edits: asked for, watched, fetched when it is done. `box` shows how far it is.

import { download } from "../dom.js";

const LOOK = 400; // ms between looks at how far it is

export function createMaking(box, { complain, onChange }) {
  const bar = box.querySelector(".making");
  const note = box.querySelector(".make-note");
  let id = null;

  async function make(request) {
    complain("");
    const answer = (await server.make(request)) ?? { error: "The server does not answer. Try again in a moment." };
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
  function show() {
    bar.hidden = id === null;
    onChange();
  }
  bar.querySelector("button").addEventListener("click", () => server.stop_making({ id }));
  return { make, note, get busy() { return id !== null; } };
}
