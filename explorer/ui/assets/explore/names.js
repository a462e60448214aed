// In an unfolded row: what its direction is called, whether it is starred or hidden; one's own is saved as a file or deleted.

const NAME = 60; // letters at most

export function createNames(node, direction, { onMark, onExport, onRemove }) {
  const name = node.querySelector(".called");
  const [star, hide, save, remove] = ["star", "hide", "export", "remove"].map((part) => node.querySelector(`[data-row=${part}]`));
  name.maxLength = NAME;
  name.placeholder = direction.given;
  name.ariaLabel = `Name of ${direction.given}`;
  save.hidden = remove.hidden = direction.group !== "own";

  function show() {
    name.value = direction.label;
    star.textContent = direction.starred ? "Unstar" : "Star";
    hide.textContent = direction.hidden ? "Show" : "Hide";
  }
  name.addEventListener("change", () => {
    const text = name.value.trim().replace(/ +/g, " ");
    direction.label = text && !/^[0-9]+$/.test(text) ? text : direction.given; // empty: the name that it has itself
    onMark(direction);
    show();
  });
  star.addEventListener("click", () => { direction.starred = !direction.starred; onMark(direction); show(); });
  hide.addEventListener("click", () => { direction.hidden = !direction.hidden; onMark(direction); show(); });
  save.addEventListener("click", () => onExport(direction));
  remove.addEventListener("click", () => onRemove(direction));
  show();
}
