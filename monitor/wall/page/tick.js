// Runs beside the page, as a worker: browsers slow down the timers of a page that is hidden, to one a
// minute, and not those of its workers.

const TICK_MS = 500;

setInterval(() => postMessage(null), TICK_MS);
