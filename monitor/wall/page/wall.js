// The page: keeps one cell a patient, decides what is shown, and runs the loop that draws it.

import { dress, isUrgent, lit, rank, since, urgency, words } from "./alarms.js";
import { Cell, setText } from "./cell.js";
import { Connection } from "./connection.js";
import { attempt, fault } from "./faults.js";
import { MOST_STRIPS, byName, plan, unseen, worstFirst } from "./layout.js";
import { Sound } from "./sound.js";

const SILENT_S = 2;
const REFRESH_MS = 200;
const HIDDEN_MS = 1000; // a page that is hidden is not drawn, and the browser asks for no frames
const MOST_LISTED = 200;

const at = (id) => document.getElementById(id);
const cells = new Map(); // number of a patient -> Cell
const listed = new Set(); // the alerts of the list, as they were sent
let places = null; // the numbers in the order of the names; null once there are others
const sound = new Sound();
const still = matchMedia("(prefers-reduced-motion: reduce)"); // nothing flashes
let rateEvery = 10; // seconds between two rates of a trend
let pulse = { patients: [], system: [], breaks: [], silenced_s: 0, recorded: true, hidden: 0, fault: "" };
let chosen = location.hash === "#tiles" ? "tiles" : location.hash === "#strips" ? "strips" : null;
let page = 0;
let focus = null; // number of the patient that is shown large
let shown = [];
let highest = "";
let refreshedAt = 0;

const connection = new Connection({
  patients: (patients) => patients.forEach((patient) => attempt(() => takePatient(patient))),
  trends: (every, rates) => {
    rateEvery = every;
    for (const number in rates) attempt(() => cells.get(Number(number))?.setRates(rates[number], every));
  },
  hours: (number, minutes) => attempt(() => cells.get(number)?.setHours(minutes)),
  alerts: (alerts, missed) => attempt(() => listAlerts(alerts, missed)),
  pulse: (message) => {
    // A new server gives other numbers to the patients: what belongs to a number is another one's.
    const there = new Set(message.wall === pulse.wall ? message.patients : []);
    pulse = message;
    for (const number of cells.keys()) there.has(number) || attempt(() => removeCell(number));
    refreshHidden();
  },
  piece: (piece, time) => {
    const now = performance.now() / 1000;
    attempt(() => cells.get(piece.number)?.take(piece, focus !== null, time, now));
  },
  refused: () => location.replace("/login"),
});

function takePatient(patient) {
  const cell = cells.get(patient.n);
  if (cell?.patient.name === patient.name) return cell.update(patient);
  if (cell) removeCell(patient.n); // of another patient
  const made = new Cell(patient, () => open(patient.n));
  cells.set(patient.n, made);
  places = null;
  made.setRates([], rateEvery);
}

function removeCell(number) {
  cells.get(number).element.remove();
  cells.delete(number);
  places = null;
  if (focus === number) focus = null;
}

function open(number) {
  if (!cells.has(number)) return; // gone since it was shown
  focus = focus === number ? null : number;
  for (const cell of cells.values()) cell.strips.clear();
  refreshedAt = 0;
}

// --- what is shown ---------------------------------------------------------------------------

function view() {
  if (focus !== null) return "large";
  return chosen ?? (cells.size <= MOST_STRIPS ? "strips" : "tiles");
}

function inOrder() {
  places ??= byName([...cells.values()].map((cell) => cell.patient)).map(({ n }) => n);
  return worstFirst(places.map((number) => cells.get(number).patient));
}

function arrange(patients) {
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
  // On a slow link the patients come one after the other, those in alarm first.
  const coming = pulse.patients.filter((number) => !cells.has(number)).length;
  if (coming) technical(`${coming} more patients are still to come`);
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
  const failed = fault();
  at("lost").hidden = !lost && !failed;
  if (lost) setText(at("lost"), `NO CONTACT WITH ${what}${length}: NOTHING BELOW IS LIVE${why}`);
  else if (failed) setText(at("lost"), `PART OF THIS PAGE FAILS, AND MAY BE MISSING BELOW: ${failed}`);
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
    // A new connection begins with alerts of the past. A number alone does not identify one: a new
    // server begins again with 1.
    const sent = JSON.stringify(alert);
    if (listed.has(sent)) continue;
    listed.add(sent);
    if (listed.size > MOST_LISTED) listed.delete(listed.values().next().value);
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
  refreshedAt = performance.now();
  const { time } = connection.clock;
  attempt(() => connection.renew());
  const lost = attempt(showContact) ?? true;
  const patients = attempt(inOrder) ?? [];
  attempt(() => arrange(patients));
  attempt(() => showAlarms(patients));
  for (const { n } of shown) attempt(() => cells.get(n)?.refresh(time));
  for (const cell of cells.values()) attempt(() => cell.addRate());
  const alarmed = patients.filter((patient) => isUrgent(patient.alarms[0])).length;
  setText(at("counts"), `${patients.length} patients, ${alarmed} in alarm`);
  setText(at("clock"), new Date().toLocaleTimeString("en-GB"));
  const all = patients.flatMap((one) => one.alarms.map((alarm) => ({ key: `${one.n} ${alarm.key}`, alarm })));
  pulse.system.forEach((alarm) => all.push({ key: alarm.key, alarm }));
  if (fault()) all.push({ key: "page", alarm: { priority: "medium", state: "on" } });
  attempt(() => sound.update(all, lost, pulse.silenced_s, refreshedAt / 1000));
  showSound();
}

function refreshHidden() {
  if (performance.now() - refreshedAt > HIDDEN_MS) attempt(refresh);
}

function frame(milliseconds) {
  requestAnimationFrame(frame); // first: nothing that fails may end the loop
  if (milliseconds - refreshedAt >= REFRESH_MS) attempt(refresh);
  const seconds = milliseconds / 1000;
  for (const priority of ["high", "medium"]) {
    document.body.classList.toggle(`dark-${priority}`, !still.matches && !lit(priority, seconds));
  }
  if (!document.body.classList.contains("lost")) {
    for (const { n } of shown) attempt(() => cells.get(n)?.draw(seconds));
  }
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
// Where no pulse comes, either.
setInterval(refreshHidden, HIDDEN_MS);
attempt(() => (new Worker("/tick.js").onmessage = refreshHidden));
requestAnimationFrame(frame);
