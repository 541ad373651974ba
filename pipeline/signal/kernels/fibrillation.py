"""The measures that distinguish fibrillation from beats, over the last four seconds.

Compiled; every array of the memory is fixed. `pipeline.signal.fibrillation` explains the
measures.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import NOTHING, jit, section

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


@jit
def measure(
    x: NDArray[np.float32],
    masked: NDArray[np.uint8],
    memory: NDArray[np.float64],
    wide: NDArray[np.float64],
    wide_memory: NDArray[np.float64],
    low: NDArray[np.float64],
    low_memory: NDArray[np.float64],
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
        rings: float32[2, KEPT]: the signal and its part in that band; updated.
        counters: int64[SIZE]; updated.
        positions: int64[m], written: raw samples seen when each row was complete.
        rows: float64[m, COLUMNS], written: share of flat slopes, share of the power that lies in
            the band, peak to peak in mV, upward zero crossings, and 1 where the four seconds hold
            too little signal.

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
            _row(rings, counters, rows[n])
            for k in range(SIZE - 1, LOST, -1):
                counters[k] = counters[k - 1]
            lost = np.int64(0)
            n += 1
    memory[0], counters[LOST], counters[COUNT] = total, lost, count + x.size
    wide_memory[0, 0], wide_memory[0, 1], wide_memory[1, 0], wide_memory[1, 1] = a0, a1, b0, b1
    low_memory[0, 0], low_memory[0, 1], low_memory[1, 0], low_memory[1, 1] = c0, c1, d0, d1
    return n


@jit
def _row(rings: NDArray[np.float32], counters: NDArray[np.int64], row: NDArray[np.float64]) -> None:
    """Write the measures of the last four seconds."""
    row[MASKED] = 1.0
    lost = np.int64(0)
    for k in range(LOST, SIZE):
        lost += counters[k]
    if counters[FILLED] < KEPT or lost > BRIDGED:
        return
    oldest = counters[AT]
    lowest, highest, mean = rings[0, 0], rings[0, 0], 0.0
    for i in range(KEPT):
        v = rings[0, i]
        lowest, highest, mean = min(lowest, v), max(highest, v), mean + v
    mean /= KEPT
    whole = inside = 0.0
    crossings = 0
    steepest = np.zeros(_STEEP, dtype=np.float32)  # ascending
    least = np.float32(0.0)
    before = rings[0, KEPT - 1]
    for i in range(KEPT):
        v = rings[0, i]
        whole += (v - mean) * (v - mean)
        inside += rings[1, i] * rings[1, i]
        if i != oldest:  # there the ring's end meets its beginning
            crossings += before < mean <= v
            slope = abs(v - before)
            if slope > least:
                k = 1
                while k < _STEEP and slope > steepest[k]:
                    steepest[k - 1] = steepest[k]
                    k += 1
                steepest[k - 1] = slope
                least = steepest[0]
        before = v
    flat = 0
    level = np.float32(_FLAT_SHARE) * least
    before = rings[0, KEPT - 1]
    for i in range(KEPT):
        v = rings[0, i]
        flat += (abs(v - before) < level) & (i != oldest)
        before = v
    row[FLAT] = flat / (KEPT - 1)
    row[LOW] = min(inside / whole, 1.0) if whole > 0.0 else 0.0
    row[SPAN] = highest - lowest
    row[CROSSINGS] = crossings
    row[MASKED] = 0.0
