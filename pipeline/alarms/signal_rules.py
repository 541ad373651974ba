"""The alarms that wait for no score: from the signal's states, the detections and the waveform.

`SignalAlarms` is asked as the samples come in, in order of time. Time is the position in the
stream, in source samples, so the same samples give the same alerts at any speed; there is no
clock and no I/O here. The alarms that want scores: `pipeline.alarms.beat_rules`.
"""

from typing import Final

from pipeline.alarms.life import AlarmLife
from pipeline.alarms.rate_rules import Rate, RateRules
from pipeline.alarms.settings import AlarmSettings
from pipeline.public import Alert
from pipeline.quality import Reason
from pipeline.segment import FibrillationChange

WINDOW_DELAY_S: Final = 0.6
"""A beat is reported when its window is complete; only then is its absence certain."""

UNMONITORED_S: Final = 10.0
"""A heart that nobody could have watched for so long is an alarm of its own."""

RATE_TOLERANCE: Final = 0.01
"""A live source whose samples come faster or slower by more than this share is called wrong."""

_BLIND: Final = frozenset(Reason) - {Reason.OK, Reason.FLAT}
"""States in which no QRS could be seen. A flat line is none of them: unless the device says that
an electrode is off, it may be a heart that stands still."""

_STILL: Final = ("pause", "asystole")
"""What a missing QRS is, the shorter first."""

_RATES: Final = (
    "extreme_bradycardia",
    "extreme_tachycardia",
    "heart_rate_low",
    "heart_rate_high",
)


class SignalAlarms:
    """The rules of one stream that go by the signal alone, and the alarms they raised."""

    def __init__(
        self, stream: str, fs_hz: float, settings: AlarmSettings, *, epoch: int, first_sample: int
    ) -> None:
        self.life = AlarmLife(stream, fs_hz, settings, epoch)
        self.reason = Reason.OK
        """Why the signal cannot be analysed now; OK where it can."""
        self._fs_hz = fs_hz
        self._settings = settings
        self._rates = RateRules(settings, fs_hz)
        self._alive_at = first_sample
        """The last QRS, or the return of a signal that could show one where that is later."""
        self._blind_since = first_sample
        self._fibrillation: FibrillationChange | None = None
        """What the waveform does, where it fibrillates."""

    def begin_epoch(self, epoch: int, first_sample: int, ended_at: int) -> list[Alert]:
        """Begin anew at ``first_sample`` of an epoch; the old one ended at ``ended_at``."""
        told = self.life.end_all("new epoch", ended_at)
        self.life.epoch = epoch
        self.reason = Reason.OK
        self._rates.forget()
        self._fibrillation = None
        self._alive_at = self._blind_since = first_sample
        return told

    def on_quality(self, sample: int, reason: Reason) -> list[Alert]:
        """Take note that from ``sample`` on the signal is analysable (OK) or not."""
        if reason == self.reason:
            return []
        before, self.reason = self.reason, reason
        told = []
        if reason is Reason.GAP:
            self._fibrillation = None  # who watches the waveform begins anew, too
        if before is not Reason.OK:
            told += self.life.end(_technical(before), sample, before.text)
        if reason is Reason.OK:
            told += self.life.end("unmonitored", sample, "analysable again")
        else:
            if before is Reason.OK:
                self._blind_since = sample
            told += self.life.begin(_technical(reason), sample, reason.text)
        if reason in _BLIND and before not in _BLIND:
            for kind in (*_STILL, *_RATES, "ventricular_fibrillation"):
                told += self.life.end(kind, sample, "signal no longer analysable", at_once=True)
            self._rates.forget()
        if before in _BLIND and reason not in _BLIND:
            self._alive_at = sample
            told += self._fibrillates(sample)
        return told

    def on_qrs(self, sample: int, rr_s: float) -> list[Alert]:
        """Take note of a QRS at ``sample`` and of the interval before it; NaN if not known."""
        told = []
        for kind in _STILL:
            told += self.life.end(kind, sample, "QRS seen again")
        self._alive_at = max(self._alive_at, sample)
        for rate in self._rates.on_qrs(sample, rr_s):
            told += self._on_rate(sample, rate)
        return told

    def on_fibrillation(self, change: FibrillationChange) -> list[Alert]:
        """Take note that the waveform fibrillates from here on, or no longer."""
        self._fibrillation = change if change.there else None
        self._rates.forget()  # what was found in fibrillation are no beats
        if change.there:
            return self._fibrillates(change.sample)
        why = "waveform no longer fibrillating"
        return self.life.end("ventricular_fibrillation", change.sample, why)

    def _fibrillates(self, sample: int) -> list[Alert]:
        change = self._fibrillation
        if change is None or self.reason in _BLIND:
            return []
        return self.life.begin(
            "ventricular_fibrillation",
            sample,
            f"fibrillating waveform, {60 * change.hz:.0f} a minute, {change.mv:.1f} mV",
            begun_at=change.begun_at,
            values={"frequency_hz": round(change.hz, 2), "amplitude_mv": round(change.mv, 3)},
        )

    def on_stamp(self, sample: int, step_s: float | None, rate_off: float | None) -> list[Alert]:
        """Take note of what the source's clock showed at ``sample``.

        Args:
            sample: the one that was stamped.
            step_s: by how much the clock stepped there; None where it did not.
            rate_off: by which share more samples a second come than said; None if not known.
        """
        told = []
        if step_s is not None:
            reason = f"the clock of the source stepped by {step_s:+.3f} s"
            told += self.life.begin("clock_stepped", sample, reason)
            told += self.life.end("clock_stepped", sample, "once")
        if rate_off is None:
            return told
        if abs(rate_off) > RATE_TOLERANCE:
            measured_hz = self._fs_hz * (1.0 + rate_off)
            reason = (
                f"{measured_hz:.1f} samples a second come, not {self._fs_hz:g}: rates are wrong"
            )
            values = {"measured_hz": round(measured_hz, 2), "limit_share": RATE_TOLERANCE}
            return told + self.life.begin("wrong_rate", sample, reason, values=values)
        return told + self.life.end("wrong_rate", sample, "the rate is as it should be")

    def on_position(self, position: int) -> list[Alert]:
        """Every QRS is known that completed before ``position``: is one overdue?"""
        told = self.life.advance(position)
        if self.reason is not Reason.OK:
            at = self._blind_since + round(UNMONITORED_S * self._fs_hz)
            if position > at:
                reason = f"not analysable for {UNMONITORED_S:g} s: {self.reason.text}"
                told += self.life.begin("unmonitored", at, reason, begun_at=self._blind_since)
        if self.reason in _BLIND:
            return told
        for kind, seconds in (
            ("pause", self._settings.pause_s),
            ("asystole", self._settings.asystole_s),
        ):
            at = self._alive_at + round(seconds * self._fs_hz)
            if position > at + round(WINDOW_DELAY_S * self._fs_hz):
                told += self.life.begin(
                    kind,
                    at,
                    f"no QRS for {seconds:g} s",
                    begun_at=self._alive_at,
                    values={"limit_s": seconds},
                )
        return told

    def _on_rate(self, sample: int, rate: Rate) -> list[Alert]:
        if not rate.there:
            return self.life.end(rate.kind, sample, f"{rate.bpm:.0f} bpm")
        side = "below" if rate.bpm < rate.limit_bpm else "above"
        return self.life.begin(
            rate.kind,
            sample,
            f"{rate.bpm:.0f} bpm, {side} {rate.limit_bpm:g}",
            begun_at=rate.begun_at,
            bpm=round(rate.bpm, 1),
            values={"bpm": round(rate.bpm, 1), "limit_bpm": rate.limit_bpm},
        )


def _technical(reason: Reason) -> str:
    return "lead_off" if reason is Reason.LEAD_OFF else "not_analysable"
