"""The shapes of the latest beats, by which their organisation is judged. Compiled.

`pipeline.alarms.organisation` explains the rule.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import put_in
from pipeline.signal.kernels.sections import jit

STEP: Final = 3
"""Of so many samples the mean is kept."""


@jit
def take(windows: NDArray[np.float32], begin: int, shapes: NDArray[np.float32]) -> None:
    """Keep the shape of a beat in each lead, in the place of the oldest.

    Args:
        windows: float32[leads, 320]; of no lead where there is none.
        begin: the first sample that is kept.
        shapes: float32[leads, beats, kept], the newest last; updated.
    """
    leads, beats, kept = shapes.shape
    for lead in range(leads):
        for beat in range(beats - 1):
            for k in range(kept):
                shapes[lead, beat, k] = shapes[lead, beat + 1, k]
        for k in range(kept):
            shapes[lead, beats - 1, k] = 0.0
            if lead < len(windows):
                at = begin + STEP * k
                three = windows[lead, at] + windows[lead, at + 1] + windows[lead, at + 2]
                shapes[lead, beats - 1, k] = three / np.float32(STEP)


@jit
def median_likeness(alike: NDArray[np.float64], fewest: int, line: NDArray[np.float64]) -> float:
    """Return the median correlation of a beat with the one before, in the lead that has most.

    Args:
        alike: float64[leads, beats - 1], as `likeness` writes it.
        fewest: with fewer correlations nothing is known of a lead; at least 1.
        line: float64[beats - 1], written.

    Returns:
        The largest of the medians; NaN where nothing is known of any lead.
    """
    most = -math.inf
    for lead in range(len(alike)):
        known = 0
        for like in alike[lead]:
            if not math.isnan(like):
                put_in(line, known, like)
                known += 1
        if known >= fewest:
            most = max(most, 0.5 * (line[(known - 1) // 2] + line[known // 2]))
    return most if most > -math.inf else math.nan


@jit
def likeness(shapes: NDArray[np.float32], lags: int, alike: NDArray[np.float64]) -> None:
    """Write the correlation of each beat with the one before, the highest of all lags.

    Args:
        shapes: float32[leads, beats, kept], as `take` keeps them.
        lags: a beat is shifted by up to so many values, both ways.
        alike: float64[leads, beats - 1], written; NaN where one of the two is flat.
    """
    for lead in range(len(shapes)):
        for b in range(1, shapes.shape[1]):
            alike[lead, b - 1] = _highest(shapes[lead, b], shapes[lead, b - 1], lags)


@jit
def _highest(shape: NDArray[np.float32], before: NDArray[np.float32], lags: int) -> float:
    """Return the highest correlation of a shape, shifted, with the one before; NaN of flat ones."""
    n = shape.size - 2 * lags
    mean_before = own = 0.0
    for k in range(n):
        mean_before += before[lags + k]
    mean_before /= n
    for k in range(n):
        apart = before[lags + k] - mean_before
        own += apart * apart
    best = -1.0
    for lag in range(2 * lags + 1):
        mean = power = both = 0.0
        for k in range(n):
            mean += shape[lag + k]
        mean /= n
        for k in range(n):
            apart = shape[lag + k] - mean
            power += apart * apart
            both += apart * (before[lags + k] - mean_before)
        if not power * own > 0.0:
            return math.nan
        best = max(best, both / math.sqrt(power * own))
    return best
