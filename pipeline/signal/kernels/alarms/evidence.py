"""The evidence of atrial fibrillation, weighed from what is measured of the beats. Compiled.

`pipeline.alarms.atrial_fibrillation` explains and holds the weights.
"""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def weigh(
    measures: NDArray[np.float64],
    products: NDArray[np.int64],
    weights: NDArray[np.float64],
    bias: float,
) -> float:
    """Return the logarithm of the odds.

    Args:
        measures: float64[MEASURES], see `pipeline.signal.kernels.atrial`.
        products: int64[products, 2], of which two measures each product is.
        weights: float64[MEASURES + products].
        bias: their sum where all measures are 0.
    """
    total, n = 0.0, measures.size
    for k in range(n):
        total += weights[k] * measures[k]
    for k in range(len(products)):
        total += weights[n + k] * (measures[products[k, 0]] * measures[products[k, 1]])
    return total + bias


@jit
def without_p_waves(
    evidence: float, latest_alike: float, alike: float, spread: float, limit: float
) -> float:
    """Return the logarithm of the odds of fibrillation without P waves; NaN where not known.

    Args:
        evidence: of fibrillation.
        latest_alike: how alike the P windows before the latest beats are, limited to 1.
        alike: where both are as probable, and
        spread: how gradually the one gives way to the other.
        limit: of the evidence, on either side.
    """
    if math.isnan(evidence) or math.isnan(latest_alike):
        return math.nan
    p_waves = (min(max(latest_alike, -1.0), 1.0) - alike) / spread
    limited = min(max(evidence, -limit), limit)
    return -math.log(math.exp(-limited) + math.exp(p_waves) + math.exp(p_waves - limited))


@jit
def assess(
    measures: NDArray[np.float64],
    products: NDArray[np.int64],
    weights: NDArray[np.float64],
    bias: float,
    latest: int,
    alike: float,
    spread: float,
    limit: float,
) -> tuple[float, float]:
    """Return what `weigh` and `without_p_waves` do; ``latest`` is the place of `latest_alike`."""
    evidence = weigh(measures, products, weights, bias)
    return evidence, without_p_waves(evidence, measures[latest], alike, spread, limit)
