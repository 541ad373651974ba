"""The intervals before a beat beside those that the patient had before. Compiled."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import log_of, log_ratio, quantile_of_ring, rank, ratio
from pipeline.signal.kernels.naming.slots import (
    BEFORE,
    BEFORE_TO_Q75,
    FEW_MEAN_STEP,
    FEW_STEPS,
    INTERVALS,
    KNOWN,
    LAST_EARLINESS,
    LAST_EARLY,
    LAST_STEP,
    LAST_TO_Q75,
    LEAST_INTERVALS,
    MEAN_STEP,
    PREVIOUS,
    QUANTILES_OVER,
    RMS_STEP,
    RR_AT,
    RR_MEMORY,
    SPREAD,
    STEP_AT,
    STEPS,
    STEPS_KNOWN,
    TO_30,
    TO_80,
    TO_400,
    TO_1000,
    TO_LAST,
    TO_Q25,
    TO_Q50,
    TO_Q75,
    TO_Q90,
    UNEQUAL,
    UNEQUAL_ABOVE,
)
from pipeline.signal.kernels.sections import jit


@jit
def _added(ring: NDArray[np.float64], at: int, begin: int, end: int, total: float) -> float:
    """Return ``total`` plus the values from ``begin + 1`` to ``end`` places before ``at``.

    One by one: their sum depends on the order, by a rounding.
    """
    for k in range(begin + 1, min(end, at) + 1):
        total += ring[at - k]
    for k in range(max(begin, at) + 1, end + 1):
        total += ring[at - k + ring.size]
    return total


@jit
def measure_rhythm(
    rr: float,
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    intervals: NDArray[np.float64],
    ranks: NDArray[np.uint16],
    steps: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how the interval (s, NaN where not known) compares with those before to ``row``.

    ``ranks`` are those of the last `QUANTILES_OVER`.
    """
    known, at = counters[INTERVALS], counters[RR_AT]
    if known < LEAST_INTERVALS:
        return
    row[KNOWN] = min(known, 100) if rr == rr else 0
    log_rr, counted, total = log_of(rr), 0, 0.0
    for place, last in ((TO_30, 30), (TO_80, 80), (TO_400, 400), (TO_1000, 1000)):
        count = min(known, last)
        total = _added(intervals, at, counted, count, total)
        row[place] = log_ratio(log_rr, log_of(total / count))
        counted = count
    size = min(known, QUANTILES_OVER)
    q25 = log_of(quantile_of_ring(intervals, ranks, size, 0.25))
    q50 = log_of(quantile_of_ring(intervals, ranks, size, 0.5))
    q75 = log_of(quantile_of_ring(intervals, ranks, size, 0.75))
    q90 = log_of(quantile_of_ring(intervals, ranks, size, 0.9))
    previous, before = log_of(numbers[PREVIOUS]), log_of(numbers[BEFORE])
    row[TO_Q25], row[TO_Q50] = log_ratio(log_rr, q25), log_ratio(log_rr, q50)
    row[TO_Q75], row[TO_Q90] = log_ratio(log_rr, q75), log_ratio(log_rr, q90)
    row[LAST_TO_Q75] = log_ratio(previous, q75)
    row[BEFORE_TO_Q75] = log_ratio(before, q75)
    row[TO_LAST] = log_ratio(log_rr, previous)
    row[LAST_STEP] = log_ratio(previous, before)
    row[SPREAD] = log_ratio(q90, q25)
    row[LAST_EARLINESS] = numbers[LAST_EARLY]
    total = squares = few = unequal = 0.0
    known, at = counters[STEPS_KNOWN], counters[STEP_AT]
    for k in range(1, known + 1):
        step = steps[(at - k) % STEPS]
        total += step
        squares += step * step
        unequal += step > UNEQUAL_ABOVE
        if k <= FEW_STEPS:
            few += step
    if known:
        row[MEAN_STEP], row[RMS_STEP] = total / known, math.sqrt(squares / known)
        row[FEW_MEAN_STEP], row[UNEQUAL] = few / min(known, FEW_STEPS), unequal / known


@jit
def learn_interval(
    rr: float,
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    intervals: NDArray[np.float64],
    ranks: NDArray[np.uint16],
    few_ranks: NDArray[np.uint16],
    steps: NDArray[np.float64],
    step_ranks: NDArray[np.uint16],
) -> None:
    """Keep an interval, in the place of the oldest, and the step from the one before.

    ``few_ranks`` are those of the last `QUANTILES_OVER`.
    """
    if rr != rr:
        return
    if numbers[PREVIOUS] == numbers[PREVIOUS]:
        step = abs(ratio(rr, numbers[PREVIOUS]))
        known, at = counters[STEPS_KNOWN], counters[STEP_AT]
        rank(steps, step_ranks, known, at if known == STEPS else -1, at, step)
        steps[at] = step
        counters[STEP_AT] = (at + 1) % STEPS
        counters[STEPS_KNOWN] = min(known + 1, STEPS)
    known, at = counters[INTERVALS], counters[RR_AT]
    few = min(known, QUANTILES_OVER)
    oldest = (at - QUANTILES_OVER) % RR_MEMORY if few == QUANTILES_OVER else -1
    rank(intervals, few_ranks, few, oldest, at, rr)
    rank(intervals, ranks, known, at if known == RR_MEMORY else -1, at, rr)
    intervals[at] = rr
    counters[RR_AT] = (at + 1) % RR_MEMORY
    counters[INTERVALS] = min(known + 1, RR_MEMORY)
