"""The rules that turn detections and signal states into alerts, without waiting for a score.

`Alarms` keeps what the rules of one stream remember; they are asked as the samples come in. Time
is the position in the stream, in source samples, so the same samples give the same alerts at any
speed; there is no clock and no I/O here. Anomalous beats: `pipeline.episode`.
"""

from typing import Final

from pipeline.public import Alert
from pipeline.quality import Reason

ASYSTOLE_S: Final = 4.0
"""No QRS for this long on an analysable signal (Challenge 2015; bedside monitors: 3 to 10 s)."""

WINDOW_DELAY_S: Final = 0.6
"""A beat is reported when its window is complete; only then is its absence certain."""


_BLIND: Final = frozenset(Reason) - {Reason.OK, Reason.FLAT}
"""States in which no QRS could be seen. A flat line is none of them: unless the device says that
an electrode is off, it may be a heart that stands still."""


class Alarms:
    """The state of the rules of one stream and epoch."""

    def __init__(self, stream: str, fs_hz: float, *, epoch: int, first_sample: int) -> None:
        self._stream = stream
        self._fs_hz = fs_hz
        self._epoch = epoch
        self._alive_at = first_sample
        """The last QRS, or the return of a signal that could show one where that is later."""
        self.asystole = False
        self.reason = Reason.OK
        """Why the signal cannot be analysed now; OK where it can."""

    def on_quality(self, sample: int, reason: Reason) -> list[Alert]:
        """Take note that from ``sample`` on the signal is analysable (OK) or not."""
        if reason == self.reason:
            return []
        alerts = []
        if self.reason is not Reason.OK:
            alerts.append(self._technical(sample, self.reason, "off"))
        if reason is not Reason.OK:
            alerts.append(self._technical(sample, reason, "on"))
            if self.asystole and reason in _BLIND:
                alerts.append(self._end_asystole(sample, "signal no longer analysable"))
        if self.reason in _BLIND and reason not in _BLIND:
            self._alive_at = sample
        self.reason = reason
        return alerts

    def on_qrs(self, sample: int) -> list[Alert]:
        """Take note of a QRS at ``sample``."""
        ended = [self._end_asystole(sample, "QRS seen again")] if self.asystole else []
        self._alive_at = max(self._alive_at, sample)
        return ended

    def on_position(self, position: int) -> list[Alert]:
        """Every QRS is known that completed before ``position``: has the heart stopped?"""
        if self.asystole or self.reason in _BLIND:
            return []
        deadline = self._alive_at + round((ASYSTOLE_S + WINDOW_DELAY_S) * self._fs_hz)
        if position <= deadline:
            return []
        self.asystole = True
        return [
            self._alert(
                kind="asystole",
                category="physiological",
                priority="high",
                sample=self._alive_at + round(ASYSTOLE_S * self._fs_hz),
                reason=f"no QRS for {ASYSTOLE_S:g} s",
            )
        ]

    def _technical(self, sample: int, reason: Reason, state: str) -> Alert:
        return self._alert(
            kind="not_analysable",
            category="technical",
            priority="low",
            sample=sample,
            state=state,
            reason=reason.text,
        )

    def _end_asystole(self, sample: int, why: str) -> Alert:
        self.asystole = False
        return self._alert(
            kind="asystole",
            category="physiological",
            priority="high",
            sample=sample,
            state="off",
            reason=why,
        )

    def _alert(
        self,
        *,
        kind: str,
        category: str,
        priority: str,
        sample: int,
        reason: str,
        state: str = "on",
    ) -> Alert:
        return Alert(
            stream=self._stream,
            epoch=self._epoch,
            kind=kind,
            category=category,
            priority=priority,
            state=state,
            sample=sample,
            time_s=round(sample / self._fs_hz, 4),
            reason=reason,
        )
