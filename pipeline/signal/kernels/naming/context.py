"""The context of a beat: its rhythm beside the last thousand intervals. Compiled.

`pipeline.scoring.beat_features` explains the numbers; `pipeline.signal.kernels.naming.usual` has
those of the wave form.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import (
    log_of,
    log_ratio,
    put_in,
    quantile,
    ratio,
    replace,
)
from pipeline.signal.kernels.naming.slots import (
    BEFORE,
    CONTEXT_BEFORE_TO_Q75,
    CONTEXT_BELOW_MEDIAN,
    CONTEXT_BELOW_Q75,
    CONTEXT_IN_STEPS,
    CONTEXT_LAST_TO_Q75,
    CONTEXT_RR_KNOWN,
    CONTEXT_TO_Q75,
    INTERVALS,
    PREVIOUS,
    RR_AT,
    RR_MEMORY,
    STEP_AT,
    STEPS_KNOWN,
)
from pipeline.signal.kernels.sections import jit

SPREAD_LIMIT: Final = 6.0
"""So many spreads or steps, on either side, are enough."""

SPREAD_FLOOR: Final = 0.1
"""Added to the spread: in a rhythm like a clock's not every small step is an ectopic."""

STEP_FLOOR: Final = 0.05

DUE_FROM: Final = -0.12
DUE_TO: Final = 0.25
"""A beat whose log(rr / upper quartile) lies between came when it was due."""


@jit
def _limited(value: float) -> float:
    return min(SPREAD_LIMIT, max(-SPREAD_LIMIT, value))


@jit
def measure_context_rhythm(
    rr: float,
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    lines: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write the interval (s, NaN where not known) beside the long memory to ``row``.

    ``lines``, float64[LINES], are the intervals known and the steps, each ascending.
    """
    known = counters[INTERVALS]
    if known == 0:
        return
    q25, q50 = log_of(quantile(lines, known, 0.25)), log_of(quantile(lines, known, 0.5))
    q75, q90 = log_of(quantile(lines, known, 0.75)), log_of(quantile(lines, known, 0.9))
    size = counters[STEPS_KNOWN]
    step = quantile(lines[RR_MEMORY:], size, 0.5) if size else 0.0
    log_rr = log_of(rr)
    below_median, below_upper = log_ratio(log_rr, q50), log_ratio(log_rr, q75)
    row[CONTEXT_RR_KNOWN] = rr == rr
    row[CONTEXT_TO_Q75] = below_upper
    row[CONTEXT_LAST_TO_Q75] = log_ratio(log_of(numbers[PREVIOUS]), q75)
    row[CONTEXT_BEFORE_TO_Q75] = log_ratio(log_of(numbers[BEFORE]), q75)
    row[CONTEXT_BELOW_MEDIAN] = _limited(below_median / (SPREAD_FLOOR + log_ratio(q75, q25)))
    row[CONTEXT_BELOW_Q75] = _limited(below_upper / (SPREAD_FLOOR + log_ratio(q90, q50)))
    row[CONTEXT_IN_STEPS] = _limited(below_median / (STEP_FLOOR + step))


@jit
def is_due(rr: float, counters: NDArray[np.int64], lines: NDArray[np.float64]) -> bool:
    """Return whether a beat came when it was due, neither early nor after a pause."""
    known = counters[INTERVALS]
    if known == 0 or rr != rr:
        return False
    return DUE_FROM < ratio(rr, quantile(lines, known, 0.75)) < DUE_TO


@jit
def learn_context_interval(
    rr: float,
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    intervals: NDArray[np.float64],
    steps: NDArray[np.float64],
    lines: NDArray[np.float64],
) -> None:
    """Put an interval and its step into the lines, just before the rings take them in."""
    if rr != rr:
        return
    if numbers[PREVIOUS] == numbers[PREVIOUS]:
        step = abs(ratio(rr, numbers[PREVIOUS]))
        _add(lines[RR_MEMORY:], steps, counters[STEPS_KNOWN], counters[STEP_AT], step)
    _add(lines[:RR_MEMORY], intervals, counters[INTERVALS], counters[RR_AT], rr)


@jit
def _add(
    line: NDArray[np.float64], ring: NDArray[np.float64], known: int, at: int, value: float
) -> None:
    if known == ring.size:
        replace(line, known, ring[at], value)
    else:
        put_in(line, known, value)
