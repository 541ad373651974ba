"""What kernels share: how they are compiled, and the steps that several of them take."""

import numba
import numpy as np
from numpy.typing import NDArray

NOTHING = 1e-20  # mV added to the input, or a flat one would end in slow denormal numbers

jit = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")


@jit
def section(v: float, row: NDArray[np.float64], z0: float, z1: float) -> tuple[float, float, float]:
    """Return the output of a second-order section for ``v``, and its memory afterwards.

    Transposed direct form II, added up so that as little as possible waits for the output.
    """
    y = row[0] * v + z0
    return y, (row[1] * v + z1) - row[3] * y, row[2] * v - row[4] * y


@jit
def decayed(tail: float, moved: float, fast: float, slow: float) -> float:
    """Return what is left, in mV, of a pacing spike's after-potential when the signal moves.

    It follows the signal's ``moved``, but keeps at least ``fast`` of itself and at most ``slow``,
    as after-potentials do. Under 1 uV nothing is left.
    """
    if tail > 0.0:
        left = min(max(tail + moved, fast * tail), slow * tail)
    else:
        left = max(min(tail + moved, fast * tail), slow * tail)
    return left if abs(left) >= 1e-3 else 0.0


@numba.njit(cache=True, nogil=True, fastmath={"nnan", "nsz"}, error_model="numpy")
def value_range(x: NDArray[np.float32], begin: int, end: int) -> tuple[float, float]:
    """Return the extremes of x[begin:end], finite: without NaN a vector's worth a step."""
    low = top = x[begin]
    for i in range(begin + 1, end):
        low, top = min(low, x[i]), max(top, x[i])
    return low, top


@jit
def median(ring: NDArray[np.int64] | NDArray[np.float64]) -> float:
    """Return the median of the first eight values.

    A sorting network (Batcher 1968) without what the middle two do not need: no memory, no branch
    for the processor to mispredict.
    """
    a, b, c, d = ring[0], ring[1], ring[2], ring[3]
    e, f, g, h = ring[4], ring[5], ring[6], ring[7]
    a, b = min(a, b), max(a, b)
    c, d = min(c, d), max(c, d)
    a, c = min(a, c), max(a, c)
    b, d = min(b, d), max(b, d)
    b, c = min(b, c), max(b, c)
    e, f = min(e, f), max(e, f)
    g, h = min(g, h), max(g, h)
    e, g = min(e, g), max(e, g)
    f, h = min(f, h), max(f, h)
    f, g = min(f, g), max(f, g)
    # Of two sorted fours the lower half, bitonic, is the smaller of each pair end to end.
    lower = max(max(min(a, h), min(b, g)), max(min(c, f), min(d, e)))
    upper = min(min(max(a, h), max(b, g)), min(max(c, f), max(d, e)))
    return float(0.5 * (lower + upper))
