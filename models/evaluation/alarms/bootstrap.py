"""How far a figure would move with other patients: the bootstrap over records.

The records of a database are resampled with replacement, 2,000 times, always by the same seed;
the interval holds the middle 95 % of the figures (Efron & Tibshirani 1993). A share of nothing or
of everything, and one to which a single record contributes, would have an interval without width,
which says nothing about the next patient: it has none.

Pure: counts in, figures out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 2000
SEED: Final = 2015
LIMITS: Final = (2.5, 97.5)

Figure: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From sums float64[b, k] to figures float64[b]; not finite where a sum gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure and its 95 % interval.

    All None where nothing could be counted; no interval where it would have no width.
    """

    value: float | None
    low: float | None
    high: float | None


def estimate(counts: Sequence[Sequence[float]], figure: Figure, digits: int = 1) -> Estimate:
    """Return the figure of the sums over all records, and its interval.

    Args:
        counts: k numbers of each record, n by k.
        figure: from sums to the figure.
        digits: of the result.
    """
    table = np.array(counts, dtype=np.float64)
    if not table.size:
        return Estimate(value=None, low=None, high=None)
    n = len(table)
    often = np.random.default_rng(SEED).multinomial(n, np.full(n, 1.0 / n), size=DRAWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(figure(table.sum(axis=0, keepdims=True))[0])
        drawn = figure(often @ table)
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None)
    low, high = np.percentile(drawn[np.isfinite(drawn)], LIMITS)
    if low == high:
        return Estimate(value=round(value, digits), low=None, high=None)
    return Estimate(
        value=round(value, digits), low=round(float(low), digits), high=round(float(high), digits)
    )


def percent(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the first of two sums in % of the second."""
    return 100.0 * sums[:, 0] / sums[:, 1]


def per_24_hours(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how many there are in 24 h, from a number and its hours."""
    return 24.0 * sums[:, 0] / sums[:, 1]
