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
    correlation,
    log_distance,
    slope_width,
    squared_distance,
    value_span,
)
from pipeline.signal.kernels.naming.ordered import put_in_order, ratio, renew_middles
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
    DISTANCES,
    HIGH,
    IN_ORDER,
    LEAST_USUAL,
    LOW,
    OF_USUAL,
    P_PART,
    PART_FROM,
    PART_TO,
    PARTS,
    QRS_PART,
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
from pipeline.signal.kernels.sections import jit

SPREAD_FLOOR: Final = 0.1
HEIGHT_FLOOR: Final = 0.05
LAG_STEP: Final = 3
"""Ticks; up to twelve on either side."""

QRS_FROM: Final = PART_FROM[QRS_PART]
QRS_TO: Final = PART_TO[QRS_PART]


@jit
def measure_beside_usual(
    window: NDArray[np.float32],
    counters: NDArray[np.int64],
    middles: NDArray[np.float32],
    work: NDArray[np.float64],
    row: NDArray[np.float32],
) -> None:
    """Write how a window, float32[320], compares with the usual ones to ``row``."""
    if counters[USUAL] < LEAST_USUAL:
        return
    template, usual = middles[TEMPLATE], work[OF_USUAL]
    row[CONTEXT_SHAPE_KNOWN] = 1.0
    for part in range(PARTS):
        squared = squared_distance(window, template, PART_FROM[part], PART_TO[part])
        further = log_distance(squared) - usual[USUAL_CENTRE + part]
        spreads = further / (SPREAD_FLOOR + usual[USUAL_SPREAD + part])
        row[CONTEXT_DISTANCE + part] = min(4.0, max(-2.0, further))
        row[CONTEXT_IN_SPREADS + part] = min(12.0, max(-6.0, spreads))
    row[CONTEXT_P] = correlation(window, template, PART_FROM[P_PART], PART_TO[P_PART], 0)
    row[CONTEXT_WHOLE] = correlation(window, template, 0, PART_TO[WHOLE_PART], 0)
    best, as_it_lies = best_correlation(window, template, QRS_FROM, QRS_TO, LAG_STEP)
    row[CONTEXT_QRS_LAG], row[CONTEXT_QRS] = best, as_it_lies
    row[CONTEXT_WIDTH] = ratio(slope_width(window, QRS_FROM, QRS_TO, CONTEXT_R), usual[USUAL_WIDTH])
    height = value_span(window, QRS_FROM, QRS_TO) / (usual[USUAL_HEIGHT] + HEIGHT_FLOOR) - 1.0
    row[CONTEXT_HEIGHT] = min(1.0, max(-1.0, height))


@jit
def learn_usual(
    window: NDArray[np.float32],
    counters: NDArray[np.int64],
    usual: NDArray[np.float32],
    middles: NDArray[np.float32],
    work: NDArray[np.float64],
) -> None:
    """Keep the window of a beat that came when it was due, in the place of the oldest.

    Args:
        window: float32[320].
        counters: int64[COUNTERS].
        usual: float32[320, USUAL_BEATS], ring of the windows kept.
        middles: float32[MIDDLE_ROWS, 320], of these windows.
        work: float64[WORK_ROWS, USUAL_BEATS].
    """
    counters[USUAL_TURN] = (counters[USUAL_TURN] + 1) % USUAL_EVERY
    known, at = counters[USUAL], counters[USUAL_AT]
    if known == USUAL_BEATS and counters[USUAL_TURN] != 0:
        return
    kept = min(known + 1, USUAL_BEATS)
    low, high = middles[LOW], middles[HIGH]
    for k in range(WINDOW):
        renew_middles(usual[k], known, at, window[k], low, high, k)
    counters[USUAL_AT] = (at + 1) % USUAL_BEATS
    counters[USUAL] = kept
    describe_usual(kept, usual, middles, work)


@jit
def describe_usual(
    known: int,
    usual: NDArray[np.float32],
    middles: NDArray[np.float32],
    work: NDArray[np.float64],
) -> None:
    """Write the template to ``middles``, and what follows from it and the windows to ``work``."""
    if known < LEAST_USUAL:
        return
    template, numbers = middles[TEMPLATE], work[OF_USUAL]
    low, high = middles[LOW], middles[HIGH]
    for k in range(WINDOW):
        template[k] = 0.5 * (float(low[k]) + float(high[k]))
    for part in range(PARTS):
        distances, line = work[DISTANCES + part], work[IN_ORDER]
        _squared_distances(usual, template, known, PART_FROM[part], PART_TO[part], distances)
        put_in_order(distances, known, line)
        numbers[USUAL_CENTRE + part] = _log_quantile(line, known, 0.5)
        ninth_decile = _log_quantile(line, known, 0.9)
        numbers[USUAL_SPREAD + part] = ninth_decile - numbers[USUAL_CENTRE + part]
    numbers[USUAL_WIDTH] = slope_width(template, QRS_FROM, QRS_TO, CONTEXT_R)
    numbers[USUAL_HEIGHT] = value_span(template, QRS_FROM, QRS_TO)


@jit
def _squared_distances(
    usual: NDArray[np.float32],
    template: NDArray[np.float32],
    known: int,
    begin: int,
    end: int,
    out: NDArray[np.float64],
) -> None:
    """Write the mean square distance of each window kept to the template to ``out``.

    It is that of an even number of ticks, from ``begin`` to ``end``.
    """
    for b in range(known):
        out[b] = 0.0
    # All windows side by side, two ticks a turn: the sums do not wait for each other.
    for k in range(begin, end - 1, 2):
        middle, next_middle = np.float64(template[k]), np.float64(template[k + 1])
        line, next_line = usual[k], usual[k + 1]
        for b in range(known):
            apart, next_apart = line[b] - middle, next_line[b] - next_middle
            out[b] = (out[b] + apart * apart) + next_apart * next_apart
    for b in range(known):
        out[b] /= end - begin


@jit
def _log_quantile(squared: NDArray[np.float64], known: int, part: float) -> float:
    """Return the quantile of the logarithms of distances whose squares ascend."""
    at = part * (known - 1)
    low = int(at)
    high = min(low + 1, known - 1)
    below, above = log_distance(squared[low]), log_distance(squared[high])
    return below + (at - low) * (above - below)
