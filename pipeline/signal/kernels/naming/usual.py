"""A beat beside the usual ones of its patient, wave by wave, at every tick. Compiled.

Usual are the last `USUAL_BEATS` that came when they were due. Kept are their windows, and the two
middle values at each tick, which one more window moves by one place at most. What depends on them
alone is renewed when one of them is replaced: the template, and how far they lie from it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.likeness import (
    best_correlation,
    compared,
    log_distance,
    slope_width,
    squared_distance,
    value_span,
)
from pipeline.signal.kernels.naming.middles import renew_middles
from pipeline.signal.kernels.naming.ordered import put_in_order, ratio
from pipeline.signal.kernels.naming.slots import (
    CONTEXT_DISTANCE,
    CONTEXT_HEIGHT,
    CONTEXT_IN_SPREADS,
    CONTEXT_P,
    CONTEXT_QRS,
    CONTEXT_QRS_LAG,
    CONTEXT_R,
    CONTEXT_SHAPE_KNOWN,
    CONTEXT_WHOLE,
    CONTEXT_WIDTH,
    HIGH,
    LEAST_USUAL,
    LOW,
    P_PART,
    PART_FROM,
    PART_TO,
    PARTS,
    QRS_PART,
    T_PART,
    TEMPLATE,
    USUAL,
    USUAL_AT,
    USUAL_BEATS,
    USUAL_CENTRE,
    USUAL_EVERY,
    USUAL_HEIGHT,
    USUAL_SPREAD,
    USUAL_TURN,
    USUAL_WIDTH,
    WHOLE_PART,
    WINDOW,
)
from pipeline.signal.kernels.naming.squares import add_squares
from pipeline.signal.kernels.network.lanes import LANES
from pipeline.signal.kernels.sections import jit

SPREAD_FLOOR: Final = 0.1
HEIGHT_FLOOR: Final = 0.05
LAG_STEP: Final = 3
"""Ticks; up to twelve on either side."""

QRS_FROM: Final = PART_FROM[QRS_PART]
QRS_TO: Final = PART_TO[QRS_PART]


_STRETCHES: Final = (
    (0, PART_FROM[P_PART], WHOLE_PART, PARTS),
    (PART_FROM[P_PART], PART_TO[P_PART], WHOLE_PART, P_PART),
    (QRS_FROM, PART_TO[P_PART], QRS_PART, PARTS),
    (PART_TO[P_PART], QRS_TO, WHOLE_PART, QRS_PART),
    (QRS_TO, PART_TO[T_PART], WHOLE_PART, T_PART),
    (PART_TO[T_PART], WINDOW, WHOLE_PART, PARTS),
)
"""Ticks from, to, and the two parts, or one and none, whose distances these add to; in order."""


@jit
def measure_beside_usual(
    window: NDArray[np.float32],
    counters: NDArray[np.int64],
    middles: NDArray[np.float32],
    usual: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how a window, float32[320], compares with the usual ones to ``row``.

    ``usual``, float64[OF_USUAL], and the template among the ``middles`` are `describe_usual`'s.
    """
    if counters[USUAL] < LEAST_USUAL:
        return
    template = middles[TEMPLATE]
    row[CONTEXT_SHAPE_KNOWN] = 1.0
    row[CONTEXT_WHOLE], whole = compared(window, template, 0, PART_TO[WHOLE_PART])
    row[CONTEXT_P], p_wave = compared(window, template, PART_FROM[P_PART], PART_TO[P_PART])
    qrs = squared_distance(window, template, QRS_FROM, QRS_TO)
    t_wave = squared_distance(window, template, PART_FROM[T_PART], PART_TO[T_PART])
    for part, squared in ((WHOLE_PART, whole), (P_PART, p_wave), (QRS_PART, qrs), (T_PART, t_wave)):
        further = log_distance(squared) - usual[USUAL_CENTRE + part]
        spreads = further / (SPREAD_FLOOR + usual[USUAL_SPREAD + part])
        row[CONTEXT_DISTANCE + part] = min(4.0, max(-2.0, further))
        row[CONTEXT_IN_SPREADS + part] = min(12.0, max(-6.0, spreads))
    best, as_it_lies = best_correlation(window, template, QRS_FROM, QRS_TO, LAG_STEP)
    row[CONTEXT_QRS_LAG], row[CONTEXT_QRS] = best, as_it_lies
    row[CONTEXT_WIDTH] = ratio(slope_width(window, QRS_FROM, QRS_TO, CONTEXT_R), usual[USUAL_WIDTH])
    height = value_span(window, QRS_FROM, QRS_TO) / (usual[USUAL_HEIGHT] + HEIGHT_FLOOR) - 1.0
    row[CONTEXT_HEIGHT] = min(1.0, max(-1.0, height))


@jit
def learn_usual(
    window: NDArray[np.float32],
    counters: NDArray[np.int64],
    kept: NDArray[np.float32],
    middles: NDArray[np.float32],
    usual: NDArray[np.float64],
    distances: NDArray[np.float64],
    line: NDArray[np.float64],
    asked: NDArray[np.int64],
) -> None:
    """Keep the window of a beat that came when it was due, in the place of the oldest.

    Args:
        window: float32[320].
        counters: int64[COUNTERS].
        kept: float32[320, USUAL_BEATS], ring of the windows kept.
        middles: float32[MIDDLE_ROWS, 320], of these windows.
        usual: float64[OF_USUAL], numbers of these windows.
        distances: float64[(PARTS + 1) * USUAL_BEATS], written, and so are
        line: float64[USUAL_BEATS],
        asked: int64[320].
    """
    counters[USUAL_TURN] = (counters[USUAL_TURN] + 1) % USUAL_EVERY
    known, at = counters[USUAL], counters[USUAL_AT]
    if known == USUAL_BEATS and counters[USUAL_TURN] != 0:
        return
    renew_middles(window, kept, known, at, middles, asked)
    counters[USUAL_AT] = (at + 1) % USUAL_BEATS
    counters[USUAL] = min(known + 1, USUAL_BEATS)
    describe_usual(counters[USUAL], kept, middles, usual, distances, line)


@jit
def describe_usual(
    known: int,
    kept: NDArray[np.float32],
    middles: NDArray[np.float32],
    usual: NDArray[np.float64],
    distances: NDArray[np.float64],
    line: NDArray[np.float64],
) -> None:
    """Write the template to ``middles``, and what follows from it and the windows to ``usual``.

    Arguments are those of `learn_usual`.
    """
    if known < LEAST_USUAL:
        return
    template, low, high = middles[TEMPLATE], middles[LOW], middles[HIGH]
    for k in range(WINDOW):
        template[k] = 0.5 * (float(low[k]) + float(high[k]))
    distances[:] = 0.0
    # Of all columns, also those that hold no window yet: they are not looked at.
    for first in range(0, USUAL_BEATS, LANES):
        for begin, end, part, other in _STRETCHES:
            add_squares(kept, first, template, begin, end, distances, part, other)
    for part in range(PARTS):
        squared = distances[part * USUAL_BEATS : (part + 1) * USUAL_BEATS]
        for b in range(known):
            squared[b] /= PART_TO[part] - PART_FROM[part]
        if known == USUAL_BEATS:
            put_in_order(squared, USUAL_BEATS, line)  # twice as fast, as its loops are known
        else:
            put_in_order(squared, known, line)
        usual[USUAL_CENTRE + part] = _log_quantile(line, known, 0.5)
        ninth_decile = _log_quantile(line, known, 0.9)
        usual[USUAL_SPREAD + part] = ninth_decile - usual[USUAL_CENTRE + part]
    usual[USUAL_WIDTH] = slope_width(template, QRS_FROM, QRS_TO, CONTEXT_R)
    usual[USUAL_HEIGHT] = value_span(template, QRS_FROM, QRS_TO)


@jit
def _log_quantile(squared: NDArray[np.float64], known: int, part: float) -> float:
    """Return the quantile of the logarithms of distances whose squares ascend."""
    at = part * (known - 1)
    low = int(at)
    high = min(low + 1, known - 1)
    below, above = log_distance(squared[low]), log_distance(squared[high])
    return below + (at - low) * (above - below)
