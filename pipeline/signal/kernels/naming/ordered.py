"""Ascending lines of the latest values, and their quantiles. Compiled; nothing is allocated."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import (
    LIMIT,
)
from pipeline.signal.kernels.sections import by_order, jit


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
def quantile(ordered: NDArray[np.float64], size: int, part: float) -> float:
    """Return the quantile, interpolated linearly, of the first ``size`` values; NaN of none."""
    if size == 0:
        return math.nan
    at = part * (size - 1)
    low = int(at)
    high = min(low + 1, size - 1)
    return float(ordered[low] + (at - low) * (ordered[high] - ordered[low]))


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
    """Put ``new`` in the place of one ``old`` of an ascending line of ``size``, at least 1."""
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
def renew_middles(
    values: NDArray[np.float32],
    before: int,
    at: int,
    new: float,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    k: int,
) -> None:
    """Put ``new`` among ``values`` at the place ``at``, and renew their two middle ones.

    These are the same one twice where the number of values is odd. One more value, or one in the
    place of another, moves each by one place at most, so nothing need be kept in order.

    Args:
        values: an even number, of which the first ``before`` counted so far.
        before: how many these are.
        at: the place behind them, or that of the oldest value, if all count.
        new: the new value.
        low: ``low[k]`` is the lower one of the middle, and is written;
        high: ``high[k]`` is the other.
        k: the place there.
    """
    old, values[at] = values[at], new
    if before == 0:
        low[k] = high[k] = new
        return
    known, a, b = min(before + 1, values.size), low[k], high[k]
    lower, upper = (known - 1) // 2, known // 2
    if known > before:
        low[k], high[k] = _followed(values, known, a, lower), _followed(values, known, b, upper)
    elif old <= a:
        # Of a lower half that loses one value and gets another the rest stays where it is.
        if new > a:
            low[k] = min(new, b)
            high[k] = b if new <= b else _followed(values, known, b, upper)
        elif old == a:
            low[k] = _followed(values, known, a, lower)
    elif new < b:
        high[k] = max(new, a)
        low[k] = a if new >= a else _followed(values, known, a, lower)
    elif old == b:
        high[k] = _followed(values, known, b, upper)


@jit
def _followed(values: NDArray[np.float32], known: int, value: float, place: int) -> float:
    """Return the value at ``place`` in order, given one at this place, or at the next or last.

    Without a branch, and by the order of bits, of which the compiler compares several in a step.
    """
    bits, limit = values.view(np.int32), by_order(np.float32(value).view(np.int32))
    below, above = np.int32(-(2**31)), np.int32(2**31 - 1)
    less = up_to = np.int32(0)
    for i in range(known):
        one = by_order(bits[i])
        less = np.int32(less + (one < limit))
        up_to = np.int32(up_to + (one <= limit))
        below = max(below, one if one < limit else np.int32(-(2**31)))
        above = min(above, one if one > limit else np.int32(2**31 - 1))
    found: Any = limit
    if place < less:
        found = below
    elif place >= up_to:
        found = above
    return float(np.int32(by_order(found)).view(np.float32))
