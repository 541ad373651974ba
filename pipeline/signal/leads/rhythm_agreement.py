"""Rhythms too fast for single beats, of several leads.

Such a rhythm is taken from the lead that the patient is watched by. Pure in memory. Positions count
from the segment's start, at 360 Hz.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final, Self

from pipeline.schema.state import State
from pipeline.signal.fast_rhythm import Change
from pipeline.signal.leads.lead_state import LeadState


class LeadRhythm(State):
    """What one lead says now."""

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
    too_fast: int = 0
    chosen: int = 0

    @classmethod
    def fresh(cls, leads: int) -> Self:
        """Return the state before the first sample."""
        return cls([LeadRhythm() for _ in range(leads)])

    def is_consistent(self, leads: Sequence[LeadState]) -> bool:
        """Return whether this can be what leads in such a state have said.

        A lead whose rhythm is too fast, as only this state had it, would go on for ever.
        """
        several = len(leads) > 1
        return (
            len(self.leads) == len(leads)
            and 0 <= self.chosen < len(leads)
            and 0 <= self.too_fast <= _SURELY
            and all(0 <= one.fast_from <= _LONGEST for one in self.leads)
            and all(0 <= one.too_fast <= _SURELY for one in self.leads)
            and all(
                (one.too_fast == _SURELY) == (several and lead.fast_rhythm.active)
                for one, lead in zip(self.leads, leads, strict=True)
            )
        )

    def begin_segment(self) -> None:
        """Forget what a segment showed; the detection of rhythms starts over, too."""
        self.leads = [LeadRhythm() for _ in self.leads]
        self.too_fast = 0


class RhythmAgreement:
    """Makes one patient's fast rhythms of those of several leads."""

    def __init__(self, state: RhythmAgreementState) -> None:
        self.state = state

    def push(
        self, changes: Sequence[Sequence[Change]], chosen: Sequence[tuple[int, int]]
    ) -> list[Change]:
        """Return what changes for the patient, in order.

        Args:
            changes: of each lead, in order.
            chosen: (position, lead) wherever another lead was chosen.
        """
        state = self.state
        quiet = not any(changes) and not state.too_fast
        if quiet and not any(lead.too_fast for lead in state.leads):
            if chosen:
                state.chosen = chosen[-1][1]
            return []  # nearly always
        events: list[tuple[int, int, int, Change | None]] = [
            (position, 0, lead, None) for position, lead in chosen
        ]
        events += [
            (change.position, 1, lead, change)
            for lead, of_lead in enumerate(changes)
            for change in of_lead
        ]
        fast: list[Change] = []
        for position, _, lead, change in sorted(events, key=itemgetter(0, 1, 2)):
            if change is None:
                state.chosen = lead
            else:
                its = state.leads[lead]
                its.too_fast = (_SURELY if change.sure else _POSSIBLY) if change.active else 0
                its.fast_from, its.bpm = change.begun_at, change.bpm
            fast += self._fast_rhythm(position)
        return fast

    def _fast_rhythm(self, position: int) -> list[Change]:
        state = self.state
        lead, was = state.leads[state.chosen], state.too_fast
        if lead.too_fast == was:
            return []
        state.too_fast = lead.too_fast
        changes = []
        if was == _SURELY or not lead.too_fast:
            sure = was == _SURELY
            begun_at = lead.fast_from if not lead.too_fast else position
            changes.append(Change(position, False, begun_at, 0.0, sure))
        if lead.too_fast:
            sure = lead.too_fast == _SURELY
            changes.append(Change(position, True, lead.fast_from, lead.bpm, sure))
        return changes
