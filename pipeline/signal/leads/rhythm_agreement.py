"""What several leads together say of fibrillation and of rhythms too fast for single beats.

A heart fibrillates in every lead or in none. What moves one electrode may look like it in one lead
while another goes on showing the patient's usual beats: then nothing fibrillates. A rhythm too fast
for single beats is taken from the lead that the patient is watched by.

Pure in memory. Positions count from the segment's start, at 360 Hz.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.constants import SAMPLING_RATE_HZ
from pipeline.schema.state import State
from pipeline.signal import fast_rhythm, fibrillation
from pipeline.signal.leads.lead_state import LeadState

BEATS_ON_S: Final = 4.0
"""So far back a lead must show ..."""

BEATS_ON: Final = 2
"""... so many complexes like the patient's usual ones: 30 bpm, and one may be chance. A lead whose
waveform fibrillates was watched for as long before that is sure, so this costs no time."""

RESUMES_AFTER: Final = 4
"""In so many measures in a row, half a second apart, a lead must show them to end fibrillation that
another still shows."""


class LeadRhythm(State):
    """What one lead says now."""

    fibrillates: bool = False
    begun_at: int = 0
    hz: float = 0.0
    mv: float = 0.0
    too_fast: int = 0
    """0, `_POSSIBLY` or `_SURELY`."""
    fast_from: int = 0
    bpm: float = 0.0


_POSSIBLY, _SURELY = 1, 2
_LONGEST: Final = 2**58
"""Beyond all positions."""


class RhythmAgreementState(State):
    """All memory of a `RhythmAgreement`."""

    leads: list[LeadRhythm]
    fibrillates: bool = False
    resumed: int = 0
    """Measures in a row in which a lead showed usual beats while another fibrillates."""
    too_fast: int = 0
    chosen: int = 0

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first sample."""
        return cls([LeadRhythm() for _ in range(leads)])

    def sound(self, leads: Sequence[LeadState]) -> bool:
        """Return whether this can be what leads in such a state have said.

        A lead that fibrillates, as only this state had it, would do so for ever.
        """
        times = [at for lead in self.leads for at in (lead.begun_at, lead.fast_from)]
        several = len(leads) > 1
        return (
            len(self.leads) == len(leads)
            and 0 <= self.chosen < len(leads)
            and 0 <= self.resumed <= _LONGEST
            and all(0 <= at <= _LONGEST for at in times)
            and 0 <= self.too_fast <= _SURELY
            and all(0 <= lead.too_fast <= _SURELY for lead in self.leads)
            and all(
                one.fibrillates == (several and lead.fibrillation.active)
                and (one.too_fast == _SURELY) == (several and lead.fast_rhythm.active)
                for one, lead in zip(self.leads, leads, strict=True)
            )
        )

    def begin_segment(self) -> None:
        """Forget what a segment showed; the detection of rhythms starts over, too."""
        self.leads = [LeadRhythm() for _ in self.leads]
        self.fibrillates, self.resumed, self.too_fast = False, 0, 0


class RhythmAgreement:
    """Makes one patient's rhythm changes of those of several leads."""

    def __init__(self, state: RhythmAgreementState) -> None:
        self.state = state

    def push(
        self,
        changes: Sequence[Sequence[fibrillation.Change | fast_rhythm.Change]],
        measured_at: NDArray[np.int64],
        shown: NDArray[np.int64],
        chosen: Sequence[tuple[int, int]],
    ) -> tuple[list[fibrillation.Change], list[fast_rhythm.Change]]:
        """Return what changes for the patient, in order.

        Args:
            changes: of each lead, in any order.
            measured_at: int64[m], where the leads were measured, each half second.
            shown: int64[s, 3]: lead, R peak and position from which it is known, of complexes like
                the lead's usual ones; those of the latest seconds included.
            chosen: (position, lead) wherever another lead was chosen.
        """
        state = self.state
        quiet = not any(changes) and not state.fibrillates and not state.too_fast
        if quiet and not any(lead.fibrillates or lead.too_fast for lead in state.leads):
            if chosen:
                state.chosen = chosen[-1][1]
            return [], []  # nearly always
        events: list[tuple[int, int, int, fibrillation.Change | fast_rhythm.Change | None]] = [
            (position, 0, lead, None) for position, lead in chosen
        ]
        events += [
            (change.position, 1, lead, change)
            for lead, of_lead in enumerate(changes)
            for change in of_lead
        ]
        events += [(position, 2, 0, None) for position in measured_at.tolist()]
        fibrillating: list[fibrillation.Change] = []
        fast: list[fast_rhythm.Change] = []
        for position, what, lead, change in sorted(events, key=itemgetter(0, 1, 2)):
            if what == 0:
                state.chosen = lead
            elif change is None:
                fibrillating += self._fibrillation(position, shown)
            else:
                self._take(state.leads[lead], change)
                if not any(one.fibrillates for one in state.leads):
                    fibrillating += self._fibrillation(position, shown)
            fast += self._fast_rhythm(position)
        return fibrillating, fast

    def _take(self, lead: LeadRhythm, change: fibrillation.Change | fast_rhythm.Change) -> None:
        if isinstance(change, fibrillation.Change):
            lead.fibrillates, lead.begun_at = change.active, change.begun_at
            lead.hz, lead.mv = change.hz, change.mv
            return
        lead.too_fast = (_SURELY if change.sure else _POSSIBLY) if change.active else 0
        lead.fast_from, lead.bpm = change.begun_at, change.bpm

    def _fibrillation(self, position: int, shown: NDArray[np.int64]) -> list[fibrillation.Change]:
        state = self.state
        say_so = [lead for lead in state.leads if lead.fibrillates]
        others = [k for k, lead in enumerate(state.leads) if not lead.fibrillates]
        beats_on = any(_beats_on(k, position, shown) for k in others)
        state.resumed = state.resumed + 1 if beats_on and state.fibrillates else 0
        lasts = state.fibrillates and state.resumed < RESUMES_AFTER
        fibrillates = bool(say_so) and (lasts or not beats_on)
        if fibrillates == state.fibrillates:
            return []
        state.fibrillates = fibrillates
        if fibrillates:
            first = min(say_so, key=lambda lead: lead.begun_at)
            return [fibrillation.Change(position, True, first.begun_at, first.hz, first.mv)]
        begun_at = position if say_so else max(lead.begun_at for lead in state.leads)
        return [fibrillation.Change(position, False, begun_at, 0.0, 0.0)]

    def _fast_rhythm(self, position: int) -> list[fast_rhythm.Change]:
        state = self.state
        lead, was = state.leads[state.chosen], state.too_fast
        if lead.too_fast == was:
            return []
        state.too_fast = lead.too_fast
        changes = []
        if was == _SURELY or not lead.too_fast:
            sure = was == _SURELY
            begun_at = lead.fast_from if not lead.too_fast else position
            changes.append(fast_rhythm.Change(position, False, begun_at, 0.0, sure))
        if lead.too_fast:
            sure = lead.too_fast == _SURELY
            changes.append(fast_rhythm.Change(position, True, lead.fast_from, lead.bpm, sure))
        return changes


def _beats_on(lead: int, position: int, shown: NDArray[np.int64]) -> bool:
    """Return whether a lead shows the patient's usual beats just before ``position``."""
    since = position - round(BEATS_ON_S * SAMPLING_RATE_HZ)
    r, known_at = shown[:, 1], shown[:, 2]
    return bool(((shown[:, 0] == lead) & (r >= since) & (known_at <= position)).sum() >= BEATS_ON)
