"""What follows from the memory of a patient's beats, computed from it alone. Compiled."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.memory import doubles_of, following_of, room_of, singles_of
from pipeline.signal.kernels.naming.ordered import put_in_order, rank
from pipeline.signal.kernels.naming.slots import (
    HIGH,
    INTERVALS,
    LATE,
    LOW,
    QUANTILES_OVER,
    RR_AT,
    RR_MEMORY,
    STEPS_KNOWN,
    USUAL,
)
from pipeline.signal.kernels.naming.usual import describe_usual
from pipeline.signal.kernels.sections import jit


@jit
def follow(
    counters: NDArray[np.int64],
    numbers: NDArray[np.float64],
    kept: NDArray[np.float32],
    following: NDArray[np.float64],
    room: NDArray[np.float64],
) -> None:
    """Write to ``following`` what follows from a state, see `pipeline.scoring.beat_features`."""
    steps, _, _, intervals = doubles_of(numbers)
    _, _, _, late, usual = singles_of(kept)
    of_usual, late_middles, usual_middles, ranks, few_ranks, step_ranks = following_of(following)
    _, _, distances, in_order, _ = room_of(room)
    for place in range(counters[STEPS_KNOWN]):
        rank(steps, step_ranks, place, -1, place, steps[place])
    known, at = counters[INTERVALS], counters[RR_AT]
    for place in range(known):
        rank(intervals, ranks, place, -1, place, intervals[place])
    few = min(known, QUANTILES_OVER)
    for i in range(few):
        place = (at - few + i) % RR_MEMORY
        rank(intervals, few_ranks, i, -1, place, intervals[place])
    _find_middles(late, counters[LATE], late_middles, distances, in_order)
    _find_middles(usual, counters[USUAL], usual_middles, distances, in_order)
    describe_usual(counters[USUAL], usual, usual_middles, of_usual, distances, in_order)


@jit
def _find_middles(
    kept: NDArray[np.float32],
    known: int,
    middles: NDArray[np.float32],
    values: NDArray[np.float64],
    line: NDArray[np.float64],
) -> None:
    """Write the two middles of the first columns of ``kept``, at each tick."""
    if known == 0:
        return
    for k in range(len(kept)):
        for b in range(known):
            values[b] = kept[k, b]
        put_in_order(values, known, line)
        middles[LOW, k], middles[HIGH, k] = line[(known - 1) // 2], line[known // 2]
