// The page: keeps one cell a patient, decides what is shown, and runs the loop that draws it.

import { dress, isUrgent, lit, rank, since, urgency, words } from "./alarms.js";
import { Cell, setText } from "./cell.js";
import { Connection } from "./connection.js";
import { MOST_STRIPS, byName, plan, unseen, worstFirst } from "./layout.js";
import { Sound } from "./sound.js";

const SILENT_S = 2;
const REFRESH_MS = 200;
const MOST_LISTED = 200;

const at = (id) => document.getElementById(id);
const cells = new Map(); // number of a patient -> Cell
let places = null; // the numbers in the order of the names; null once there are others
const sound = new Sound();
const still = matchMedia("(prefers-reduced-motion: reduce)"); // nothing flashes
let trends = { every: 10, rates: {} };
let pulse = { system: [], breaks: [], silenced_s: 0, recorded: true, hidden: 0, fault: "" };
let chosen = location.hash === "#tiles" ? "tiles" : location.hash === "#strips" ? "strips" : null;
let page = 0;
let focus = null; // number of the patient that is shown large
let shown = [];
let highest = "";
let refreshedAt = 0;

const connection = new Connection({
  patients: (patients) => patients.forEach(takePatient),
  trends: (every, rates) => {
    trends = { every, rates };
    for (const [number, cell] of cells) cell.setRates(rates[number] ?? [], every);
  },
  hours: (number, minutes) => cells.get(number)?.setHours(minutes),
  alerts: listAlerts,
  pulse: (message) => {
    pulse = message;
    const there = new Set(message.patients);
    for (const number of cells.keys()) there.has(number) || removeCell(number);
  },
  piece: (piece, time) => {
    const now = performance.now() / 1000;
    cells.get(piece.number)?.take(piece, focus !== null, time, now);
  },
  refused: () => location.replace("/login"),
});

function takePatient(patient) {
  const cell = cells.get(patient.n);
  if (cell) return cell.update(patient);
  const made = new Cell(patient, () => open(patient.n));
  cells.set(patient.n, made);
  places = null;
  made.setRates(trends.rates[patient.n] ?? [], trends.every);
}

function removeCell(number) {
  cells.get(number).element.remove();
  cells.delete(number);
  places = null;
  if (focus === number) focus = null;
}

function open(number) {
  focus = focus === number ? null : number;
  for (const cell of cells.values()) cell.strips.clear();
  refreshedAt = 0;
}

// --- what is shown ---------------------------------------------------------------------------

function view() {
  if (focus !== null) return "large";
  return chosen ?? (cells.size <= MOST_STRIPS ? "strips" : "tiles");
}

function arrange() {
  places ??= byName([...cells.values()].map((cell) => cell.patient)).map(({ n }) => n);
  const patients = worstFirst(places.map((number) => cells.get(number).patient));
  const kind = view();
  const grid = at("grid");
  let next;
  if (kind === "large") {
    next = [cells.get(focus).patient];
    place(grid, 1, 1);
    showPages(1, 1);
  } else {
    const { columns, rows, slots } = plan(kind, patients.length, grid.clientWidth, grid.clientHeight);
    const pages = Math.max(1, Math.ceil(patients.length / slots));
    page = Math.min(page, pages - 1);
    next = patients.slice(page * slots, (page + 1) * slots);
    place(grid, columns, rows);
    showPages(page + 1, pages);
  }
  document.body.dataset.view = kind;
  setText(at("view"), kind === "large" ? "Back" : kind === "strips" ? "Tiles" : "Strips");
  at("empty").hidden = patients.length > 0;
  const there = new Set(next.map((patient) => patient.n));
  for (const [number, cell] of cells) there.has(number) || cell.element.remove();
  next.forEach(({ n }, i) => {
    const { element } = cells.get(n);
    if (element.parentNode !== grid) grid.append(element);
    if (element.style.order !== String(i)) element.style.order = String(i);
  });
  shown = next;
  connection.show(kind === "tiles" ? [] : [...there], kind === "large" ? "all" : "in use");
  return patients;
}

function place(grid, columns, rows) {
  grid.style.setProperty("--columns", columns);
  grid.style.setProperty("--rows", Math.max(rows, 1));
}

function showPages(number, pages) {
  setText(at("page"), pages > 1 ? `${number}/${pages}` : "");
  at("earlier").hidden = at("later").hidden = pages < 2;
}

// --- alarms above the patients ---------------------------------------------------------------

function showAlarms(patients) {
  const worst = patients[0];
  const system = pulse.system[0];
  const ofSystem = urgency(system) > urgency(worst?.alarms[0]);
  const alarm = ofSystem ? system : worst?.alarms[0];
  const bar = at("alarm");
  bar.hidden = !isUrgent(alarm);
  dress(bar, alarm);
  if (isUrgent(alarm)) {
    const where = ofSystem ? "" : `  ${worst.name}`;
    setText(bar, `${words(alarm)}${where}  ${since(alarm, ofSystem ? null : worst)}  ${alarm.reason}`);
  }
  const key = isUrgent(alarm) && rank(alarm) === 2 ? `${worst?.n} ${alarm.key}` : "";
  if (key && key !== highest) page = 0;
  highest = key;
  showChips(patients);
}

function showChips(patients) {
  const chips = unseen(patients, shown).map((patient) => ({
    text: `${patient.name}  ${words(patient.alarms[0])}`,
    alarm: patient.alarms[0],
    open: () => open(patient.n),
  }));
  const technical = (text) => chips.push({ text, alarm: { priority: "medium", category: "technical", state: "on" } });
  for (const alarm of pulse.system) chips.push({ text: `${words(alarm)}  ${alarm.reason}`, alarm });
  if (!pulse.recorded) technical(`NOT RECORDED  ${pulse.fault}`);
  pulse.breaks.forEach(technical);
  if (pulse.hidden) technical(`${pulse.hidden} more streams are not shown`);
  const box = at("chips");
  box.hidden = chips.length === 0;
  while (box.childElementCount > chips.length) box.lastChild.remove();
  chips.forEach((chip, i) => {
    const element = box.children[i] ?? box.appendChild(document.createElement("button"));
    element.type = "button";
    element.onclick = chip.open ?? null;
    setText(element, chip.text);
    dress(element, chip.alarm);
  });
}

function showContact() {
  const server = connection.serverAge;
  const hub = connection.hubAge;
  const lost = server > SILENT_S || hub > SILENT_S;
  const age = Math.max(server, hub);
  const what = server > SILENT_S ? "THE SERVER OF THIS WALL" : "THE HUB";
  const why = connection.reason ? ` (${connection.reason})` : "";
  const length = Number.isFinite(age) ? ` FOR ${age.toFixed(1)} s` : " YET";
  at("lost").hidden = !lost;
  if (lost) setText(at("lost"), `NO CONTACT WITH ${what}${length}: NOTHING BELOW IS LIVE${why}`);
  document.body.classList.toggle("lost", lost);
  setText(at("contact").lastElementChild, lost ? "not live" : `live  ${age.toFixed(1)} s`);
  return lost;
}

function listAlerts(alerts, missed) {
  const list = at("alerts").lastElementChild;
  const add = (text, alarm) => {
    const item = document.createElement("li");
    item.textContent = text;
    if (alarm) dress(item, alarm);
    list.prepend(item);
    if (list.childElementCount > MOST_LISTED) list.lastChild.remove();
  };
  if (missed) add(`${missed} alerts are not listed here`);
  for (const alert of alerts) {
    const time = alert.utc ? new Date(alert.utc).toLocaleTimeString("en-GB") : "";
    const state = { off: "ended", ack: "acknowledged", latched: "over" }[alert.state] ?? "";
    const unrecorded = alert.recorded ? "" : "  NOT RECORDED";
    add(`${time}  ${alert.name}  ${words(alert)}  ${state}${unrecorded}`, alert);
  }
}

function showSound() {
  const { enabled } = sound;
  const paused = enabled && pulse.silenced_s > 0;
  const text = paused ? `Sound paused ${pulse.silenced_s.toFixed(0)} s` : enabled ? "Sound is on" : "Sound is off";
  setText(at("sound"), text);
  at("sound").setAttribute("aria-pressed", String(enabled));
}

// --- the loop --------------------------------------------------------------------------------

function refresh() {
  const { time } = connection.clock;
  const lost = showContact();
  const patients = arrange();
  for (const patient of shown) cells.get(patient.n).refresh(time);
  for (const cell of cells.values()) cell.addRate();
  showAlarms(patients);
  const alarmed = patients.filter((patient) => isUrgent(patient.alarms[0])).length;
  setText(at("counts"), `${patients.length} patients, ${alarmed} in alarm`);
  setText(at("clock"), new Date().toLocaleTimeString("en-GB"));
  const all = patients.flatMap((one) => one.alarms.map((alarm) => ({ key: `${one.n} ${alarm.key}`, alarm })));
  pulse.system.forEach((alarm) => all.push({ key: alarm.key, alarm }));
  sound.update(all, lost, pulse.silenced_s, performance.now() / 1000);
  showSound();
}

function frame(milliseconds) {
  if (milliseconds - refreshedAt >= REFRESH_MS) {
    refreshedAt = milliseconds;
    refresh();
  }
  const seconds = milliseconds / 1000;
  for (const priority of ["high", "medium"]) {
    document.body.classList.toggle(`dark-${priority}`, !still.matches && !lit(priority, seconds));
  }
  if (!document.body.classList.contains("lost")) {
    for (const { n } of shown) cells.get(n)?.draw(seconds);
  }
  requestAnimationFrame(frame);
}

const turn = (by) => {
  page = Math.max(0, page + by);
  refreshedAt = 0;
};
const actions = {
  view: () => {
    if (focus !== null) return open(focus);
    chosen = view() === "strips" ? "tiles" : "strips";
    history.replaceState(null, "", `#${chosen}`);
    page = 0;
    refreshedAt = 0;
  },
  list: () => {
    at("alerts").hidden = !at("alerts").hidden;
    at("list").setAttribute("aria-expanded", String(!at("alerts").hidden));
  },
  sound: () => sound.toggle(),
  earlier: () => turn(-1),
  later: () => turn(1),
};
const keys = { v: "view", a: "list", s: "sound", ArrowLeft: "earlier", ArrowRight: "later" };
for (const [id, act] of Object.entries(actions)) at(id).addEventListener("click", act);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && focus !== null) open(focus);
  else actions[keys[event.key]]?.();
});
addEventListener("resize", () => {
  refreshedAt = 0;
});
// The screen of a wall must not go dark; where the browser cannot promise that, the system has to.
const keepAwake = () => navigator.wakeLock?.request("screen").catch(() => {});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && keepAwake());
keepAwake();
requestAnimationFrame(frame);
