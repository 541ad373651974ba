// The signal of one patient as a bedside monitor shows it: a trace that is drawn from left to right
// over the old one, behind an erase bar. Each frame draws the new samples only.

const SECONDS_KEPT = 30;
const DELAY_S = 0.35; // behind the newest sample, so that pieces that come late leave no gap
const MM_A_SECOND = 25;
const MM_A_MV = 10;
const GAINS = [2, 1, 0.5, 0.25];
const MOST_SECONDS = 20;
const ERASE_MM = 4;

// The last seconds of one lead. Positions are counted in samples, as the hub counts them.
class Signal {
  constructor(fs) {
    this.mv = new Float32Array(Math.ceil(fs * SECONDS_KEPT)).fill(NaN);
    this.end = 0;
  }

  at(position) {
    const size = this.mv.length;
    return position < this.end - size || position >= this.end ? NaN : this.mv[position % size];
  }

  put(first, values) {
    const size = this.mv.length;
    if (first > this.end) {
      // What was lost is a gap.
      for (let p = Math.max(this.end, first - size); p < first; p += 1) this.mv[p % size] = NaN;
    }
    for (let i = Math.max(0, values.length - size); i < values.length; i += 1) {
      this.mv[(first + i) % size] = values[i];
    }
    this.end = Math.max(this.end, first + values.length);
  }
}

// Moves the position that is being drawn: smoothly, as fast as samples arrive.
class Player {
  constructor(fs, first, now) {
    this.fs = fs;
    this.newest = first;
    this.head = first;
    this.arrivals = [];
    this.at = now;
  }

  arrived(newest, now) {
    this.newest = Math.max(this.newest, newest);
    this.arrivals.push([now, this.newest]);
    while (this.arrivals.length > 2 && now - this.arrivals[0][0] > 2) this.arrivals.shift();
  }

  advance(now) {
    const [firstAt, firstNewest] = this.arrivals[0] ?? [now, this.newest];
    const seconds = (this.arrivals.at(-1)?.[0] ?? now) - firstAt;
    // Records may be replayed faster than in real time.
    const arriving = seconds > 0.5 ? (this.newest - firstNewest) / seconds : this.fs;
    const rate = Math.max(arriving, 0.5 * this.fs);
    const lag = (this.newest - this.head) / rate;
    const passed = Math.min(now - this.at, 0.5);
    this.at = now;
    if (lag > 2) this.head = this.newest - Math.round(rate * DELAY_S);
    else {
      const faster = Math.min(1.25, Math.max(0.75, 1 + 0.5 * (lag - DELAY_S)));
      this.head = Math.min(this.newest, this.head + passed * rate * faster);
    }
    return Math.floor(this.head);
  }
}

// One lead on its canvas.
class Sweep {
  constructor(name) {
    this.element = document.createElement("div");
    this.element.className = "trace";
    this.canvas = this.element.appendChild(document.createElement("canvas"));
    this.label = this.element.appendChild(document.createElement("span"));
    this.label.className = "lead";
    this.context = this.canvas.getContext("2d");
    this.name = name;
    this.gain = 1;
    this.drawn = null;
    this.turn = 0;
    this.width = this.height = 0;
  }

  resize(fs) {
    const { clientWidth, clientHeight } = this.element;
    const ratio = devicePixelRatio || 1;
    if (clientWidth === this.width && clientHeight === this.height && ratio === this.ratio) return;
    Object.assign(this, { width: clientWidth, height: clientHeight, ratio });
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    const mm = Math.min(8, Math.max(2.4, clientHeight / 28));
    this.mm = Math.max(mm, clientWidth / (MM_A_SECOND * MOST_SECONDS));
    this.span = Math.max(Math.round((fs * clientWidth) / (MM_A_SECOND * this.mm)), 1);
    this.element.style.setProperty("--mm", `${this.mm}px`);
    this.drawn = null;
  }

  y(mv) {
    return (0.6 * this.height - mv * MM_A_MV * this.gain * this.mm) * this.ratio;
  }

  x(position) {
    return ((position % this.span) / this.span) * this.canvas.width;
  }

  // Draw what is new up to `head`, or the whole width after a change of size.
  draw(signal, head, colour) {
    if (!this.width || !this.height) return;
    if (this.drawn === null || head < this.drawn || head - this.drawn > this.span) {
      this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
      this.chooseGain(signal, head);
      this.drawn = Math.max(0, head - this.span + Math.round(0.05 * this.span));
    }
    const turn = Math.floor(head / this.span);
    if (turn !== this.turn) {
      this.turn = turn;
      if (this.chooseGain(signal, head)) {
        this.drawn = null;
        return this.draw(signal, head, colour);
      }
    }
    if (head <= this.drawn) return;
    this.erase(this.drawn, head);
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = 1.6 * this.ratio;
    context.lineJoin = "round";
    context.beginPath();
    let down = false;
    for (let p = this.drawn - 1; p < head; p += 1) {
      const mv = signal.at(p);
      if (Number.isNaN(mv) || p < 0) {
        down = false;
        continue;
      }
      if (p % this.span === 0) down = false; // a new turn begins at the left
      if (down) context.lineTo(this.x(p), this.y(mv));
      else context.moveTo(this.x(p), this.y(mv));
      down = true;
    }
    context.stroke();
    this.drawn = head;
  }

  erase(from, to) {
    const ahead = Math.round((ERASE_MM / MM_A_SECOND / (this.width / MM_A_SECOND / this.mm)) * this.span);
    const left = this.x(from);
    const width = Math.min(((to - from + ahead) / this.span) * this.canvas.width, this.canvas.width);
    this.context.clearRect(left, 0, width, this.canvas.height);
    const over = left + width - this.canvas.width;
    if (over > 0) this.context.clearRect(0, 0, over, this.canvas.height);
  }

  // Take the largest gain at which the last seconds fit; return whether it is another one.
  // Less than half a sweep may hold no QRS complex, and is not magnified.
  chooseGain(signal, head) {
    let most = 0;
    let known = 0;
    for (let p = Math.max(0, head - this.span); p < head; p += 1) {
      const mv = Math.abs(signal.at(p));
      if (Number.isNaN(mv)) continue;
      known += 1;
      if (mv > most) most = mv;
    }
    const highest = known < this.span / 2 ? 1 : GAINS[0];
    const fits = (gain) => most * MM_A_MV * gain * this.mm < 0.55 * this.height;
    const wanted = GAINS.find((gain) => gain <= highest && fits(gain)) ?? GAINS.at(-1);
    const changed = wanted !== this.gain && most > 0;
    if (changed) this.gain = wanted;
    const scale = this.gain === 1 ? "" : `  ${MM_A_MV * this.gain} mm/mV`;
    this.label.textContent = this.name + scale;
    return changed;
  }
}

// All that is drawn of one patient's signal.
export class Strips {
  constructor(element) {
    this.element = element;
    this.leads = new Map(); // number of a lead -> {signal, sweep}
    this.player = null;
  }

  // Take a piece; `all` keeps every lead, otherwise a piece of another lead replaces the one shown.
  take(piece, name, all, now) {
    const { player } = this;
    const other = player && (player.fs !== piece.fs || player.epoch !== piece.epoch);
    const back = player && piece.first + piece.values.length < player.newest - 5 * piece.fs;
    if (!player || other || back) this.restart(piece, now);
    if (!this.leads.has(piece.lead)) {
      if (!all) this.clear();
      const sweep = new Sweep(name);
      this.leads.set(piece.lead, { signal: new Signal(piece.fs), sweep });
      const later = [...this.leads.keys()].filter((lead) => lead > piece.lead).sort((a, b) => a - b);
      const before = later.length ? this.leads.get(later[0]).sweep.element : null;
      this.element.insertBefore(sweep.element, before);
      sweep.label.textContent = name;
    }
    const { signal } = this.leads.get(piece.lead);
    if (signal.end === 0) signal.end = piece.first;
    signal.put(piece.first, piece.values);
    this.player.arrived(piece.first + piece.values.length, now);
  }

  restart(piece, now) {
    this.clear();
    this.player = new Player(piece.fs, piece.first, now);
    this.player.epoch = piece.epoch;
  }

  clear() {
    for (const { sweep } of this.leads.values()) sweep.element.remove();
    this.leads.clear();
  }

  draw(now, colour) {
    if (!this.player) return;
    const head = this.player.advance(now);
    for (const { signal, sweep } of this.leads.values()) {
      sweep.resize(this.player.fs);
      sweep.draw(signal, head, colour);
    }
  }
}
