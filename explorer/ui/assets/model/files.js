// Checkpoints on the server's disk, on a page that its user alone opens: by address, out of a folder, or opened lately.

import { find, make, say } from "../dom.js";

const UNITS = ["B", "kB", "MB", "GB"];

// "364 MB": three figures at most.
export function bytes(size) {
  const power = Math.min(Math.max(Math.floor(Math.log10(Math.max(size, 1)) / 3), 0), UNITS.length - 1);
  return `${Number((size / 1000 ** power).toPrecision(3))} ${UNITS[power]}`;
}

export function createFiles(trouble, follow) {
  const form = find(".files form");
  const address = form.elements.address;
  const folder = find(".folder");
  const opener = find(".browse");
  let parent = null;

  async function open(path) {
    say(trouble, "");
    form.classList.add("busy");
    follow(await server.find({ address: path }));
    form.classList.remove("busy");
  }
  async function browse(path) {
    const answer = await server.browse({ address: path });
    if (!answer || answer.error) return say(trouble, answer?.error ?? "The server did not answer: try again.");
    say(trouble, "");
    parent = answer.parent;
    folder.hidden = false;
    opener.ariaExpanded = "true";
    find(".up").disabled = parent === null;
    find(".place").textContent = answer.path;
    const below = (name) => `${answer.path.replace(/[/]$/, "")}/${name}`;
    const entries = [
      ...answer.folders.map((name) => entry(name, "", "folder-entry", () => browse(below(name)))),
      ...answer.files.map(({ name, bytes: size }) => entry(name, bytes(size), "file-entry", () => open(below(name)))),
    ];
    const note = answer.more ? `${answer.more} more are not shown.` : entries.length ? "" : "No folders and no checkpoints here.";
    folder.querySelector("ul").replaceChildren(...entries, ...(note ? [make("li", { className: "soft" }, note)] : []));
    folder.querySelector("ul").scrollTop = 0;
  }
  function entry(name, note, className, go) {
    const button = make("button", { type: "button", className }, make("span", {}, name), make("small", { className: "soft" }, note));
    button.addEventListener("click", go);
    return make("li", {}, button);
  }
  function show(latest) {
    find(".files").hidden = !latest;
    find(".latest").hidden = !latest?.length;
    find(".latest ul").replaceChildren(...(latest ?? []).map((file) => entry(file.name, file.folder, "file-entry", () => open(file.address))));
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    open(address.value);
  });
  opener.addEventListener("click", () => {
    if (folder.hidden) return browse(null);
    folder.hidden = true;
    opener.ariaExpanded = "false";
  });
  find(".up").addEventListener("click", () => browse(parent));
  return { show };
}
