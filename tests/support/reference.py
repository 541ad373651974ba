"""The segmenter again: slow, obvious, whole record at once, sharing no code with the pipeline.

Plain loops and lists over a complete record; no chunks, no rings, no running sums, no numba. The
tests hold the streaming kernels to it. Units: mV; positions are samples.
"""

import math
import statistics
from fractions import Fraction
from typing import NamedTuple

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
    return damage(x, fs, rng)


def damage(x, fs, rng):
    """Return a signal as a bad electrode and a bad amplifier would leave it; and flags."""
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


def sanitise(x, flags, longest_fill, leap_mv=1.0, longest_spike=2, fs=FS):
    """Return clean values and codes: hold the last good value where there is no signal.

    So it is for as many samples as a pacing spike lasts where the signal leaps, unless it is calm
    and a flank is under way. Where it then comes back beyond its level, by less than half of the
    spike, an after-potential begins.
    """
    clean, codes = np.zeros(len(x), np.float32), np.zeros(len(x), np.uint8)
    level, last, held, moving, usual, tail = None, 0.0, 0, 0.0, 0.0, 0.0
    leaps, after, base, spike = 0, 0, 0.0, 1.0
    least, most = np.exp(-1 / fs / 0.004), np.exp(-1 / fs / 0.1)
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
            if tail:
                left = (tail + (value - level - tail - last)) / tail
                tail *= min(max(left, least), most)
                tail = tail if abs(tail) >= 1e-3 else 0.0
            moved = value - level - tail - last
            moving /= 2
            height = abs(moved)
            if height <= leap_mv:
                usual += (min(height, 0.3 * leap_mv) - usual) * (1 - most)
            flank = usual < 0.07 * height and moving > 0.05 * height
            away = leaps < math.ceil(0.025 * fs) and abs(moved - spike) <= 0.05 * abs(spike)
            if height > leap_mv and not flank and (leaps < longest_spike or away):
                if not after:
                    base, spike = last, moved
                spike = max(spike, moved, key=abs)
                leaps, after = leaps + 1, longest_spike
            else:
                leaps, beyond = 0, last + moved - base
                if after and 0 < -beyond / spike < 0.5:
                    tail, moved = tail + beyond, base - last
                after = max(after - 1, 0)
                last, moving = last + moved, max(abs(moved), moving)
            codes[i] = 6 if flag & 128 else 2 if flag & 2 else 0
            clean[i] = last
            continue
        held += 1
        clean[i] = last
    return clean, codes


def without_spikes(clean):
    """Return the record at 360 Hz without pacing spikes that a filter has widened.

    A spike stands between levels (means of three samples) that hardly move over 25 ms, is at most
    11.5 ms wide at half its height, and becomes a line of 31 ms. Its feet, 6 samples
    from its peak, lie 0.16 mV lower and about level with what is 3 samples further out.
    """
    x = np.concatenate((np.zeros(15), clean.astype(float), np.zeros(15)))
    tails = {}  # where an after-potential begins, and its height
    over = 0
    for p in range(15, x.size - 15):
        levels = [x[p + d - 1 : p + d + 2].mean() for d in (-13, -10, -7, 7, 10, 13)]
        sign = 1.0 if x[p] > levels[2] else -1.0
        top = max(sign * x[p - 1 : p + 2])
        flanks = top - sign * levels[2], top - sign * levels[3]
        height = min(flanks)
        if p < over or height < 0.2 or height < 0.4 * max(flanks):
            continue
        if not all(_has_foot(sign * x[p : p + 10 * step : step]) for step in (-1, 1)):
            continue
        if max(abs(np.diff(levels)[[0, 1, 3, 4]])) > 0.1 * height:
            continue
        left, right = (
            _half_width(sign * x[p : p + 6 * step : step], top - height / 2) for step in (-1, 1)
        )
        if left + right > 0.0115 * FS or abs(left - right) > 1:
            continue
        step = x[p + 6] - x[p - 6]
        if step * (x[p] - x[p - 6]) < 0 and abs(step) < 0.5 * abs(x[p] - x[p - 6]):
            tails[p + 6], over, step = step, p + 12, 0.0
        x[p - 5 : p + 6] = x[p - 6] + step * np.arange(1, 12) / 12
    tail = 0.0
    out = x.copy()
    for q in range(1, x.size):
        if tail:
            left = 1 + (x[q] - x[q - 1]) / tail
            tail *= min(max(left, np.exp(-1 / FS / 0.004)), np.exp(-1 / FS / 0.1))
            tail = 0.0 if abs(tail) < 1e-3 else tail
        tail += tails.get(q, 0.0)
        out[q] -= tail
    return out[15:-15].astype(np.float32)


def _has_foot(flank):
    """Return whether the flank, which begins at the peak, is down and calm after 6 samples."""
    rise = flank[0] - flank[6]
    return rise > 0.16 and flank[3] < flank[0] and abs(flank[6] - flank[9]) < 0.5 * rise


def _half_width(flank, half):
    """Return how many samples the flank, which begins at the peak, takes to fall below ``half``."""
    for k in range(5):
        if flank[k] < half:
            return k - 1 + (flank[k - 1] - half) / (flank[k - 1] - flank[k]) if k else 5
    return 5


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
        self.levels, self.recovering, self.jumped_at, self.seen_at = [], 0, 0, 0

    @property
    def motion(self):
        """Return whether something moves that is no heart."""
        return self.moving >= 2 or abs(self.recovering) > 15

    def level(self, now, block):
        """Take in a tenth of a second of the signal itself, which ends before ``now``."""
        self.levels.append(0.5 * (float(block.min()) + float(block.max())))
        if len(self.levels) < 10:
            return
        moved = np.median(self.levels[-5:]) - np.median(self.levels[-10:-5])
        large = abs(moved) > max(1.5, 0.6 * self.span.median) and now > 360
        if large and not self.recovering:
            self.recovering, self.jumped_at = (1 if moved > 0 else -1), now
        elif self.recovering:
            sign = 1 if self.recovering > 0 else -1
            self.recovering += sign
            settled = -sign * moved < 0.15 and abs(self.recovering) > 10
            if self.seen_at > self.jumped_at or settled or abs(self.recovering) > 40:
                self.recovering = 0

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
        self.seen_at = r
        blocks = range(r // 36 - 1, r // 36 + 2)
        if (now - 1) // 36 - blocks[0] > 36 or r < 36:
            return
        loud = max(self.peak(b) for b in blocks)
        if self.reason or self.motion or loud < 0.25 * self.loud.median:
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

    def measures(self, flat, low, span, masked, block):
        """Take in the measures of the last four seconds, when ``block`` has just ended."""
        if masked:
            self.moving = 0
            return
        restless = flat < 0.62 * self.rest.median and self.span.median > 0.0
        shapeless = flat < 0.7 and sum(self.odd[-8:]) >= 4
        moves = (restless or shapeless) and low < 0.58 and span > 0.5 * self.span.median
        least = max(0.1 * self.loud.median, 0.015)
        still = sum(self.peak(b) < least for b in range(block - 36, block))
        moves = moves and still < 24
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
            known = self.span.median and between < drowned
            self.reason = 10 if known or between < 0.015 else 5


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
                noise.measures(*rows[0][1][[0, 1, 2, 4]], i // 36 - 1)
                rows.pop(0)
            block = clean[i - 36 : i].astype(float)
            if set(codes[i - 36 : i]) - {0, 2} or np.ptp(block) > 0.02:
                flat = []
            else:
                flat = [*flat, *block] if np.ptp([*flat, *block]) <= 0.02 else [*block]
            noise.level(i, block)
            noise.block(i // 36 - 1)
        reason = 0
        if code == 1:
            reason = 1
        elif len(recent) > 90:
            reason = recent[-1]
        elif len(flat) >= 900:
            reason = 3
        elif noise.reason != 5 and noise.motion:
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


class Candidate(NamedTuple):
    """What may be a beat."""

    at: int
    height: int
    contrast: float
    slope: float
    span: float
    sharpness: float


class Detector:
    """The QRS detector over a whole record; `r` and `confirmed` hold its beats."""

    def __init__(self, clean):
        """Detect in ``clean``, float32[n] at 360 Hz, without pacing spikes."""
        self.clean = clean.astype(float)
        self.band = filtered(clean, "band").astype(float)
        self.energy = np.minimum(np.abs(filtered(clean, "qrs").astype(float)) * 1e4, 1e8)
        self.energy = self.energy.astype(int)
        self.heights = [int(self.energy[max(0, i - 34) : i + 1].sum()) for i in range(len(clean))]
        self.r, self.confirmed = [], []
        self.taken = []  # beats
        self.beat_levels, self.sharp, self.sizes, self.rr = [0] * 8, [0] * 8, [0] * 8, [288] * 8
        self.shape = np.zeros(73)
        self.waiting = []
        self.learned = 0
        self._run()

    def _run(self):
        best, best_at, due = 0, None, 720
        for now, height in enumerate(self.heights):
            if height > best:
                best, best_at = height, now
            elif best_at is None:
                best = height
            elif now - best_at == 72:
                if best >= 35 * 150:
                    self._consider(self._describe(best_at, now), now)
                best, best_at = height, None
                if self.learned:
                    due = max(due, self._overdue())
            if now >= due:
                self._search_back(now)
                due = max(now + 72, self._overdue())

    def _overdue(self):
        since = self.taken[-1].at if self.taken else 0
        return since + int(1.5 * statistics.median(self.rr[-8:]) + 72)

    def _around(self, begin, end):
        """Return the band-passed signal of [begin, end), zeros before the record."""
        zeros = np.zeros(max(0, -begin))
        return np.concatenate((zeros, self.band[max(0, begin) : end]))

    def _describe(self, at, now):
        height = self.heights[at]
        rest = int(self.energy[max(0, now - 219) : now + 1].sum()) - height
        samples = 220 - 35
        if self.taken:
            inside = min(max(self.taken[-1].at - (now - 220), 0), 35)
            rest -= self.taken[-1].height * inside // 35
            samples -= inside
        centre = at - 34
        x = self._around(centre - 36, centre + 37)
        slope, span = np.abs(x[5:] - x[:-5]).max(), np.ptp(x)
        return Candidate(
            at, height, min(height / 35 / max(rest / samples, 1.0), 5.0), slope, span,
            slope / span if span > 0 else 0.0,
        )  # fmt: skip

    def _level(self):
        return statistics.median(self.beat_levels[-8:])

    def _size(self):
        return statistics.median(self.sizes[-8:])

    def _sharpness(self):
        return statistics.median(self.sharp[-8:])

    def _evidence(self, c):
        return c.height / max(self._level(), 1) * c.contrast

    def _has_evidence(self, c):
        if self._evidence(c) <= 0.55 or not self.taken:
            return False
        last = self.taken[-1]
        as_a_qrs = c.span >= self._size() and c.slope >= 0.5 * last.slope
        return self._evidence(c) > 1.1 or (c.at - last.at > 130 and as_a_qrs)

    def _is_alike(self, c):
        if c.sharpness < 0.9 * self._sharpness():
            return False
        return self._likeness(c.at - 34) >= 0.93

    def _likeness(self, centre):
        likeness = 0.0
        usual = self.shape
        for lag in range(-24, 25, 2):
            y = self._around(centre + lag - 36, centre + lag + 37)
            y = y - y.mean()
            power = (y @ y) * (usual @ usual)
            if power > 0:
                likeness = max(likeness, float(y @ usual / math.sqrt(power)))
        return likeness

    def _is_t_wave(self, c):
        if not self.taken:
            return False
        last = self.taken[-1]
        since = c.at - last.at
        if since < 180 and c.slope < 0.2 * last.slope:
            return True
        if since < 115 and c.slope < 0.75 * last.slope and c.sharpness < 0.65 * last.sharpness:
            return True
        usual = c.height > 0.5 * self._level() and c.sharpness > 0.85 * self._sharpness()
        least = 0.9 - 0.65 * max(since - 72, 0) / (130 - 72)
        return since < 130 and not usual and c.height < least * last.height

    def _is_p_wave(self, c):
        if c.span >= min(0.35, 0.75 * self._size()) or c.height >= self._level():
            return False
        if c.sharpness > max(1.1 * self._sharpness(), 0.6) and c.contrast > 3:
            return False
        if c.sharpness < 0.8 * self._sharpness():
            return True
        return c.height < 0.4 * self._level() and not self._is_alike(c)

    def _consider(self, c, now):
        enough = self.learned and self._has_evidence(c)
        if enough and not self._is_t_wave(c) and not self._is_p_wave(c):
            last = self.taken[-1].at if self.taken else -1
            if c.at - last > 1.5 * statistics.median(self.rr[-8:]):
                self._sweep(now)
            self._accept(c, now)
            self.waiting = []
        elif c.contrast > 1.6 or not self.learned:
            self.waiting = [*self.waiting, c][-16:]

    def _sweep(self, now):
        left = []
        for c in self.waiting:
            if now - c.at > 1440:
                left = []
            elif (
                self._evidence(c) > 0.55
                and c.height > 0.2 * self._level()
                and not self._is_t_wave(c)
                and not self._is_p_wave(c)
            ):
                self._accept(c, now)
                left = []
            else:
                left.append(c)
        self.waiting = left

    def _may_teach(self, c, now):
        if now - c.at > 1440 or c.contrast < 3:
            return False
        if self.learned <= 4:
            return c.height >= 35 * 300 or (c.span >= 0.15 and c.sharpness >= 0.6)
        return c.height >= 0.08 * self._level() and self._is_alike(c)

    def _search_back(self, now):
        known = self.learned
        if known:
            self._sweep(now)
            if now - (self.taken[-1].at if self.taken else 0) <= 900:
                return
        fit = [c for c in self.waiting if self._may_teach(c, now)]
        for c in sorted(fit, key=lambda c: -c.height):
            alike = sum(d.height <= 2 * c.height and c.height <= 2 * d.height for d in fit) - 1
            if not known or alike:
                self._learn(c)
                self._sweep(now)
                return
        if not known and self._keep_time(now):
            self._learn(self.waiting[-1])
            self._sweep(now)

    def _keep_time(self, now):
        latest = self.waiting[-8:]
        heights, intervals = [c.height for c in latest], np.diff([c.at for c in latest])
        return (
            len(latest) == 8
            and now - latest[0].at <= 1440
            and min(heights) >= 35 * 300
            and max(heights) <= 2 * min(heights)
            and max(abs(intervals - intervals.mean())) <= 0.15 * intervals.mean()
        )

    def _learn(self, c):
        self.beat_levels += [int(0.7 * c.height)] * 8
        self.sharp += [c.sharpness] * 8
        self.sizes += [c.span] * 8
        self.learned = max(self.learned, 1)

    def _accept(self, c, now):
        r = max(0, self._locate(c.at - 34))
        self.learned += self.learned <= 4 and self._likeness(r) >= 0.8
        if not self.r or r - self.r[-1] >= 72:
            self.r.append(r)
            self.confirmed.append(now)
            if c.height > 0.5 * self._level() and c.sharpness > 0.85 * self._sharpness():
                x = self._around(r - 36, r + 37)
                self.shape = self.shape + (x - x.mean() - self.shape) / 8
        if self.taken:
            self.rr.append(min(c.at - self.taken[-1].at, 720))
        self.taken.append(c)
        were_p_waves = (
            c.height > 3 * self._level()
            and c.contrast > 3
            and self._size() < 0.35
            and self._sharpness() < 0.8 * c.sharpness
        )
        if were_p_waves:
            self._learn(c)
        self.beat_levels.append(c.height)
        self.sharp.append(c.sharpness)
        self.sizes.append(c.span)

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
