"""What the signal of one patient is worth: that of the best lead. Pure in memory."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.signal.filters import Resampling
from pipeline.signal.kernels.leads.patient import follow_patient
from pipeline.signal.leads.lead_state import TAIL_SAMPLES
from pipeline.signal.quality import BEST_FIRST, QualityChange, Reason
from pipeline.signal.segmenter_state import RUN, STATE, SegmenterState
from pipeline.signal.workspace import Workspace

_OK: Final = int(Reason.OK)

_IN_ORDER: Final = np.array([*BEST_FIRST, *sorted(set(Reason).difference(BEST_FIRST))], np.uint8)
"""uint8[reasons]: every `Reason`, the best one first, and where in that order each lies."""
_PLACE: Final = np.argsort(_IN_ORDER).astype(np.uint8)


class PatientQuality:
    """Follows what the signal of one patient is worth, and numbers its runs."""

    def __init__(self, state: SegmenterState) -> None:
        """Work on the ``state`` of a segmenter: its ``counters`` and ``tail_runs``."""
        self._state = state
        self._all_wrong = (1 << len(state.leads)) - 1
        self._one_run_for = 0
        """How many of the latest samples belong to one run, at least."""
        self._left_out = False
        """Whether the runs of the latest push are not written yet."""

    def begin_segment(self) -> None:
        """Record that a segment begins, of which no run is known."""
        self._one_run_for = 0

    def push(
        self, work: Workspace, n: int, wrong: int, was: int, run: int
    ) -> NDArray[np.uint8] | None:
        """Return the patient's `Reason` from each of n new samples on, and number the runs.

        Args:
            work: the states of the leads; ``runs`` is written, or left to `complete_runs`.
            n: how many samples.
            wrong: of lead k the bit k, whether anything is wrong with it.
            was: the patient's `Reason` before these samples,
            run: and the number of the run.

        Returns:
            uint8[n], or None where all is well and was so before.
        """
        well = was == _OK and wrong != self._all_wrong
        self._left_out = well and self._one_run_for >= TAIL_SAMPLES
        if self._left_out:
            return None  # nearly always: ``tail_runs`` stays what it is
        state = self._state
        noted, run = follow_patient(
            work.states, n, wrong, was, run, _IN_ORDER, _PLACE, state.tail_runs, work.runs,
            work.patient,
        )  # fmt: skip
        self._one_run_for = self._one_run_for + n if well else 0
        if not noted:
            return None
        states = work.patient[:n]
        state.counters[RUN], state.counters[STATE] = run, states[-1]
        return states

    def complete_runs(self, work: Workspace, run: int) -> None:
        """Write the ``runs`` where the latest push has not: all samples belong to ``run``."""
        if self._left_out:
            work.runs.fill(run & 255)


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
