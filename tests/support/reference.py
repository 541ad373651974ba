"""The segmenter again: slow, obvious, whole record at once, sharing no code with the pipeline.

Plain loops and lists over a complete record; no chunks, no rings, no running sums, no numba. The
tests hold the streaming kernels to it. Units: mV; positions are samples.
"""

import statistics
from fractions import Fraction

import numpy as np
from scipy import signal

FS = 360


def ecg(
    seconds: float,
    fs: float = FS,
    seed: int = 0,
    bpm: float = 75.0,
    noise: float = 0.01,
    early: float = 0.125,
):
    """Return a made-up ECG, float32[n] in mV with a random offset, and its R times in seconds.

    P, QRS and T are bell curves; RR intervals vary; one beat in eight, or the share ``early``, is
    wide and tall.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs)) / fs
    x = rng.normal(0, noise, t.size) + rng.uniform(-5, 5)
    at, times = rng.uniform(0.3, 0.6), []
    while at < seconds:
        wide = rng.random() < early
        times.append(at)
        shape = (
            [(0.0, 1.6, 0.035), (0.06, -0.7, 0.03), (0.3, -0.4, 0.07)]
            if wide
            else [
                (-0.18, 0.12, 0.025),
                (-0.025, -0.1, 0.01),
                (0.0, 1.1, 0.011),
                (0.028, -0.25, 0.01),
                (0.28, 0.25, 0.05),
            ]
        )
        for offset, height, width in shape:
            x += height * np.exp(-0.5 * ((t - at - offset) / width) ** 2)
        at += 60 / bpm * rng.uniform(0.9, 1.1) * (0.75 if rng.random() < 0.1 else 1.0)
    return x.astype(np.float32), np.array(times)


def damaged(seconds, fs, seed):
    """Return an ECG with NaN, spikes, flat, noisy, clipped and lead-off stretches; and flags."""
    rng = np.random.default_rng(seed)
    x, _ = ecg(seconds, fs, seed)
    flags = np.zeros(x.size, np.uint8)
    for kind in rng.permutation(7)[:4]:
        a = int(rng.integers(0, x.size))
        b = a + int(rng.choice([1, 5, 0.1 * fs, 2 * fs]))
        if kind == 0:
            x[a:b] = rng.choice([np.nan, np.inf, -np.inf, 3e37])
        elif kind == 1:
            flags[a:b] = 1
        elif kind == 2:
            flags[a:b] = 2
        elif kind == 3:
            x[a:b] = x[a]
        elif kind == 4:
            x[a : a + int(4 * fs)] += rng.normal(0, 0.2, x[a : a + int(4 * fs)].size)
        elif kind == 5:
            x[a:b] += 40
        else:
            x[a:] *= rng.choice([0.25, 4.0])
    return x.astype(np.float32), flags


def sanitise(x, flags, longest_fill, leap_mv=1.0, longest_spike=1):
    """Return clean values and codes: hold the last good value where there is no signal.

    So it is for as many samples as a pacing spike lasts where the signal leaps.
    """
    clean, codes = np.zeros(len(x), np.float32), np.zeros(len(x), np.uint8)
    level, last, held, leaping = None, 0.0, 0, 0
    for i, (value, flag) in enumerate(zip(x.astype(float), flags, strict=True)):
        if flag & 1:
            codes[i] = 1
        elif not np.isfinite(value):
            codes[i] = 4
        elif abs(value) > 1000:
            codes[i] = 2
        else:
            if level is None or held > longest_fill:
                level = value - last
            held = 0
            if abs(value - level - last) > leap_mv and leaping < longest_spike:
                leaping += 1
            else:
                last, leaping = value - level, 0
            codes[i] = 6 if flag & 128 else 2 if flag & 2 else 0
            clean[i] = last
            continue
        held += 1
        clean[i] = last
    return clean, codes


def resample(clean, codes, fs):
    """Return values and codes at 360 Hz: one windowed sinc per output, positions as fractions."""
    ratio = Fraction(fs).limit_denominator(10_000) / FS
    half = max(3, int(0.02 * fs))
    cutoff = 0.9 * min(1.0, FS / fs)
    values, masks = [], []
    k = 0
    while int(k * ratio) + half < len(clean):
        position = k * ratio
        nearest = range(int(position) - half + 1, int(position) + half + 1)
        distance = np.array([float(j - position) for j in nearest])
        bell = np.i0(5.0 * np.sqrt(np.maximum(0.0, 1.0 - (distance / half) ** 2)))
        weight = np.sinc(cutoff * distance) * bell
        inputs = np.array([float(clean[j]) if j >= 0 else 0.0 for j in nearest])
        values.append(np.sum(weight * inputs) / np.sum(weight))
        bad = [codes[j] for j in nearest if j >= 0 and codes[j]]
        masks.append(bad[-1] if bad else 0)
        k += 1
    return np.array(values, np.float32), np.array(masks, np.uint8)


def filtered(clean, kind):
    """Return the clean stream behind one of the three filters, float32[n]."""
    sos = {
        "band": np.vstack(
            (
                signal.butter(1, 3.0, "highpass", fs=FS, output="sos"),
                signal.butter(2, 45.0, "lowpass", fs=FS, output="sos"),
            )
        ),
        "qrs": signal.butter(2, [8.0, 20.0], "bandpass", fs=FS, output="sos"),
        "noise": signal.butter(2, 25.0, "highpass", fs=FS, output="sos"),
    }[kind]
    return signal.sosfilt(sos, clean.astype(float)).astype(np.float32)


def windows(band, r):
    """Return the windows around R peaks, each scaled to [-1, 1]; zeros where flat."""
    out = np.zeros((len(r), 320), np.float32)
    for row, at in zip(out, r, strict=True):
        window = band[at - 140 : at + 180]
        span = window.max() - window.min()
        if span >= 0.02:
            row[:] = (window - window.min()) * (np.float32(2) / span) - np.float32(1)
    return out


class Usual:
    """The latest eight of something, known by their median once there are so many."""

    def __init__(self):
        """Know nothing."""
        self.values = []

    def remember(self, value):
        """Take in another one."""
        self.values = [*self.values, value][-8:]

    @property
    def median(self):
        """Return the median, 0 as long as it is not known."""
        return statistics.median(self.values) if len(self.values) == 8 else 0.0


class Noise:
    """Whether noise or motion hides the beats, from tenths of a second, beats and measures."""

    def __init__(self, y):
        """Look at ``y``, float[3, n]: the bands of windows and QRS, and what lies above."""
        self.y = y.astype(float)
        self.span, self.loud, self.rest = Usual(), Usual(), Usual()
        self.reason = self.moving = self.steady = self.passed = 0
        self.shapes, self.odd = [np.zeros(29)], [False]

    def mean(self, row, block):
        """Return the mean deflection of a tenth of a second, 0 before the beginning."""
        part = np.abs(self.y[row, block * 36 : block * 36 + 36]) if block >= 0 else np.zeros(36)
        return part.sum() / 36

    def peak(self, block):
        """Return the peak in the QRS band of a tenth of a second, 0 before the beginning."""
        return np.abs(self.y[1, block * 36 : block * 36 + 36]).max() if block >= 0 else 0.0

    def beat(self, r, now):
        """Take in a beat with its R peak at ``r`` that is confirmed before ``now``."""
        self.compare(r)
        blocks = range(r // 36 - 1, r // 36 + 2)
        if (now - 1) // 36 - blocks[0] > 36 or r < 36:
            return
        loud = max(self.peak(b) for b in blocks)
        if self.reason or self.moving >= 2 or loud < 0.25 * self.loud.median:
            self.passed += 1
            if self.passed < 8:
                return
        self.passed = 0
        self.span.remember(np.ptp(self.y[0, r - 36 : r + 36]))
        self.loud.remember(loud)

    def compare(self, r):
        """Take in the shape of the beat at ``r``."""
        if r < 48 or r + 64 >= self.y.shape[1]:
            return
        shape = self.y[0, r - 48 : r + 65 : 4]
        inner = shape[2:-2]
        best = 0.0
        for other in self.shapes[-8:]:
            for shift in range(5):
                part = other[shift : shift + 25]
                if part.std() > 0:
                    best = max(best, np.corrcoef(inner, part)[0, 1])
        self.odd.append(best <= 0.85)
        self.shapes.append(shape)

    def measures(self, flat, low, span, masked):
        """Take in the measures of the last four seconds."""
        if masked:
            self.moving = 0
            return
        restless = flat < 0.62 * self.rest.median and self.span.median > 0.0
        shapeless = flat < 0.7 and sum(self.odd[-8:]) >= 4
        moves = (restless or shapeless) and low < 0.58 and span > 0.5 * self.span.median
        self.moving = self.moving + 1 if moves else 0
        self.steady += 1
        if self.steady >= (64 if self.moving else 8):
            self.steady = 0
            self.rest.remember(flat)

    def block(self, last):
        """Take in the tenth of a second with the number ``last``."""
        quietest = min(self.mean(2, b) for b in range(last - 14, last + 1))
        between = min(self.peak(b) for b in range(last - 14, last + 1))
        span = self.span.median
        if not span:
            span = np.ptp(self.y[0, max(last - 35, 0) * 36 : last * 36 + 36])
        bound = 0.03 * max(span, 0.33) * (0.02 / 0.03 if self.reason else 1.0)
        drowned = 0.1 * self.loud.median * (0.02 / 0.03 if self.reason == 5 else 1.0)
        if quietest <= bound:
            self.reason = 0
        else:
            self.reason = 10 if self.span.median and between < drowned else 5


def states(clean, codes, y, found, measured_at, measures):
    """Return the stream's state after every sample.

    ``found`` are R peaks and where each was confirmed, ``measures`` those of fibrillation.
    """
    out, state, absent, noise = [], 0, 0, Noise(y)
    flat, found = [], list(found)
    rows = list(zip(measured_at, measures, strict=True))
    for i, code in enumerate(codes):
        recent = [c for c in codes[max(0, i - 359) : i + 1] if c]
        if i and i % 36 == 0:
            while found and found[0][1] < i:
                noise.beat(found.pop(0)[0], i)
            while rows and rows[0][0] <= i:
                noise.measures(*rows[0][1][[0, 1, 2, 4]])
                rows.pop(0)
            block = clean[i - 36 : i].astype(float)
            if set(codes[i - 36 : i]) - {0, 2} or np.ptp(block) > 0.02:
                flat = []
            else:
                flat = [*flat, *block] if np.ptp([*flat, *block]) <= 0.02 else [*block]
            noise.block(i // 36 - 1)
        reason = 0
        if code == 1:
            reason = 1
        elif len(recent) > 90:
            reason = recent[-1]
        elif len(flat) >= 900:
            reason = 3
        elif noise.reason != 5 and noise.moving >= 2:
            reason = 9
        else:
            reason = noise.reason
        if reason and (state == 0 or reason <= state):
            state, absent = reason, 0
        elif state:
            absent += 1
            if absent >= 360:
                state, absent = reason, 0
        out.append(state)
    return np.array(out, np.uint8)


class Detector:
    """The QRS detector over a whole record; `r` and `confirmed` hold its beats."""

    def __init__(self, clean):
        """Detect in ``clean``, float32[n] at 360 Hz."""
        self.clean = clean.astype(float)
        energy = np.minimum(np.abs(filtered(clean, "qrs").astype(float)) * 1e4, 1e8).astype(int)
        self.heights = [int(energy[max(0, i - 34) : i + 1].sum()) for i in range(len(clean))]
        self.around = [
            int(energy[max(0, i - 219) : i + 1].sum()) * 35 / 220 for i in range(len(clean))
        ]
        self.r, self.confirmed = [], []
        self.taken = []  # (position, height) of beats
        self.beat_levels, self.rejected, self.rr = [0] * 8, [0] * 8, [288] * 8
        self.waiting = []
        self.learned = False
        self._run()

    def _run(self):
        best, best_at, due = 0, None, 720
        for now, height in enumerate(self.heights):
            if height > best:
                best, best_at = height, now
            elif best_at is None:
                best = height
            elif now - best_at == 72:
                self._consider(best_at, now)
                best, best_at = height, None
                if self.learned:
                    due = max(due, self._overdue())
            if now >= due:
                self._search_back(now)
                due = max(now + 72, self._overdue())

    def _overdue(self):
        since = self.taken[-1][0] if self.taken else 0
        return since + int(1.66 * statistics.median(self.rr[-8:]) + 72)

    def _threshold(self):
        low = statistics.median(self.rejected[-8:])
        return low + 0.3 * (statistics.median(self.beat_levels[-8:]) - low)

    def _is_t_wave(self, at, height):
        return bool(
            self.taken and at - self.taken[-1][0] < 130 and height < 0.4 * self.taken[-1][1]
        )

    def _consider(self, at, now):
        height = self.heights[at]
        if height < 35 * 150:
            return
        if self.learned:
            prominent = height > 2.0 * self.around[now]
            threshold = self._threshold() * (0.5 if prominent else 1.0)
            if height > threshold and not self._is_t_wave(at, height):
                self._accept(at, height, now)
                self.waiting = []
                return
            self.rejected.append(height)
        if height > 1.5 * self.around[now]:
            self.waiting = [*self.waiting, (at, height)][-16:]

    def _search_back(self, now):
        fresh = [(at, height) for at, height in self.waiting if now - at <= 1080]
        since = self.taken[-1][0] if self.taken else 0
        if not self.learned or now - since > 2160:
            if not fresh:
                return
            self.beat_levels += [int(0.7 * max(height for _, height in fresh))] * 8
            self.rejected += [0] * 8
            self.learned = True
            above = self._threshold()
        else:
            above = 0.5 * self._threshold()
        left = []
        for at, height in fresh:
            if height > above and not self._is_t_wave(at, height):
                self._accept(at, height, now)
                left = []
            else:
                left.append((at, height))
        self.waiting = left

    def _accept(self, at, height, now):
        r = max(0, self._locate(at - 34))
        if not self.r or r - self.r[-1] >= 72:
            self.r.append(r)
            self.confirmed.append(now)
        if self.taken:
            self.rr.append(min(at - self.taken[-1][0], 720))
        self.taken.append((at, height))
        self.beat_levels.append(height)

    def _locate(self, centre):
        def value(i):
            return self.clean[i] if i >= 0 else 0.0

        before = statistics.fmean(value(i) for i in range(centre - 40, centre - 25))
        after = statistics.fmean(value(i) for i in range(centre + 25, centre + 40))
        level = 0.5 * (before + after)
        return max(
            range(centre - 25, centre + 26),
            key=lambda i: abs(value(i) - level) * (1 - 0.3 * abs(i - centre) / 25),
        )
