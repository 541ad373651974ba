"""The QRS of a beat beside the patient's usual ones and the beat before. Compiled.

`pipeline.scoring.qrs_shape` explains the comparison. Windows are float32[320].
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.likeness import best_correlation, correlation, slope_width
from pipeline.signal.kernels.sections import jit

R: Final = 140
QRS_FROM: Final = R - 36
QRS_TO: Final = R + 54
"""100 ms before the R peak to 150 ms after it."""

AS_USUAL: Final = 0.95
"""Least correlation of a QRS that is as usual with a usual one; of others the width is measured."""

LAG_STEP: Final = 3
"""Ticks; up to twelve on either side."""

TRIANGLE: Final = math.sqrt(12.0)
"""The slopes of a triangle that is n wide lie n / sqrt(12) from its middle, root mean square."""

TICK_MS: Final = 1000.0 / 360.0
LEAST_WIDTH_MS: Final = 10.0

LIKENESS, REPEATS, WIDTH_MS, WIDENING, SHAPE_NUMBERS = range(5)
"""Places of the fields of `pipeline.scoring.qrs_shape.QrsShape`."""


@jit
def likeness_unshifted(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of two windows without a lag."""
    return correlation(window, other, QRS_FROM, QRS_TO, 0)


@jit
def likeness(window: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the correlation of the QRS of another window with that of a beat at its best lag."""
    best, _ = best_correlation(window, other, QRS_FROM, QRS_TO, LAG_STEP)
    return best


@jit
def width_ms(window: NDArray[np.float32]) -> float:
    """Return how wide the QRS of a window is, at least `LEAST_WIDTH_MS`."""
    ticks = slope_width(window, QRS_FROM, QRS_TO, R)
    return max(LEAST_WIDTH_MS, TRIANGLE * TICK_MS * ticks)


@jit
def compare(
    window: NDArray[np.float32],
    templates: NDArray[np.float32],
    usual: NDArray[np.bool_],
    known: int,
    before: NDArray[np.float32],
    follows: bool,
    shape: NDArray[np.float64],
) -> None:
    """Write how the QRS of a beat compares, NaN for what is not known or measured.

    Args:
        window: of the beat.
        templates: float32[templates, 320],
        usual: bool[templates], which of them are usual,
        known: and how many are in use, the first ones.
        before: the window of the beat before, and
        follows: whether there is one.
        shape: float64[SHAPE_NUMBERS], written.
    """
    for k in range(SHAPE_NUMBERS):
        shape[k] = math.nan
    some = False
    for t in range(known):
        if usual[t]:
            some = True
            like = likeness_unshifted(window, templates[t])
            if like >= AS_USUAL:
                shape[LIKENESS] = like
                return
    shape[WIDTH_MS] = width_ms(window)
    if some:
        best, nearest = -math.inf, 0
        for t in range(known):
            if usual[t]:
                like = likeness(window, templates[t])
                if like >= best:
                    best, nearest = like, t
        shape[LIKENESS] = best
        shape[WIDENING] = shape[WIDTH_MS] / width_ms(templates[nearest])
    if follows:
        shape[REPEATS] = likeness(window, before)
