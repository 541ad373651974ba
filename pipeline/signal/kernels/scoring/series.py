"""The latest values of several series, and their quantiles. Compiled.

Each series is a row: a ring of its latest values, their places in it by ascending values, and two
counters, `KEPT` and `PLACE`.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.naming.ordered import quantile_of_ring, rank
from pipeline.signal.kernels.sections import jit

KEPT, PLACE, COUNTERS = range(3)
"""How many values are kept, and the place of the next."""

RECENT_RR, LONG_RR, OWN, SHAPE, QRS, ORDINARY, SERIES = range(7)
"""Rows: RR intervals (s), a short and a long memory; of usual beats their ``own``, ``shape`` and
``qrs``; what the components of ordinary beats sum up to."""

SIZES: Final = (20, 100, 128, 128, 128, 128)
"""How many values each keeps: 128 usual beats are about two minutes."""

LONGEST: Final = max(SIZES)


@jit
def keep(
    row: int,
    value: float,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
) -> None:
    """Keep a value of a series, in the place of the oldest where there is no more room.

    Args:
        row: of the series.
        value: finite.
        values: float64[SERIES, LONGEST].
        counters: int64[SERIES, COUNTERS].
        ranks: uint8[SERIES, LONGEST].
    """
    size, kept, place = SIZES[row], counters[row, KEPT], counters[row, PLACE]
    rank(values[row], ranks[row], kept, place if kept == size else -1, place, value)
    counters[row, KEPT] = min(kept + 1, size)
    values[row, place] = value
    counters[row, PLACE] = (place + 1) % size


@jit
def quantile(
    row: int,
    part: float,
    values: NDArray[np.float64],
    counters: NDArray[np.int64],
    ranks: NDArray[np.uint8],
) -> float:
    """Return the quantile of a series, interpolated linearly; 0 of nothing."""
    kept = counters[row, KEPT]
    return quantile_of_ring(values[row], ranks[row], kept, part) if kept else 0.0
