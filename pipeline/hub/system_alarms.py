"""The alarms of the hub that no stream raises: about the system, and retained from other streams.

`SystemAlarmBook` holds both. Alarms are retained when their stream is removed, or when the hub that
raised them ended. The clock is an argument; no I/O.
"""

from collections.abc import Callable, Iterable, Mapping

from pipeline.alarms.retained import RetainedAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system import SystemAlarms
from pipeline.schema.messages import Acknowledged
from pipeline.schema.public import Alert
from pipeline.schema.requests import Died
from pipeline.stream.session import StreamSession


class SystemAlarmBook:
    """Retained alarms, and those about the system itself."""

    def __init__(self, settings: AlarmSettings, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._retained = RetainedAlarms()
        self._system = SystemAlarms(settings, clock())
        self._last_of_removed: list[Alert] = []
        """Alerts that end what removed streams had raised; the next `watch` returns them."""

    @property
    def active(self) -> list[Alert]:
        """The latest alert of every active alarm about the system."""
        return self._system.active

    def after_restart(self, alerts: Iterable[Alert]) -> list[Alert]:
        """Take over alarms that were active in the log; return the alerts of their new states."""
        return self._retained.after_restart(alerts, self._settings)

    def on_removed(self, session: StreamSession) -> None:
        """End the alarms of a stream that is removed, and retain those that have latched."""
        self._last_of_removed += session.stream.close() + session.end_source_alarm()
        self._last_of_removed += self._retained.retain(session.stream.name, session.alarms)

    def hand_over(self, name: str) -> list[Alert]:
        """Return, once, what is retained from streams called ``name``: for one that begins."""
        return self._retained.take_over(name)

    def acknowledge(self, event: Acknowledged) -> list[Alert]:
        """Acknowledge the alarms of this book that ``event`` names; return the alerts."""
        alerts = self._retained.acknowledge(event.stream, event.episode)
        if not event.stream:
            alerts += self._system.acknowledge(self._clock(), event.episode)
        return alerts

    def on_death(self, died: Died) -> list[Alert]:
        """Return the alerts about the death of a process of the system."""
        return self._system.on_death(died.process, died.code, died.times, self._clock())

    def on_interruption(self) -> None:
        """Record that the hub before this one did not end in order."""
        self._system.on_interruption(self._clock())

    def watch(
        self, scorers: int, unwritable: str, unsaved: Mapping[str, str], *, waiting: bool
    ) -> list[Alert]:
        """Return the alerts of conditions that do not come with samples.

        Args:
            scorers: how many there are.
            unwritable: why the log takes nothing; empty while it does.
            unsaved: streams whose state the log does not hold, and why.
            waiting: whether beats wait for a scorer.
        """
        now = self._clock()
        alerts = self._system.on_scorers(scorers, now, waiting=waiting)
        alerts += self._system.on_log(unwritable, now) + self._last_of_removed
        alerts += self._system.on_unsaved(unsaved, now)
        self._last_of_removed = []
        return alerts + self._system.advance(now)
