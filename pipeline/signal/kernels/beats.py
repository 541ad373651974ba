"""The kernel that finds QRS complexes, and its steps."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

UNITS_PER_MV = 10_000.0  # energies are integers, in 0.1 uV
MOST_ENERGY = 1e8  # 10 V: keeps every sum far inside int64

SHORT_SAMPLES = 35  # 97 ms, a QRS (Elgendi 2013)
LONG_SAMPLES = 220  # 611 ms, a beat (Elgendi 2013)


class Beats(NamedTuple):
    """All memory of `detect_beats` between chunks; positions count from the segment's start."""

    counters: NDArray[np.int64]
    """int64[12], the slots below."""
    waiting: NDArray[np.int64]
    """int64[16, 2]: position and height of what may still be a beat, in order of time."""
    levels: NDArray[np.int64]
    """int64[3, 8], rings: heights of beats, heights of rejected candidates, RR intervals."""


# Slots of `Beats.counters`, then rows of `Beats.levels`.
NOW, SHORT, LONG, BEST, BEST_AT, LAST_AT, LAST_HEIGHT, LAST_R, WAITING, LEARNED, DUE, FOUND = range(
    12
)
BEAT, REJECTED, RR = range(3)

# Settings of `detect_beats`, in samples of 360 Hz or as ratios; `pipeline.signal.segmenter` fills
# them.
(
    APART, DELAY, REACH, RIM, TAPER, LEARN, RELEARN, EXPIRE, T_WITHIN, THRESHOLD, T_RATIO,
    SEARCH_AFTER, SEARCH_RATIO, LEARN_RATIO, FLOOR, PEAKED, PROMINENT,
) = range(17)  # fmt: skip


@jit
def _median(ring: NDArray[np.int64]) -> float:
    """Return the median of eight values: no memory, no branch for the processor to mispredict."""
    total = np.int64(0)
    for i in range(8):
        rank = np.int64(0)
        for j in range(8):
            rank += np.int64(ring[j] < ring[i])
        for j in range(i):
            rank += np.int64(ring[j] == ring[i])
        total += ring[i] * np.int64((rank == 3) | (rank == 4))
    return 0.5 * total


@jit
def _threshold(beats: Beats, settings: NDArray[np.float64]) -> float:
    """Return the height above which a candidate is a beat (Hamilton & Tompkins 1986)."""
    low = _median(beats.levels[REJECTED])
    threshold: float = low + settings[THRESHOLD] * (_median(beats.levels[BEAT]) - low)
    return threshold


@jit
def _remember(beats: Beats, row: int, value: int) -> None:
    """Put ``value`` in the place of the oldest of a ring of eight."""
    ring = beats.levels[row]
    for i in range(7):
        ring[i] = ring[i + 1]
    ring[7] = value


@jit
def _is_t_wave(beats: Beats, at: int, height: int, settings: NDArray[np.float64]) -> bool:
    """Return whether a candidate is the last beat's T wave: soon after it and much lower."""
    counters = beats.counters
    soon = counters[LAST_AT] >= 0 and at - counters[LAST_AT] < settings[T_WITHIN]
    return bool(soon and height < settings[T_RATIO] * counters[LAST_HEIGHT])


@jit
def _mean(x: NDArray[np.float32], begin: int, end: int, otherwise: float) -> float:
    """Return the mean of x[begin:end], clipped to the array; ``otherwise`` if it is empty."""
    begin, end = max(begin, 0), min(end, x.size)
    if begin >= end:
        return otherwise
    total = 0.0
    for i in range(begin, end):
        total += x[i]
    return total / (end - begin)


@jit
def _locate(clean: NDArray[np.float32], centre: int, settings: NDArray[np.float64]) -> int:
    """Return where the signal deflects most from the level before and after the complex.

    Measured on the unfiltered signal: a high-pass lets the S wave after a tall R look taller
    than it is. The centre counts a little more than the edges.
    """
    reach, rim = int(settings[REACH]), int(settings[RIM])
    before = _mean(clean, centre - reach - rim, centre - reach, clean[max(centre, 0)])
    after = _mean(clean, centre + reach, centre + reach + rim, before)
    level = 0.5 * (before + after)
    slope = settings[TAPER] / reach
    best, largest = max(centre, 0), -1.0
    for i in range(max(centre - reach, 0), min(centre + reach + 1, clean.size)):
        deflection = abs(clean[i] - level) * (1.0 - slope * abs(i - centre))
        if deflection > largest:
            best, largest = i, deflection
    return best


@jit
def _accept(
    beats: Beats,
    at: int,
    height: int,
    clean: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Take a candidate as a beat: write its R peak and adapt."""
    counters = beats.counters
    r = max(0, first + _locate(clean, at - int(settings[DELAY]) - first, settings))
    if r - counters[LAST_R] >= settings[APART]:
        found[counters[FOUND], 0] = r
        found[counters[FOUND], 1] = counters[NOW]
        counters[FOUND] += 1
        counters[LAST_R] = r
    if counters[LAST_AT] >= 0:
        _remember(beats, RR, min(at - counters[LAST_AT], int(settings[LEARN])))
    counters[LAST_AT] = at
    counters[LAST_HEIGHT] = height
    _remember(beats, BEAT, height)


@jit
def _sweep(
    beats: Beats,
    above: float,
    clean: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Take every waiting candidate higher than ``above``, forget those before the last taken."""
    counters = beats.counters
    kept = 0
    for k in range(counters[WAITING]):
        at, height = beats.waiting[k]
        if counters[NOW] - at > settings[EXPIRE]:
            kept = k + 1
        elif height > above and not _is_t_wave(beats, at, height, settings):
            _accept(beats, at, height, clean, first, settings, found)
            kept = k + 1
    for k in range(kept, counters[WAITING]):
        beats.waiting[k - kept] = beats.waiting[k]
    counters[WAITING] -= kept


@jit
def _search_back(
    beats: Beats,
    clean: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Look again at the waiting candidates, with a lower threshold or, at first, a new one."""
    counters = beats.counters
    learning = counters[LEARNED] == 0
    if learning or counters[NOW] - max(counters[LAST_AT], 0) > settings[RELEARN]:
        highest = 0
        for k in range(counters[WAITING]):
            if counters[NOW] - beats.waiting[k, 0] <= settings[EXPIRE]:
                highest = max(highest, beats.waiting[k, 1])
        if highest > 0:
            beats.levels[BEAT, :] = np.int64(settings[LEARN_RATIO] * highest)
            beats.levels[REJECTED, :] = 0
            counters[LEARNED] = 1
            _sweep(beats, _threshold(beats, settings), clean, first, settings, found)
    else:
        above = settings[SEARCH_RATIO] * _threshold(beats, settings)
        _sweep(beats, above, clean, first, settings, found)


@jit
def _consider(
    beats: Beats,
    at: int,
    height: int,
    sum_long: int,
    clean: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Decide about the candidate that has just proved to be the highest for 200 ms each way."""
    counters = beats.counters
    around = sum_long * SHORT_SAMPLES / LONG_SAMPLES
    if height < settings[FLOOR]:
        return
    if counters[LEARNED] == 1:
        threshold = _threshold(beats, settings)
        if height > settings[PROMINENT] * around:
            threshold *= settings[SEARCH_RATIO]
        if height > threshold and not _is_t_wave(beats, at, height, settings):
            _accept(beats, at, height, clean, first, settings, found)
            counters[WAITING] = 0
            return
        _remember(beats, REJECTED, height)
    if height > settings[PEAKED] * around:
        if counters[WAITING] == beats.waiting.shape[0]:
            for k in range(1, counters[WAITING]):
                beats.waiting[k - 1] = beats.waiting[k]
            counters[WAITING] -= 1
        beats.waiting[counters[WAITING], 0] = at
        beats.waiting[counters[WAITING], 1] = height
        counters[WAITING] += 1


@jit
def _next_search(beats: Beats, settings: NDArray[np.float64]) -> int:
    """Return when a beat will be overdue."""
    since = max(int(beats.counters[LAST_AT]), 0)
    return since + int(settings[SEARCH_AFTER] * _median(beats.levels[RR]) + settings[APART])


@jit
def detect_beats(
    y: NDArray[np.float32],
    clean: NDArray[np.float32],
    settings: NDArray[np.float64],
    beats: Beats,
    energies: NDArray[np.int32],
    found: NDArray[np.int64],
) -> int:
    """Find QRS complexes: peaks of the QRS band's energy against adaptive levels.

    1. The energy of a sample is the magnitude of the QRS band, as an integer: sums of integers
       accumulate no rounding, so that no chunking shows.
    2. With each sample two sums move on: over the last 97 ms, the height, and over the last
       611 ms, what surrounds it.
    3. A candidate is a height that stays the highest for 200 ms before and after it.
    4. A candidate is a beat when it exceeds a threshold between the latest beats and the
       latest rejects, and is no T wave. Half the threshold is enough where it clearly exceeds
       what surrounds it, as low, wide ventricular beats do (`_consider`). The R peak is
       where the signal deflects most nearby (`_locate`).
    5. When a beat is overdue, the candidates passed over are looked at again, with half the
       threshold. At first, and after a long time without a beat, the levels are learned anew from
       them (`_search_back`).

    Work and memory per sample are bounded.

    Args:
        y: float32[n], the new samples behind the QRS band-pass.
        clean: float32[m], the sanitised stream, ending with the same n samples.
        settings: float64[17], the slots above.
        beats: memory, updated.
        energies: int32[220 + n], those of the last 611 ms; the new ones are written behind them.
        found: int64[f, 2], written: R peak and the sample that confirmed it, both counted from
            the segment's start; f >= n / APART + 32.

    Returns:
        How many beats were written.
    """
    counters = beats.counters
    # 1.
    for i in range(y.size):
        loud = abs(np.float64(y[i])) * UNITS_PER_MV
        energies[LONG_SAMPLES + i] = np.int32(loud if loud < MOST_ENERGY else MOST_ENERGY)
    now, height, around = counters[NOW], counters[SHORT], counters[LONG]
    best, best_at, due = counters[BEST], counters[BEST_AT], counters[DUE]
    apart = int(settings[APART])
    first = now + y.size - clean.size
    counters[FOUND] = 0
    for i in range(y.size):
        # 2.
        newest = LONG_SAMPLES + i
        energy = np.int64(energies[newest])
        height += energy - energies[newest - SHORT_SAMPLES]
        around += energy - energies[newest - LONG_SAMPLES]
        # 3. Without a candidate since the last one, `best_at` is -1 and `best` follows the height
        # down, until it rises again.
        if height > best:
            best, best_at = height, now
        elif best_at < 0:
            best = height
        elif now - best_at == apart:
            # 4.
            counters[NOW] = now
            _consider(beats, best_at, best, around, clean, first, settings, found)
            best, best_at = height, np.int64(-1)
            if counters[LEARNED] == 1:
                due = max(due, _next_search(beats, settings))
        # 5.
        if now >= due:
            counters[NOW] = now
            _search_back(beats, clean, first, settings, found)
            due = max(now + apart, _next_search(beats, settings))
        now += 1
    counters[NOW], counters[SHORT], counters[LONG] = now, height, around
    counters[BEST], counters[BEST_AT], counters[DUE] = best, best_at, due
    return int(counters[FOUND])
