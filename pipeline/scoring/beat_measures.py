"""What a scorer is given of a beat beside its window: one row of numbers.

They are the measures of the beat beside its patient's own past (`pipeline.scoring.beat_features`)
and, last, the evidence at this beat of atrial fibrillation, in which an early beat is no premature
atrial one; less than what its alarm goes by where P waves precede the beats that come latest
(`pipeline.alarms.atrial_fibrillation.without_p_waves`). Pure.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.beat_features import FEATURE_NAMES
from pipeline.signal.kernels.naming import measures as kernel

MEASURE_NAMES: Final = (*FEATURE_NAMES, "atrial_fibrillation")
"""The columns, `pipeline.constants.MEASURES` of them."""

CONTEXT_COLUMNS: Final = tuple(
    column for column, name in enumerate(MEASURE_NAMES) if name.startswith("context_")
)
"""Those that the network of the classifier sees beside the window."""

EVIDENCE_LIMIT: Final = 8.0
"""Logarithms of odds are limited to this on either side: 3000 to 1 is as good as certain."""


def with_evidence(
    features: NDArray[np.float32], evidence: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the measures float32[n, MEASURES], finite, of beats.

    Args:
        features: float32[n, len(FEATURE_NAMES)], of `BeatFeatures.measure`.
        evidence: float64[n], the logarithm of the odds of atrial fibrillation without P waves at
            each beat, NaN where too little is known; that counts as no sign of it, the lower limit.
    """
    measures = np.empty((len(features), len(MEASURE_NAMES)), dtype=np.float32)
    kernel.with_evidence(features, evidence, EVIDENCE_LIMIT, measures)
    return measures
