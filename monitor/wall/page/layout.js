// Which patients are shown, and in how many columns and rows. Pure.

import { isUrgent, urgency } from "./alarms.js";

export const MOST_STRIPS = 16;
export const MOST_TILES = 64;

const NARROW = 900;
const STRIP_HEIGHT = 84;
const TILE = { wide: [150, 84], narrow: [116, 88] };

const names = new Intl.Collator("en", { numeric: true });

// In the order of their names, bed-2 before bed-10. The order in which they came to the
// server is chance: it is another one on another server, or after a new start.
export function byName(patients) {
  return [...patients].sort((a, b) => names.compare(a.name, b.name) || a.n - b.n);
}

// The worst first; otherwise in their order.
export function worstFirst(patients) {
  return [...patients].sort((a, b) => urgency(b.alarms[0]) - urgency(a.alarms[0]));
}

// Return {columns, rows, slots} of a grid of this size for so many patients.
export function plan(view, count, width, height) {
  const narrow = width < NARROW;
  if (view === "strips") {
    const columns = narrow || count <= 5 ? 1 : width > 3000 && count > 8 ? 3 : 2;
    const fit = Math.max(1, Math.floor(height / STRIP_HEIGHT));
    const slots = Math.max(1, Math.min(MOST_STRIPS, columns * fit));
    return { columns, rows: Math.ceil(Math.min(count, slots) / columns), slots };
  }
  const [least, tall] = narrow ? TILE.narrow : TILE.wide;
  const wanted = Math.min(count, MOST_TILES);
  const most = Math.max(1, Math.floor(width / least));
  const columns = Math.max(1, Math.min(most, Math.ceil(Math.sqrt((wanted * width) / height / 2))));
  const fit = Math.max(1, Math.floor(height / tall));
  const slots = Math.max(1, Math.min(MOST_TILES, columns * fit));
  return { columns, rows: Math.ceil(Math.min(count, slots) / columns), slots };
}

// Patients with an urgent alarm that the page does not show: they are named above it.
export function unseen(patients, shown) {
  const there = new Set(shown.map((patient) => patient.n));
  return patients.filter((patient) => isUrgent(patient.alarms[0]) && !there.has(patient.n));
}
