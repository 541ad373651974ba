"""The life of an alarm: it begins, may be acknowledged, may latch, and ends.

`AlarmStateMachine` is told when conditions begin and end, and returns the alerts that say so. At
most one alarm of a kind stands at a time; what returns while it stands is counted in it. States are
those of FHIR's DeviceAlert presence: ``on`` (the condition is there), ``ack`` (there, and somebody
knows), ``latched`` (over, but nobody has acknowledged it) and ``off``.

Time is the position in the stream, in source samples: the same samples give the same alerts at
any speed. Only an acknowledgement comes from outside. No clock, no I/O.
"""

from dataclasses import dataclass
from typing import Any

from pipeline.alarms.kinds import KINDS, Kind
from pipeline.alarms.settings import AlarmSettings
from pipeline.schema.alert import episode_of, followed_by
from pipeline.schema.public import Alert


@dataclass(slots=True)
class Alarm:
    """An alarm that stands."""

    kind: Kind
    told: Alert
    """The latest alert of it."""
    present: bool
    """Whether the condition is there."""
    count: int
    ended_at: int
    """Where the condition ended last; of use while it is not there."""
    acknowledged_at: int = 0

    @property
    def acknowledged(self) -> bool:
        """Whether somebody knows."""
        return self.told.state == "ack"


class AlarmStateMachine:
    """The alarms that stand in one stream."""

    def __init__(self, stream: str, fs_hz: float, settings: AlarmSettings, epoch: int) -> None:
        self.epoch = epoch
        """Of the alarms that begin from now on."""
        self._stream = stream
        self._fs_hz = fs_hz
        self._settings = settings
        self._alarms: dict[str, Alarm] = {}

    def begin(
        self, name: str, sample: int, reason: str, *, begun_at: int | None = None, **facts: Any
    ) -> list[Alert]:
        """Take note that a condition is there: an alarm begins, or one that stands goes on.

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
        alarm = self._alarms.get(name)
        if alarm is not None and alarm.present:
            return []
        told = [
            alert
            for other in KINDS.values()
            if name in other.yields_to
            for alert in self.end(other.name, sample, f"now {kind.text}", at_once=True)
        ]
        if alarm is None:
            alert = self._first(kind, sample, reason, begun_at, facts)
            self._alarms[name] = Alarm(kind, alert, True, 1, sample)
            return [*told, alert]
        alarm.present = True
        alarm.count += 1
        if alarm.told.state != "latched":
            return told  # it stands, within `Kind.hold_s`: the same alarm, once more
        changes = {**facts, "reason": reason, "count": alarm.count, "end_s": None}
        return [*told, self._tell(alarm, "on", sample, **changes)]

    def tell_again(self, name: str, sample: int, reason: str) -> list[Alert]:
        """Say something new of an alarm that stands, whatever its state; nothing if none does."""
        alarm = self._alarms.get(name)
        if alarm is None:
            return []
        return [self._tell(alarm, alarm.told.state, sample, reason=reason, count=alarm.count)]

    def call_again(self, name: str, sample: int) -> list[Alert]:
        """Let an alarm that was acknowledged long ago, and still stands, call again."""
        reason = f"still there {self._settings.realarm_s:g} s after acknowledgement"
        return [self._tell(self._alarms[name], "on", sample, reason=reason)]

    def end(self, name: str, sample: int, why: str, *, at_once: bool = False) -> list[Alert]:
        """Take note that a condition is over at ``sample``; nothing if it was not there."""
        alarm = self._alarms.get(name)
        if alarm is None:
            return []
        if alarm.present:
            alarm.present, alarm.ended_at = False, sample
        elif not at_once or alarm.told.state == "latched":
            return []
        return [] if alarm.kind.hold_s and not at_once else [self._finish(alarm, why)]

    def advance(self, position: int) -> list[Alert]:
        """Let time go on to ``position``: held alarms end, unheeded ones call again."""
        told = []
        for alarm in list(self._alarms.values()):
            if not alarm.present:
                hold = alarm.kind.hold_s
                late = position - alarm.ended_at > hold * self._fs_hz
                if late and alarm.told.state in ("on", "ack"):
                    told.append(self._finish(alarm, f"none for {hold:g} s"))
            elif alarm.acknowledged:
                at = alarm.acknowledged_at + round(self._settings.realarm_s * self._fs_hz)
                if position > at:
                    told += self.call_again(alarm.kind.name, at)
        return told

    def end_all(self, why: str, sample: int) -> list[Alert]:
        """End every condition that is there, where nothing more will be known of it."""
        told = []
        for alarm in list(self._alarms.values()):
            if alarm.present:
                alarm.present, alarm.ended_at = False, sample
            elif alarm.told.state == "latched":
                continue
            told.append(self._finish(alarm, why))
        return told

    def acknowledge(self, position: int, episode: str = "") -> list[Alert]:
        """Acknowledge the alarm ``episode``, or all that stand; those that come later still call.

        Returns:
            Their alerts: ``ack`` where the condition is there, ``off`` where it had latched.
        """
        told = []
        for alarm in list(self._alarms.values()):
            if alarm.acknowledged or episode not in ("", alarm.told.episode):
                continue
            if alarm.told.state == "latched":
                told.append(self._drop(alarm, "off", position, reason="acknowledged"))
            else:
                alarm.acknowledged_at = position
                told.append(self._tell(alarm, "ack", position, reason="acknowledged"))
        return told

    def adopt(self, alert: Alert) -> None:
        """Take over an alarm that latched before this life began; ``alert`` is its latest."""
        kind = KINDS.get(alert.kind)
        if kind is not None and alert.state == "latched" and kind.name not in self._alarms:
            self._alarms[kind.name] = Alarm(kind, alert, False, alert.count or 1, alert.sample)

    def present(self, name: str) -> bool:
        """Say whether the condition is there now."""
        alarm = self._alarms.get(name)
        return alarm is not None and alarm.present

    @property
    def standing(self) -> list[Alert]:
        """The latest alert of every alarm that stands, the most urgent first."""
        return [self._alarms[name].told for name in KINDS if name in self._alarms]

    def _first(
        self, kind: Kind, sample: int, reason: str, begun_at: int | None, facts: dict[str, Any]
    ) -> Alert:
        begun_at = sample if begun_at is None else begun_at
        return Alert(
            stream=self._stream,
            epoch=self.epoch,
            kind=kind.name,
            category=kind.category,
            priority=kind.priority,
            sample=sample,
            time_s=self._seconds(sample),
            reason=reason,
            count=1,
            episode=episode_of(kind.name, self.epoch, sample),
            begin_s=self._seconds(begun_at),
            **facts,
        )

    def _finish(self, alarm: Alarm, why: str) -> Alert:
        """Tell the end of the condition: the alarm latches, or is over."""
        reason = why if alarm.count == 1 else f"{alarm.count} times, {why}"
        end_s = self._seconds(alarm.ended_at)
        facts = {"reason": reason, "count": alarm.count, "end_s": end_s}
        if alarm.kind.name in self._settings.latching and not alarm.acknowledged:
            return self._tell(alarm, "latched", alarm.ended_at, **facts)
        return self._drop(alarm, "off", alarm.ended_at, **facts)

    def _drop(self, alarm: Alarm, state: str, sample: int, **facts: Any) -> Alert:
        del self._alarms[alarm.kind.name]
        return self._tell(alarm, state, sample, **facts)

    def _tell(self, alarm: Alarm, state: str, sample: int, **facts: Any) -> Alert:
        alarm.told = followed_by(
            alarm.told,
            state=state,
            epoch=self.epoch,
            sample=sample,
            time_s=self._seconds(sample),
            **facts,
        )
        return alarm.told

    def _seconds(self, sample: int) -> float:
        return round(sample / self._fs_hz, 4)
