"""What a classifier sees of a beat beside its patient's own past: rhythm, shapes, P waves.

Compiled; every array is fixed, nothing is allocated. `pipeline.scoring.beat_features` explains the
measures and holds the memory.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.context import is_due, measure_context_rhythm
from pipeline.signal.kernels.naming.hold import active, hold
from pipeline.signal.kernels.naming.memory import (
    doubles_of,
    following_of,
    room_of,
    singles_of,
)
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
    kept: NDArray[np.float32],
    following: NDArray[np.float64],
    room: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write the measures of each beat to ``out``, float32[n, COLUMNS], and learn from it.

    ``counters``, ``numbers`` and ``kept`` are the memory of a `BeatFeatures`; what is ``following``
    from it, and ``room`` to work in, are explained by `pipeline.signal.kernels.naming.memory`.
    Of a beat that is not ``usable`` only the interval is used, and its measures are 0. Of some
    nothing is learned (`pipeline.signal.kernels.naming.hold`).
    """
    steps, p_likes, shape_numbers, intervals = doubles_of(numbers)
    last, shapes, p_waves, late, usual = singles_of(kept)
    of_usual, late_middles, usual_middles, ranks, few_ranks, step_ranks = following_of(following)
    beat, middle, distances, in_order, asked = room_of(room)
    for i in range(rr_s.size):
        rr = rr_s[i]
        row = out[i]
        row[:] = 0.0
        if not (0.0 < rr < math.inf):
            rr = math.nan
        measure_rhythm(rr, counters, numbers, intervals, few_ranks, steps, row)
        measure_context_rhythm(rr, counters, numbers, intervals, ranks, steps, step_ranks, row)
        if usable[i]:
            for k in range(TICKS):
                beat[k] = 0.5 * (windows[i, 2 * k] + windows[i, 2 * k + 1])
            measure_own(beat, row)
            measure_beside_late(beat, counters, late_middles, middle, numbers, row)
            measure_beside_last(beat, counters, last, p_waves, p_likes, in_order, row)
            nearest = measure_beside_shapes(beat, shapes, shape_numbers, row)
            measure_beside_usual(windows[i], counters, usual_middles, of_usual, row)
            held = hold(rr, row, counters)
            if not held:
                learn_shape(beat, nearest, row[TO_Q75], shapes, shape_numbers)
                learn_late(beat, rr, counters, intervals, few_ranks, late, late_middles, asked)
                learn_p(beat, row, counters, p_waves, p_likes)
                if is_due(rr, counters, intervals, ranks):
                    learn_usual(
                        windows[i], counters, usual, usual_middles, of_usual, distances, in_order,
                        asked,
                    )  # fmt: skip
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
            learn_interval(rr, counters, numbers, intervals, ranks, few_ranks, steps, step_ranks)
        numbers[BEFORE] = numbers[PREVIOUS]
        numbers[PREVIOUS] = rr
