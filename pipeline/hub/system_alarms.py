"""The alarms that belong to no sample: what stood before, silent sources, no scorer, a full disk.

`SystemAlarmBook` goes over all streams of a hub, so it is also where an acknowledgement reaches
what stands there. The clock is an argument; no I/O.
"""

from collections.abc import Callable, Iterable, Mapping

from pipeline.alarms.retained import RetainedAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system import SystemAlarms
from pipeline.schema.public import Alert
from pipeline.schema.requests import Died
from pipeline.stream.session import StreamSession


class SystemAlarmBook:
    """What stands over the streams of a hub."""

    def __init__(
        self,
        sessions: Mapping[str, StreamSession],
        settings: AlarmSettings,
        clock: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._settings = settings
        self._clock = clock
        self._left = RetainedAlarms()
        self._system = SystemAlarms(settings, clock())
        self._ended: list[Alert] = []
        """Said of streams that went, still to be told."""

    @property
    def alarms(self) -> list[Alert]:
        """The latest alert of every alarm about the system itself that stands."""
        return self._system.active

    def after_restart(self, standing: Iterable[Alert]) -> list[Alert]:
        """Take over what stood in the log; return the alerts that say what became of it.

        What a stream that goes on raised is its own, and goes on.
        """
        own = {
            (name, alarm.episode)
            for name, session in self._sessions.items()
            for alarm in session.stream.alarms
        }
        others = [alert for alert in standing if (alert.stream, alert.episode) not in own]
        return self._left.after_restart(others, self._settings)

    def leave(self, name: str) -> None:
        """Keep what has latched in the stream ``name``, which goes."""
        session = self._sessions[name]
        self._ended += session.stream.close() + session.end_source_alarm()
        self._ended += self._left.retain(name, session.alarms)

    def hand_over(self, name: str) -> list[Alert]:
        """Return, once, what latched in earlier streams called ``name``: for one that begins."""
        if name in self._sessions:
            self.leave(name)
        return self._left.take_over(name)

    def acknowledge(self, stream: str, episode: str) -> list[Alert]:
        """Acknowledge the alarm ``episode`` of ``stream``, or all where these are empty.

        The alarms of a stream that is there are acknowledged by an event (`Streams.apply`).
        """
        told = self._left.acknowledge(stream, episode)
        if not stream:
            told += self._system.acknowledge(self._clock(), episode)
        return told

    def on_death(self, died: Died) -> list[Alert]:
        """Return the alerts that say that a process of the system died."""
        return self._system.on_death(died.process, died.code, died.times, self._clock())

    def on_interruption(self) -> None:
        """Take note that the hub before this one did not end in order."""
        self._system.on_interruption(self._clock())

    def watch(self, scorers: int, unwritable: str) -> list[Alert]:
        """Return the alerts of what does not come with samples.

        Args:
            scorers: how many there are.
            unwritable: why the log takes nothing; empty while it does.
        """
        now = self._clock()
        waiting = any(session.stream.pending for session in self._sessions.values())
        told = self._system.on_scorers(scorers, now, waiting=waiting)
        told += self._system.on_log(unwritable, now) + self._ended
        self._ended = []
        told += self._system.advance(now)
        for session in self._sessions.values():
            told += session.watch_source(now)
        return told
