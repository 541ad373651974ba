"""The kernel that finds QRS complexes, and its steps."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.candidates import (
    APART,
    AT,
    BEAT,
    BEST,
    BEST_AT,
    CONTRAST,
    DELAY,
    DUE,
    EVIDENCE,
    EXPIRE,
    FLOOR,
    FOUND,
    HEIGHT,
    LAST_AT,
    LAST_HEIGHT,
    LAST_R,
    LAST_SHARP,
    LAST_SLOPE,
    LEARN,
    LEARN_RATIO,
    LEARNED,
    LONG,
    LONG_SAMPLES,
    MOST_ENERGY,
    NOW,
    PEAKED,
    REACH,
    RELEARN,
    RIM,
    RR,
    SEARCH_AFTER,
    SEARCH_LEAST,
    SEARCH_RATIO,
    SHARP,
    SHARPNESS,
    SHORT,
    SHORT_SAMPLES,
    SHOWN,
    SHOWN_LIKE,
    SIZE,
    SLOPE,
    SPAN,
    TAPER,
    THOUSAND,
    UNITS_PER_MV,
    WAITING,
    Beats,
    describe,
    dominates,
    evidence,
    has_evidence,
    is_p_wave,
    is_t_wave,
    is_usual,
    keep_time,
    likeness,
    may_teach,
    remember,
    remember_shape,
)
from pipeline.signal.kernels.sections import copy, jit, median


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
    candidate: NDArray[np.int64],
    clean: NDArray[np.float32],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Take a candidate as a beat: write its R peak and adapt."""
    counters = beats.counters
    at, height = candidate[AT], candidate[HEIGHT]
    r = max(0, first + _locate(clean, at - int(settings[DELAY]) - first, settings))
    # Beats of a heart resemble each other; bursts of motion, from which no size may be learned, do
    # not.
    if counters[LEARNED] <= settings[SHOWN] and (
        likeness(beats, filtered, r - first) >= settings[SHOWN_LIKE]
    ):
        counters[LEARNED] += 1
    if r - counters[LAST_R] >= settings[APART]:
        found[counters[FOUND], 0] = r
        found[counters[FOUND], 1] = counters[NOW]
        counters[FOUND] += 1
        counters[LAST_R] = r
        if is_usual(beats, candidate, settings):
            remember_shape(beats, filtered, r - first)
    if counters[LAST_AT] >= 0:
        remember(beats, RR, min(at - counters[LAST_AT], int(settings[LEARN])))
    counters[LAST_AT] = at
    counters[LAST_HEIGHT] = height
    counters[LAST_SLOPE] = candidate[SLOPE]
    counters[LAST_SHARP] = candidate[SHARPNESS]
    if dominates(beats, candidate, settings):
        _learn(beats, candidate, settings)
    remember(beats, BEAT, height)
    remember(beats, SHARP, candidate[SHARPNESS])
    remember(beats, SIZE, candidate[SPAN])


@jit
def _learn(beats: Beats, candidate: NDArray[np.int64], settings: NDArray[np.float64]) -> None:
    """Take the levels from one candidate."""
    beats.levels[BEAT, :] = np.int64(settings[LEARN_RATIO] * candidate[HEIGHT])
    beats.levels[SHARP, :] = candidate[SHARPNESS]
    beats.levels[SIZE, :] = candidate[SPAN]
    beats.counters[LEARNED] = max(beats.counters[LEARNED], 1)


@jit
def _sweep(
    beats: Beats,
    above: float,
    least: float,
    clean: NDArray[np.float32],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Take every waiting candidate of enough evidence, forget those before the last taken."""
    counters = beats.counters
    kept, level = 0, median(beats.levels[BEAT])
    for k in range(counters[WAITING]):
        candidate = beats.waiting[k]
        if counters[NOW] - candidate[AT] > settings[EXPIRE]:
            kept = k + 1
        elif (
            evidence(candidate, level) > above
            and candidate[HEIGHT] > least * level
            and not is_t_wave(beats, candidate, settings)
            and not is_p_wave(beats, candidate, filtered, first, settings)
        ):
            _accept(beats, candidate, clean, filtered, first, settings, found)
            kept, level = k + 1, median(beats.levels[BEAT])
    for k in range(kept, counters[WAITING]):
        copy(beats.waiting[k], beats.waiting[k - kept])
    counters[WAITING] -= kept


@jit
def _highest(
    beats: Beats,
    alike: int,
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
) -> int:
    """Return the highest waiting candidate to learn from, -1 for none.

    At least ``alike`` others must be like it: half as high to twice as high.
    """
    highest = -1
    for k in range(beats.counters[WAITING]):
        height = beats.waiting[k, HEIGHT]
        if not may_teach(beats, beats.waiting[k], filtered, first, settings):
            continue
        others = -1
        for j in range(beats.counters[WAITING]):
            other = beats.waiting[j, HEIGHT]
            near = other <= 2 * height and height <= 2 * other
            if near and may_teach(beats, beats.waiting[j], filtered, first, settings):
                others += 1
        if others >= alike and (highest < 0 or height > beats.waiting[highest, HEIGHT]):
            highest = k
    return highest


@jit
def _search_back(
    beats: Beats,
    clean: NDArray[np.float32],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Look again at the waiting candidates: with less evidence, or with levels learned again."""
    counters = beats.counters
    above = settings[SEARCH_RATIO] * settings[EVIDENCE]
    least = settings[SEARCH_LEAST]
    if counters[LEARNED] == 0:
        chosen = _highest(beats, 0, filtered, first, settings)
        if chosen < 0 and keep_time(beats, settings):
            chosen = counters[WAITING] - 1
    else:
        _sweep(beats, above, least, clean, filtered, first, settings, found)
        chosen = -1
        if counters[NOW] - max(counters[LAST_AT], 0) > settings[RELEARN]:
            chosen = _highest(beats, 1, filtered, first, settings)
    if chosen >= 0:
        _learn(beats, beats.waiting[chosen], settings)
        _sweep(beats, above, least, clean, filtered, first, settings, found)


@jit
def _consider(
    beats: Beats,
    candidate: NDArray[np.int64],
    clean: NDArray[np.float32],
    filtered: NDArray[np.float32],
    first: int,
    settings: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Decide about the candidate that has just proved to be the highest for 200 ms each way."""
    counters = beats.counters
    if counters[LEARNED] > 0 and (
        has_evidence(beats, candidate, settings)
        and not is_t_wave(beats, candidate, settings)
        and not is_p_wave(beats, candidate, filtered, first, settings)
    ):
        if candidate[AT] - counters[LAST_AT] > settings[SEARCH_AFTER] * median(beats.levels[RR]):
            above = settings[SEARCH_RATIO] * settings[EVIDENCE]
            _sweep(beats, above, settings[SEARCH_LEAST], clean, filtered, first, settings, found)
        _accept(beats, candidate, clean, filtered, first, settings, found)
        counters[WAITING] = 0
    elif candidate[CONTRAST] > THOUSAND * settings[PEAKED] or counters[LEARNED] == 0:
        if counters[WAITING] == beats.waiting.shape[0]:
            for k in range(1, counters[WAITING]):
                copy(beats.waiting[k], beats.waiting[k - 1])
            counters[WAITING] -= 1
        copy(candidate, beats.waiting[counters[WAITING]])
        counters[WAITING] += 1


@jit
def _next_search(beats: Beats, settings: NDArray[np.float64]) -> int:
    """Return when a beat will be overdue."""
    since = max(int(beats.counters[LAST_AT]), 0)
    return since + int(settings[SEARCH_AFTER] * median(beats.levels[RR]) + settings[APART])


@jit
def _sum(energies: NDArray[np.int32], begin: int) -> int:
    """Return the sum over 611 ms from ``begin`` on."""
    total, part = np.int64(0), energies[begin : begin + LONG_SAMPLES]
    for i in range(LONG_SAMPLES):  # several a step
        total += part[i]
    return int(total)


@jit
def detect_beats(
    y: NDArray[np.float32],
    clean: NDArray[np.float32],
    filtered: NDArray[np.float32],
    settings: NDArray[np.float64],
    beats: Beats,
    energies: NDArray[np.int32],
    found: NDArray[np.int64],
) -> int:
    """Find QRS complexes: peaks of the QRS band's energy against adaptive levels.

    1. The energy of a sample is the magnitude of the QRS band, as an integer: sums of integers
       accumulate no rounding, so that no chunking shows.
    2. With each sample a sum moves on: over the last 97 ms, the height.
    3. A candidate is a height that stays the highest for 200 ms before and after it. The sum over
       the last 611 ms is what surrounds it.
    4. A candidate is a beat when it is large beside the latest beats and stands out from what
       surrounds it (`has_evidence`), and is neither the last beat's T wave nor a P wave. The R
       peak is where the signal deflects most nearby (`_locate`).
    5. When a beat is overdue, the candidates passed over are looked at again, with half the
       evidence. At first, and after 2.5 s without a beat, the levels are learned again, but only
       from what may be a QRS of this patient (`may_teach`): before an asystole is raised.

    Work and memory per sample are bounded.

    Args:
        y: float32[n], the new samples behind the QRS band-pass.
        clean: float32[m], the sanitised stream, ending with the same n samples.
        filtered: float32[m], the same behind the band-pass of windows.
        settings: float64[SETTINGS], the slots above.
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
    now, height = counters[NOW], counters[SHORT]
    best, best_at, due = counters[BEST], counters[BEST_AT], counters[DUE]
    apart = int(settings[APART])
    first = now + y.size - clean.size
    counters[FOUND] = 0
    candidate = beats.candidate
    for i in range(y.size):
        # 2.
        newest = LONG_SAMPLES + i
        energy = np.int64(energies[newest])
        height += energy - energies[newest - SHORT_SAMPLES]
        # 3. Without a candidate since the last one, `best_at` is -1 and `best` follows the height
        # down, until it rises again.
        if height > best:
            best, best_at = height, now
        elif best_at < 0:
            best = height
        elif now - best_at == apart:
            # 4.
            counters[NOW] = now
            if best >= settings[FLOOR]:
                around = _sum(energies, i + 1)
                describe(beats, best_at, best, around, filtered, first, settings, candidate)
                _consider(beats, candidate, clean, filtered, first, settings, found)
            best, best_at = height, np.int64(-1)
            if counters[LEARNED] > 0:
                due = max(due, _next_search(beats, settings))
        # 5.
        if now >= due:
            counters[NOW] = now
            _search_back(beats, clean, filtered, first, settings, found)
            due = max(now + apart, _next_search(beats, settings))
        now += 1
    counters[NOW], counters[SHORT], counters[LONG] = now, height, _sum(energies, y.size)
    counters[BEST], counters[BEST_AT], counters[DUE] = best, best_at, due
    return int(counters[FOUND])
