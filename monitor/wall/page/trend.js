// The trend of a heart rate on a canvas: of the last hour, as it is shown beside a patient, and of
// the last hours, minute by minute, of one that is shown large.

const LEAST_RATES = 60; // a trend that has just begun is not squeezed into an hour
const LEAST_MINUTES = 60;
const STEPS_MINUTES = [15, 30, 60, 120, 240];
const LABEL_PX = 60; // the least space for the label of a step
const GRID = "#223038";
const LINE = "#8fd3ff";
const BAND = "rgba(143, 211, 255, 0.25)";
const WORDS = "#8b9aa3";
const LINES_BPM = [60, 100];

// Clear a canvas to its size on the screen; return its context and what turns bpm into a height.
function begin(canvas, known, bottom) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const low = Math.min(50, ...known) - 5;
  const high = Math.max(110, ...known) + 5;
  const height = canvas.height - bottom * ratio;
  const y = (bpm) => (1 - (bpm - low) / (high - low)) * height;
  const context = canvas.getContext("2d");
  context.lineWidth = ratio;
  context.strokeStyle = GRID;
  for (const bpm of LINES_BPM) stroke(context, [[0, y(bpm)], [canvas.width, y(bpm)]]);
  return { context, y, ratio, height };
}

function stroke(context, points) {
  context.beginPath();
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.stroke();
}

// Pieces without a hole; of neighbours `apart` says whether something is missing between them.
function pieces(points, apart) {
  const found = [];
  points.forEach((point, i) => {
    if (i === 0 || apart(points[i - 1], point)) found.push([]);
    found.at(-1).push(point);
  });
  return found;
}

// Rates in bpm, evenly spaced, the newest last; 0 where none is known.
export function drawRates(canvas, rates) {
  const { context, y, ratio } = begin(canvas, rates.filter((bpm) => bpm > 0), 0);
  const places = Math.max(LEAST_RATES, rates.length) - 1;
  const points = rates.map((bpm, i) => ({ at: i, bpm })).filter(({ bpm }) => bpm > 0);
  context.strokeStyle = LINE;
  context.lineWidth = 1.5 * ratio;
  const x = (at) => (1 - (rates.length - 1 - at) / places) * canvas.width;
  for (const piece of pieces(points, (one, next) => next.at - one.at > 1)) {
    stroke(context, piece.map(({ at, bpm }) => [x(at), y(bpm)]));
  }
}

// Minutes as [minutes before the newest, lowest, mean, highest], the newest last; null for unknown.
export function drawHours(canvas, minutes) {
  const known = minutes.filter(([, , mean]) => mean !== null).map(([ago, low, mean, high]) => (
    { ago, low: low ?? mean, mean, high: high ?? mean }));
  const values = known.flatMap(({ low, high }) => [low, high]);
  const { context, y, ratio, height } = begin(canvas, values, 16);
  const span = Math.max(LEAST_MINUTES, minutes[0][0]);
  const x = (ago) => (1 - ago / span) * canvas.width;
  context.font = `${12 * ratio}px sans-serif`;
  context.fillStyle = WORDS;
  const most = canvas.clientWidth / LABEL_PX;
  const step = STEPS_MINUTES.find((minutes) => span / minutes <= most) ?? STEPS_MINUTES.at(-1);
  for (let ago = step; ago < span; ago += step) {
    stroke(context, [[x(ago), 0], [x(ago), height]]);
    context.fillText(ago % 60 ? `-${ago} min` : `-${ago / 60} h`, x(ago) + 3 * ratio, canvas.height - 3 * ratio);
  }
  for (const bpm of LINES_BPM) context.fillText(String(bpm), 2 * ratio, y(bpm) - 3 * ratio);
  for (const piece of pieces(known, (one, next) => one.ago - next.ago > 1)) {
    context.fillStyle = BAND;
    context.beginPath();
    piece.forEach(({ ago, high }, i) => (i ? context.lineTo(x(ago), y(high)) : context.moveTo(x(ago), y(high))));
    [...piece].reverse().forEach(({ ago, low }) => context.lineTo(x(ago), y(low)));
    context.fill();
    context.strokeStyle = LINE;
    context.lineWidth = 1.5 * ratio;
    stroke(context, piece.map(({ ago, mean }) => [x(ago), y(mean)]));
  }
}
