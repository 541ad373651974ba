"""What a classifier sees of a beat beside its patient's own past: rhythm, shapes, P waves.

Compiled; every array is fixed, nothing is allocated. `pipeline.scoring.beat_features` explains the
measures and holds the memory.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.context import (
    is_due,
    learn_context_interval,
    measure_context_rhythm,
)
from pipeline.signal.kernels.naming.hold import active, hold
from pipeline.signal.kernels.naming.rhythm import learn_interval, measure_rhythm
from pipeline.signal.kernels.naming.shapes import (
    learn_late,
    learn_p,
    learn_shape,
    measure_beside_last,
    measure_beside_late,
    measure_beside_shapes,
    measure_own,
)
from pipeline.signal.kernels.naming.slots import (
    BEFORE,
    IN_ORDER,
    LAST_EARLY,
    LAST_LIKE,
    LAST_WIDTH,
    LATE_QRS_LAG,
    PREVIOUS,
    SEEN,
    TICKS,
    TO_Q75,
    WIDTH_TO_LATE,
)
from pipeline.signal.kernels.naming.usual import learn_usual, measure_beside_usual
from pipeline.signal.kernels.sections import copy, jit


@jit
def extract(
    rr_s: NDArray[np.float64],
    windows: NDArray[np.float32],
    usable: NDArray[np.bool_],
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    intervals: NDArray[np.float64],
    ordered: NDArray[np.float64],
    steps: NDArray[np.float64],
    late: NDArray[np.float32],
    p_waves: NDArray[np.float32],
    p_likes: NDArray[np.float64],
    shapes: NDArray[np.float32],
    shape_numbers: NDArray[np.float64],
    last: NDArray[np.float32],
    usual: NDArray[np.float32],
    late_middles: NDArray[np.float32],
    usual_middles: NDArray[np.float32],
    lines: NDArray[np.float64],
    work: NDArray[np.float64],
    beat: NDArray[np.float32],
    middle: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Write the measures of each beat to ``out``, float32[n, COLUMNS], and learn from it.

    Arrays from ``counters`` to ``usual`` are the memory, see `pipeline.scoring.beat_features`;
    ``late_middles`` to ``work`` follow from it; ``beat`` and ``middle``, float32[TICKS], are
    working memory. Of a beat that is not ``usable``
    only the interval is used, and its measures are 0. Of some nothing is learned
    (`pipeline.signal.kernels.naming.hold`).
    """
    for i in range(rr_s.size):
        rr = rr_s[i]
        row = out[i]
        row[:] = 0.0
        if not (0.0 < rr < math.inf):
            rr = math.nan
        measure_rhythm(rr, counters, numbers, intervals, ordered, steps, row)
        measure_context_rhythm(rr, counters, numbers, lines, row)
        if usable[i]:
            for k in range(TICKS):
                beat[k] = 0.5 * (windows[i, 2 * k] + windows[i, 2 * k + 1])
            measure_own(beat, row)
            measure_beside_late(beat, counters, late_middles, middle, numbers, row)
            measure_beside_last(beat, counters, last, p_waves, p_likes, work[IN_ORDER], row)
            nearest = measure_beside_shapes(beat, shapes, shape_numbers, row)
            measure_beside_usual(windows[i], counters, usual_middles, work, row)
            held = hold(rr, row, counters)
            if not held:
                learn_shape(beat, nearest, row[TO_Q75], shapes, shape_numbers)
                learn_late(beat, rr, row, counters, ordered, late, late_middles)
                learn_p(beat, row, counters, p_waves, p_likes)
                if is_due(rr, counters, lines):
                    learn_usual(windows[i], counters, usual, usual_middles, work)
            numbers[LAST_LIKE], numbers[LAST_WIDTH] = row[LATE_QRS_LAG], row[WIDTH_TO_LATE]
            copy(last[0], last[1])
            copy(beat, last[0])
            counters[SEEN] = min(counters[SEEN] + 1, 2)
        else:
            row[:] = 0.0
            held = active(counters)
            numbers[LAST_LIKE] = numbers[LAST_WIDTH] = 0.0
            counters[SEEN] = 0
        numbers[LAST_EARLY] = row[TO_Q75]
        if not held:
            learn_context_interval(rr, counters, numbers, intervals, steps, lines)
            learn_interval(rr, counters, numbers, intervals, ordered, steps)
        numbers[BEFORE] = numbers[PREVIOUS]
        numbers[PREVIOUS] = rr
