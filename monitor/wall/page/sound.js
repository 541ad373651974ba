// Bursts of sound for the active alarms, once somebody has enabled them: high priority ten pulses
// every 10 s, medium three every 20 s, low two, once. After IEC 60601-1-8 as the literature quotes
// it; no conformity is claimed.

import { rank, sounds } from "./alarms.js";

const HALF = [0, 0.2, 0.4, 0.9, 1.1];
const BURSTS = [
  { starts: [0, 0.4], every: Infinity, length: 0.2, hz: [494, 392] },
  { starts: [0, 0.4, 0.8], every: 20, length: 0.2, hz: [440] },
  { starts: [...HALF, ...HALF.map((at) => at + 2.4)], every: 10, length: 0.13, hz: [523] },
];
const HARMONICS = [0, 1, 0.7, 0.5, 0.4, 0.3]; // several, so that the direction can be heard

export class Sound {
  constructor() {
    this.context = null;
    this.known = new Set();
    this.playing = null; // rank of the burst that repeats
    this.burstAt = 0;
    this.master = null;
  }

  get enabled() {
    return this.context?.state === "running";
  }

  // Browsers allow sound only in answer to a click or a key.
  async toggle() {
    if (this.enabled) {
      this.stop();
      return this.context.suspend();
    }
    this.context ??= new AudioContext();
    await this.context.resume();
    this.playing = null;
    this.known.clear();
    this.pulse(this.context.currentTime + 0.05, 440, 0.1); // it works
  }

  // Play what is due. `lost` counts as an alarm of medium priority.
  update(alarms, lost, silencedSeconds, now) {
    if (!this.enabled) return;
    const ringing = new Map(alarms.filter(({ alarm }) => sounds(alarm)).map(({ key, alarm }) => [key, rank(alarm)]));
    if (lost) ringing.set("contact", 1);
    const fresh = [...ringing].filter(([key]) => !this.known.has(key)).map(([, r]) => r);
    this.known = new Set(ringing.keys());
    const highest = Math.max(-1, ...ringing.values());
    if (highest < 0 || (silencedSeconds > 0 && !lost)) {
      if (this.playing !== null) this.stop();
      this.playing = null;
      return;
    }
    const begin = this.playing === null || highest > this.playing || Math.max(-1, ...fresh) >= highest;
    const again = now - this.burstAt >= BURSTS[highest].every;
    this.playing = highest;
    if (begin || again) this.play(BURSTS[highest], now);
  }

  play(burst, now) {
    this.stop();
    this.burstAt = now;
    this.master = this.context.createGain();
    this.master.gain.value = 0.5;
    this.master.connect(this.context.destination);
    const start = this.context.currentTime + 0.05;
    burst.starts.forEach((at, i) => this.pulse(start + at, burst.hz[i % burst.hz.length], burst.length));
  }

  pulse(at, hz, length) {
    const tone = this.context.createOscillator();
    const zeros = new Float32Array(HARMONICS.length);
    tone.setPeriodicWave(this.context.createPeriodicWave(zeros, new Float32Array(HARMONICS)));
    tone.frequency.value = hz;
    const gain = this.context.createGain();
    gain.gain.setValueAtTime(0, at);
    gain.gain.linearRampToValueAtTime(0.6, at + 0.02);
    gain.gain.setValueAtTime(0.6, at + length - 0.03);
    gain.gain.linearRampToValueAtTime(0, at + length);
    tone.connect(gain).connect(this.master ?? this.context.destination);
    tone.start(at);
    tone.stop(at + length);
  }

  stop() {
    this.master?.disconnect();
    this.master = null;
  }
}
