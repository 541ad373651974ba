"""Where the memory of a patient's beats in one lead lies: all of it in four arrays.

Of a thousand patients each finds its memory outside the processor's cache. To find an array costs
as much there as to read some, so there are few.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import (
    LATE_BEATS,
    LATE_ROWS,
    MIDDLE_ROWS,
    NUMBERS,
    OF_USUAL,
    P_BEATS,
    P_TICKS,
    PARTS,
    QRS_TICKS,
    QUANTILES_OVER,
    RR_MEMORY,
    SHAPE_COLUMNS,
    SHAPES,
    STEPS,
    TICKS,
    USUAL_BEATS,
    WINDOW,
)
from pipeline.signal.kernels.sections import jit

STEPS_FROM: Final = NUMBERS
P_LIKES_FROM: Final = STEPS_FROM + STEPS
SHAPE_NUMBERS_FROM: Final = P_LIKES_FROM + P_BEATS
INTERVALS_FROM: Final = SHAPE_NUMBERS_FROM + SHAPES * SHAPE_COLUMNS
DOUBLES: Final = INTERVALS_FROM + RR_MEMORY
"""Of a state: first the numbers of `slots`; the ring of |log ratio| of neighbouring intervals; that
of how alike each P wave was to the mean of those before; the columns of the shapes, a row each; the
ring of the known intervals, in seconds."""

SHAPES_FROM: Final = 2 * TICKS
P_WAVES_FROM: Final = SHAPES_FROM + SHAPES * QRS_TICKS
LATE_FROM: Final = P_WAVES_FROM + P_BEATS * P_TICKS
USUAL_FROM: Final = LATE_FROM + TICKS * LATE_BEATS
SINGLES: Final = USUAL_FROM + WINDOW * USUAL_BEATS
"""Of a state: first the two windows before; the shapes and the ring of P waves, a row each; the
rings of late and of usual windows, a row each tick and a column each window."""

RANKED: Final = RR_MEMORY + QUANTILES_OVER + STEPS
LATE_MIDDLES_FROM: Final = OF_USUAL
USUAL_MIDDLES_FROM: Final = LATE_MIDDLES_FROM + LATE_ROWS * TICKS // 2
RANKS_FROM: Final = USUAL_MIDDLES_FROM + MIDDLE_ROWS * WINDOW // 2
FOLLOWING: Final = RANKS_FROM + -(-RANKED // 4)
"""What follows from a state, as float64: first the numbers of the usual beats; as float32 the
middles of late and of usual windows, a row each; as uint16 the places in their rings of all
intervals, of the last `QUANTILES_OVER` and of the steps, by ascending values."""

MIDDLE_FROM: Final = TICKS // 2
DISTANCES_FROM: Final = MIDDLE_FROM + TICKS // 2
IN_ORDER_FROM: Final = DISTANCES_FROM + (PARTS + 1) * USUAL_BEATS
ASKED_FROM: Final = IN_ORDER_FROM + USUAL_BEATS
ROOM: Final = ASKED_FROM + WINDOW
"""Working memory, as float64: first the beat in steps of two ticks, and the median of late ones so,
both as float32; the distances of usual windows, a row a part and one of no use; room to sort in;
as int64 the ticks whose middles are to be searched."""


@jit
def doubles_of(numbers: NDArray[np.float64]) -> Any:
    """Return the steps, how alike P waves were, the numbers of shapes, the intervals of a state."""
    return (
        numbers[STEPS_FROM:P_LIKES_FROM],
        numbers[P_LIKES_FROM:SHAPE_NUMBERS_FROM],
        numbers[SHAPE_NUMBERS_FROM:INTERVALS_FROM].reshape((SHAPES, SHAPE_COLUMNS)),
        numbers[INTERVALS_FROM:DOUBLES],
    )


@jit
def singles_of(kept: NDArray[np.float32]) -> Any:
    """Return the last windows, shapes, P waves, late windows and usual windows of a state."""
    return (
        kept[:SHAPES_FROM].reshape((2, TICKS)),
        kept[SHAPES_FROM:P_WAVES_FROM].reshape((SHAPES, QRS_TICKS)),
        kept[P_WAVES_FROM:LATE_FROM].reshape((P_BEATS, P_TICKS)),
        kept[LATE_FROM:USUAL_FROM].reshape((TICKS, LATE_BEATS)),
        kept[USUAL_FROM:SINGLES].reshape((WINDOW, USUAL_BEATS)),
    )


@jit
def following_of(following: NDArray[np.float64]) -> Any:
    """Return numbers of usual beats, middles of late and of usual windows, and the three ranks."""
    late, usual = following[LATE_MIDDLES_FROM:], following[USUAL_MIDDLES_FROM:]
    ranks = following[RANKS_FROM:].view(np.uint16)
    return (
        following[:OF_USUAL],
        late.view(np.float32)[: LATE_ROWS * TICKS].reshape((LATE_ROWS, TICKS)),
        usual.view(np.float32)[: MIDDLE_ROWS * WINDOW].reshape((MIDDLE_ROWS, WINDOW)),
        ranks[:RR_MEMORY],
        ranks[RR_MEMORY : RR_MEMORY + QUANTILES_OVER],
        ranks[RR_MEMORY + QUANTILES_OVER : RANKED],
    )


@jit
def room_of(room: NDArray[np.float64]) -> Any:
    """Return the parts of the working memory, in order."""
    return (
        room[:MIDDLE_FROM].view(np.float32),
        room[MIDDLE_FROM:DISTANCES_FROM].view(np.float32),
        room[DISTANCES_FROM:IN_ORDER_FROM],
        room[IN_ORDER_FROM:ASKED_FROM],
        room[ASKED_FROM:].view(np.int64),
    )
