"""What the signal of one patient is worth: that of the best lead. Pure in memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.filters import Resampling
from pipeline.signal.kernels.leads.patient import follow_patient
from pipeline.signal.quality import BEST_FIRST, QualityChange, Reason
from pipeline.signal.segmenter_state import RUN, STATE, SegmenterState
from pipeline.signal.workspace import Workspace

_IN_ORDER: Final = np.array([*BEST_FIRST, *sorted(set(Reason).difference(BEST_FIRST))], np.uint8)
"""uint8[reasons]: every `Reason`, the best one first, and where in that order each lies."""
_PLACE: Final = np.argsort(_IN_ORDER).astype(np.uint8)


def patient_states(
    state: SegmenterState, work: Workspace, n: int, wrong: int, was: int, run: int
) -> NDArray[np.uint8] | None:
    """Return the patient's `Reason` from each of n new samples on, and number the runs.

    Args:
        state: ``counters`` and ``tail_runs`` are updated.
        work: the states of the leads; ``runs`` is written.
        n: how many samples.
        wrong: of lead k the bit k, whether anything is wrong with it.
        was: the patient's `Reason` before these samples,
        run: and the number of the run.

    Returns:
        uint8[n], or None where all is well and was so before.
    """
    noted, run = follow_patient(
        work.states, n, wrong, was, run, _IN_ORDER, _PLACE, state.tail_runs, work.runs,
        work.patient,
    )  # fmt: skip
    if not noted:
        return None
    states = work.patient[:n]
    state.counters[RUN], state.counters[STATE] = run, states[-1]
    return states


def changes_of(
    before: int, states: NDArray[np.uint8], first: int, rate: Resampling
) -> list[QualityChange]:
    """List where the patient's state changed.

    Args:
        before: the `Reason` before these.
        states: uint8[n], from each sample on.
        first: position of the first at 360 Hz.
        rate: of the source.
    """
    if not (states != before).any():
        return []
    at = np.flatnonzero(np.diff(states, prepend=np.uint8(before)))
    return [
        QualityChange(int(sample), Reason(int(state)))
        for sample, state in zip(rate.to_source(at + first), states[at], strict=True)
    ]
