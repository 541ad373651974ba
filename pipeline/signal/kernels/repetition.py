"""How well the QRS band repeats itself after a fifth of a second, over three seconds and over one.

Compiled; every array is fixed, nothing is allocated. `pipeline.signal.fast_rhythm` explains the
measures.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit, jit_in_any_order, value_range

THIN: Final = 3
"""Every third sample of the 360 Hz stream is looked at: the band ends at 20 Hz."""

KEPT: Final = 360
"""Thinned samples looked back on: 3 s."""

EVERY: Final = 120
"""Thinned samples from one row of measures to the next: 1 s. So long is the second measure, too."""

SHORTEST: Final = 17
LONGEST: Final = 26
"""Periods looked at, in thinned samples: 0.14 to 0.22 s, 424 to 277 a minute. The detector follows
what is slower; faster no heart beats."""

_LEAST: Final = 5
"""The shortest period that could be the true one, 0.04 s."""

_HALF: Final = 0.5
"""Less is not alike."""

_ROUGH: Final = 1e-9
"""More than the order changes of a correlation."""

_BLOCK: Final = LONGEST + 1

LINE: Final = KEPT + KEPT + 1 + 2 * LONGEST + 2
"""Scratch: the values in order of time, the energy before each, and how alike they are after each
lag."""

_EVEN: Final = 0.3
"""A stretch as long as the longest period holds a whole beat of a fast rhythm, or nearly two: its
sum of magnitudes never falls below this part of the highest. Between slower beats it does, so they
cost no correlation."""

COUNT, AT, SINCE, FILLED, SIZE = range(5)
"""Counters: raw samples seen, place in the rings, thinned samples since the last row, and thinned
samples seen (at most `KEPT`)."""

PERIOD, ALIKE, SHORTER, TWICE, SPAN, MISSING, COLUMNS = range(7)
"""Columns of a measure."""

THREE_SECONDS, ONE_SECOND, MEASURES = range(3)
"""The two measures of a row."""

ABOVE, BELOW, ACTIVE, LATELY, POSSIBLE, COUNTS = range(6)
"""Counts of `follow`: measures in a row in which the rhythm begins, and in which it does not
continue; 1 as long as it is there; seconds in a row that repeated themselves; and 1 as long as it
may be there, and is not sure."""

(
    BEGINS_ABOVE, CONTINUES_ABOVE, AS_MUCH_AS_TWICE, MORE_THAN_SHORTER, LEAST_SPAN, LOST_SHARE,
    BEGINS_AFTER, ENDS_AFTER, POSSIBLE_FOR, RULES,
) = range(10)  # fmt: skip
"""Rules of `follow`; `pipeline.signal.fast_rhythm` fills them."""

POSITION, BEGINS, BEGUN_AT, SURE, ROW, CHANGE = range(6)
"""Columns of a change: where it was sure, 1 where the rhythm begins, since when, 1 where there is
such a rhythm and 0 where there may be one, and the row of measures that showed it."""


@jit
def measure(
    y: NDArray[np.float32],
    masked: NDArray[np.uint8],
    noise_code: int,
    ring: NDArray[np.float32],
    lost: NDArray[np.uint8],
    counters: NDArray[np.int64],
    line: NDArray[np.float64],
    positions: NDArray[np.int64],
    rows: NDArray[np.float64],
) -> int:
    """Take new samples and write a row of measures for every second that they complete.

    Args:
        y: float32[n], samples at 360 Hz behind the QRS band-pass, mV, finite.
        masked: uint8[n], why a sample is masked, 0 where it is not.
        noise_code: the code of samples that are noisy, but not lost.
        ring: float32[KEPT]: the latest thinned samples; updated.
        lost: uint8[KEPT]: which of them are lost; updated.
        counters: int64[SIZE]; updated.
        line: float64[LINE], overwritten.
        positions: int64[m], written: raw samples seen when each row was complete.
        rows: float64[m, MEASURES, COLUMNS], written: the period after which the band is most alike,
            in thinned samples and halves of them; how alike, as a correlation; the same of the best
            shorter and of the double period; peak to peak in mV; and the share of lost samples, 1
            until so many seconds are there. 0 but for the last where nothing is alike.

    Returns:
        How many rows were written; m must be at least n // (THIN * EVERY) + 1.
    """
    n = 0
    count, at, since = counters[COUNT], counters[AT], counters[SINCE]
    for i in range(THIN - 1 - count % THIN, y.size, THIN):
        ring[at], lost[at] = y[i], (masked[i] != 0) & (masked[i] != noise_code)
        at = at + 1 if at + 1 < KEPT else 0
        since += 1
        if since == EVERY:
            since = 0
            counters[FILLED] = min(counters[FILLED] + EVERY, KEPT)
            positions[n] = count + i + 1
            _measure(ring, lost, at, KEPT, counters[FILLED], line, rows[n, THREE_SECONDS])
            _measure(ring, lost, at, EVERY, counters[FILLED], line, rows[n, ONE_SECOND])
            n += 1
    counters[COUNT], counters[AT], counters[SINCE] = count + y.size, at, since
    return n


@jit
def _measure(
    ring: NDArray[np.float32],
    lost: NDArray[np.uint8],
    at: int,
    size: int,
    filled: int,
    line: NDArray[np.float64],
    row: NDArray[np.float64],
) -> None:
    """Write the measure of the latest ``size`` values; the ring's next value goes to ``at``.

    ``line``, float64[LINE], is overwritten.
    """
    row[:] = 0.0
    row[MISSING] = 1.0
    oldest = at - size if at >= size else at - size + KEPT
    if filled < size or not _is_even(ring, oldest, size):
        return
    lowest, highest, gone = _unroll(ring, lost, oldest, size, line)
    row[MISSING], row[SPAN] = gone / size, highest - lowest
    x, energy, likeness = line[:size], line[KEPT : KEPT + size + 1], line[2 * KEPT + 1 :]
    energy[0] = 0.0
    for k in range(size):
        energy[k + 1] = energy[k] + x[k] * x[k]
    best, period = _most_alike(x, energy, SHORTEST - 1, LONGEST + 1, _HALF, likeness)
    if period < SHORTEST or period > LONGEST:
        return  # nothing is alike, or more so outside these periods
    row[PERIOD], row[ALIKE] = period, best
    row[SHORTER], _ = _most_alike(x, energy, _LEAST, 3 * period // 4, 0.0, likeness)
    row[TWICE], lag = _most_alike(x, energy, 2 * period - 1, 2 * period + 1, 0.0, likeness)
    if lag > 0:
        row[PERIOD] = 0.5 * lag  # half a sample is 2 % of the rate


@jit
def _unroll(
    ring: NDArray[np.float32],
    lost: NDArray[np.uint8],
    oldest: int,
    size: int,
    line: NDArray[np.float64],
) -> tuple[np.float32, np.float32, int]:
    """Write ``size`` values of the ring in order of time; return their extremes, and the lost."""
    lowest = highest = ring[oldest]
    gone, k = np.int64(0), 0
    first = min(size, KEPT - oldest)  # up to the ring's end
    for begin, end in ((oldest, oldest + first), (0, size - first)):
        low, top = value_range(ring, begin, end) if begin < end else (lowest, highest)
        lowest, highest = min(lowest, low), max(highest, top)
        values, their = ring[begin:end], lost[begin:end]
        for i in range(values.size):  # several a step
            line[k + i] = values[i]
        for i in range(their.size):
            gone += np.int64(their[i])
        k += values.size
    return lowest, highest, int(gone)


@jit
def _is_even(ring: NDArray[np.float32], oldest: int, size: int) -> bool:
    """Return whether no stretch of ``size`` values is much quieter than the loudest."""
    quietest, loudest = np.float32(np.inf), np.float32(0.0)
    i = oldest
    for _ in range(size // _BLOCK):
        loud = np.float32(0.0)
        for _ in range(_BLOCK):
            loud += abs(ring[i])
            i = i + 1 if i + 1 < KEPT else 0
        quietest, loudest = min(quietest, loud), max(loudest, loud)
        if quietest < np.float32(_EVEN) * loudest:
            return False
    return True


@jit
def _most_alike(
    x: NDArray[np.float64],
    energy: NDArray[np.float64],
    shortest: int,
    longest: int,
    least: float,
    likeness: NDArray[np.float64],
) -> tuple[float, int]:
    """Return the highest correlation of values with later ones, and after which lag it is.

    0 and 0 unless it is above 0, and at least ``least``. Of lags as alike the first counts.
    ``likeness`` is overwritten. A sum that may be added up in any order tells which lags come into
    question, for nearly always that is none or one: these are added up in order.
    """
    highest = least
    for lag in range(shortest, longest + 1):
        likeness[lag] = _correlation(energy, x.size, lag, _roughly(x[lag:], x))
        highest = max(highest, likeness[lag])
    best, at = 0.0, 0
    for lag in range(shortest, longest + 1):
        if likeness[lag] >= highest - _ROUGH:
            here = _correlation(energy, x.size, lag, _product(x[lag:], x))
            if here > best and here >= least:
                best, at = here, lag
    return best, at


@jit_in_any_order
def _roughly(late: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return the sum of the products of values and later ones, but for rounding: several a step."""
    total = 0.0
    for i in range(late.size):
        total += x[i] * late[i]
    return total


@jit
def _product(late: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return the same, added up in order."""
    total = 0.0
    for i in range(late.size):
        total += x[i] * late[i]
    return total


@jit
def _correlation(energy: NDArray[np.float64], size: int, lag: int, product: float) -> float:
    """Return the correlation after ``lag``; energy[k] is that before x[k]. 0 if flat."""
    early, late = energy[size - lag], energy[size] - energy[lag]
    if early <= 0.0 or late <= 0.0:
        return 0.0
    return float(product / np.sqrt(early * late))


@jit
def follow(
    positions: NDArray[np.int64],
    rows: NDArray[np.float64],
    rules: NDArray[np.float64],
    counts: NDArray[np.int64],
    changes: NDArray[np.int64],
) -> int:
    """Take the next measures, and write where a rhythm too fast for the detector begins and ends.

    Args:
        positions: int64[m] and
        rows: float64[m, MEASURES, COLUMNS], as `measure` wrote them.
        rules: float64[RULES], the slots above.
        counts: int64[COUNTS]; updated.
        changes: int64[m, CHANGE], written.

    Returns:
        How many changes were written.
    """
    n, step = 0, THIN * EVERY
    for k in range(positions.size):
        whole, lately = rows[k, THREE_SECONDS], rows[k, ONE_SECOND]
        position = begun_at = positions[k]
        repeats = _repeats(whole, rules)
        begins = repeats and whole[ALIKE] > rules[BEGINS_ABOVE]
        continues = repeats and whole[ALIKE] > rules[CONTINUES_ABOVE]
        counts[ABOVE] = counts[ABOVE] + 1 if begins else 0
        counts[BELOW] = 0 if continues else counts[BELOW] + 1
        sure = True
        if counts[ACTIVE] == 0 and counts[ABOVE] >= rules[BEGINS_AFTER]:
            begun_at = position - THIN * KEPT - (np.int64(rules[BEGINS_AFTER]) - 1) * step
        elif counts[ACTIVE] != 0 and counts[BELOW] >= rules[ENDS_AFTER]:
            begun_at = position - np.int64(rules[ENDS_AFTER]) * step
        else:
            again = _repeats(lately, rules) and lately[ALIKE] > rules[BEGINS_ABOVE]
            counts[LATELY] = counts[LATELY] + 1 if again else 0
            few = 0 < counts[LATELY] <= rules[POSSIBLE_FOR]
            possible = np.int64(few and counts[ACTIVE] == 0)
            if possible == counts[POSSIBLE]:
                continue
            counts[POSSIBLE], sure = possible, False
        if sure:
            counts[ACTIVE] = 1 - counts[ACTIVE]
            counts[LATELY] = counts[POSSIBLE] = 0
        change = changes[n]
        change[POSITION], change[BEGUN_AT] = position, max(begun_at, 0)
        change[BEGINS] = counts[ACTIVE] if sure else counts[POSSIBLE]
        change[SURE], change[ROW] = sure, k
        n += 1
    return n


@jit
def _repeats(measure: NDArray[np.float64], rules: NDArray[np.float64]) -> bool:
    """Return whether a measure is one of what repeats itself after each such period."""
    return bool(
        measure[SPAN] > rules[LEAST_SPAN]
        and measure[MISSING] <= rules[LOST_SHARE]
        and measure[ALIKE] >= rules[AS_MUCH_AS_TWICE] * measure[TWICE]
        and measure[ALIKE] > rules[MORE_THAN_SHORTER] * measure[SHORTER]
    )
