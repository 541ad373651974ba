// The WebSocket to the wall's server: decodes its messages (docs/wall.md), answers its pulses, and
// connects again. All times are seconds of the server's clock.

const UNKNOWN = -32768;
const VERSION = 1;
const RETRY_S = [0.5, 1, 2, 5];
const GIVE_UP_S = 6; // without a message, of which two are due each second
const SESSION_S = 3;

// The difference of two clocks that drift: the smallest seen in the last minutes belongs to the
// message that was on its way for the shortest time. What is above it is delay.
class ClockOffset {
  constructor() {
    this.reset();
  }

  reset() {
    this.before = this.now = Infinity;
    this.since = performance.now();
  }

  take(serverSeconds) {
    if (performance.now() - this.since > 150_000) {
      this.before = this.now;
      this.now = Infinity;
      this.since = performance.now();
    }
    this.now = Math.min(this.now, performance.now() / 1000 - serverSeconds);
  }

  get known() {
    return Math.min(this.before, this.now) < Infinity;
  }

  // Seconds of the server's clock now.
  get time() {
    return performance.now() / 1000 - Math.min(this.before, this.now);
  }
}

export class Connection {
  // handlers: patients(list), trends(everySeconds, byNumber), alerts(list, missed), pulse(object),
  // hours(number, [[minutesAgo, low, mean, high], ...]),
  // piece({number, lead, first, epoch, fs, values}, atSeconds), refused().
  constructor(handlers) {
    this.handlers = handlers;
    this.clock = new ClockOffset();
    this.receivedAt = -Infinity;
    this.hubAt = -Infinity;
    this.reason = "";
    this.failures = 0;
    this.asked = "";
    this.socket = null; // between two connections
    this.openAt = -Infinity; // the next one
    this.asking = new AbortController();
    this.open();
  }

  open() {
    this.asking.abort();
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/live`);
    const own = (act) => (event) => socket === this.socket && act(event);
    this.socket = socket;
    this.openedAt = performance.now() / 1000;
    socket.binaryType = "arraybuffer";
    socket.onopen = own(() => {
      this.clock.reset();
      this.reason = "";
      this.asked && socket.send(this.asked);
    });
    socket.onmessage = own((event) => this.receive(event.data));
    socket.onclose = own((event) => this.closed(event.reason));
  }

  // Give up a connection on which nothing comes, and make another: of one that has died on the way,
  // or cannot be made, a browser may say so after many minutes, or never. Called some times a second,
  // while the page is hidden as well: there a timer of its own might come a minute late.
  renew() {
    const { socket } = this;
    const now = performance.now() / 1000;
    if (!socket) {
      if (now >= this.openAt) this.open();
    } else if (now - Math.max(this.openedAt, this.receivedAt) >= GIVE_UP_S) {
      this.closed("");
      socket.close();
    }
  }

  async closed(reason) {
    this.socket = null;
    this.reason = reason;
    const next = performance.now() / 1000 + RETRY_S[Math.min(this.failures, RETRY_S.length - 1)];
    this.failures += 1;
    this.openAt = next + SESSION_S;
    const asking = (this.asking = new AbortController());
    try {
      const { signal } = asking;
      const answer = await fetch("/session", { cache: "no-store", redirect: "error", signal });
      if (answer.status === 401) return this.handlers.refused();
    } catch {
      // No server, or no answer in time: try again.
    }
    if (asking === this.asking) this.openAt = next;
  }

  // Ask for the signal of these streams; it is asked again after each new connection.
  show(numbers, leads) {
    const asked = JSON.stringify({ show: numbers, leads });
    if (asked === this.asked) return;
    this.asked = asked;
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(asked);
  }

  // Seconds since anything came from the server, and since anything came from the hub.
  get serverAge() {
    return performance.now() / 1000 - this.receivedAt;
  }

  get hubAge() {
    return this.clock.known ? Math.max(0, this.clock.time - this.hubAt) : Infinity;
  }

  receive(data) {
    this.receivedAt = performance.now() / 1000;
    if (typeof data === "string") {
      const message = JSON.parse(data);
      if (message.now_s !== undefined) this.clock.take(message.now_s);
      if (message.kind === "pulse") {
        this.socket.send(JSON.stringify({ got: message.id }));
        this.hubAt = message.hub_at_s;
        this.failures = 0;
        this.handlers.pulse(message);
      } else if (message.kind === "patients") this.handlers.patients(message.patients);
      else if (message.kind === "trends") this.handlers.trends(message.every_s, message.rates);
      else if (message.kind === "hours") this.handlers.hours(message.n, message.minutes);
      else if (message.kind === "alerts") this.handlers.alerts(message.alerts, message.missed);
      return;
    }
    const view = new DataView(data);
    if (view.getUint16(0, true) !== VERSION) return;
    const now = view.getFloat64(8, true);
    this.clock.take(now);
    for (let count = view.getUint16(2, true), at = 16; count > 0; count -= 1) {
      const length = view.getUint16(at + 6, true);
      const piece = {
        number: view.getUint32(at, true),
        lead: view.getUint16(at + 4, true),
        first: view.getFloat64(at + 8, true),
        epoch: view.getUint32(at + 16, true),
        fs: view.getFloat32(at + 20, true),
        values: new Float32Array(length),
      };
      at += 24;
      for (let i = 0; i < length; i += 1, at += 2) {
        const microvolts = view.getInt16(at, true);
        piece.values[i] = microvolts === UNKNOWN ? NaN : microvolts / 1000;
      }
      this.handlers.piece(piece, now);
    }
  }
}
