"""The measures of beats that are seen in one lead or in several: what a scorer is given of them.

A beat of several leads is measured in each, beside what is usual there. A scorer is given the row
(`pipeline.scoring.beat_measures`) of the lead in use, and that of the first other lead in which the
beat can be analysed: its second lead. So a beat of twelve leads asks no more of a scorer than one
of two. Pure.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import MEASURES
from pipeline.scoring.beat_features import FEATURE_NAMES, BeatFeatures
from pipeline.scoring.beat_measures import EVIDENCE_LIMIT
from pipeline.signal.kernels.naming import measures as kernel

Singles = NDArray[np.float32]


class MeasuredBeats(NamedTuple):
    """The measures of beats, one row each."""

    in_use: Singles
    """float32[n, MEASURES], in the lead in use."""
    second: Singles
    """float32[n, MEASURES], in the second lead; rows of zeros where there is none."""
    second_leads: NDArray[np.int64]
    """int64[n]: the second lead by number, -1 where there is none."""


def measure_beats(
    features: Sequence[BeatFeatures],
    rr_s: NDArray[np.float64],
    windows: Singles,
    usable: NDArray[np.bool_],
    leads: NDArray[np.integer],
    evidence: NDArray[np.float64],
) -> MeasuredBeats:
    """Return the measures of the next beats of a patient, and learn from them.

    Args:
        features: of each lead.
        rr_s: float64[n], intervals to the beat before, NaN where it is not known.
        windows: float32[leads, n, 320].
        usable: bool[leads, n], in which leads each beat can be analysed.
        leads: int[n], the lead in use.
        evidence: float64[n], of atrial fibrillation, as `with_evidence` takes it.
    """
    n = len(rr_s)
    of_all = np.empty((len(features), n, len(FEATURE_NAMES)), dtype=np.float32)
    for lead, of_lead in enumerate(features):
        of_all[lead] = of_lead.measure(rr_s, windows[lead], usable[lead])
    in_use, second = np.empty((2, n, MEASURES), dtype=np.float32)
    second_leads = np.empty(n, dtype=np.int64)
    kernel.of_leads(
        of_all, np.ascontiguousarray(usable), np.asarray(leads, dtype=np.uint8), evidence,
        EVIDENCE_LIMIT, in_use, second, second_leads,
    )  # fmt: skip
    return MeasuredBeats(in_use, second, second_leads)


def second_rows(rows: Sequence[Singles | None]) -> Singles | None:
    """Return what a scorer is given of the second leads of a batch, float32[n, MEASURES].

    Rows of beats without one are zeros; no beat that can be analysed has such measures. None where
    no beat of the batch has a second lead.

    Args:
        rows: float32[MEASURES] of each beat, None where it has no second lead.
    """
    if all(row is None for row in rows):
        return None
    nothing = np.zeros(MEASURES, dtype=np.float32)
    return np.array([nothing if row is None else row for row in rows])
