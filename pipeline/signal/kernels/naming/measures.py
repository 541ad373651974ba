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
    for i in range(len(features)):
        _put_together(features[i], evidence[i], limit, out[i])


@jit
def of_leads(
    features: NDArray[np.float32],
    usable: NDArray[np.bool_],
    leads: NDArray[np.uint8],
    evidence: NDArray[np.float64],
    limit: float,
    in_use: NDArray[np.float32],
    second: NDArray[np.float32],
    second_leads: NDArray[np.int64],
) -> None:
    """Write the measures of beats in the lead in use and in a second one.

    Args:
        features: float32[leads, n, columns].
        usable: bool[leads, n], in which leads each beat can be analysed.
        leads: uint8[n], the lead in use.
        evidence: as `with_evidence` takes it, with its
        limit: of it.
        in_use: float32[n, columns + 1], finite.
        second: the same in the first other lead that is usable; zeros where there is none.
        second_leads: int64[n], that lead, -1 where there is none.
    """
    for b in range(len(leads)):
        lead, other = leads[b], -1
        for k in range(len(features)):
            if other < 0 and k != lead and usable[k, b]:
                other = k
        second_leads[b] = other
        _put_together(features[lead, b], evidence[b], limit, in_use[b])
        if other >= 0:
            _put_together(features[other, b], evidence[b], limit, second[b])
        else:
            second[b, :] = 0.0


@jit
def _put_together(
    features: NDArray[np.float32], evidence: float, limit: float, out: NDArray[np.float32]
) -> None:
    """Write the row of one beat."""
    for k in range(features.size):
        value = features[k]
        # Of a forged state no feature need be finite, and a scorer refuses a batch with such a
        # beat, those of other patients included.
        out[k] = value if math.isfinite(value) else 0.0
    known = -limit if math.isnan(evidence) else evidence
    out[features.size] = min(max(known, -limit), limit)
