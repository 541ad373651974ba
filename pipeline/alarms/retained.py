"""Alarms that stand though their stream is not there: after a restart, or once it is over.

Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.alarms.settings import AlarmSettings
from pipeline.schema.alert import followed_by
from pipeline.schema.public import Alert

MAX_RETAINED: Final = 1_000
"""Alarms kept, of all streams that are gone: who sends ever new names must not fill the memory."""


class RetainedAlarms:
    """What stood when a stream went, by stream; a stream that comes back takes its own over."""

    def __init__(self) -> None:
        self._alarms: dict[str, list[Alert]] = {}

    def after_restart(self, standing: Iterable[Alert], settings: AlarmSettings) -> list[Alert]:
        """Take over what stood when the monitor stopped; return the alerts that say so.

        What happened since nobody knows. What latches and was not acknowledged has latched; all
        else is off.
        """
        told = []
        reason = "the monitor began again"
        for alert in standing:
            latches = alert.kind in settings.latching and alert.state in ("on", "latched")
            state = "latched" if latches else "off"
            if alert.state != state:
                end_s = alert.time_s if alert.end_s is None else alert.end_s
                alert = followed_by(alert, state=state, reason=reason, end_s=end_s)
                told.append(alert)
            if latches:
                told += self.leave(alert.stream, [alert])
        return told

    def leave(self, stream: str, alarms: Iterable[Alert]) -> list[Alert]:
        """Keep what has latched of a stream that goes; return the ends of what is kept no longer.

        Where there are too many, those of the streams that went first are over.
        """
        latched = [alert for alert in alarms if alert.state == "latched"]
        if latched:
            self._alarms.setdefault(stream, []).extend(latched)
        told = []
        while sum(map(len, self._alarms.values())) > MAX_RETAINED:
            gone = self._alarms.pop(next(iter(self._alarms)))
            reason = f"over {MAX_RETAINED} alarms of streams that are gone stand"
            told += [followed_by(alert, state="off", reason=reason) for alert in gone]
        return told

    def take_over(self, stream: str) -> list[Alert]:
        """Give what was left of a stream back to it."""
        return self._alarms.pop(stream, [])

    def acknowledge(self, stream: str, episode: str) -> list[Alert]:
        """Acknowledge the alarm ``episode`` of ``stream``, or all where these are empty."""
        told = []
        for name in list(self._alarms):
            if stream not in ("", name):
                continue
            heard = [alert for alert in self._alarms[name] if episode in ("", alert.episode)]
            told += [followed_by(alert, state="off", reason="acknowledged") for alert in heard]
            kept = [alert for alert in self._alarms[name] if alert not in heard]
            if kept:
                self._alarms[name] = kept
            else:
                del self._alarms[name]
        return told
