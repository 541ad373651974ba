"""The alarms that wait for no score: from the signal's states, the detections and the waveform.

`SignalAlarms` runs as the samples come in, in order of time. Time is the position in the stream,
in source samples, so the same samples give the same alerts at any speed. No clock, no I/O.
`pipeline.alarms.beat_rules` has the alarms that need scores.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.alarms.atrial_alarms import AtrialAlarms
from pipeline.alarms.kinds import SIGNAL_KINDS
from pipeline.alarms.leads.fibrillation import LeadsFibrillation
from pipeline.alarms.leads.watch import LeadWatch
from pipeline.alarms.organisation import Organisation
from pipeline.alarms.rate_rules import RateChange, RateRules
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.state_machine import AlarmStateMachine
from pipeline.errors import SnapshotError
from pipeline.schema.public import Alert
from pipeline.scoring.beat import InLeads
from pipeline.signal.quality import Reason
from pipeline.signal.segment import FastRhythmChange, FibrillationChange

WINDOW_DELAY_S: Final = 0.6
"""A beat is reported when its window is complete; only then is its absence certain."""

UNMONITORED_S: Final = 10.0
"""A heart that could not be monitored for this long is an alarm of its own."""

WATCHED_S: Final = 6.0
"""Uninterrupted signal in which fibrillation can be found (`pipeline.signal.fibrillation`): only
such a stretch counts as monitored."""

SCATTERED_S: Final = 30.0
"""A heart without a stretch of `WATCHED_S` for this long was not monitored."""

SETTLED_S: Final = 1.0
"""Signal shows little so soon after its return: the detector begins, and a QRS may lie in the gap.
With the second before the signal counts as returned, these are the 2 s after which the detector
works again."""

_BLIND: Final = frozenset(reason for reason in Reason if not reason.shows_qrs)
"""States in which no QRS could be found. A flat line is none of them: unless the device reports an
electrode off, it may be asystole. Nor is noise out of which the patient's QRS stands."""

_NO_QRS: Final = ("pause", "asystole")
"""The alarms of a missing QRS, the shorter time first."""

_RATES: Final = ("extreme_bradycardia", "extreme_tachycardia", "heart_rate_low", "heart_rate_high")


class SignalAlarms:
    """The rules of one stream that go by the signal alone, and the alarms they raised."""

    def __init__(
        self,
        machine: AlarmStateMachine,
        fs_hz: float,
        settings: AlarmSettings,
        state: SignalAlarmsState,
        leads: Sequence[str] = ("",),
    ) -> None:
        """Raise alarms in ``machine``, of a stream of ``leads``.

        Raises:
            SnapshotError: the state does not fit these leads.
        """
        self.state = state
        self.machine = machine
        self._fs_hz = fs_hz
        self._settings = settings
        self._rates = RateRules(settings, fs_hz, state.rates)
        self.atrial = AtrialAlarms(machine, fs_hz, settings, state.atrial)
        self.evidence = math.nan
        """Of atrial fibrillation without P waves at the latest QRS, the logarithm of the odds; NaN
        where too little is known, or the waveform is no sequence of beats."""
        self._organisation = Organisation(state.organisation)
        self.leads = LeadWatch(leads, fs_hz, state.leads)
        """What each of several leads shows by itself; takes segments before these rules do."""
        self._several = len(leads) > 1
        self._watched = self._samples(WATCHED_S)
        waits_s = min(s for _, s in self._no_qrs_kinds()), SETTLED_S, SCATTERED_S
        self._patience = tuple(map(self._samples, waits_s))
        self._quiet_to = -1
        """Up to which sample nothing is overdue, unless the signal changes or a QRS is found."""
        its = state.leads_fibrillation
        self._waves = LeadsFibrillation(fs_hz, its, self.leads, self._organisation)
        if not len(leads) == len(self._organisation.state.leads) == self.atrial.leads:
            raise SnapshotError(f"state of other rules than those of {len(leads)} leads")

    def begin_epoch(self, epoch: int, first_sample: int, ended_at: int) -> list[Alert]:
        """Start over at ``first_sample`` of an epoch; the old one ended at ``ended_at``."""
        alerts = self.machine.end_all("new epoch", ended_at, SIGNAL_KINDS)
        state, self._quiet_to = self.state, -1
        self.machine.state.epoch = epoch
        state.reason = Reason.OK
        self._waves.reset()
        state.qrs_at = state.still_from = state.seen_from = first_sample
        state.blind_from = state.changed_at = state.watched_to = first_sample
        state.fibrillation = state.fast_rhythm = state.interval_from = None
        state.may_be_fast = False
        self._rates.reset()
        self.atrial.reset()
        self.leads.reset()
        return alerts

    def on_quality(self, sample: int, reason: Reason) -> list[Alert]:
        """Record that from ``sample`` on the signal is analysable (OK) or not."""
        if reason == self.state.reason:
            return []
        before, self.state.reason = self.state.reason, reason
        alerts, self._quiet_to = list[Alert](), -1
        if reason is Reason.GAP:
            self.state.fibrillation = None  # the detection of fibrillation starts over, too
            self._waves.reset()
            self.state.fast_rhythm = None
            self.state.may_be_fast = False
        if before is not Reason.OK and self._is_alarm(before):
            now = "analysable again" if reason is Reason.OK else f"now {reason.text}"
            alerts += self.machine.end(_technical(before), sample, now)
        if Reason.OK in (before, reason):
            self.state.changed_at = sample
        if reason is not Reason.OK and self._is_alarm(reason):
            alerts += self.machine.begin(_technical(reason), sample, reason.text)
        if reason in _BLIND and before not in _BLIND:
            self.state.blind_from = sample
            alerts += self._end_hidden((*_NO_QRS, *_RATES), sample)
            self.state.interval_from = None
            self._rates.interrupt()
        if before.shows_waves and not reason.shows_waves:
            alerts += self._end_hidden(("ventricular_fibrillation",), sample)
        if before in _BLIND and reason not in _BLIND:
            self._resume_counting(sample)
            alerts += self._raise_fast_rhythm(sample)
        if reason.shows_waves and not before.shows_waves:
            alerts += self._raise_fibrillation(sample)
        return alerts

    def _is_alarm(self, reason: Reason) -> bool:
        """Return whether a state of the stream is an alarm: of several leads, off is each one's."""
        return not (self._several and reason is Reason.LEAD_OFF)

    def _end_hidden(self, kinds: tuple[str, ...], sample: int) -> list[Alert]:
        """End alarms of what the signal no longer shows."""
        why = "signal no longer analysable"
        return [a for kind in kinds for a in self.machine.end(kind, sample, why, at_once=True)]

    def _resume_counting(self, sample: int) -> None:
        """Resume counting the time without a QRS at ``sample``, where the signal returned.

        Time counted before a short gap still counts: otherwise a link that loses a packet every few
        seconds would hide an asystole. Of each stretch all but `SETTLED_S` counts.
        """
        carried = 0
        if sample - self.state.blind_from <= UNMONITORED_S * self._fs_hz:
            counted = self.state.blind_from - self.state.still_from
            carried = max(counted - round(SETTLED_S * self._fs_hz), 0)
        self.state.seen_from = sample
        self.state.still_from = sample - carried

    def on_qrs(
        self,
        sample: int,
        rr_s: float,
        known_at: int,
        window: NDArray[np.float32] | None = None,
        *,
        usable: bool = False,
        leads: InLeads | None = None,
    ) -> list[Alert]:
        """Take in a QRS.

        Args:
            sample: its R peak.
            rr_s: the interval before it, NaN if it is not known.
            known_at: where it was found. A pause or asystole that is due again by then goes on.
            window: float32[320], as a segment has it; None where there is none.
            usable: whether the window can be analysed.
            leads: the windows in all leads, where there are several: beats are compared within one.
        """
        state, self.evidence, self._quiet_to = self.state, math.nan, -1
        alerts: list[Alert] = []
        if sample > state.qrs_at:
            state.qrs_at = sample
            state.still_from = max(sample, state.seen_from)
        if self.machine.state.alarms:
            for kind, seconds in self._no_qrs_kinds():
                if known_at - state.still_from < self._samples(seconds):
                    alerts += self.machine.end(kind, sample, "QRS seen again")
        blind = state.reason in _BLIND
        lost = blind or sample < state.seen_from
        interval_s = state.interval_to(sample, rr_s, self._fs_hz, lost=lost)
        self._organisation.take(window if leads is None else leads.windows)
        if self._several:
            self._waves.on_beat(sample)
        if not blind and state.fast_rhythm is None:
            for rate in self._rates.on_qrs(sample, interval_s):
                alerts += self._on_rate(sample, rate, known_at)
            if window is not None and state.fibrillation is None:
                alerts += self.atrial.on_beat(sample, rr_s, window, usable=usable, leads=leads)
                self.evidence = self.atrial.evidence_without_p
        return alerts

    def on_fibrillation(self, change: FibrillationChange) -> list[Alert]:
        """Record that a waveform, of one of several leads, begins or ceases to fibrillate."""
        if self._several:
            self._waves.on_change(change)
            return []
        return self._on_fibrillation(change)

    def _compare_leads(self, position: int) -> list[Alert]:
        if self.state.leads_fibrillation.check_at is None:
            return []  # nearly always
        changes = self._waves.changes(position)
        return [alert for change in changes for alert in self._on_fibrillation(change)]

    def _on_fibrillation(self, change: FibrillationChange) -> list[Alert]:
        alerts = self.machine.advance(change.sample, SIGNAL_KINDS)
        self.state.fibrillation = change if change.active else None
        self._rates.reset()  # detections within fibrillation are no beats
        self.atrial.reset()
        if change.active:
            return alerts + self._raise_fibrillation(change.sample)
        why = "waveform no longer fibrillating"
        alerts += self.machine.end("ventricular_fibrillation", change.sample, why)
        return alerts + self._raise_fast_rhythm(change.sample)

    def _raise_fibrillation(self, sample: int) -> list[Alert]:
        change = self.state.fibrillation
        if change is None or not self.state.reason.shows_waves:
            return []
        return self.machine.begin(
            "ventricular_fibrillation",
            sample,
            f"fibrillating waveform, {60 * change.hz:.0f} a minute, {change.mv:.1f} mV",
            begun_at=change.begun_at,
            values={"frequency_hz": round(change.hz, 2), "amplitude_mv": round(change.mv, 3)},
            leads=self._lead_words(sample + 1),
        )

    def on_fast_rhythm(self, change: FastRhythmChange) -> list[Alert]:
        """Record that a rhythm too fast for single beats, or what may be one, begins or ends."""
        self.state.may_be_fast = change.active and not change.sure
        if not change.sure:
            return []
        self.state.fast_rhythm = change if change.active else None
        self._rates.reset()  # of such a rhythm every second or third beat is found
        self.atrial.reset()
        if change.active:
            return self._raise_fast_rhythm(change.sample)
        self.state.still_from = max(self.state.still_from, change.begun_at)
        return self.machine.end("extreme_tachycardia", change.sample, "no longer so fast")

    def _raise_fast_rhythm(self, sample: int) -> list[Alert]:
        change = self.state.fast_rhythm
        if change is None or self.state.reason in _BLIND:
            return []
        alerts = []
        for kind in (*_NO_QRS, "extreme_bradycardia", "heart_rate_low"):
            alerts += self.machine.end(kind, sample, f"{change.bpm:.0f} bpm")
        limit_bpm = self._settings.extreme_tachycardia_bpm
        return alerts + self.machine.begin(
            "extreme_tachycardia",
            sample,
            f"{change.bpm:.0f} bpm, above {limit_bpm:g}: too fast to find every beat",
            begun_at=change.begun_at,
            bpm=round(change.bpm, 1),
            values={"bpm": round(change.bpm, 1), "limit_bpm": limit_bpm},
            leads=self._lead_words(sample),
        )

    def on_position(self, position: int) -> list[Alert]:
        """Raise what is overdue: every QRS that completed before ``position`` is known."""
        state, alarms = self.state, self.machine.state.alarms
        alerts: list[Alert] = []
        if position > self._quiet_to or state.leads.off_due:
            monitored = not self.machine.present("unmonitored")
            shown_to = state.quiet_to(*self._patience) if monitored else -1
            self._quiet_to = min(shown_to, self.atrial.known_to)
        overdue = position > self._quiet_to
        if overdue:
            for known_at, raise_alarm in sorted(self._due(), key=itemgetter(0)):
                if known_at < position:  # in order of time, however far apart the positions are
                    alerts += self._compare_leads(known_at)
                    alerts += self.machine.advance(known_at, SIGNAL_KINDS)
                    alerts += raise_alarm()
            self._quiet_to = -1
        if self._several:
            alerts += self._compare_leads(position)
            self.leads.forget_before(position)
        if overdue:
            alerts += self.atrial.advance(position)
        if state.reason is Reason.OK and position - state.changed_at > self._watched:
            state.watched_to = position
        if alarms:
            alerts += self.machine.advance(position, SIGNAL_KINDS)
        return alerts

    def _due(self) -> Iterator[tuple[int, Callable[[], list[Alert]]]]:
        """Yield the conditions that time alone brings about: where each is sure, and its call."""
        for changed_at in self.state.leads.off_due:
            yield changed_at, partial(self._report_electrodes, changed_at)
        scattered = self.state.watched_to + self._samples(SCATTERED_S)
        never = f"within {SCATTERED_S:g} s never analysable for {WATCHED_S:g} s on end"
        watched = self.state.changed_at + self._samples(WATCHED_S)
        if self.state.reason is Reason.OK:
            yield watched, partial(self.machine.end, "unmonitored", watched, "analysable again")
        else:
            late = self.state.changed_at + self._samples(UNMONITORED_S)
            why = self.state.reason.text + self.state.reason.watched
            reason = f"not analysable for {UNMONITORED_S:g} s: {why}"
            yield late, partial(self._raise_unmonitored, late, self.state.changed_at, reason)
        if self.state.reason is not Reason.OK or scattered < watched:
            since = self.state.watched_to
            yield scattered, partial(self._raise_unmonitored, scattered, since, never)
        if self.state.reason in _BLIND or self.state.fast_rhythm is not None:
            return
        if self.state.may_be_fast:
            return  # its beats are no standstill; for some seconds only, and no time is lost
        for kind, seconds in self._no_qrs_kinds():
            at = max(
                self.state.still_from + self._samples(seconds),
                self.state.seen_from + self._samples(SETTLED_S),
            )
            yield at + self._samples(WINDOW_DELAY_S), partial(self._raise_no_qrs, kind, at, seconds)

    def _no_qrs_kinds(self) -> tuple[tuple[str, float], ...]:
        """Return the alarms of a missing QRS, each with the time that it needs."""
        return ("asystole", self._settings.asystole_s), ("pause", self._settings.pause_s)

    def _raise_unmonitored(self, at: int, since: int, reason: str) -> list[Alert]:
        leads = self._lead_words(at)
        return self.machine.begin("unmonitored", at, reason, begun_at=since, leads=leads)

    def _report_electrodes(self, at: int) -> list[Alert]:
        """Report which electrodes are off from ``at`` on, where there are several leads."""
        self.leads.take_off_due(at)
        text, states = self.leads.off_text(at + 1), self.leads.states_at(at + 1)
        if not text:
            return self.machine.end("lead_off", at, self.leads.on_text(at), leads=states)
        if self.machine.present("lead_off"):
            return self.machine.update("lead_off", at, text, leads=states)
        return self.machine.begin("lead_off", at, text, leads=states)

    def _lead_words(self, at: int, since: int | None = None) -> dict[str, str] | None:
        """Return a word for each of several leads, as it was just before ``at``, for an alert."""
        since = at - self._samples(self._settings.asystole_s) if since is None else since
        return self.leads.words(at, since)

    def _raise_no_qrs(self, kind: str, at: int, seconds: float) -> list[Alert]:
        """Raise the alarm that there was no QRS for ``seconds`` up to ``at``."""
        carried = self.state.still_from < self.state.seen_from
        return self.machine.begin(
            kind,
            at,
            f"no QRS for {seconds:g} s" + (" of signal that could show one" if carried else ""),
            begun_at=self.state.qrs_at if carried else self.state.still_from,
            values={"limit_s": seconds},
            leads=self._lead_words(at + self._samples(WINDOW_DELAY_S), self.state.still_from),
        )

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._fs_hz)

    def _on_rate(self, sample: int, rate: RateChange, known_at: int) -> list[Alert]:
        if not rate.active:
            return self.machine.end(rate.kind, sample, f"{rate.bpm:.0f} bpm")
        begins = rate.kind == "extreme_tachycardia" and not self.machine.present(rate.kind)
        if begins and not self._organisation.holds(self._rates.intervals_s):
            return self._raise_disorganised(sample, rate)
        side = "below" if rate.bpm < rate.limit_bpm else "above"
        return self.machine.begin(
            rate.kind,
            sample,
            f"{rate.bpm:.0f} bpm, {side} {rate.limit_bpm:g}",
            begun_at=rate.begun_at,
            bpm=round(rate.bpm, 1),
            values={"bpm": round(rate.bpm, 1), "limit_bpm": rate.limit_bpm},
            leads=self._lead_words(known_at),
        )

    def _raise_disorganised(self, sample: int, rate: RateChange) -> list[Alert]:
        """Raise `unmonitored`: the fast complexes are not a heart's, and its rhythm is hidden."""
        if self.state.reason is Reason.OK:
            self.state.changed_at = sample
        why = f"{rate.bpm:.0f} bpm of complexes that neither repeat themselves nor keep time"
        return self._raise_unmonitored(sample, rate.begun_at, f"not analysable: {why}")


def _technical(reason: Reason) -> str:
    return "lead_off" if reason is Reason.LEAD_OFF else "not_analysable"
