// Domains under other names, in another order, or without some of them, written as a generator of its own.

import { find, make, say } from "../dom.js";

export function createArrange(open) {
  const form = find(".arrange");
  const list = form.querySelector("ol");
  const opener = find(".edit");
  const trouble = form.querySelector(".trouble");
  let model = null;

  function row(domain) {
    const name = make("input", { type: "text", value: domain, maxLength: 40, ariaLabel: `Name of ${domain}`, autocomplete: "off" });
    const act = (words, label, go) => {
      const button = make("button", { type: "button", ariaLabel: `${label} ${domain}` }, words);
      button.addEventListener("click", () => { go(); button.focus(); });
      return button;
    };
    const up = act("\u2191", "Move up", () => node.previousElementSibling?.before(node));
    const down = act("\u2193", "Move down", () => node.nextElementSibling?.after(node));
    const leave = act("Leave out", "Leave out", () => {
      const out = node.classList.toggle("out");
      name.disabled = out;
      leave.textContent = out ? "Take in" : "Leave out";
      leave.ariaLabel = `${leave.textContent} ${domain}`;
    });
    const node = make("li", {}, name, up, down, leave);
    node.dataset.domain = domain;
    return node;
  }
  function start() {
    list.replaceChildren(...model.domains.map(row));
    form.elements.file.value = `${model.name}-mine`;
    toggle(true);
    list.querySelector("input").focus();
  }
  function toggle(on) {
    form.hidden = !on;
    opener.hidden = on || !model.arranged;
    find(".domains").hidden = on;
    say(trouble, "");
  }
  async function save(event) {
    event.preventDefault();
    say(trouble, "");
    const kept = [...list.children].filter((node) => !node.classList.contains("out"));
    const domains = kept.map((node) => [node.dataset.domain, node.querySelector("input").value]);
    form.querySelector(".save").disabled = true;
    const answer = await server.arrange({ domains, file: form.elements.file.value });
    form.querySelector(".save").disabled = false;
    if (answer?.name) open(answer.name);
    else say(trouble, answer?.error ?? "The server did not answer: try again.");
  }
  opener.addEventListener("click", start);
  form.querySelector(".cancel").addEventListener("click", () => { toggle(false); opener.focus(); });
  form.addEventListener("submit", save);
  return {
    show(next) {
      model = next;
      toggle(false);
    },
  };
}
