"""How irregular the intervals of the last beats are. Compiled."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit

NEAR_S: Final = 0.03
"""Intervals that differ by less match (COSEn: Lake & Moorman, Am. J. Physiol. 300, 2011)."""


@jit
def sample_entropy(
    rr: NDArray[np.float64],
    follows: NDArray[np.float64],
    n: int,
    firsts: NDArray[np.float64],
    seconds: NDArray[np.float64],
) -> float:
    """Return the sample entropy of the intervals rr[:n], templates of one interval.

    The last two arrays, for n values, are written.
    """
    both = one = pairs = 0
    for i in range(1, n):
        firsts[pairs], seconds[pairs] = rr[i - 1], rr[i]
        pairs += follows[i] > 0.0
    for i in range(pairs):
        first, second = firsts[i], seconds[i]
        later_first, later_second = firsts[i + 1 : pairs], seconds[i + 1 : pairs]
        for j in range(later_first.size):  # several a step
            near = abs(first - later_first[j]) < NEAR_S
            one += near
            both += near & (abs(second - later_second[j]) < NEAR_S)
    entropy: float = -np.log((both + 0.5) / (one + 1.0))
    return entropy
