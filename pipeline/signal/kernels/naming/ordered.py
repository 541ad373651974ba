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
