// Photo and result: beside each other, or one over the other with a border to drag.

import { all, find } from "../dom.js";

const VIEW = "explorer:invert:view";

export function createCompare() {
  const box = find(".compare");
  const [target, found, wipe] = [find(".target"), find(".found"), find(".wipe")];

  function setView(view) {
    localStorage.setItem(VIEW, view);
    box.classList.toggle("wiping", view === "wipe");
    find(`[name=view][value=${view}]`).checked = true;
  }
  const cut = () => box.style.setProperty("--cut", wipe.value);
  for (const radio of all("[name=view]")) radio.addEventListener("change", () => setView(radio.value));
  wipe.addEventListener("input", cut);
  setView(localStorage.getItem(VIEW) === "wipe" ? "wipe" : "beside");

  // Sources change only when the pictures do, so nothing flickers. A loaded latent has no photo.
  return function show(photo, picture) {
    box.classList.toggle("alone", !photo);
    for (const [image, uri] of [[target, photo], [found, picture]]) {
      image.alt = uri ? image.dataset.alt : ""; // no sign of a broken picture before the first one is there
      if (!uri) image.removeAttribute("src");
      else if (image.getAttribute("src") !== uri) image.src = uri;
    }
  };
}
