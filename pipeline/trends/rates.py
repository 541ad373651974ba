"""Heart rates over many intervals, as the monitor shows them. Pure."""

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.rate_rules import RATE_BEATS


def rates_over(rr_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the heart rate over each `RATE_BEATS` known intervals, bpm, as the monitor shows it.

    Empty with fewer intervals.
    """
    if len(rr_s) < RATE_BEATS:
        return np.zeros(0)
    return 60.0 * RATE_BEATS / np.convolve(rr_s, np.ones(RATE_BEATS), mode="valid")


def rates_of(
    rr_s: NDArray[np.float64], before: NDArray[np.float64] | None = None
) -> tuple[float | None, float | None, float | None]:
    """Return the lowest, mean and highest heart rate of intervals in seconds, NaN where unknown.

    The lowest and the highest may begin with the known intervals ``before``, fewer than
    `RATE_BEATS`.
    """
    known = rr_s[np.isfinite(rr_s)]
    if not len(known):
        return None, None, None
    mean = round(60.0 / float(np.mean(known)), 1)
    rates = rates_over(known if before is None else np.concatenate((before, known)))
    if not len(rates):
        return None, mean, None
    return round(float(rates.min()), 1), mean, round(float(rates.max()), 1)
