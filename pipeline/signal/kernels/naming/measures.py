"""The row of numbers that a scorer is given of a beat. Compiled."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.kernels.sections import jit


@jit
def with_evidence(
    features: NDArray[np.float32],
    evidence: NDArray[np.float64],
    limit: float,
    out: NDArray[np.float32],
) -> None:
    """Write the features of beats and, last, their evidence; see `pipeline.scoring.beat_measures`.

    Args:
        features: float32[n, columns].
        evidence: float64[n], NaN where too little is known.
        limit: of the evidence, on either side.
        out: float32[n, columns + 1], finite.
    """
    columns = features.shape[1]
    for i in range(len(features)):
        for k in range(columns):
            value = features[i, k]
            # Of a forged state no feature need be finite, and a scorer refuses a batch with such a
            # beat, those of other patients included.
            out[i, k] = value if math.isfinite(value) else 0.0
        known = -limit if math.isnan(evidence[i]) else evidence[i]
        out[i, columns] = min(max(known, -limit), limit)
