// A checkpoint of the visitor's own, sent to the server: how much has arrived, and a way to stop it.

import { find, say } from "../dom.js";
import { bytes } from "./files.js";

export function createUpload(trouble, follow) {
  const drop = find(".drop");
  const input = find(".drop input");
  const sending = find(".sending");
  const bar = sending.querySelector("progress");
  const words = sending.querySelector("span");
  let request = null;

  // The server's answer, or null where it was cancelled. XMLHttpRequest says how much was sent; fetch does not.
  function send(file) {
    const form = new FormData();
    form.append("files", file);
    request = new XMLHttpRequest();
    request.open("POST", `${location.pathname.replace(/[/]?$/, "/")}gradio_api/upload`);
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      bar.value = loaded / total;
      words.textContent = loaded < total ? `${bytes(loaded)} of ${bytes(total)}` : "Reading it";
    });
    return new Promise((resolve) => {
      request.addEventListener("abort", () => resolve(null));
      request.addEventListener("error", () => resolve({ error: "The file did not arrive: try again." }));
      request.addEventListener("load", () => resolve(answerOf(request)));
      request.send(form);
    });
  }
  function answerOf({ status, responseText }) {
    if (status === 200) return { path: JSON.parse(responseText)[0] };
    const told = [400, 408, 413, 429, 507].includes(status) && responseText.length < 300 && !responseText.startsWith("<");
    return { error: told ? responseText : "The file did not arrive: try again." };
  }
  function show(on) {
    sending.hidden = !on;
    drop.hidden = on;
    bar.value = 0;
    words.textContent = "";
  }
  async function bring(file) {
    if (request) return;
    say(trouble, "");
    show(true);
    const answer = await send(file);
    if (answer?.path) follow(await server.bring({ path: answer.path, title: file.name }));
    else if (answer) say(trouble, answer.error);
    request = null;
    show(false);
  }

  sending.querySelector(".stop").addEventListener("click", () => request?.abort());
  input.addEventListener("change", () => {
    if (input.files[0]) bring(input.files[0]);
    input.value = ""; // the same file may be chosen again
  });
  drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) bring(event.dataTransfer.files[0]);
  });
}
