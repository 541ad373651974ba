"""The measures of beats, as a stream gives them to its scorer, of a whole record at once."""

import numpy as np
from numpy.typing import NDArray

from models.data.atrial_beats import SHIPPED
from pipeline.alarms.atrial_fibrillation import AtrialBeats, AtrialMeasures, without_p_waves
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.beat_measures import with_evidence
from pipeline.signal.kernels.atrial import LATEST_P_ALIKE


def measured(
    rr_s: NDArray[np.float64], windows: NDArray[np.float32], usable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the measures, float32[n, MEASURES], of the beats of one patient, in order.

    Args:
        rr_s: float64[n], the interval before each beat, NaN where it is not known.
        windows: float32[n, 320].
        usable: bool[n], whether a beat can be analysed.
    """
    atrial = AtrialMeasures(AtrialBeats.fresh())
    evidence = np.full(len(rr_s), np.nan)
    for i, rr in enumerate(rr_s.tolist()):
        row = atrial.of_beat(rr, windows[i], usable=bool(usable[i]))
        if row is not None:
            weighed = float(row @ SHIPPED[:-1] + SHIPPED[-1])
            evidence[i] = without_p_waves(weighed, float(row[LATEST_P_ALIKE]))
    return with_evidence(BeatFeatures().measure(rr_s, windows, usable), evidence)
