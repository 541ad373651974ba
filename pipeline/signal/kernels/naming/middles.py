"""The two middle values, tick by tick, of windows that are kept in a ring. Compiled.

One more window, or one in the place of another, moves them by one place at most, so nothing need be
kept in order; and for half of the ticks not even that needs a search.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.slots import HIGH, LOW
from pipeline.signal.kernels.sections import by_order, jit


@jit
def renew_middles(
    window: NDArray[np.float32],
    kept: NDArray[np.float32],
    before: int,
    at: int,
    middles: NDArray[np.float32],
    asked: NDArray[np.int64],
) -> None:
    """Put a window among those that are kept, and renew the middles.

    Args:
        window: float32[ticks].
        kept: float32[ticks, an even number], a column each window; the first ``before`` count.
        before: how many these are.
        at: the column behind them, or that of the oldest window, if all count.
        middles: float32[2 or more, ticks]: the lower one in row `LOW`, the higher one in row
            `HIGH`, the same one where the number of windows is odd.
        asked: int64[ticks], written.
    """
    low, high = middles[LOW], middles[HIGH]
    ticks, known = window.size, min(before + 1, kept.shape[1])
    if known % 2:
        for k in range(ticks):
            new = kept[k, at] = window[k]
            low[k] = high[k] = min(max(new, low[k]), high[k]) if before else new
        return
    # First all ticks, without a branch for the processor to mispredict, then those to be searched.
    searches = 0
    for k in range(ticks):
        new, a, b = window[k], low[k], high[k]
        old = a if known > before else kept[k, at]
        kept[k, at] = new
        # Without the old one the number is odd. Its middle stays one of the two; the other one is
        # the new value, the same as before, or to be searched on the far side of the middle.
        below, above, lower = new < a, new > b, old <= a
        search = (below & (old >= a)) | (above & (old <= b))
        middle = b if lower else a
        inside = not (below | above)
        a = new if inside & lower else a
        b = b if lower | (not inside) else new
        low[k], high[k] = middle if search else a, middle if search else b
        asked[searches] = k
        searches += search
    for i in range(searches):
        k = asked[i]
        above = window[k] > low[k]
        middles[HIGH if above else LOW, k] = _beside(kept[k], known, low[k], np.int32(-int(above)))


@jit
def _beside(values: NDArray[np.float32], known: int, middle: float, turned: np.int32) -> float:
    """Return the lower one of the middle of an even number of values, given the higher one.

    With ``turned``, all bits set, the higher one, given the lower one. By the order of bits, of
    which the compiler compares several in a step; the values are finite, and no zero is negative.
    """
    bits = values.view(np.int32)
    limit = np.int32(by_order(np.float32(middle).view(np.int32)) ^ turned)
    less, below = np.int32(0), np.int32(-(2**31))
    for i in range(known):
        one = np.int32(by_order(bits[i]) ^ turned)
        less = np.int32(less + (one < limit))
        below = max(below, one if one < limit else np.int32(-(2**31)))
    found: Any = below if less >= known // 2 else limit
    return float(np.int32(by_order(np.int32(found ^ turned))).view(np.float32))
