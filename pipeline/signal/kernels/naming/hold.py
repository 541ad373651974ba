"""When nothing may be learned: a fast rhythm of beats that are unlike a patient's own.

The rule of `pipeline.scoring.baseline_hold`, with the late template in the place of the usual
ones: from the third beat on of a stretch that is fast and whose QRS complexes are unlike the late
ones, nothing is learned, for 600 beats at most. Where no late beats are known yet, a fast stretch
of wide complexes that repeat themselves is not learned either. Compiled.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import (
    HELD,
    HOLD_LEVEL,
    LAST_QRS,
    LATE_KNOWN,
    LATE_QRS_LAG,
    LEAST_LATE,
    WIDTH,
)
from pipeline.signal.kernels.sections import jit

BEGINS_AFTER: Final = 3
MOST_LEVEL: Final = 6
OTHER_TAKES_OFF: Final = 2
HELD_AT_MOST: Final = 600
FAST_RR_S: Final = 0.6
FIRST_RR_S: Final = 0.5
UNLIKE: Final = 0.9
REPEATED: Final = 0.95
"""As in `pipeline.scoring.baseline_hold` and `pipeline.scoring.qrs_shape`; a test compares them."""

WIDE: Final = 7.27
"""A QRS of 140 ms: the width of a triangle is sqrt(12) times the root mean square distance of its
slopes from its middle, here in steps of 5.56 ms."""


@jit
def hold(rr: float, row: NDArray[np.float32], counters: NDArray[np.int64]) -> bool:
    """Take in a beat, its interval in seconds and its measures; return whether it is held."""
    if row[LATE_KNOWN] >= LEAST_LATE:
        unlike = rr <= FAST_RR_S and row[LATE_QRS_LAG] < UNLIKE
    else:
        unlike = rr <= FIRST_RR_S and row[WIDTH] >= WIDE and row[LAST_QRS] >= REPEATED
    if not unlike:
        counters[HOLD_LEVEL] = max(0, counters[HOLD_LEVEL] - OTHER_TAKES_OFF)
        if counters[HOLD_LEVEL] == 0:
            counters[HELD] = 0
        return False
    counters[HOLD_LEVEL] = min(MOST_LEVEL, counters[HOLD_LEVEL] + 1)
    held = active(counters)
    counters[HELD] += held
    return held


@jit
def active(counters: NDArray[np.int64]) -> bool:
    """Return whether a stretch lasts from which nothing is learned."""
    return bool(counters[HOLD_LEVEL] >= BEGINS_AFTER) and bool(counters[HELD] < HELD_AT_MOST)
