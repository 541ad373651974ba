"""The alarms of one stream, and the rules that raise them.

The rules of the signal go by the samples, those of the beats by their scores, which come later.
Neither waits for the other, so that no alarm depends on the progress of the other rules. Pure: no
clock, no I/O.
"""

from collections.abc import Iterable, Sequence
from typing import Self

from pipeline.alarms.beat_rules import BeatAlarms, BeatAlarmsState
from pipeline.alarms.kinds import HIGH, KINDS, SIGNAL_KINDS
from pipeline.alarms.settings import AlarmSettings
from pipeline.alarms.signal_rules import SignalAlarms
from pipeline.alarms.signal_state import SignalAlarmsState
from pipeline.alarms.source_rules import SourceRules, SourceRulesState
from pipeline.alarms.state_machine import AlarmStateMachine, AlarmStateMachineState
from pipeline.schema.public import Alert
from pipeline.schema.state import State, field


class StreamAlarmsState(State):
    """All memory of `StreamAlarms`."""

    machine: AlarmStateMachineState
    signal: SignalAlarmsState
    beats: BeatAlarmsState
    source: SourceRulesState = field(default_factory=SourceRulesState)

    @classmethod
    def fresh(cls, epoch: int, first_sample: int, leads: int = 1) -> Self:
        """Return the state before the ``first_sample`` of an epoch of so many leads."""
        machine = AlarmStateMachineState(epoch, epoch)
        signal = SignalAlarmsState.fresh(first_sample, leads)
        return cls(machine, signal, BeatAlarmsState.fresh(leads))


class StreamAlarms:
    """The active alarms of one stream, and its rules."""

    def __init__(
        self,
        stream: str,
        fs_hz: float,
        settings: AlarmSettings,
        state: StreamAlarmsState,
        leads: Sequence[str] = ("",),
    ) -> None:
        """Continue from ``state``.

        Raises:
            SnapshotError: the state holds alarms of an unknown kind.
        """
        self.state = state
        self._machine = AlarmStateMachine(stream, fs_hz, settings, state.machine)
        self.signal = SignalAlarms(self._machine, fs_hz, settings, state.signal, leads)
        self.beats = BeatAlarms(self._machine, fs_hz, settings, state.beats, leads)
        self.source = SourceRules(self._machine, fs_hz, state.source)

    def acknowledge(self, position: int, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all active ones; return their alerts."""
        return self._machine.acknowledge(position, episode)

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Take over alarms that latched in an earlier stream of this name."""
        for alert in alerts:
            self._machine.adopt(alert)

    def close(self, sample: int) -> list[Alert]:
        """End every condition: the stream is over at ``sample``, its last beat published."""
        alerts = self._machine.end_all("end of the stream", sample, SIGNAL_KINDS)
        return alerts + self.beats.close(sample)

    def begin_epoch(self, epoch: int, first_sample: int, ended_at: int) -> list[Alert]:
        """Start over at ``first_sample`` of an epoch; the old one ended at ``ended_at``."""
        self.beats.begin_epoch(epoch, ended_at)
        self.source.begin_epoch()
        return self.signal.begin_epoch(epoch, first_sample, ended_at)

    def present(self, name: str) -> bool:
        """Return whether the condition of a kind of alarm is present."""
        return self._machine.present(name)

    @property
    def active(self) -> list[Alert]:
        """The latest alert of every active alarm, the most urgent first."""
        return self._machine.active

    @property
    def most_urgent(self) -> str:
        """The most urgent condition that is present; empty without one of high priority."""
        for alert in self.active:
            if alert.priority == HIGH and alert.state in ("on", "ack"):
                return KINDS[alert.kind].text
        return ""
