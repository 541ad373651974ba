// One patient on the wall: name, state, alarm, rate, the trend of the rate, and the signal. The same
// elements make a strip, a tile and the large view. Text is set as text, never as markup.

import { dress, since, words } from "./alarms.js";
import { drawHours, drawRates } from "./trend.js";
import { Strips } from "./strip.js";

const STALE_S = 2;
const STATES = {
  learning: "learning",
  normal: "normal",
  abnormal: "abnormal",
  not_analysable: "not analysable",
};
const MOST_RATES = 360;

function made(parent, tag, className) {
  const element = parent.appendChild(document.createElement(tag));
  element.className = className;
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class Cell {
  constructor(patient, open) {
    this.patient = patient;
    this.rates = [];
    this.minutes = []; // of the last hours, known of a patient that is shown large
    this.rateAt = -Infinity;
    this.stripAt = -Infinity;
    this.element = document.createElement("article");
    this.element.className = "cell";
    this.element.tabIndex = 0;
    this.element.addEventListener("click", open);
    this.element.addEventListener("keydown", (event) => event.key === "Enter" && open());
    const head = made(this.element, "header", "head");
    this.name = made(head, "b", "name");
    this.state = made(head, "span", "state");
    this.alarm = made(this.element, "p", "worst");
    this.traces = made(this.element, "div", "traces");
    const vitals = made(this.element, "div", "vitals");
    setText(made(vitals, "span", "label"), "HR");
    this.bpm = made(vitals, "output", "bpm");
    this.trend = made(vitals, "canvas", "trend");
    this.strips = new Strips(this.traces);
    this.update(patient);
  }

  get worst() {
    return this.patient.alarms[0];
  }

  // Take the patient as the server sends it.
  update(patient) {
    this.patient = patient;
    setText(this.name, patient.name);
    const { worst } = this;
    dress(this.element, worst);
    const more = patient.alarms.length > 1 ? `  +${patient.alarms.length - 1}` : "";
    setText(this.alarm, worst ? `${words(worst)}  ${since(worst, patient)}${more}` : "");
    this.alarm.title = worst?.reason ?? "";
  }

  take(piece, all, at, now) {
    this.stripAt = at;
    const name = this.patient.leads?.[piece.lead] ?? "";
    this.strips.take(piece, name, all, now);
  }

  // Seconds since the newest data of this patient, on the server's clock.
  age(time) {
    const at = Math.max(this.patient.data_at_s ?? -Infinity, this.stripAt);
    return time - at;
  }

  // Show state and ages; called some times a second.
  refresh(time) {
    const { patient } = this;
    const age = this.age(time);
    const stale = !patient.ended && age > STALE_S;
    this.element.classList.toggle("stale", stale);
    this.element.classList.toggle("ended", Boolean(patient.ended));
    let text = STATES[patient.state] ?? "waiting";
    if (patient.ended) text = "ended";
    else if (stale) text = Number.isFinite(age) ? `no data for ${age.toFixed(0)} s` : "no data yet";
    else if (patient.source_fault) text = patient.source_fault;
    else if (patient.state === "not_analysable" && patient.reason) text += `: ${patient.reason}`;
    setText(this.state, text);
    this.element.dataset.state = stale ? "stale" : patient.state ?? "";
    const { clientWidth, clientHeight } = this.trend;
    if (this.trendSize !== `${clientWidth} ${clientHeight}`) this.drawTrend();
    const known = Number.isFinite(patient.bpm) && !patient.ended && age < 10;
    setText(this.bpm, known ? patient.bpm.toFixed(0) : "--");
    this.bpm.classList.toggle("unknown", !known);
  }

  setRates(rates, every) {
    this.rates = rates.slice(-MOST_RATES);
    this.every = every;
    this.rateAt = performance.now();
    this.drawTrend();
  }

  // Extend the trend by the present rate when it is time to.
  addRate() {
    if (!this.every || performance.now() - this.rateAt < this.every * 1000) return;
    this.rateAt = performance.now();
    this.rates.push(this.patient.bpm ?? 0);
    if (this.rates.length > MOST_RATES) this.rates.shift();
    this.drawTrend();
  }

  setHours(minutes) {
    this.minutes = minutes;
    this.drawTrend();
  }

  drawTrend() {
    const { clientWidth: width, clientHeight: height } = this.trend;
    this.trendSize = `${width} ${height}`;
    if (!width || !height) return;
    const large = document.body.dataset.view === "large" && this.minutes.length > 1;
    if (large) drawHours(this.trend, this.minutes);
    else if (this.rates.length > 1) drawRates(this.trend, this.rates);
    const what = large ? "of each minute: mean, lowest and highest" : "of the last hour";
    this.trend.title = `Heart rate ${what}, lines at 60 and 100`;
  }

  draw(now) {
    const stale = this.element.classList.contains("stale") || this.element.classList.contains("ended");
    this.strips.draw(now, stale ? "#7d8a90" : "#35e07a");
  }
}
