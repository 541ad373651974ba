"""The alarms that belong to no sample: what stood before, silent sources, no scorer, a full disk.

`Oversight` goes over all channels of a hub, so it is also where an acknowledgement reaches
everything that stands. The clock is an argument; no I/O.
"""

from collections.abc import Callable, Iterable, Mapping

from pipeline.alarms.left import LeftAlarms
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.system_alarms import SystemAlarms
from pipeline.channel import Channel
from pipeline.public import Alert
from pipeline.stream import Stream


class Oversight:
    """What stands over the streams of a hub."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        settings: AlarmSettings,
        clock: Callable[[], float],
    ) -> None:
        self._channels = channels
        self._settings = settings
        self._clock = clock
        self._left = LeftAlarms()
        self._system = SystemAlarms(settings, clock())

    def after_restart(self, standing: Iterable[Alert]) -> list[Alert]:
        """Take over what stood in the log; return the alerts that say what became of it."""
        return self._left.after_restart(standing, self._settings)

    def leave(self, channel: Channel) -> None:
        """Keep what has latched in a channel that goes."""
        self._left.leave(channel.stream.name, channel.alarms)

    def take_over(self, stream: Stream) -> None:
        """Give a stream that begins what was left of one of its name."""
        stream.adopt(self._left.take_over(stream.name))

    def acknowledge(self, stream: str, episode: str) -> list[Alert]:
        """Acknowledge the alarm ``episode`` of ``stream``, or all where these are empty."""
        told = self._left.acknowledge(stream, episode)
        for name, channel in self._channels.items():
            if stream in ("", name):
                told += channel.acknowledge(episode)
        if not stream:
            told += self._system.life.acknowledge(self._system.ticks(self._clock()), episode)
        return told

    def watch(self, scorers: int, unwritable: str) -> list[Alert]:
        """Return the alerts of what does not come with samples.

        Args:
            scorers: how many there are.
            unwritable: why the log takes nothing; empty while it does.
        """
        now = self._clock()
        waiting = any(channel.stream.pending for channel in self._channels.values())
        told = self._system.on_scorers(scorers, now, waiting=waiting)
        told += self._system.on_log(unwritable, now)
        for channel in self._channels.values():
            told += channel.watch_source(now)
        return told
