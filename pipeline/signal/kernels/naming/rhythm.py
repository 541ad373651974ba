"""The intervals before a beat beside those that the patient had before. Compiled."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import put_in, quantile, ratio, take_out
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
def _mean_of_last(ring: NDArray[np.float64], known: int, at: int, last: int) -> float:
    """Return the mean of the ``last`` values before ``at``, fewer where fewer are known."""
    count = min(known, last)
    total = 0.0
    for k in range(1, count + 1):
        total += ring[(at - k) % ring.size]
    return total / count if count else math.nan


@jit
def measure_rhythm(
    rr: float,
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    intervals: NDArray[np.float64],
    ordered: NDArray[np.float64],
    steps: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how the interval (s, NaN where not known) compares with those before to ``row``."""
    known, at = counters[INTERVALS], counters[RR_AT]
    if known < LEAST_INTERVALS:
        return
    row[KNOWN] = min(known, 100) if rr == rr else 0
    row[TO_30] = ratio(rr, _mean_of_last(intervals, known, at, 30))
    row[TO_80] = ratio(rr, _mean_of_last(intervals, known, at, 80))
    row[TO_400] = ratio(rr, _mean_of_last(intervals, known, at, 400))
    row[TO_1000] = ratio(rr, _mean_of_last(intervals, known, at, 1000))
    size = min(known, QUANTILES_OVER)
    q25, q50 = quantile(ordered, size, 0.25), quantile(ordered, size, 0.5)
    q75, q90 = quantile(ordered, size, 0.75), quantile(ordered, size, 0.9)
    row[TO_Q25], row[TO_Q50] = ratio(rr, q25), ratio(rr, q50)
    row[TO_Q75], row[TO_Q90] = ratio(rr, q75), ratio(rr, q90)
    row[LAST_TO_Q75] = ratio(numbers[PREVIOUS], q75)
    row[BEFORE_TO_Q75] = ratio(numbers[BEFORE], q75)
    row[TO_LAST] = ratio(rr, numbers[PREVIOUS])
    row[LAST_STEP] = ratio(numbers[PREVIOUS], numbers[BEFORE])
    row[SPREAD] = ratio(q90, q25)
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
    ordered: NDArray[np.float64],
    steps: NDArray[np.float64],
) -> None:
    """Keep an interval, in the place of the oldest, and the step from the one before."""
    if rr != rr:
        return
    if numbers[PREVIOUS] == numbers[PREVIOUS]:
        steps[counters[STEP_AT]] = abs(ratio(rr, numbers[PREVIOUS]))
        counters[STEP_AT] = (counters[STEP_AT] + 1) % STEPS
        counters[STEPS_KNOWN] = min(counters[STEPS_KNOWN] + 1, STEPS)
    known, at = counters[INTERVALS], counters[RR_AT]
    size = min(known, QUANTILES_OVER)
    if size == QUANTILES_OVER:
        oldest = intervals[(at - QUANTILES_OVER) % RR_MEMORY]
        take_out(ordered, size, oldest)
        size -= 1
    put_in(ordered, size, rr)
    intervals[at] = rr
    counters[RR_AT] = (at + 1) % RR_MEMORY
    counters[INTERVALS] = min(known + 1, RR_MEMORY)
