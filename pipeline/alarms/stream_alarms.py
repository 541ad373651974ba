"""The alarms of one stream, those of the signal and those of its beats, as one.

The two go by different clocks of the stream: the signal's come with the samples, the beats' with
their scores, later. So neither waits for the other, and what one says never depends on how far
the other is. Pure: no clock, no I/O.
"""

from collections.abc import Iterable
from typing import Self

from pipeline.alarms.beat_rules import BeatAlarms, BeatAlarmsState
from pipeline.alarms.kinds import BEAT_KINDS, HIGH, KINDS
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.signal_rules import SignalAlarms, SignalAlarmsState
from pipeline.schema.public import Alert
from pipeline.schema.state import State


class StreamAlarmsState(State):
    """All memory of `StreamAlarms`."""

    signal: SignalAlarmsState
    beats: BeatAlarmsState

    @classmethod
    def fresh(cls, epoch: int, first_sample: int) -> Self:
        """Return the state before the ``first_sample`` of an epoch."""
        return cls(SignalAlarmsState.fresh(epoch, first_sample), BeatAlarmsState.fresh(epoch))


class StreamAlarms:
    """The rules of one stream and the alarms that they raised."""

    def __init__(
        self,
        stream: str,
        fs_hz: float,
        settings: AlarmSettings,
        state: StreamAlarmsState,
        *,
        classify: bool,
    ) -> None:
        """Begin; ``classify`` says that anomalous beats are told with their class."""
        self.state = state
        self.signal = SignalAlarms(stream, fs_hz, settings, state.signal)
        self.beats = BeatAlarms(stream, fs_hz, settings, state.beats, classify=classify)

    def acknowledge(self, position: int, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all that stand; return the alerts that say so."""
        told = self.signal.life.acknowledge(position, episode)
        return told + self.beats.life.acknowledge(position, episode)

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alarms that latched in a stream of this name before it began."""
        for alert in alerts:
            life = self.beats.life if alert.kind in BEAT_KINDS else self.signal.life
            life.adopt(alert)

    def close(self, sample: int) -> list[Alert]:
        """End everything that is there: the stream is over at ``sample``, its last beat told."""
        told = self.signal.life.end_all("end of the stream", sample)
        return told + self.beats.close(sample)

    def begin_epoch(self, epoch: int, first_sample: int, ended_at: int) -> list[Alert]:
        """Begin anew at ``first_sample`` of an epoch; the old one ended at ``ended_at``."""
        self.beats.begin_epoch(epoch, ended_at)
        return self.signal.begin_epoch(epoch, first_sample, ended_at)

    @property
    def standing(self) -> list[Alert]:
        """The latest alert of every alarm that stands, the most urgent first."""
        alerts = {a.kind: a for a in self.signal.life.standing + self.beats.life.standing}
        return [alerts[name] for name in KINDS if name in alerts]

    @property
    def gravest(self) -> str:
        """What the gravest condition is that is there now; empty without one of high priority."""
        for alert in self.standing:
            if alert.priority == HIGH and alert.state in ("on", "ack"):
                return KINDS[alert.kind].text
        return ""
