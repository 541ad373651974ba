"""What the rules of `pipeline.alarms.signal_rules` remember. Pure in memory."""

import math
from typing import Self

from pipeline.alarms.atrial_fibrillation import AtrialState
from pipeline.alarms.leads.fibrillation import LeadsFibrillationState
from pipeline.alarms.leads.watch import LeadWatchState
from pipeline.alarms.organisation import OrganisationState
from pipeline.alarms.rate_rules import RateRulesState
from pipeline.schema.state import State, field
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FastRhythmChange, FibrillationChange


class SignalAlarmsState(State):
    """All memory of `pipeline.alarms.signal_rules.SignalAlarms`; positions in source samples."""

    rates: RateRulesState
    qrs_at: int
    """The last QRS."""
    still_from: int
    """Where the time without a QRS counts from: the last one, or later by the time in which none
    could have been found."""
    seen_from: int
    """Where a signal that could show a QRS last returned."""
    blind_from: int
    """Where such a signal was last lost."""
    changed_at: int
    """Where the signal became analysable, or ceased to be."""
    watched_to: int
    """Up to where the heart was monitored."""
    reason: Reason = Reason.OK
    """Why the signal cannot be analysed now; OK where it can."""
    fibrillation: FibrillationChange | None = None
    """What the waveform does, where it fibrillates."""
    fast_rhythm: FastRhythmChange | None = None
    """The rhythm that is too fast for single beats, while there is one."""
    may_be_fast: bool = False
    """Whether there may be one, which the next seconds show."""
    interval_from: int | None = None
    """The QRS that the next interval begins with; None where the signal was lost since."""
    atrial: AtrialState = field(default_factory=AtrialState.fresh)
    organisation: OrganisationState = field(default_factory=OrganisationState)
    leads_fibrillation: LeadsFibrillationState = field(default_factory=LeadsFibrillationState)
    leads: LeadWatchState = field(default_factory=LeadWatchState)

    def quiet_to(self, still: int, settled: int, scattered: int) -> int:
        """Return up to which sample nothing is overdue, whatever comes; -1 where something may be.

        The signal is analysable and shows beats, as it nearly always does. Until then no time
        without a QRS, and none in which the heart was not monitored, can have passed.

        Args:
            still: the shortest time without a QRS that is an alarm, in samples.
            settled: time after which a signal that returned shows beats, in samples.
            scattered: time within which the heart must have been monitored, in samples.
        """
        if self.reason is not Reason.OK or self.leads.off_due:
            return -1
        shows_beats_to = max(self.still_from + still, self.seen_from + settled)
        return min(shows_beats_to, self.watched_to + scattered)

    def interval_to(self, sample: int, rr_s: float, fs_hz: float, *, lost: bool) -> float:
        """Return the interval before a QRS, seconds, NaN if it is not known; the next begins there.

        The segmenter gives none, ``rr_s``, where the signal is not analysable. Where it could still
        show a QRS, as a flat line could, the interval is known all the same: otherwise a heart at
        20 bpm, flat between its beats, would have no rate. ``lost``: it was hidden, or is.
        """
        before, self.interval_from = self.interval_from, None if lost else sample
        if math.isfinite(rr_s) or lost or before is None:
            return rr_s
        return (sample - before) / fs_hz

    @classmethod
    def fresh(cls, first_sample: int = 0, leads: int = 1) -> Self:
        """Return the state before the ``first_sample`` of an epoch of so many leads."""
        return cls(
            atrial=AtrialState.fresh(leads),
            organisation=OrganisationState.fresh(leads),
            leads_fibrillation=LeadsFibrillationState.fresh(leads),
            leads=LeadWatchState.fresh(leads),
            rates=RateRulesState(),
            qrs_at=first_sample,
            still_from=first_sample,
            seen_from=first_sample,
            blind_from=first_sample,
            changed_at=first_sample,
            watched_to=first_sample,
        )
