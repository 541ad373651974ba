"""What is measured of a beat: the places of the measures, and the sizes of the memory.

`pipeline.scoring.beat_features` explains them. Windows are looked at in steps of two ticks, `TICKS`
values, the R peak at `R`; for the context of a beat at every tick, `WINDOW` values, the R peak at
`CONTEXT_R`.
"""

from typing import Final

TICKS: Final = 160
R: Final = 70
P_FROM: Final = 25
P_TO: Final = 56
"""P wave: 250 to 80 ms before the R peak."""
QRS_FROM: Final = 52
QRS_TO: Final = 97
"""QRS: 100 ms before to 150 ms after."""
T_TO: Final = 150
"""T wave: from there to 440 ms after."""

P_TICKS: Final = P_TO - P_FROM
QRS_TICKS: Final = QRS_TO - QRS_FROM

RR_MEMORY: Final = 1000
QUANTILES_OVER: Final = 300
STEPS: Final = 64
LATE_BEATS: Final = 24
LATE_PART: Final = 0.85
"""A beat is late whose interval is at or above this quantile of the last `QUANTILES_OVER`."""
P_BEATS: Final = 48
SHAPES: Final = 8
SAME_SHAPE: Final = 0.9
FORGETTING: Final = 0.999
SHAPE_STEP: Final = 0.05
LEAST_INTERVALS: Final = 3
LEAST_LATE: Final = 3
LIMIT: Final = 1.5
UNEQUAL_ABOVE: Final = 0.06
FEW_STEPS: Final = 16
COARSE: Final = 3
POINTS: Final = QRS_TICKS // COARSE
"""Values of the QRS itself, one in 17 ms."""

WINDOW: Final = 320
CONTEXT_R: Final = 140
USUAL_BEATS: Final = 64
USUAL_EVERY: Final = 5
"""Once full, every fifth usual beat replaces the oldest: the memory spans some five minutes. Odd,
so that it does not fall into step with a bigeminy."""
LEAST_USUAL: Final = 5
"""Fewer do not show what is usual."""
PART_FROM: Final = (0, CONTEXT_R - 90, CONTEXT_R - 36, CONTEXT_R + 54)
PART_TO: Final = (WINDOW, CONTEXT_R - 28, CONTEXT_R + 54, CONTEXT_R + 160)
"""Whole window, P wave, QRS and T wave at every tick: the same times as above."""
PARTS: Final = 4
WHOLE_PART, P_PART, QRS_PART, T_PART = range(PARTS)

(
    INTERVALS, RR_AT, LATE, LATE_AT, PS, P_AT, STEPS_KNOWN, STEP_AT, SEEN, HOLD_LEVEL, HELD,
    USUAL, USUAL_AT, USUAL_TURN, COUNTERS,
) = range(15)  # fmt: skip
"""Counters: intervals known (at most `RR_MEMORY`) and the place of the next; so of late beats, P
waves and steps; windows seen (at most 2); level and length of a stretch from which nothing is
learned (`pipeline.signal.kernels.naming.hold`); usual beats kept, the place of the next, and how
many came, modulo `USUAL_EVERY`."""

PREVIOUS, BEFORE, LAST_LIKE, LAST_EARLY, LAST_WIDTH, NUMBERS = range(6)
"""Numbers: the two intervals before, NaN where not known; of the beat before its likeness to the
late ones, its interval over the upper quartile, its width."""

WEIGHT, EARLY, COUNT, SHAPE_COLUMNS = range(4)
"""Columns of the shapes: how often each came lately, how early on average, how often in all."""

(
    KNOWN, TO_30, TO_80, TO_400, TO_1000, TO_Q25, TO_Q50, TO_Q75, TO_Q90, LAST_TO_Q75,
    BEFORE_TO_Q75, TO_LAST, LAST_STEP, MEAN_STEP, RMS_STEP, FEW_MEAN_STEP, UNEQUAL, SPREAD,
    LATE_KNOWN, LATE_QRS, LATE_QRS_LAG, LATE_P, LATE_T, LATE_WHOLE, LATE_DISTANCE_P,
    LATE_DISTANCE_QRS, LATE_DISTANCE_T, WIDTH, WIDTH_TO_LATE, UP_SLOPE, DOWN_SLOPE, HEIGHT,
    HEIGHT_TO_LATE, R_VALUE, DEEPEST, P_HEIGHT, T_HEIGHT, LAST_QRS, LAST_WHOLE, BEFORE_QRS,
    LAST_P, P_LIKE, P_MEAN_LIKE, OWN_LIKE, OWN_SHARE, OWN_EARLY, MAIN_LIKE, MAIN_SHARE,
    LAST_LATE_LIKE, LAST_EARLINESS, LAST_WIDTH_RATIO, AREA,
) = range(52)  # fmt: skip
MEASURES: Final = 52 + 2 * POINTS
"""Slots of the measures; the QRS and its difference from the late ones follow."""

(
    CONTEXT_RR_KNOWN, CONTEXT_TO_Q75, CONTEXT_LAST_TO_Q75, CONTEXT_BEFORE_TO_Q75,
    CONTEXT_BELOW_MEDIAN, CONTEXT_BELOW_Q75, CONTEXT_IN_STEPS, CONTEXT_SHAPE_KNOWN,
) = range(MEASURES, MEASURES + 8)  # fmt: skip
CONTEXT_DISTANCE: Final = MEASURES + 8
"""Slots of the context: rhythm, then shapes, of which the distances of the parts come first,"""
CONTEXT_IN_SPREADS: Final = CONTEXT_DISTANCE + PARTS
"""then these in spreads,"""
(
    CONTEXT_QRS, CONTEXT_P, CONTEXT_WHOLE, CONTEXT_QRS_LAG, CONTEXT_WIDTH, CONTEXT_HEIGHT, COLUMNS,
) = range(CONTEXT_IN_SPREADS + PARTS, CONTEXT_IN_SPREADS + PARTS + 7)  # fmt: skip
"""then correlations, width and height. `COLUMNS` is how many numbers a beat has in all."""

LOW, HIGH, TEMPLATE, MIDDLE_ROWS = range(4)
"""Rows of the middles of usual windows at each tick: the lower and the higher of the two in the
middle, and their median. Of late windows only the first two are kept."""
LATE_ROWS: Final = TEMPLATE

USUAL_CENTRE: Final = 0
"""Among the numbers that follow from the usual beats: the median of the distances, by part;"""
USUAL_SPREAD: Final = PARTS
"""their 90th percentile less this;"""
USUAL_WIDTH: Final = 2 * PARTS
"""the width of the QRS of the median, in ticks,"""
USUAL_HEIGHT: Final = 2 * PARTS + 1
"""and its height."""
OF_USUAL: Final = 2 * PARTS + 2
