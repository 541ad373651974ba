"""How alike two stretches of signal are, how far apart, how wide and how high one is. Compiled.

For windows in steps of two ticks and for those at every tick alike; sums are of double precision.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

NEVER: Final = 1e-9
"""Added to what is divided by, or a stretch without any signal would end in a division by 0."""

DISTANCE_FLOOR: Final = 0.01
"""Added to distances: half a percent of a window's height is nothing."""


@jit
def correlation(
    a: NDArray[np.float32], b: NDArray[np.float32], begin: int, end: int, lag: int
) -> float:
    """Return the correlation of b[begin:end] with ``a`` shifted by ``lag``."""
    n = end - begin
    sum_a = sum_b = aa = bb = ab = 0.0
    for k in range(begin, end):
        x, y = np.float64(a[k + lag]), np.float64(b[k])
        sum_a += x
        sum_b += y
        aa += x * x
        bb += y * y
        ab += x * y
    power = (aa - sum_a * sum_a / n) * (bb - sum_b * sum_b / n)
    return (ab - sum_a * sum_b / n) / math.sqrt(max(power, 0.0) + NEVER)


@jit
def squared_distance(a: NDArray[np.float32], b: NDArray[np.float32], begin: int, end: int) -> float:
    """Return the mean square of a[begin:end] - b[begin:end]."""
    total = 0.0
    for k in range(begin, end):
        apart = np.float64(a[k]) - np.float64(b[k])
        total += apart * apart
    return total / (end - begin)


@jit
def log_distance(squared: float) -> float:
    """Return the logarithm of the root of a mean square, plus a floor."""
    return math.log(math.sqrt(squared) + DISTANCE_FLOOR)


@jit
def slope_width(x: NDArray[np.float32], begin: int, end: int, middle: int) -> float:
    """Return how far from ``middle`` x[begin:end] has its slopes, root mean square, at least 1."""
    power = spread = 0.0
    for k in range(begin, end):
        slope = np.float64(x[k]) - np.float64(x[k - 1])
        power += slope * slope
        spread += (k - middle) * (k - middle) * slope * slope
    return max(1.0, math.sqrt(spread / (power + NEVER)))


@jit
def value_span(x: NDArray[np.float32], begin: int, end: int) -> float:
    """Return by how much the values of x[begin:end] differ at most."""
    low = high = x[begin]
    for k in range(begin + 1, end):
        low, high = min(low, x[k]), max(high, x[k])
    return float(high - low)
