"""What kernels share: how they are compiled, and the steps that several of them take."""

from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

NOTHING = 1e-20  # mV added to the input, or a flat one would end in slow denormal numbers

if TYPE_CHECKING:
    jit = jit_in_any_order = numba.njit(cache=True)
else:  # of the last option numba's types know nothing
    jit = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy", _nrt=False)
    jit_in_any_order = numba.njit(
        cache=True, nogil=True, fastmath={"reassoc"}, error_model="numpy", _nrt=False
    )
"""How kernels are compiled. Nothing is allocated in them, so numba need not count references: that
would be two calls for each slice, and for each array that one kernel gives another.

What is compiled in any order may add up several numbers a step, how many depends on the processor:
for bounds alone, which leave a margin for rounding.
"""


@jit
def copy(x: NDArray[Any], out: NDArray[Any]) -> None:
    """Write ``x`` over ``out``, of the same length; they may overlap where ``out`` lies before."""
    for i in range(out.size):
        out[i] = x[i]


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


@jit
def value_range(x: NDArray[np.float32], begin: int, end: int) -> tuple[float, float]:
    """Return the extremes of x[begin:end], finite.

    Numbers are in the order of their bits as integers, once those of the negative ones are turned
    around; and of integers the compiler compares several in a step.
    """
    bits = x[begin:end].view(np.int32)
    low = top = by_order(bits[0])
    for i in range(bits.size):
        value = by_order(bits[i])
        low, top = min(low, value), max(top, value)
    lowest: Any = np.int32(by_order(low)).view(np.float32)
    highest: Any = np.int32(by_order(top)).view(np.float32)
    return lowest, highest


@jit
def by_order(bits: np.int32) -> np.int32:
    """Turn the order of negative numbers around; twice, and the bits are what they were.

    The bits of float32 are in the order of their values then.
    """
    return np.int32(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))


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


@jit
def sum_of_squares(x: NDArray[np.float32]) -> float:
    """Return the sum of squares of x."""
    total = 0.0
    for i in range(x.size):
        total += x[i] * x[i]
    return total


@jit
def correlation_with(
    shape: NDArray[np.float32], energy: float, x: NDArray[np.float32], begin: int
) -> float:
    """Return how a complex at x[begin] correlates with a usual one, -1 to 1; 0 of a flat line.

    ``shape`` has the mean 0, and ``energy`` is its sum of squares. 0 where x ends before.
    """
    if begin < 0 or begin + shape.size > x.size:
        return 0.0
    total = both = own = 0.0
    for i in range(shape.size):
        v = np.float64(x[begin + i])
        total += v
        both += v * shape[i]
        own += v * v
    return _part_of(energy, shape.size, total, both, own)


PLACES = 25  # of a complex, two samples apart, that are looked at together
PLACES_SCRATCH = 2 * (PLACES + 36) + 3 * PLACES


@jit
def highest_correlation(
    shape: NDArray[np.float32],
    energy: float,
    x: NDArray[np.float32],
    begin: int,
    scratch: NDArray[np.float64],
) -> float:
    """Return the highest `correlation_with` at ``PLACES`` places from ``begin`` on; 0 at least.

    Each sum adds up in the order of the samples, as if alone, and those of all places side by side:
    in steps of four samples, of which every other one lies in a line of its own. ``shape`` is
    float32[73], and ``scratch``, float64[PLACES_SCRATCH], is overwritten.
    """
    best = 0.0
    end = begin + 2 * (PLACES - 1) + shape.size
    if begin < 0 or end > x.size:
        for k in range(PLACES):
            best = max(best, correlation_with(shape, energy, x, begin + 2 * k))
        return best
    length = PLACES + shape.size // 2
    even, odd, sums = scratch[:length], scratch[length : 2 * length], scratch[2 * length :]
    part, half = x[begin:end], (end - begin) // 2
    for i in range(half):
        even[i], odd[i] = part[2 * i], part[2 * i + 1]
    even[half] = part[2 * half]
    sums[:] = 0.0
    for i in range(0, shape.size - 1, 4):
        _add_products(even[i // 2 :], odd[i // 2 :], shape[i : i + 4], sums)
    last = np.float64(shape[shape.size - 1])
    for p in range(PLACES):
        v = even[shape.size // 2 + p]
        total, own = sums[p] + v, sums[2 * PLACES + p] + v * v
        both = sums[PLACES + p] + v * last
        best = max(best, _part_of(energy, shape.size, total, both, own))
    return best


@jit
def _add_products(
    even: NDArray[np.float64],
    odd: NDArray[np.float64],
    shape: NDArray[np.float32],
    sums: NDArray[np.float64],
) -> None:
    """Add four samples to the three sums of all places."""
    s, t, u, v = shape[0], shape[1], shape[2], shape[3]
    for p in range(PLACES):
        a, b, c, d = even[p], odd[p], even[p + 1], odd[p + 1]
        sums[p] = sums[p] + a + b + c + d
        sums[PLACES + p] = sums[PLACES + p] + a * s + b * t + c * u + d * v
        sums[2 * PLACES + p] = sums[2 * PLACES + p] + a * a + b * b + c * c + d * d


@jit
def _part_of(energy: float, n: int, total: float, both: float, own: float) -> float:
    """Return the correlation of a complex with a usual one by their sums; 0 of a flat line."""
    own -= total * total / n
    return float(both / np.sqrt(energy * own)) if energy > 0.0 and own > 0.0 else 0.0


@jit
def correlation(x: NDArray[np.float32], first: int, second: int, n: int) -> float:
    """Return how x[first:first + n] correlates with x[second:second + n], -1 to 1.

    0 of a flat line, and where x ends before.
    """
    if first < 0 or second < 0 or max(first, second) + n > x.size:
        return 0.0
    sum_u = sum_v = uu = vv = uv = 0.0
    for i in range(n):
        u, v = np.float64(x[first + i]), np.float64(x[second + i])
        sum_u += u
        sum_v += v
        uu += u * u
        vv += v * v
        uv += u * v
    uu -= sum_u * sum_u / n
    vv -= sum_v * sum_v / n
    if uu <= 0.0 or vv <= 0.0:
        return 0.0
    return float((uv - sum_u * sum_v / n) / np.sqrt(uu * vv))
