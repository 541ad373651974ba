// What fails on the page. It is said there, and keeps nothing else from being shown: a page that has
// stopped looks like a quiet ward.

const SAID_S = 10;
const MOST_REPORTED = 20;

let text = "";
let at = -Infinity;
const reported = new Set();

// Do one part of the work, and return what it returns; undefined where it fails.
export function attempt(part) {
  try {
    return part();
  } catch (error) {
    text = String(error);
    at = performance.now() / 1000;
    if (!reported.has(text) && reported.size < MOST_REPORTED) {
      reported.add(text); // once: it may fail with each frame
      reportError(error);
    }
  }
}

// What has failed in the last seconds; empty for nothing.
export const fault = () => (performance.now() / 1000 - at < SAID_S ? text : "");
