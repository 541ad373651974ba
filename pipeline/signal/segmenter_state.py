"""What a `pipeline.signal.segmenter.Segmenter` remembers between chunks. Pure in memory."""

from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_AFTER_R, WINDOW_BEFORE_R
from pipeline.errors import SnapshotError
from pipeline.schema.state import Shape, State
from pipeline.signal.filters import Resampling
from pipeline.signal.kernels import candidates
from pipeline.signal.kernels.windows import FIRST_R, LEAD, SURE, R
from pipeline.signal.leads.agreement import AgreementState
from pipeline.signal.leads.lead_state import DETECTOR, NONE, TAIL_SAMPLES, LeadState
from pipeline.signal.leads.rhythm_agreement import RhythmAgreementState
from pipeline.signal.quality import Reason

PENDING_BEATS: Final = 32
"""Beats that may wait for their window: those of half a second, 200 ms apart, and at most the
detector's 16 waiting candidates."""

_LAST_SAMPLE: Final = 2**54
_LAST_POSITION: Final = 2**58
"""Beyond all samples that a source may number, and where the slowest lie at 360 Hz."""

# Slots of `SegmenterState.counters`. Positions at 360 Hz count from the segment's start, ORIGIN;
# EXPECTED is the source's next sample, DONE and PENDING count samples and beats, LAST_R and
# LAST_RUN belong to the latest beat that was handed out. STATE is the `Reason` in which the patient
# is, RUN the number of runs of signal that could show a QRS, and of other; even ones could.
EXPECTED, ORIGIN, DONE, PENDING, LAST_R, LAST_RUN, STATE, RUN, COUNTERS = range(9)


class SegmenterState(State):
    """All memory of a `Segmenter`."""

    counters: Annotated[NDArray[np.int64], Shape((COUNTERS,))]
    """The slots above."""
    pending: Annotated[NDArray[np.int64], Shape((PENDING_BEATS, None))]
    """int64[32, 3 + leads]: beats whose window is not complete; columns of `kernels.windows`."""
    tail_runs: Annotated[NDArray[np.uint8], Shape((TAIL_SAMPLES,))]
    """The runs that the latest samples belong to, modulo 256."""
    leads: list[LeadState]
    agreement: AgreementState
    rhythms: RhythmAgreementState

    @classmethod
    def fresh(cls, half: int, leads: int = 1) -> Self:
        """Return the state before the first sample; ``half`` as in `Resampling`."""
        counters = np.zeros(COUNTERS, dtype=np.int64)
        counters[[EXPECTED, LAST_R]] = NONE
        return cls(
            counters=counters,
            pending=np.zeros((PENDING_BEATS, FIRST_R + leads), dtype=np.int64),
            tail_runs=np.zeros(TAIL_SAMPLES, dtype=np.uint8),
            leads=[LeadState.fresh(half) for _ in range(leads)],
            agreement=AgreementState.fresh(leads),
            rhythms=RhythmAgreementState.fresh(leads),
        )

    def window_complete_at(self, rate: Resampling) -> int:
        """Return which sample of the source completes the first window that waits; 0 for none."""
        counters = self.counters
        if not counters[PENDING]:
            return 0
        last = int(self.pending[0, FIRST_R:].max()) + WINDOW_AFTER_R - 1 + int(counters[ORIGIN])
        whole, rest = divmod(last, rate.per)
        return whole * rate.step + rest * rate.step // rate.per + rate.half

    def check(self, rate: Resampling) -> None:
        """Raise `SnapshotError` unless this can be the state of a stream of such a ``rate``."""
        expected, done = self.counters[[EXPECTED, DONE]].tolist()
        if not (
            self.leads
            and self.pending.shape[1] == FIRST_R + len(self.leads)
            and self._positions_agree(rate)
            and all(lead.is_consistent(rate, expected, done) for lead in self.leads)
            and self.agreement.is_consistent(len(self.leads), done)
            and self.rhythms.is_consistent(self.leads)
        ):
            raise SnapshotError("state of a segmenter whose numbers no signal leaves behind")

    def _positions_agree(self, rate: Resampling) -> bool:
        """Return whether all parts have seen the same samples."""
        expected, origin, done, pending, last_r, _, state, run = self.counters.tolist()
        if not (
            NONE <= expected <= _LAST_SAMPLE
            and 0 <= origin <= _LAST_POSITION
            and 0 <= done <= _LAST_POSITION
            and 0 <= pending <= PENDING_BEATS
            and NONE <= last_r <= origin + done
            and 0 <= state <= max(Reason)
            and 0 <= run <= _LAST_POSITION
        ):
            return False
        if expected == NONE:  # before the first sample and after the last
            return bool(done == 0 and pending == 0)
        beats = self.pending[:pending]
        in_leads = beats[:, FIRST_R:]
        return bool(
            all((origin + done) * rate.step == one.next_in(rate, expected) for one in self.leads)
            and (in_leads >= done - TAIL_SAMPLES + WINDOW_BEFORE_R).all()
            and (in_leads < done).all()
            and ((beats[:, R] >= done - TAIL_SAMPLES) & (beats[:, R] < done)).all()
            and (np.diff(beats[:, R]) >= DETECTOR[candidates.APART]).all()
            and ((beats[:, SURE] >= 0) & (beats[:, SURE] < done)).all()
            and ((beats[:, LEAD] >= 0) & (beats[:, LEAD] < len(self.leads))).all()
        )

    def keep_pending(self, beats: int) -> None:
        """Record how many ``beats`` wait for their windows.

        Raises:
            SnapshotError: more than any stream can have: the state was never that of one.
        """
        if beats > PENDING_BEATS:
            raise SnapshotError(f"state in which {beats} beats wait for their windows")
        self.counters[PENDING] = beats

    def begin_segment(self, rate: Resampling, first_sample: int, *, after_gap: bool) -> None:
        """Put everything at rest but what was learned of the patient.

        The next input is the source's ``first_sample``. After a gap the stream begins in the state
        `Reason.GAP`.
        """
        counters, origin = self.counters, rate.first_at(first_sample)
        last_r = int(counters[LAST_R])
        relative = last_r - origin if last_r != NONE else -int(DETECTOR[candidates.APART])
        for lead in self.leads:
            lead.begin_segment(rate, first_sample, relative, after_gap=after_gap)
        self.agreement.begin_segment(relative)
        self.rhythms.begin_segment()
        self.tail_runs[...] = 0
        counters[[ORIGIN, DONE, PENDING]] = origin, 0, 0
        if after_gap:
            counters[STATE] = Reason.GAP
            counters[RUN] += 1 + counters[RUN] % 2
        else:
            counters[[STATE, RUN]] = Reason.OK, 0
