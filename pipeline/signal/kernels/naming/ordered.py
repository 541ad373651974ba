"""The latest values in ascending order, and their quantiles. Compiled; nothing is allocated.

Either they lie in a line, or they lie in a ring and their places in it are ranked, which takes at
most a quarter of the memory.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import LIMIT
from pipeline.signal.kernels.sections import jit


@jit
def log_of(value: float) -> float:
    """Return the logarithm of a value above 0, NaN of any other."""
    return math.log(value) if value > 0.0 else math.nan


@jit
def log_ratio(log_a: float, log_b: float) -> float:
    """Return log(a / b) by the logarithms, limited to 1.5 on either side; 0 where one is NaN."""
    apart = log_a - log_b
    return min(LIMIT, max(-LIMIT, apart)) if apart == apart else 0.0


@jit
def ratio(a: float, b: float) -> float:
    """Return log(a / b), limited to 1.5 on either side; 0 where one is not known."""
    return log_ratio(log_of(a), log_of(b))


@jit
def put_in(line: NDArray[Any], size: int, value: float) -> None:
    """Add ``value`` to an ascending line of ``size``, which has room for one more."""
    place = size
    while place > 0 and line[place - 1] > value:
        line[place] = line[place - 1]
        place -= 1
    line[place] = value


@jit
def put_in_order(values: NDArray[np.float64], size: int, out: NDArray[np.float64]) -> None:
    """Write the first ``size`` values to ``out``, ascending.

    Each is put where as many are less as there are: no branch for the processor to mispredict.
    """
    for one in range(size):
        value, place = values[one], 0
        for other in range(one):
            place += values[other] <= value
        for other in range(one + 1, size):
            place += values[other] < value
        out[place] = value


@jit
def quantile_of_ring(
    ring: NDArray[np.float64], ranks: NDArray[Any], size: int, part: float
) -> float:
    """Return the quantile, interpolated linearly, of the ``size`` values ranked; NaN of none."""
    if size == 0:
        return math.nan
    at = part * (size - 1)
    low = int(at)
    high = min(low + 1, size - 1)
    below, above = ring[ranks[low]], ring[ranks[high]]
    return float(below + (at - low) * (above - below))


@jit
def rank(
    ring: NDArray[np.float64],
    ranks: NDArray[Any],
    size: int,
    leaving: int,
    place: int,
    value: float,
) -> None:
    """Rank ``value``, which is about to be written to a ``place`` of ``ring``.

    Args:
        ring: the values.
        ranks: places of ``size`` of them, by ascending values, with room for one more.
        size: how many.
        leaving: the place of the one that is no longer ranked; -1 if none.
        place: that of the new one.
        value: the new one.
    """
    to = _less(ring, ranks, size, value)
    at = size
    if leaving >= 0:
        # Within the ranks also where a forged state has them in no order.
        at = min(_less(ring, ranks, size, ring[leaving]), size - 1)
        while at < size - 1 and ranks[at] != leaving:
            at += 1
    if at < to:
        to -= 1
        for i in range(at, to):
            ranks[i] = ranks[i + 1]
    else:
        for i in range(at, to, -1):
            ranks[i] = ranks[i - 1]
    ranks[to] = place


@jit
def _less(ring: NDArray[np.float64], ranks: NDArray[Any], size: int, value: float) -> int:
    """Return how many of the values ranked are less."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if ring[ranks[middle]] < value:
            low = middle + 1
        else:
            high = middle
    return low
