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

LAGS: Final = 4
"""The detector may take another peak of a wide complex for R."""

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
def best_correlation(
    a: NDArray[np.float32], b: NDArray[np.float32], begin: int, end: int, step: int
) -> tuple[float, float]:
    """Return the highest `correlation` at lags a ``step`` apart, and the one without a lag.

    There are `LAGS` on either side and none, and a multiple of three: three at once, whose sums do
    not wait for each other.
    """
    n, best, as_it_lies = end - begin, -1.0, 0.0
    sum_b = bb = 0.0
    for k in range(begin, end):
        y = np.float64(b[k])
        sum_b += y
        bb += y * y
    power_b = bb - sum_b * sum_b / n
    for lag in range(-LAGS * step, LAGS * step + 1, 3 * step):
        first, second, third = _three(a, b, begin, end, lag, step, sum_b, power_b)
        best = max(max(best, first), max(second, third))
        if lag == -step:
            as_it_lies = second
    return best, as_it_lies


@jit
def best_shifted(
    a: NDArray[np.float32], b: NDArray[np.float32], begin: int, end: int, step: int
) -> float:
    """Return the highest `correlation` at three lags on either side, a ``step`` apart; none is 0.

    -1 where all are lower.
    """
    sum_b = bb = 0.0
    for k in range(begin, end):
        y = np.float64(b[k])
        sum_b += y
        bb += y * y
    power_b = bb - sum_b * sum_b / (end - begin)
    first, second, third = _three(a, b, begin, end, -3 * step, step, sum_b, power_b)
    best = max(max(-1.0, first), max(second, third))
    first, second, third = _three(a, b, begin, end, step, step, sum_b, power_b)
    return max(max(best, first), max(second, third))


@jit
def _three(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    begin: int,
    end: int,
    lag: int,
    step: int,
    sum_b: float,
    power_b: float,
) -> tuple[float, float, float]:
    """Return the correlations at a ``lag`` and the next two."""
    n = end - begin
    sum_1 = aa_1 = ab_1 = sum_2 = aa_2 = ab_2 = sum_3 = aa_3 = ab_3 = 0.0
    for k in range(begin, end):
        y = np.float64(b[k])
        x_1, x_2 = np.float64(a[k + lag]), np.float64(a[k + lag + step])
        x_3 = np.float64(a[k + lag + 2 * step])
        sum_1, aa_1, ab_1 = sum_1 + x_1, aa_1 + x_1 * x_1, ab_1 + x_1 * y
        sum_2, aa_2, ab_2 = sum_2 + x_2, aa_2 + x_2 * x_2, ab_2 + x_2 * y
        sum_3, aa_3, ab_3 = sum_3 + x_3, aa_3 + x_3 * x_3, ab_3 + x_3 * y
    return (
        _like(sum_1, aa_1, ab_1, sum_b, power_b, n),
        _like(sum_2, aa_2, ab_2, sum_b, power_b, n),
        _like(sum_3, aa_3, ab_3, sum_b, power_b, n),
    )


@jit
def _like(sum_a: float, aa: float, ab: float, sum_b: float, power_b: float, n: int) -> float:
    """Return a correlation by its sums."""
    power = (aa - sum_a * sum_a / n) * power_b
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
def compared(
    a: NDArray[np.float32], b: NDArray[np.float32], begin: int, end: int
) -> tuple[float, float]:
    """Return `correlation` without a lag and `squared_distance`.

    In little more than the time of one: their sums do not wait for each other.
    """
    n = end - begin
    sum_a = sum_b = aa = bb = ab = total = 0.0
    for k in range(begin, end):
        x, y = np.float64(a[k]), np.float64(b[k])
        apart = x - y
        sum_a += x
        sum_b += y
        aa += x * x
        bb += y * y
        ab += x * y
        total += apart * apart
    power = (aa - sum_a * sum_a / n) * (bb - sum_b * sum_b / n)
    return (ab - sum_a * sum_b / n) / math.sqrt(max(power, 0.0) + NEVER), total / n


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
