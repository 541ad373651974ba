"""The context of a beat: its rhythm beside the last thousand intervals. Compiled.

`pipeline.scoring.beat_features` explains the numbers; `pipeline.signal.kernels.naming.usual` has
those of the wave form.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import log_of, log_ratio, quantile_of_ring, ratio
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
    intervals: NDArray[np.float64],
    ranks: NDArray[np.uint16],
    steps: NDArray[np.float64],
    step_ranks: NDArray[np.uint16],
    row: NDArray[np.float32],
) -> None:
    """Write the interval (s, NaN where not known) beside the long memory to ``row``."""
    known = counters[INTERVALS]
    if known == 0:
        return
    q25 = log_of(quantile_of_ring(intervals, ranks, known, 0.25))
    q50 = log_of(quantile_of_ring(intervals, ranks, known, 0.5))
    q75 = log_of(quantile_of_ring(intervals, ranks, known, 0.75))
    q90 = log_of(quantile_of_ring(intervals, ranks, known, 0.9))
    size = counters[STEPS_KNOWN]
    step = quantile_of_ring(steps, step_ranks, size, 0.5) if size else 0.0
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
def is_due(
    rr: float,
    counters: NDArray[np.int64],
    intervals: NDArray[np.float64],
    ranks: NDArray[np.uint16],
) -> bool:
    """Return whether a beat came when it was due, neither early nor after a pause."""
    known = counters[INTERVALS]
    if known == 0 or rr != rr:
        return False
    return DUE_FROM < ratio(rr, quantile_of_ring(intervals, ranks, known, 0.75)) < DUE_TO
