// How tabs hand edits to each other, and the edit of the address `?edit=...&tab=...`. Each panel brings this script; the
// first one runs it. A closed tab is not in the page: its edit waits until the panel is built.
if (!window.domainExplorer?.openEdit) {
  const TOAST = 4000; // ms
  const query = new URLSearchParams(location.search);
  const receivers = {}; // tab -> {panel, take}
  const pending = {};
  const buttons = () => /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("#tabs [role=tab]"));
  const buttonOf = (tab) => [...buttons()].find((button) => button.textContent.trim().toLowerCase() === tab);

  const bus = Object.assign((window.domainExplorer ??= {}), {
    link: query.has("edit") ? { text: query.get("edit"), tab: query.get("tab") === "compose" ? "compose" : "explore" } : null,
    hasTab: (tab) => Boolean(buttonOf(tab)),
    openTab: (tab) => buttonOf(tab)?.click(),
    // A panel's script goes on once the project of the page is in its place.
    begin: (start) => (bus.ready ?? Promise.resolve()).then(start),
    // One sentence on what was done, for as long as it takes to read it; the next one takes its place.
    toast(text) {
      const toast = document.querySelector(".toast") ?? document.body.appendChild(Object.assign(document.createElement("p"), { className: "toast" }));
      toast.role = "status";
      toast.textContent = text;
      clearTimeout(bus.toasting);
      bus.toasting = setTimeout(() => toast.remove(), TOAST);
    },
    stored: () => document.dispatchEvent(new CustomEvent("explorer:stored")),
    // Give an edit to a tab without going there; to the tab "photo" a photo, as a data URI.
    hand(tab, edit) {
      const receiver = receivers[tab];
      if (receiver?.panel.isConnected) receiver.take(edit);
      else pending[tab] = edit;
    },
    openEdit(tab, edit) {
      bus.hand(tab, edit);
      bus.openTab(tab);
    },
    // A panel takes edits from now on, at once the one that waits for it.
    receive(tab, panel, take) {
      receivers[tab] = { panel, take };
      if (!pending[tab]) return;
      take(pending[tab]);
      delete pending[tab];
    },
    // The link of the address, once; later edits must survive a reload.
    takeLink(tab) {
      if (bus.link?.tab !== tab) return null;
      const { text } = bus.link;
      bus.link = null;
      const rest = new URLSearchParams(location.search);
      rest.delete("edit");
      history.replaceState(history.state, "", `${location.pathname}${rest.size ? `?${rest}` : ""}${location.hash}`);
      return text;
    },
  });
}
