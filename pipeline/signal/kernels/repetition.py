"""How well the QRS band repeats itself after a fifth of a second, over three seconds and over one.

Compiled; every array is fixed, nothing is allocated. `pipeline.signal.fast_rhythm` explains the
measures.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

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

_BLOCK: Final = LONGEST + 1
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


@jit
def measure(
    y: NDArray[np.float32],
    masked: NDArray[np.uint8],
    noise_code: int,
    ring: NDArray[np.float32],
    lost: NDArray[np.uint8],
    counters: NDArray[np.int64],
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
            _measure(ring, lost, at, KEPT, counters[FILLED], rows[n, THREE_SECONDS])
            _measure(ring, lost, at, EVERY, counters[FILLED], rows[n, ONE_SECOND])
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
    row: NDArray[np.float64],
) -> None:
    """Write the measure of the latest ``size`` values; the ring's next value goes to ``at``."""
    row[:] = 0.0
    row[MISSING] = 1.0
    oldest = at - size if at >= size else at - size + KEPT
    if filled < size or not _is_even(ring, oldest, size):
        return
    lowest = highest = ring[oldest]
    gone = 0
    for k in range(size):
        i = oldest + k if oldest + k < KEPT else oldest + k - KEPT
        lowest, highest = min(lowest, ring[i]), max(highest, ring[i])
        gone += lost[i]
    row[MISSING], row[SPAN] = gone / size, highest - lowest
    best, period = -1.0, 0
    for lag in range(SHORTEST - 1, LONGEST + 2):
        now = _alike(ring, oldest, size, lag)
        if now > best:
            best, period = now, lag
    if best < 0.5 or period < SHORTEST or period > LONGEST:
        return  # nothing is alike, or more so outside these periods
    row[PERIOD], row[ALIKE] = period, best
    for lag in range(_LEAST, 3 * period // 4 + 1):
        row[SHORTER] = max(row[SHORTER], _alike(ring, oldest, size, lag))
    for lag in range(2 * period - 1, 2 * period + 2):
        now = _alike(ring, oldest, size, lag)
        if now > row[TWICE]:
            row[TWICE], row[PERIOD] = now, 0.5 * lag  # half a sample is 2 % of the rate


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
def _alike(ring: NDArray[np.float32], oldest: int, size: int, lag: int) -> float:
    """Return the correlation of ``size`` values, oldest first, with those ``lag`` samples later."""
    product = early = late = 0.0
    i, j = oldest, oldest + lag
    if j >= KEPT:
        j -= KEPT
    for _ in range(size - lag):
        a, b = np.float64(ring[i]), np.float64(ring[j])
        product += a * b
        early += a * a
        late += b * b
        i = i + 1 if i + 1 < KEPT else 0
        j = j + 1 if j + 1 < KEPT else 0
    if early <= 0.0 or late <= 0.0:
        return 0.0
    likeness: float = product / np.sqrt(early * late)
    return likeness
