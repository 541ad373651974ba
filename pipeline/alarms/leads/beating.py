"""Whether a lead shows a heart that beats while another fibrillates.

A heart fibrillates in every lead or in none. A lead that does not fibrillate, and whose complexes
repeat one another at a rate that no fibrillation has, shows beats, whatever their shape: of a new
rhythm, too, which is none of the patient's usual beats (`pipeline.signal.leads.rhythm_agreement`).

Pure: no state, no clock, no I/O.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.leads.rhythm_agreement import BEATS_ON, BEATS_ON_S

REPEATED: Final = 0.9
"""`BEATS_ON` complexes of the last `BEATS_ON_S` must correlate so much with the one before, ..."""

SPACED_S: Final = 0.5
"""... and come so long after it: 120 a minute. Waves of fibrillation and flutter come at 150 and
more, and in a slow one the detector may find every second wave of 240: those are less alike."""


def beating_to(
    beats_at: Sequence[int], likeness: NDArray[np.float64], leads: Sequence[int], fs_hz: float
) -> int:
    """Return up to which sample one of these leads counts as showing beats; 0 where none does.

    Args:
        beats_at: where the latest beats are, in order.
        likeness: float64[leads, b], of each beat to the one before; as many as ``beats_at`` and
            less one, or more before them. NaN where it is not known.
        leads: those that do not fibrillate, and can be analysed.
        fs_hz: rate of the samples.
    """
    at = np.array(beats_at, dtype=np.int64)
    spaced = np.diff(at) >= SPACED_S * fs_hz
    latest = 0
    for lead in leads:
        alike = likeness[lead, likeness.shape[1] - spaced.size :] >= REPEATED
        repeated = at[1:][spaced & alike]
        if repeated.size >= BEATS_ON:
            latest = max(latest, int(repeated[-BEATS_ON]) + round(BEATS_ON_S * fs_hz))
    return latest
