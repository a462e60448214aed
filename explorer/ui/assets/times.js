// When something was, in a word.

const MINUTE = 60_000;
const STEPS = [[60, "minute"], [24, "hour"], [7, "day"]];

export function ago(when) {
  let count = Math.floor((Date.now() - when) / MINUTE);
  if (count < 1) return "just now";
  for (const [most, unit] of STEPS) {
    if (count < Number(most)) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
    count = Math.floor(count / Number(most));
  }
  return new Date(when).toLocaleDateString();
}
