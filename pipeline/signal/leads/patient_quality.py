"""What the signal of one patient is worth: that of the best lead. Pure in memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.filters import Resampling
from pipeline.signal.kernels import condition
from pipeline.signal.quality import BEST_FIRST, QualityChange, Reason
from pipeline.signal.segmenter_state import RUN, STATE, SegmenterState
from pipeline.signal.workspace import Workspace

_IN_ORDER: Final = np.array([*BEST_FIRST, *sorted(set(Reason).difference(BEST_FIRST))], np.uint8)
"""uint8[reasons]: every `Reason`, the best one first, and where in that order each lies."""
_PLACE: Final = np.argsort(_IN_ORDER).astype(np.uint8)

_OK: Final = int(Reason.OK)
"""A number compares with numpy's in a fraction of the time that an enumeration takes."""


def patient_states(state: SegmenterState, work: Workspace, wrong: list[bool]) -> NDArray[np.uint8]:
    """Return the patient's `Reason` from each new sample on, uint8[n], and number the runs.

    A run is a stretch of signal that could show a QRS, or that could not; between two beats in
    one run lies an RR interval.

    Args:
        state: ``counters`` are updated.
        work: the states of the leads; ``runs`` is written.
        wrong: whether anything is wrong with each lead.
    """
    counters = state.counters
    work.runs.before[:] = state.tail_runs
    before = int(counters[STATE])
    usable = None if all(wrong) else work.leads[wrong.index(False)]
    if usable is not None and before == _OK:
        work.runs.new[:] = int(counters[RUN]) & 255
        return usable.states
    states = (usable or work.leads[0]).states
    if usable is None and len(work.leads) > 1:
        states = _IN_ORDER[_PLACE[work.states].min(axis=0)]
    counters[RUN] = condition.number_runs(states, before, int(counters[RUN]), work.runs.new)
    counters[STATE] = states[-1]
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
