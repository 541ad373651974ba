"""The states of alarms: each begins, may be acknowledged, may latch, and ends.

`AlarmStateMachine` takes in when conditions begin and end, and returns the alerts of the alarms. At
most one alarm of a kind is active at a time; a condition that returns meanwhile is counted in it.
States are those of FHIR's DeviceAlert presence: ``on`` (the condition is present), ``ack`` (present
and acknowledged), ``latched`` (over, but not acknowledged yet) and ``off``.

Time is the position in the stream, in source samples: the same samples give the same alerts at
any speed. Alarms of beats (`BEAT_KINDS`) have a position and an epoch of their own, for beats wait
for their scores: neither group of alarms waits for the other. Only an acknowledgement comes from
outside. No clock, no I/O.
"""

from collections.abc import Container
from typing import Any, Final

from pipeline.alarms.kinds import BEAT_KINDS, KINDS, SIGNAL_KINDS, Kind
from pipeline.alarms.settings import AlarmSettings
from pipeline.errors import SnapshotError
from pipeline.schema.alert import episode_of, followed_by
from pipeline.schema.public import Alert
from pipeline.schema.state import State, field

_YIELDING: Final = {
    name: tuple(other.name for other in KINDS.values() if name in other.yields_to) for name in KINDS
}
"""The kinds whose alarms give way to one of each kind."""


class Alarm(State):
    """An active alarm."""

    alert: Alert
    """The latest alert of it."""
    present: bool
    """Whether the condition is present."""
    count: int
    """How often the condition began."""
    ended_at: int
    """Where the condition ended last; meaningful while it is not present."""
    acknowledged_at: int = 0

    @property
    def kind(self) -> Kind:
        """Of what kind it is."""
        return KINDS[self.alert.kind]

    @property
    def acknowledged(self) -> bool:
        """Whether an operator has acknowledged it."""
        return self.alert.state == "ack"


class AlarmStateMachineState(State):
    """All memory of an `AlarmStateMachine`."""

    epoch: int = 0
    """Epoch of the next alerts of `SIGNAL_KINDS`."""
    beat_epoch: int = 0
    """Epoch of the next alerts of `BEAT_KINDS`."""
    alarms: dict[str, Alarm] = field(default_factory=dict)
    """By name of the kind, in the order in which they began."""


class AlarmStateMachine:
    """All active alarms of one stream, or of the system."""

    def __init__(
        self,
        stream: str,
        fs_hz: float,
        settings: AlarmSettings,
        state: AlarmStateMachineState | None = None,
    ) -> None:
        """Begin without an alarm, or continue from ``state``.

        Raises:
            SnapshotError: the state holds alarms of an unknown kind.
        """
        self.state = state or AlarmStateMachineState()
        for name, alarm in self.state.alarms.items():
            if name not in KINDS or alarm.alert.kind != name:
                raise SnapshotError(f"state of an alarm of an unknown kind, {name!r}")
        self._stream = stream
        self._fs_hz = fs_hz
        self._settings = settings

    def begin(
        self, name: str, sample: int, reason: str, *, begun_at: int | None = None, **facts: Any
    ) -> list[Alert]:
        """Record that a condition is present: an alarm begins, or an active one continues.

        Args:
            name: of the kind.
            sample: where the rule was sure.
            reason: what a person reads.
            begun_at: where the condition began; by default, where the rule was sure.
            facts: further fields of the alert.
        """
        kind = KINDS[name]
        if name in self._settings.off or any(map(self.present, kind.yields_to)):
            return []
        alarm = self.state.alarms.get(name)
        if alarm is not None and alarm.present:
            return []
        alerts = [
            alert
            for other in _YIELDING.get(name, ())
            for alert in self.end(other, sample, f"now {kind.text}", at_once=True)
        ]
        if alarm is None:
            alert = self._first(kind, sample, reason, begun_at, facts)
            self.state.alarms[name] = Alarm(alert, True, 1, sample)
            return [*alerts, alert]
        alarm.present = True
        alarm.count += 1
        if alarm.alert.state != "latched":
            return alerts  # still active, within `Kind.hold_s`: the same alarm, once more
        changes = {**facts, "reason": reason, "count": alarm.count, "end_s": None}
        return [*alerts, self._follow(alarm, "on", sample, **changes)]

    def update(self, name: str, sample: int, reason: str, **facts: Any) -> list[Alert]:
        """Return an alert with a new reason and other ``facts`` of an active alarm, in its state.

        There is none if the alarm is not active.
        """
        alarm = self.state.alarms.get(name)
        if alarm is None:
            return []
        changes = {**facts, "reason": reason, "count": alarm.count}
        return [self._follow(alarm, alarm.alert.state, sample, **changes)]

    def call_again(self, name: str, sample: int) -> list[Alert]:
        """Return the alert by which an acknowledged alarm calls again: its condition goes on."""
        reason = f"still there {self._settings.realarm_s:g} s after acknowledgement"
        return [self._follow(self.state.alarms[name], "on", sample, reason=reason)]

    def end(
        self, name: str, sample: int, why: str, *, at_once: bool = False, **facts: Any
    ) -> list[Alert]:
        """Record that a condition is over at ``sample``; a no-op if it was not present.

        ``facts`` are further fields of the alert, where the alarm does not hold beyond that.
        """
        alarm = self.state.alarms.get(name)
        if alarm is None:
            return []
        if alarm.present:
            alarm.present, alarm.ended_at = False, sample
        elif not at_once or alarm.alert.state == "latched":
            return []
        return [] if alarm.kind.hold_s and not at_once else [self._finish(alarm, why, **facts)]

    def advance(self, position: int, kinds: Container[str] = KINDS) -> list[Alert]:
        """Advance the time of alarms of ``kinds`` to ``position``.

        Alarms that are held end, and those acknowledged long ago call again.
        """
        alerts: list[Alert] = []
        for name, alarm in list(self.state.alarms.items()):
            if name not in kinds:
                continue
            if not alarm.present:
                hold = alarm.kind.hold_s
                late = position - alarm.ended_at > hold * self._fs_hz
                if late and alarm.alert.state in ("on", "ack"):
                    alerts.append(self._finish(alarm, f"none for {hold:g} s"))
            elif alarm.acknowledged:
                at = alarm.acknowledged_at + round(self._settings.realarm_s * self._fs_hz)
                if position > at:
                    alerts += self.call_again(alarm.kind.name, at)
        return alerts

    def end_all(self, why: str, sample: int, kinds: Container[str] = KINDS) -> list[Alert]:
        """End every condition of ``kinds``, because nothing more will be known of it."""
        alerts = []
        for alarm in self._of(kinds):
            if alarm.present:
                alarm.present, alarm.ended_at = False, sample
            elif alarm.alert.state == "latched":
                continue
            alerts.append(self._finish(alarm, why))
        return alerts

    def acknowledge(self, position: int, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all that are active now where it is empty.

        Returns:
            Their alerts: ``ack`` where the condition is present, ``off`` where it had latched.
        """
        alerts = []
        for alarm in [*self._of(SIGNAL_KINDS), *self._of(BEAT_KINDS)]:
            if alarm.acknowledged or episode not in ("", alarm.alert.episode):
                continue
            if alarm.alert.state == "latched":
                alerts.append(self._drop(alarm, "off", position, reason="acknowledged"))
            else:
                alarm.acknowledged_at = position
                alerts.append(self._follow(alarm, "ack", position, reason="acknowledged"))
        return alerts

    def adopt(self, alert: Alert) -> None:
        """Take over an alarm that latched in an earlier stream; ``alert`` is its latest."""
        kind = KINDS.get(alert.kind)
        if kind is not None and alert.state == "latched" and kind.name not in self.state.alarms:
            self.state.alarms[kind.name] = Alarm(alert, False, alert.count or 1, alert.sample)

    def goes_on(self, name: str) -> bool:
        """Return whether an alarm is active in which its condition, present again, only counts.

        No alert has its facts then.
        """
        alarm = self.state.alarms.get(name)
        return alarm is not None and not alarm.present and alarm.alert.state != "latched"

    def present(self, name: str) -> bool:
        """Return whether the condition is present."""
        alarm = self.state.alarms.get(name)
        return alarm is not None and alarm.present

    @property
    def active(self) -> list[Alert]:
        """The latest alert of every active alarm, the most urgent first."""
        return [self.state.alarms[name].alert for name in KINDS if name in self.state.alarms]

    def _of(self, kinds: Container[str]) -> list[Alarm]:
        return [alarm for name, alarm in self.state.alarms.items() if name in kinds]

    def _epoch(self, name: str) -> int:
        return self.state.beat_epoch if name in BEAT_KINDS else self.state.epoch

    def _first(
        self, kind: Kind, sample: int, reason: str, begun_at: int | None, facts: dict[str, Any]
    ) -> Alert:
        begun_at = sample if begun_at is None else begun_at
        return Alert(
            stream=self._stream,
            epoch=self._epoch(kind.name),
            kind=kind.name,
            category=kind.category,
            priority=kind.priority,
            sample=sample,
            time_s=self._seconds(sample),
            reason=reason,
            count=1,
            episode=episode_of(kind.name, self._epoch(kind.name), sample),
            begin_s=self._seconds(begun_at),
            **facts,
        )

    def _finish(self, alarm: Alarm, why: str, **further: Any) -> Alert:
        """Return the alert at the end of the condition: the alarm latches, or is over."""
        reason = why if alarm.count == 1 else f"{alarm.count} times, {why}"
        end_s = self._seconds(alarm.ended_at)
        facts = {**further, "reason": reason, "count": alarm.count, "end_s": end_s}
        if alarm.kind.name in self._settings.latching and not alarm.acknowledged:
            return self._follow(alarm, "latched", alarm.ended_at, **facts)
        return self._drop(alarm, "off", alarm.ended_at, **facts)

    def _drop(self, alarm: Alarm, state: str, sample: int, **facts: Any) -> Alert:
        del self.state.alarms[alarm.kind.name]
        return self._follow(alarm, state, sample, **facts)

    def _follow(self, alarm: Alarm, state: str, sample: int, **facts: Any) -> Alert:
        alarm.alert = followed_by(
            alarm.alert,
            state=state,
            epoch=self._epoch(alarm.alert.kind),
            sample=sample,
            time_s=self._seconds(sample),
            **facts,
        )
        return alarm.alert

    def _seconds(self, sample: int) -> float:
        return round(sample / self._fs_hz, 4)
