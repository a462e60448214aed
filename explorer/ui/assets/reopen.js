// Before the panels are built: projects, which lie in this browser's database, and what the last one kept is put where
// the panels look for it. `domainExplorer.ready` is when that is done.

{
  const POINTER = `explorer:project:${location.pathname}`; // which project this page shows: of the browser, and of the window
  const LATE = 1000; // ms after which the page goes on without

  const database = () => new Promise((resolve, reject) => {
    const request = indexedDB.open("explorer", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("projects", { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = request.onblocked = () => reject(request.error);
  });
  let opened = null;
  async function ask(mode, work) {
    opened ??= database();
    const store = (await opened).transaction("projects", mode).objectStore("projects");
    return new Promise((resolve, reject) => {
      const request = work(store);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  }
  const projects = {
    pointer: POINTER,
    all: () => ask("readonly", (store) => store.getAll()),
    get: (id) => ask("readonly", (store) => store.get(id)),
    put: (project) => ask("readwrite", (store) => store.put(project)),
    remove: (id) => ask("readwrite", (store) => store.delete(id)),
    // What a project keeps, in the place of what this window has.
    take(project) {
      for (const key of Object.keys(sessionStorage)) if (project.owns.some((start) => key.startsWith(start))) sessionStorage.removeItem(key);
      for (const [key, text] of Object.entries(project.session)) sessionStorage.setItem(key, text);
      sessionStorage.setItem(POINTER, project.id);
    },
  };
  async function reopen() {
    const id = localStorage.getItem(POINTER);
    if (!id || sessionStorage.getItem(POINTER) === id) return; // a reload has all of it
    const project = await projects.get(id);
    if (project && !project.deleted) projects.take(project);
  }
  const late = new Promise((resolve) => setTimeout(resolve, LATE));
  // A browser that forbids the database shows the page without projects.
  window.domainExplorer = { projects, ready: Promise.race([reopen().catch(() => {}), late]) };
}
