// What an alarm looks and reads like. Colours and flash rates follow IEC 60601-1-8 as the literature
// quotes it; no conformity is claimed.

const RANK = { high: 2, medium: 1, low: 0 };
const STATES = ["latched", "ack", "on"];
const FLASH_HZ = { high: 2, medium: 0.6 };
const MARKS = { high: "!!!", medium: "!!", low: "!" };

// How urgent an alarm is: by priority, then about the heart before technical, then not acknowledged.
export function urgency(alarm) {
  if (!alarm) return -1;
  const heart = alarm.category === "technical" ? 0 : 4;
  return RANK[alarm.priority] * 8 + heart + Math.max(0, STATES.indexOf(alarm.state));
}

export const isUrgent = (alarm) => Boolean(alarm) && RANK[alarm.priority] > 0;

export const sounds = (alarm) => alarm.state === "on" || alarm.state === "latched";

export const rank = (alarm) => RANK[alarm.priority];

export const words = (alarm) =>
  `${MARKS[alarm.priority]} ${alarm.alarm.replaceAll("_", " ").toUpperCase()}`;

export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "";
  const whole = Math.floor(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

// How long an alarm of a patient has lasted, or what else there is to say of it.
export function since(alarm, patient) {
  if (alarm.state === "latched") return "over, not acknowledged";
  const lasted = patient?.epoch === alarm.epoch ? duration(patient.time_s - alarm.begin_s) : "";
  return alarm.state === "ack" ? `acknowledged ${lasted}` : lasted;
}

// Mark an element with an alarm; `flash` shows it as lit or not.
export function dress(element, alarm) {
  const set = (name, value) => {
    if (value === undefined) delete element.dataset[name];
    else if (element.dataset[name] !== value) element.dataset[name] = value;
  };
  set("priority", alarm?.priority);
  set("category", alarm?.category);
  set("alarm", alarm?.state);
}

// Whether what flashes at a priority's rate is lit now. Driven by the page's own loop: a page that
// hangs does not look alive.
export function lit(priority, seconds) {
  return Math.floor(seconds * 2 * FLASH_HZ[priority]) % 2 === 0;
}
