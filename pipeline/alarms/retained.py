"""Alarms that stay active without their stream: after a restart, or once the stream is over.

Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from typing import Final

from pipeline.alarms.settings import AlarmSettings
from pipeline.schema.alert import followed_by
from pipeline.schema.public import Alert

MAX_RETAINED: Final = 1_000
"""Alarms kept, of all removed streams: a source of ever new names must not fill the memory."""


class RetainedAlarms:
    """Latched alarms of removed streams; a stream that comes back takes over its own."""

    def __init__(self) -> None:
        self._alarms: dict[str, list[Alert]] = {}

    @property
    def all_of_them(self) -> list[Alert]:
        """The latest alert of every alarm that is kept, in the order of their streams."""
        return [alert for alarms in self._alarms.values() for alert in alarms]

    def after_restart(self, active: Iterable[Alert], settings: AlarmSettings) -> list[Alert]:
        """Take over the alarms that were active when the monitor stopped; return their alerts.

        What happened since is unknown. Alarms of latching kinds that were not acknowledged are
        latched; all others are off.
        """
        alerts = []
        reason = "the monitor began again"
        for alert in active:
            latches = alert.kind in settings.latching and alert.state in ("on", "latched")
            state = "latched" if latches else "off"
            if alert.state != state:
                end_s = alert.time_s if alert.end_s is None else alert.end_s
                alert = followed_by(alert, state=state, reason=reason, end_s=end_s)
                alerts.append(alert)
            if latches:
                alerts += self.retain(alert.stream, [alert])
        return alerts

    def retain(self, stream: str, alarms: Iterable[Alert]) -> list[Alert]:
        """Keep the latched alarms of a stream that is removed; return the ends of those dropped.

        Where there are too many, those of the streams that were removed first are over.
        """
        latched = [alert for alert in alarms if alert.state == "latched"]
        if latched:
            self._alarms.setdefault(stream, []).extend(latched)
        alerts = []
        while sum(map(len, self._alarms.values())) > MAX_RETAINED:
            dropped = self._alarms.pop(next(iter(self._alarms)))
            reason = f"over {MAX_RETAINED} alarms of streams that are gone stand"
            alerts += [followed_by(alert, state="off", reason=reason) for alert in dropped]
        return alerts

    def take_over(self, stream: str) -> list[Alert]:
        """Return the alarms of a stream, which are its own again."""
        return self._alarms.pop(stream, [])

    def acknowledge(self, stream: str, episode: str) -> list[Alert]:
        """Acknowledge the alarm ``episode`` of ``stream``, or all where these are empty."""
        alerts = []
        for name in list(self._alarms):
            if stream not in ("", name):
                continue
            acknowledged = [alert for alert in self._alarms[name] if episode in ("", alert.episode)]
            alerts += [
                followed_by(alert, state="off", reason="acknowledged") for alert in acknowledged
            ]
            kept = [alert for alert in self._alarms[name] if alert not in acknowledged]
            if kept:
                self._alarms[name] = kept
            else:
                del self._alarms[name]
        return alerts
