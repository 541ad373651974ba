"""The measures of beats, as a stream gives them to its scorer, of a whole record at once."""

import numpy as np
from numpy.typing import NDArray

from models.data.atrial_beats import SHIPPED
from pipeline.alarms.atrial_fibrillation import AtrialBeats, AtrialMeasures, without_p_waves
from pipeline.scoring.beat_features import BeatFeatures
from pipeline.scoring.lead_measures import MeasuredBeats, measure_beats
from pipeline.signal.kernels.atrial import LATEST_P_ALIKE


def measured(
    rr_s: NDArray[np.float64], windows: NDArray[np.float32], usable: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the measures, float32[n, MEASURES], of the beats of one patient in one lead, in order.

    Args:
        rr_s: float64[n], the interval before each beat, NaN where it is not known.
        windows: float32[n, 320].
        usable: bool[n], whether a beat can be analysed.
    """
    in_use = np.zeros(len(rr_s), dtype=np.int64)
    return measured_in_leads(rr_s, windows[None], usable[None], in_use).in_use


def measured_in_leads(
    rr_s: NDArray[np.float64],
    windows: NDArray[np.float32],
    usable: NDArray[np.bool_],
    leads: NDArray[np.integer],
) -> MeasuredBeats:
    """Return the measures of the beats of one patient in several leads, in order.

    Args:
        rr_s: float64[n], the interval before each beat, NaN where it is not known.
        windows: float32[leads, n, 320].
        usable: bool[leads, n], in which leads a beat can be analysed.
        leads: int[n], the lead in use.
    """
    atrial = [AtrialMeasures(AtrialBeats.fresh()) for _ in windows]
    evidence = np.full(len(rr_s), np.nan)
    for i, rr in enumerate(rr_s.tolist()):
        in_leads = [
            of_lead.of_beat(rr, its_windows[i], usable=bool(its[i]))
            for of_lead, its_windows, its in zip(atrial, windows, usable, strict=True)
        ]
        row = in_leads[leads[i]]
        if row is not None:
            weighed = float(row @ SHIPPED[:-1] + SHIPPED[-1])
            evidence[i] = without_p_waves(weighed, float(row[LATEST_P_ALIKE]))
    features = [BeatFeatures() for _ in windows]
    return measure_beats(features, rr_s, windows, usable, leads, evidence)
