"""Which leads found a complex at some place. Compiled."""

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def found_at(
    complexes: NDArray[np.int64], sample: int, within: float, upto: int, found: NDArray[np.bool_]
) -> None:
    """Write which leads found a complex at ``sample``, or so near to it, before ``upto``.

    Args:
        complexes: int64[c, 3]: lead, R peak and the sample that confirmed it.
        sample: where.
        within: how near, in samples.
        upto: what was confirmed there or later does not count.
        found: bool[leads], written.
    """
    found[:] = False
    for i in range(len(complexes)):
        lead, r, known_at = complexes[i]
        # Of a forged state a lead may be any number.
        if abs(r - sample) <= within and known_at < upto and 0 <= lead < found.size:
            found[lead] = True
