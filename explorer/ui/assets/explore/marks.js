// What the user calls directions, which are starred and which hidden. The server keeps it, or this browser where the
// server keeps nothing; panels of one page share what was changed since it was opened.

import "../bus.js";
import { readJSON } from "./state.js";

const NONE = { names: [], stars: [], hidden: [] };
const marksKey = ({ key }) => `explorer:${key}:marks`;

function readMarks(generator) {
  const kept = generator.naming.own ? generator.naming.marks : readJSON(localStorage, marksKey(generator));
  return window.domainExplorer.marks ?? kept ?? NONE;
}

// The generator with its directions as they are called and marked here; `given` is the name that it has itself.
export function withMarks(generator) {
  const { names, stars, hidden } = readMarks(generator);
  const called = new Map(names);
  const marked = (direction) => ({
    ...direction,
    given: direction.label,
    label: called.get(direction.id) ?? direction.label,
    starred: stars.includes(direction.id),
    hidden: hidden.includes(direction.id),
  });
  return { ...generator, directions: generator.directions.map(marked) };
}

// Keeps what the directions carry, and what is known of those that this generator does not have; a sentence where that fails.
export async function storeMarks(generator) {
  const { directions } = generator;
  const here = new Set(directions.map(({ id }) => id));
  const before = readMarks(generator);
  const ids = (list) => list.map(({ id }) => id);
  const elsewhere = (id) => !here.has(id);
  const marks = {
    names: [...before.names.filter(([id]) => elsewhere(id)), ...directions.filter(({ label, given }) => label !== given).map(({ id, label }) => [id, label])],
    stars: [...before.stars.filter(elsewhere), ...ids(directions.filter(({ starred }) => starred))],
    hidden: [...before.hidden.filter(elsewhere), ...ids(directions.filter(({ hidden }) => hidden))],
  };
  window.domainExplorer.marks = marks;
  if (!generator.naming.own) return localStorage.setItem(marksKey(generator), JSON.stringify(marks));
  const answer = await server.mark(marks);
  return answer ? (answer.error ?? answer.note) : "The server does not answer, so this is not kept yet.";
}
