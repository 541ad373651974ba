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

_FLAT_SHARE: Final = 0.1
"""A slope below this part of a steep one is flat, ..."""

_STEEP: Final = 8
"""... the eighth steepest of the four seconds. Two QRS have more: 30 a minute are enough. A spike
and its return have fewer, and decide nothing."""

_LANES: Final = 16
"""Every so many slopes one counts, for a first bound."""


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
    rings: NDArray[np.float32],
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
        rings: float32[2, KEPT]: the signal and its part in that band; updated.
        counters: int64[SIZE]; updated.
        positions: int64[m], written: raw samples seen when each row was complete.
        rows: float64[m, COLUMNS], written: share of flat slopes, share of the power that lies in
            the band (0 where it is not looked at), peak to peak in mV, upward zero crossings, and 1
            where the four seconds hold too little signal.

    Returns:
        How many rows were written; m must be at least n // (THIN * EVERY) + 1.
    """
    n = 0
    a0, a1, b0, b1 = wide_memory[0, 0], wide_memory[0, 1], wide_memory[1, 0], wide_memory[1, 1]
    c0, c1, d0, d1 = low_memory[0, 0], low_memory[0, 1], low_memory[1, 0], low_memory[1, 1]
    total, lost, count = memory[0], counters[LOST], counters[COUNT]
    until = THIN - count % THIN
    for i in range(x.size):
        total += x[i]
        lost += np.int64((masked[i] != 0) & (masked[i] != SATURATED))
        until -= 1
        if until:
            continue
        until = THIN
        v, a0, a1 = section(total / THIN + NOTHING, wide[0], a0, a1)
        v, b0, b1 = section(v, wide[1], b0, b1)
        y, c0, c1 = section(v, low[0], c0, c1)
        y, d0, d1 = section(y, low[1], d0, d1)
        at = counters[AT]
        total = 0.0
        rings[0, at] = np.float32(v)
        rings[1, at] = np.float32(y)
        counters[AT] = at + 1 if at + 1 < KEPT else 0
        counters[FILLED] = min(counters[FILLED] + 1, KEPT)
        counters[SINCE] += 1
        if counters[SINCE] == EVERY:
            counters[SINCE] = 0
            positions[n] = count + i + 1
            counters[LOST] = lost
            _row(rings, counters, most_flat, rows[n])
            for k in range(SIZE - 1, LOST, -1):
                counters[k] = counters[k - 1]
            lost = np.int64(0)
            n += 1
    memory[0], counters[LOST], counters[COUNT] = total, lost, count + x.size
    wide_memory[0, 0], wide_memory[0, 1], wide_memory[1, 0], wide_memory[1, 1] = a0, a1, b0, b1
    low_memory[0, 0], low_memory[0, 1], low_memory[1, 0], low_memory[1, 1] = c0, c1, d0, d1
    return n


@jit
def _row(
    rings: NDArray[np.float32],
    counters: NDArray[np.int64],
    most_flat: float,
    row: NDArray[np.float64],
) -> None:
    """Write the measures of the last four seconds."""
    row[MASKED] = 1.0
    lost = np.int64(0)
    for k in range(LOST, SIZE):
        lost += counters[k]
    if counters[FILLED] < KEPT or lost > BRIDGED:
        return
    x, oldest = rings[0], counters[AT]
    slopes, room = np.empty(KEPT, dtype=np.float32), np.empty(KEPT + 1, dtype=np.float32)
    slopes[0] = abs(x[0] - x[KEPT - 1])
    for i in range(KEPT - 1):
        slopes[i + 1] = abs(x[i + 1] - x[i])
    slopes[oldest] = 0.0  # there the ring's end meets its beginning
    # No branch depends on the slopes, which no processor could predict; and each step waits for
    # the sum, so that the search among the slopes costs nothing.
    bound, n, total = _bound(slopes, room[:_LANES]), np.int64(0), 0.0
    for i in range(KEPT):
        total += x[i]
        room[n] = slopes[i]
        n += np.int64(slopes[i] >= bound)
    mean, level = total / KEPT, np.float32(_FLAT_SHARE) * _eighth(room[:n])
    flat = np.int32(0)
    for i in range(KEPT):
        flat += np.int32(slopes[i] < level)
    flat -= np.int32(level > 0.0)
    lowest, highest = value_range(x, 0, KEPT)
    row[FLAT] = flat / (KEPT - 1)
    row[LOW] = _low_share(x, rings[1], mean) if row[FLAT] < most_flat else 0.0
    row[SPAN] = highest - lowest
    row[CROSSINGS] = _crossings(x, mean, oldest)
    row[MASKED] = 0.0


@jit
def _bound(slopes: NDArray[np.float32], tops: NDArray[np.float32]) -> np.float32:
    """Return what the eighth steepest slope reaches, and few others; ``tops`` is written.

    It is the eighth of the highest of every sixteenth slope.
    """
    tops[:] = slopes[:_LANES]
    for begin in range(_LANES, KEPT, _LANES):
        for i in range(_LANES):
            tops[i] = max(tops[i], slopes[begin + i])
    return _eighth(tops)


@jit
def _eighth(x: NDArray[np.float32]) -> np.float32:
    """Return the eighth highest value."""
    found = np.float32(0.0)
    for i in range(x.size):
        higher = same = np.int32(0)
        for j in range(x.size):
            higher += np.int32(x[j] > x[i])
            same += np.int32(x[j] == x[i])
        if (higher < _STEEP) & (higher + same >= _STEEP):
            found = x[i]
    return found


@jit
def _low_share(x: NDArray[np.float32], low: NDArray[np.float32], mean: float) -> float:
    """Return which share of the power of a ring around its ``mean`` lies in the band ``low``."""
    whole = inside = 0.0
    for i in range(KEPT):
        whole += (x[i] - mean) * (x[i] - mean)
        inside += low[i] * low[i]
    return min(inside / whole, 1.0) if whole > 0.0 else 0.0


@jit
def _crossings(x: NDArray[np.float32], mean: float, oldest: int) -> int:
    """Return how often a ring, whose first value lies at ``oldest``, rises over its ``mean``."""
    count = np.int32(x[KEPT - 1] < mean) & np.int32(mean <= x[0])
    for i in range(KEPT - 1):
        count += np.int32(x[i] < mean) & np.int32(mean <= x[i + 1])
    before = x[oldest - 1] if oldest else x[KEPT - 1]
    return int(count - (np.int32(before < mean) & np.int32(mean <= x[oldest])))
