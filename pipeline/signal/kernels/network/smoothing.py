"""A moving average of many rows. Compiled; nothing is allocated."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def smooth(x: NDArray[np.float32], ticks: int, first: int, out: NDArray[np.float32]) -> None:
    """Write the moving average of a part of each row; outside the row it counts zeros.

    Args:
        x: float32[rows, n].
        ticks: length of the average, odd; the tick itself lies in its middle.
        first: of the part.
        out: float32[rows, m], the averages of ticks ``first`` to first + m of each row.
    """
    share = np.float32(1.0 / ticks)
    for row in range(x.shape[0]):
        given, found = x[row], out[row]
        found[:] = np.float32(0.0)
        for shift in range(first - ticks // 2, first + ticks // 2 + 1):
            # All averages at once, so that several are added up in one step.
            begin, end = max(0, -shift), min(found.size, given.size - shift)
            if begin < end:
                _add(given[begin + shift : end + shift], found[begin:end])
        for i in range(found.size):
            found[i] *= share


@jit
def _add(x: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    for i in range(out.size):
        out[i] += x[i]
