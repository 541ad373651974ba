"""Ascending lines of the latest values, and their quantiles. Compiled; nothing is allocated."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import (
    LIMIT,
)
from pipeline.signal.kernels.sections import jit


@jit
def ratio(a: float, b: float) -> float:
    """Return log(a / b), limited to 1.5 on either side; 0 where one is not known."""
    if not (a > 0.0 and b > 0.0):
        return 0.0
    return min(LIMIT, max(-LIMIT, math.log(a) - math.log(b)))


@jit
def quantile(ordered: NDArray[np.float64], size: int, part: float) -> float:
    """Return the quantile, interpolated linearly, of the first ``size`` values; NaN of none."""
    if size == 0:
        return math.nan
    at = part * (size - 1)
    low = int(at)
    high = min(low + 1, size - 1)
    return float(ordered[low] + (at - low) * (ordered[high] - ordered[low]))


@jit
def take_out(line: NDArray[Any], size: int, value: float) -> None:
    """Remove one ``value`` from an ascending line of ``size``."""
    place = 0
    while place < size - 1 and line[place] < value:
        place += 1
    for k in range(place, size - 1):
        line[k] = line[k + 1]


@jit
def put_in(line: NDArray[Any], size: int, value: float) -> None:
    """Add ``value`` to an ascending line of ``size``, which has room for one more."""
    place = size
    while place > 0 and line[place - 1] > value:
        line[place] = line[place - 1]
        place -= 1
    line[place] = value


@jit
def replace(line: NDArray[Any], size: int, old: float, new: float) -> None:
    """Put ``new`` in the place of one ``old`` of an ascending line of ``size``, at least 1.

    Where the line is long, half the time of `take_out` and `put_in`.
    """
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) // 2
        if line[middle] < old:
            low = middle + 1
        else:
            high = middle
    while low > 0 and line[low - 1] > new:
        line[low] = line[low - 1]
        low -= 1
    while low < size - 1 and line[low + 1] < new:
        line[low] = line[low + 1]
        low += 1
    line[low] = new


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
def replace_each(
    ordered: NDArray[np.float32],
    old: NDArray[np.float32],
    new: NDArray[np.float32],
    carried: NDArray[np.float32],
) -> None:
    """Put ``new`` in the place of ``old`` in ascending columns, all at once.

    Args:
        ordered: float32[k + 1, n], each column k values ascending, and infinity.
        old: float32[n], of each column a value of it.
        new: float32[n].
        carried: float32[n], working memory.
    """
    columns = ordered.shape[1]
    for c in range(columns):
        carried[c] = -math.inf
    for k in range(ordered.shape[0] - 1):
        row, following = ordered[k], ordered[k + 1]
        for c in range(columns):
            # Without ``old``, all that comes after it moves up. Of two neighbours and ``new`` the
            # middle one then belongs here.
            left = row[c] if row[c] < old[c] else following[c]
            smaller = left if left < new[c] else new[c]
            row[c] = carried[c] if carried[c] > smaller else smaller
            carried[c] = left
