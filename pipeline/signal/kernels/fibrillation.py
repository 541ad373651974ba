"""The measures that distinguish fibrillation from beats, over the last four seconds.

Compiled; every array of the memory is fixed. `pipeline.signal.fibrillation` explains the
measures.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import NOTHING, jit, section, value_range

THIN: Final = 3
"""Means of so many samples of the 360 Hz stream are looked at: what is looked for lies below 30 Hz,
and such a mean lets nothing of 120 Hz fall onto it."""

KEPT: Final = 480
"""Thinned samples looked back on: 4 s."""

SCRATCH: Final = KEPT + KEPT // 2 + KEPT + 1
"""Scratch: the slopes, the highest of every so many, and those at or above a bound: where the line
is flat, all of them, and a place behind."""

EVERY: Final = 60
"""Thinned samples from one row of measures to the next: 0.5 s."""

COUNT, AT, SINCE, FILLED, LOST = range(5)
"""Counters: raw samples seen, place in the rings, thinned samples since the last row, thinned
samples seen (at most `KEPT`), and raw samples since the last row that are no signal; behind it
those of the rows before it, ..."""

SIZE: Final = LOST + KEPT // EVERY
"""... and so many counters there are."""

BRIDGED: Final = 144
"""So many samples of four seconds, a tenth, are bridged by the values that stand in for them: a
packet or a sample that is lost now and then hides nothing."""

SATURATED: Final = 2
"""Samples at a rail count as signal: waves of fibrillation that touch it are still waves."""

FLAT, LOW, SPAN, CROSSINGS, MASKED, COLUMNS = range(6)
"""Columns of a row."""

ABOVE, BELOW, UNKNOWN, ACTIVE, COUNTS = range(5)
"""Counts of `follow`: measures in a row in which fibrillation begins, in which it does not
continue, and that hold too many masked samples; and 1 as long as it fibrillates."""

(
    FLAT_WEIGHT, LOW_WEIGHT, BIAS, LEAST_SPAN, BEGINS_ABOVE, CONTINUES_ABOVE, BEGINS_AFTER,
    ENDS_AFTER, GIVEN_UP_AFTER, RULES,
) = range(10)  # fmt: skip
"""Rules of `follow`; `pipeline.signal.fibrillation` fills them."""

POSITION, BEGINS, BEGUN_AT, ROW, CHANGE = range(5)
"""Columns of a change: where it was sure, 1 where fibrillation begins, since when, and the row of
measures that showed it."""

_FLAT_SHARE: Final = 0.1
"""A slope below this part of a steep one is flat, ..."""

_STEEP: Final = 8
"""... the eighth steepest of the four seconds. Two QRS have more: 30 a minute are enough. A spike
and its return have fewer, and decide nothing."""

_LANES: Final = 30
"""`KEPT`, halved four times: every so many slopes one counts, for a first bound."""


@jit
def measure(
    x: NDArray[np.float32],
    masked: NDArray[np.uint8],
    memory: NDArray[np.float64],
    wide: NDArray[np.float64],
    wide_memory: NDArray[np.float64],
    low: NDArray[np.float64],
    low_memory: NDArray[np.float64],
    most_flat: float,
    flat_rows: int,
    ends_after: int,
    rings: NDArray[np.float32],
    scratch: NDArray[np.float32],
    counters: NDArray[np.int64],
    positions: NDArray[np.int64],
    rows: NDArray[np.float64],
) -> int:
    """Take new samples and write a row of measures for every half second that they complete.

    Args:
        x: float32[n], samples at 360 Hz, mV, finite.
        masked: uint8[n], why a sample is masked, 0 where it is not.
        memory: float64[1]: the sum of what is not a whole mean yet; updated.
        wide: float64[2, 5], sections that take off the baseline and what lies above 30 Hz.
        wide_memory: float64[2, 2]; updated.
        low: float64[2, 5], sections of the band of fibrillation.
        low_memory: float64[2, 2]; updated.
        most_flat: from this share of flat slopes on the share of the power is not looked at.
        flat_rows: how many rows before these had such a share, in a row, or more.
        ends_after: after so many of them no fibrillation is left to end, and the zero crossings are
            not looked at either.
        rings: float32[2, KEPT]: the signal and its part in that band; updated.
        scratch: float32[SCRATCH], overwritten.
        counters: int64[SIZE]; updated.
        positions: int64[m], written: raw samples seen when each row was complete.
        rows: float64[m, COLUMNS], written: share of flat slopes, share of the power that lies in
            the band, peak to peak in mV, upward zero crossings, and 1 where the four seconds hold
            too little signal; 0 for what is not looked at.

    Returns:
        How many rows were written; m must be at least n // (THIN * EVERY) + 1.
    """
    n = begin = 0
    a0, a1, b0, b1 = wide_memory[0, 0], wide_memory[0, 1], wide_memory[1, 0], wide_memory[1, 1]
    c0, c1, d0, d1 = low_memory[0, 0], low_memory[0, 1], low_memory[1, 0], low_memory[1, 1]
    total, count, at, since = memory[0], counters[COUNT], counters[AT], counters[SINCE]
    until = THIN - count % THIN
    while begin < x.size:
        end = min(x.size, begin + until + THIN * (EVERY - 1 - since))  # of a row, or of the samples
        counters[LOST] += _lost(masked[begin:end])
        before = since
        for i in range(begin, end):
            total += x[i]
            until -= 1
            if until:
                continue
            until = np.int64(THIN)
            v, a0, a1 = section(total / THIN + NOTHING, wide[0], a0, a1)
            v, b0, b1 = section(v, wide[1], b0, b1)
            y, c0, c1 = section(v, low[0], c0, c1)
            y, d0, d1 = section(y, low[1], d0, d1)
            total = 0.0
            rings[0, at] = np.float32(v)
            rings[1, at] = np.float32(y)
            at = at + 1 if at + 1 < KEPT else 0
            since += 1
        begin = end
        counters[FILLED] = min(counters[FILLED] + since - before, KEPT)
        if since == EVERY:
            since = np.int64(0)
            positions[n] = count + end
            flat_rows = _row(
                rings, at, counters, most_flat, flat_rows, ends_after, scratch, rows[n]
            )
            for k in range(SIZE - 1, LOST, -1):
                counters[k] = counters[k - 1]
            counters[LOST] = 0
            n += 1
    memory[0], counters[COUNT], counters[AT], counters[SINCE] = total, count + x.size, at, since
    wide_memory[0, 0], wide_memory[0, 1], wide_memory[1, 0], wide_memory[1, 1] = a0, a1, b0, b1
    low_memory[0, 0], low_memory[0, 1], low_memory[1, 0], low_memory[1, 1] = c0, c1, d0, d1
    return n


@jit
def _lost(masked: NDArray[np.uint8]) -> int:
    """Return how many samples are no signal."""
    lost = np.int32(0)
    for i in range(masked.size):
        lost += np.int32((masked[i] != 0) & (masked[i] != SATURATED))
    return int(lost)


@jit
def _row(
    rings: NDArray[np.float32],
    oldest: int,
    counters: NDArray[np.int64],
    most_flat: float,
    flat_rows: int,
    ends_after: int,
    scratch: NDArray[np.float32],
    row: NDArray[np.float64],
) -> int:
    """Write the measures of the last four seconds; return how many rows in a row were flat."""
    row[:] = 0.0
    row[MASKED] = 1.0
    lost = np.int64(0)
    for k in range(LOST, SIZE):
        lost += counters[k]
    if counters[FILLED] < KEPT or lost > BRIDGED:
        return flat_rows
    x, slopes = rings[0], scratch[:KEPT]
    slopes[0] = abs(x[0] - x[KEPT - 1])
    for i in range(KEPT - 1):
        slopes[i + 1] = abs(x[i + 1] - x[i])
    slopes[oldest] = 0.0  # there the ring's end meets its beginning
    level = np.float32(_FLAT_SHARE) * _steep(slopes, scratch[KEPT:])
    flat = _count_below(slopes, level) - np.int32(level > 0.0)
    row[FLAT] = flat / (KEPT - 1)
    lowest, highest = value_range(x, 0, KEPT)
    row[SPAN] = highest - lowest
    row[MASKED] = 0.0
    flat_rows = flat_rows + 1 if row[FLAT] >= most_flat else 0
    if flat_rows <= ends_after:
        doubles = scratch[:KEPT].view(np.float64)
        mean = _mean(x, doubles)
        row[CROSSINGS] = _crossings(x, mean, oldest)
        row[LOW] = _low_share(x, rings[1], mean, doubles) if row[FLAT] < most_flat else 0.0
    return flat_rows


@jit
def _steep(slopes: NDArray[np.float32], scratch: NDArray[np.float32]) -> np.float32:
    """Return the eighth steepest slope; ``scratch``, float32[KEPT // 2 + KEPT + 1], is written.

    The eighth of the steepest of every thirtieth slope is a bound that it reaches, and few others;
    often none.
    """
    tops, found = scratch[: KEPT // 2], scratch[KEPT // 2 :]
    _fold_highest(slopes, tops)
    tops = tops[:_LANES]
    bound, n = _eighth(tops), np.int64(0)
    if KEPT - _count_below(slopes, bound) == _STEEP:
        return bound
    for lane in range(_LANES):
        if tops[lane] >= bound:
            for i in range(lane, KEPT, _LANES):
                found[n] = slopes[i]
                n += np.int64(slopes[i] >= bound)
    return _eighth(found[:n])


@jit
def _count_below(x: NDArray[np.float32], level: np.float32) -> int:
    """Return how many values are below ``level``."""
    count = np.int32(0)
    for i in range(KEPT):
        count = np.int32(count + np.int32(x[i] < level))
    return int(count)


@jit
def _fold_highest(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write the highest of every so many values: half of them as long as more than ``_LANES`` stay.

    The compiler does several in a step, which it does not in search of a single one.
    """
    n = KEPT // 2
    for i in range(n):
        out[i] = max(x[i], x[i + n])
    while n > _LANES:
        n //= 2
        for i in range(n):
            out[i] = max(out[i], out[i + n])


@jit
def _eighth(x: NDArray[np.float32]) -> np.float32:
    """Return the eighth highest value, 0 where there are fewer."""
    for i in range(x.size):
        value = np.float32(x[i])
        higher = same = np.int32(0)
        for j in range(x.size):
            higher += np.int32(x[j] > value)
            same += np.int32(x[j] == value)
        if (higher < _STEEP) & (higher + same >= _STEEP):
            return value
    return np.float32(0.0)


@jit
def _mean(x: NDArray[np.float32], scratch: NDArray[np.float64]) -> float:
    """Return the mean of a ring; ``scratch``, float64[KEPT // 2], is written."""
    n = KEPT // 2
    for i in range(n):
        scratch[i] = np.float64(x[i]) + np.float64(x[i + n])
    return _sum(scratch) / KEPT


@jit
def _low_share(
    x: NDArray[np.float32], low: NDArray[np.float32], mean: float, scratch: NDArray[np.float64]
) -> float:
    """Return which share of the power of a ring around its ``mean`` lies in the band ``low``.

    ``scratch``, float64[KEPT // 2], is written.
    """
    n = KEPT // 2
    for i in range(n):
        a, b = x[i] - mean, x[i + n] - mean
        scratch[i] = a * a + b * b
    whole = _sum(scratch)
    for i in range(n):
        scratch[i] = np.float64(low[i] * low[i]) + np.float64(low[i + n] * low[i + n])
    inside = _sum(scratch)
    return min(inside / whole, 1.0) if whole > 0.0 else 0.0


@jit
def _sum(x: NDArray[np.float64]) -> float:
    """Return the sum of values, of which one half is added to the other: several a step."""
    n, total = x.size, 0.0
    while n % 2 == 0:
        n //= 2
        for i in range(n):
            x[i] += x[i + n]
    for i in range(n):
        total += x[i]
    return total


@jit
def _crossings(x: NDArray[np.float32], mean: float, oldest: int) -> int:
    """Return how often a ring, whose first value lies at ``oldest``, rises over its ``mean``."""
    count = np.int32(x[KEPT - 1] < mean) & np.int32(mean <= x[0])
    for i in range(KEPT - 1):
        count += np.int32(x[i] < mean) & np.int32(mean <= x[i + 1])
    before = x[oldest - 1] if oldest else x[KEPT - 1]
    return int(count - (np.int32(before < mean) & np.int32(mean <= x[oldest])))


@jit
def follow(
    positions: NDArray[np.int64],
    rows: NDArray[np.float64],
    rules: NDArray[np.float64],
    counts: NDArray[np.int64],
    changes: NDArray[np.int64],
) -> int:
    """Take the next measures, and write where fibrillation begins and ends.

    Args:
        positions: int64[m] and
        rows: float64[m, COLUMNS], as `measure` wrote them.
        rules: float64[RULES], the slots above.
        counts: int64[COUNTS]; updated.
        changes: int64[m, CHANGE], written; the row is -1 where signal was missing for too long.

    Returns:
        How many changes were written.
    """
    n = 0
    for k in range(positions.size):
        row, position, shown = rows[k], positions[k], k
        if row[MASKED] != 0.0:
            counts[ABOVE] = 0
            counts[UNKNOWN] += 1
            if counts[ACTIVE] == 0 or counts[UNKNOWN] < rules[GIVEN_UP_AFTER]:
                continue
            lasted, shown = rules[GIVEN_UP_AFTER], -1
        else:
            counts[UNKNOWN] = 0
            score = rules[FLAT_WEIGHT] * row[FLAT] + rules[LOW_WEIGHT] * row[LOW] + rules[BIAS]
            high = row[SPAN] > rules[LEAST_SPAN]
            begins = high and score > rules[BEGINS_ABOVE]
            continues = high and score > rules[CONTINUES_ABOVE]
            counts[ABOVE] = counts[ABOVE] + 1 if begins else 0
            counts[BELOW] = 0 if continues else counts[BELOW] + 1
            if counts[ACTIVE] == 0 and counts[ABOVE] >= rules[BEGINS_AFTER]:
                lasted = rules[BEGINS_AFTER] - 1 + KEPT // EVERY
            elif counts[ACTIVE] != 0 and counts[BELOW] >= rules[ENDS_AFTER]:
                lasted = rules[ENDS_AFTER]
            else:
                continue
        counts[ACTIVE] = 1 - counts[ACTIVE]
        changes[n, POSITION], changes[n, BEGINS], changes[n, ROW] = position, counts[ACTIVE], shown
        changes[n, BEGUN_AT] = max(position - THIN * EVERY * np.int64(lasted), 0)
        n += 1
    return n
