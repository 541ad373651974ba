"""One patient's beats of what the detectors of several leads found: state and settings.

The decisions are made in `pipeline.signal.kernels.agreement.agree`. Each lead is an observer whose
sensitivity and false complexes are learned from the decisions themselves, as in

    A. P. Dawid, A. M. Skene: Maximum likelihood estimation of observer error-rates using the EM
    algorithm. Applied Statistics 28(1), 1979;

what breaks the tie between two observers is the signal: how much a complex is like this patient's
usual one in its lead, how large it is, how quiet the line around it, and what the lead that has
found nothing shows at that place. Pure in memory.
"""

from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import WINDOW_AFTER_R
from pipeline.schema.state import Shape, State
from pipeline.signal.kernels import agreement as kernel
from pipeline.signal.kernels import candidates, evidence
from pipeline.signal.leads.lead_state import DETECTOR

SETTINGS: Final = np.array(
    [
        54,  # SAME: 150 ms, within which two beats are one (EC57)
        72,  # APART: 200 ms, the refractory period, as the detector has it
        WINDOW_AFTER_R - 1,  # BEHIND: the last sample of a window
        1800,  # KEEP_FOR: 5 s, longer than a candidate may become a beat, and four beats at 40 bpm
        # The odds of a beat that not every lead has found, natural logarithms. Logistic regression
        # over what two leads of mitdb and svdb disagree on, rounded; the sum of the biases is
        # near where these records have the fewest errors.
        3.0,  # LIKE_WEIGHT: of the correlation with the usual complex of the lead
        2.0,  # SIZE_WEIGHT: of the size beside the usual one,
        1.5,  # MOST_SIZE: at most so much of it
        1.3,  # NOISE_WEIGHT: of the logarithm of the noise, as a part of a beat's span
        -4.5,  # FOUND_BIAS
        2.5,  # UNSEEN_WEIGHT: of what a lead shows where it has found nothing
        -2.0,  # UNSEEN_BIAS
        130,  # SOON: 360 ms after a beat come T waves (Pan & Tompkins 1985)
        2.0,  # SOON_WEIGHT
        2.0,  # OVERDUE_WEIGHT: for each interval that has passed without the beat that was due:
        6.0,  # MOST_OVERDUE: hearts beat, and what a lead goes on finding is rather the patient's
        1 / 64,  # MEMORY: a lead's record is that of the latest minute
        0.95,  # USUAL_SENSITIVITY: the record that a lead begins with,
        0.03,  # USUAL_FALSE
        3.0,  # MOST_TRUST: a record counts for at most so much
        0.02,  # FLAT_SPAN: a line within +-10 uV shows nothing, as `quality.FLAT_MV`
        # When another lead is chosen.
        1.0,  # BETTER_BY
        1.5,  # PREFERRED_BY: so much worse the first lead may be; beats are named best in it
        10,  # BETTER_BEATS
        # In noise, what comes before its time is rather a wave of it. Chosen on mitdb and svdb,
        # clean and with motion of 0 dB in one lead; see docs/detector.md.
        20.0,  # EARLY_WEIGHT: for each interval that it comes too early, of noise as high as a beat
        0.15,  # ON_TIME: so much of an interval earlier than usual is none
    ]
)
"""Settings of `kernels.agreement.agree`, in the order of its slots."""

NO_BEATS: Final = np.empty((0, kernel.BEAT_COLUMNS), dtype=np.int64)

_LARGEST: Final = 1e12
_LONGEST_AGO: Final = 2**58
"""As `lead_state` has them for a lead."""

_NONE_YET: Final = -int(DETECTOR[candidates.APART])


class AgreementState(State):
    """All memory of `kernels.agreement.agree`; empty where there is one lead."""

    counters: Annotated[NDArray[np.int64], Shape((kernel.COUNTERS,))]
    found: Annotated[NDArray[np.int64], Shape((None, kernel.FOUND_KEPT, kernel.COLUMNS))]
    waiting: Annotated[NDArray[np.int64], Shape((None,))]
    record: Annotated[NDArray[np.float64], Shape((None, evidence.RECORD))]
    spans: Annotated[NDArray[np.float64], Shape((None, evidence.USUAL_BEATS + 1))]
    shapes: Annotated[NDArray[np.float32], Shape((None, 2 * evidence.SHAPE_REACH + 1))]
    shown: Annotated[NDArray[np.int64], Shape((None, kernel.SHOWN_COLUMNS))]
    """Complexes like the usual ones of their lead that nobody has taken yet."""

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first beat."""
        n = leads if leads > 1 else 0
        record = np.zeros((n, evidence.RECORD))
        record[:, evidence.SENSITIVITY] = SETTINGS[evidence.USUAL_SENSITIVITY]
        record[:, evidence.FALSE] = SETTINGS[evidence.USUAL_FALSE]
        counters = np.zeros(kernel.COUNTERS, dtype=np.int64)
        counters[kernel.LAST_R] = _NONE_YET
        return cls(
            counters=counters,
            found=np.zeros((n, kernel.FOUND_KEPT, kernel.COLUMNS), dtype=np.int64),
            waiting=np.zeros(n, dtype=np.int64),
            record=record,
            spans=np.zeros((n, evidence.USUAL_BEATS + 1)),
            shapes=np.zeros((n, 2 * evidence.SHAPE_REACH + 1), dtype=np.float32),
            shown=np.zeros((0, kernel.SHOWN_COLUMNS), dtype=np.int64),
        )

    @property
    def chosen(self) -> int:
        """The lead that the patient is watched by."""
        return int(self.counters[kernel.CHOSEN])

    def begin_segment(self, last_r: int) -> None:
        """Forget what waits, and keep what was learned; ``last_r`` is where the latest beat was."""
        self.waiting[...], self.found[...] = 0, 0
        self.shown = self.shown[:0]
        self.counters[[kernel.LAST_R, kernel.BETTER_FOR]] = last_r, 0

    def is_consistent(self, leads: int, done: int) -> bool:
        """Return whether the kernel may trust places and numbers of a state that was read.

        Also whether no number would leave the stream deaf for ever.
        """
        n = leads if leads > 1 else 0
        arrays = (self.found, self.waiting, self.record, self.spans, self.shapes)
        if not all(len(one) == n for one in arrays):
            return False
        numbers = (self.record, self.spans, self.shapes)
        return bool(
            all((np.abs(one) <= _LARGEST).all() for one in numbers)
            and ((self.waiting >= 0) & (self.waiting <= kernel.FOUND_KEPT)).all()
            and self._counters_are_possible(leads, done)
            and (np.abs(self.shown) <= done + kernel.FOUND_KEPT).all()
            and (np.abs(self.record[:, evidence.OFFSET]) <= SETTINGS[evidence.SAME]).all()
            and (self.record[:, : evidence.OFFSET] >= 0).all()
            and (self.record[:, : evidence.OFFSET] <= 1).all()
            and all(
                _found_is_possible(rows[:used], done)
                for rows, used in zip(self.found, self.waiting.tolist(), strict=True)
            )
        )

    def _counters_are_possible(self, leads: int, done: int) -> bool:
        last_r, chosen, better, better_for, usual_rr, doubted = self.counters.tolist()
        return bool(
            -_LONGEST_AGO <= last_r <= done
            and 0 <= chosen < leads
            and 0 <= better < leads
            and 0 <= better_for <= SETTINGS[evidence.BETTER_BEATS]
            and 0 <= usual_rr <= kernel.LONGEST_RR
            and 0 <= doubted <= 1
        )


def _found_is_possible(rows: NDArray[np.int64], done: int) -> bool:
    """Return whether a lead can have found this, with so many samples seen.

    What waits lies in the half second that a window still needs.
    """
    r, became = rows[:, kernel.R], rows[:, kernel.BECAME]
    waits = became == kernel.WAITS
    return bool(
        ((r >= 0) & (rows[:, : kernel.BECAME].max(axis=1) < done)).all()
        and ((became >= kernel.WAITS) & (became <= kernel.REFUSED)).all()
        and (r[waits] + SETTINGS[evidence.BEHIND] >= done).all()
    )


class Agreement:
    """Makes one patient's beats of what the detectors of several leads found."""

    def __init__(self, state: AgreementState) -> None:
        self.state = state
        leads = len(state.waiting)
        self._scratch = np.empty(3 * leads + evidence.NOISE_SAMPLES // evidence.NOISE_STEP)
        self._due = 0
        """With which sample something may be decided, if nothing else is found."""

    def push(
        self,
        found: list[NDArray[np.int64]],
        filtered: NDArray[np.float32],
        masks: NDArray[np.uint8],
        first: int,
        last: int,
        *,
        closed: bool,
    ) -> NDArray[np.int64]:
        """Take in what leads found and return the beats that are sure with the sample at ``last``.

        Args:
            found: of each lead, int64[f, 2], R peak and the sample that confirmed it.
            filtered: float32[leads, m], the band of windows.
            masks: uint8[leads, m] of `Reason`, why a sample is masked.
            first: position of the arrays' first sample.
            last: the newest position that counts.
            closed: whether no sample follows.

        Returns:
            int64[b, 3 + leads]: R peak of the patient, the sample with which the beat was sure,
            the lead to see it in, and its R peak in each lead.
        """
        state, leads = self.state, len(found)
        new = max(len(one) for one in found)
        if not new and last < self._due and not closed:
            return NO_BEATS  # nearly always, when chunks are short
        rows = np.zeros((leads, kernel.FOUND_KEPT + new, kernel.COLUMNS), dtype=np.int64)
        rows[:, : kernel.FOUND_KEPT] = state.found
        for lead, one in enumerate(found):
            begin = int(state.waiting[lead])
            rows[lead, begin : begin + len(one), : kernel.BECAME] = one
            rows[lead, begin : begin + len(one), kernel.BECAME] = kernel.WAITS
            state.waiting[lead] += len(one)
        beats = np.empty((int(state.waiting.sum()), kernel.BEAT_COLUMNS + leads), dtype=np.int64)
        shown = np.empty((leads * len(beats), kernel.SHOWN_COLUMNS), dtype=np.int64)
        n, like_usual, self._due = kernel.agree(
            filtered, masks, first, last, closed, SETTINGS, state.counters, rows, state.waiting,
            state.record, state.spans, state.shapes, self._scratch, beats, shown,
        )  # fmt: skip
        if like_usual:
            state.shown = np.concatenate((state.shown, shown[:like_usual]))
        for lead in range(leads):
            kept = int(state.waiting[lead])
            begin = max(kept - kernel.FOUND_KEPT, 0)
            state.found[lead] = 0
            state.found[lead, : kept - begin] = rows[lead, begin:kept]
            state.waiting[lead] = kept - begin
        return beats[:n]

    def take_shown(self) -> NDArray[np.int64]:
        """Return the complexes like the usual ones that are known since the last call."""
        shown, self.state.shown = self.state.shown, self.state.shown[:0]
        return shown
